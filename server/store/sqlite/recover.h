/*
 * recover: what a crash left in the journal, put in place before anything is served.
 *
 * Each row, in order of id, is verified and must connect to its log: to what is in place, or to the
 * row before it of the same log. It is then applied like any other batch, and deleted. Repeating
 * any of it after another crash changes nothing.
 *
 * A row that does not verify is kept, and marks its log damaged where what can be read of it
 * connects; a row that verifies and does not connect is kept and marks its log too.
 */
#ifndef STORE_SQLITE_RECOVER_H
#define STORE_SQLITE_RECOVER_H

#include "base/status.h"
#include "store/sqlite/apply.h"
#include "store/sqlite/damage.h"
#include "store/sqlite/db.h"
#include "store/sqlite/rows.h"
#include "store/sqlite/tail.h"

struct recovery {
	struct db *db;
	struct rows *rows;
	struct tail *tail;
	struct apply *apply;
	struct damage *damage;
	size_t slice_actions;
	struct statement *select, *forget; /* made by recover() */

	/* out */
	uint64_t next_journal_id;
	uint64_t next_log_id;
};

MUST_CHECK enum status recover(struct recovery *);

#endif
