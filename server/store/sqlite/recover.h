/*
 * recover: what a crash left in the journal, put in place before anything is served.
 *
 *     the table journal (kept by an earlier start) ─▶ the older file ─▶ the newer file
 *
 * Each record, in order of id, is verified and must connect to its log: to what is in place, or to
 * the record before it of the same log. It is then applied like any other batch. When all are in
 * place that is recorded, and the files are emptied. Repeating any of it after another crash
 * changes nothing. Before any of it, what can be read of the journal and of the WAL is made sure to be on
 * the disk: after a sync that failed it need not be.
 *
 * First of all the files must have what was on the disk (loss); else nothing is done, unless the
 * operator has accepted the loss: then what can be put in place is, the commit numbers go on
 * after those that are lost, and the anchor says so.
 *
 * A record that does not verify is kept in the table, and marks its log damaged where what can be
 * read of it connects; one that verifies and does not connect is kept and marks its log too. One
 * whose log is not known leaves some log shorter than it was: when the anchor has seen it, that
 * is a loss, and the files stay as they are.
 *
 * Threads: one, before the shard serves.
 */
#ifndef STORE_SQLITE_RECOVER_H
#define STORE_SQLITE_RECOVER_H

#include "base/status.h"
#include "store/sqlite/applier.h"
#include "store/sqlite/apply.h"
#include "store/sqlite/damage.h"
#include "store/sqlite/db.h"
#include "store/sqlite/journal_read.h"
#include "store/sqlite/loss.h"
#include "store/sqlite/rows.h"
#include "store/sqlite/tail.h"

struct recovery {
	struct db *db;
	struct rows *rows; /* of a connection that only reads */
	struct tail *tail;
	struct apply *apply;
	struct damage *damage;
	struct journal_file *files; /* the two */
	struct anchor *anchor;
	size_t slice_actions;
	bool accept_loss; /* what is lost is lost: records that nothing leads to are left out */

	struct statement *select, *forget; /* made by recover() */
	struct loss loss;
	uint64_t nobodys; /* records that the anchor has seen, and nobody knows whose they were */

	/* out */
	uint64_t generation; /* the greatest there was */
	uint64_t next_journal_id;
	uint64_t next_log_id;
};

/* STATUS_LOG_DAMAGED, and nothing is gone: files lack what they had. *problem: see base/problem. */
MUST_CHECK enum status recover(struct recovery *, const char **problem);

#endif
