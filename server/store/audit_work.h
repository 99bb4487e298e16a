/*
 * audit_work: what the parts of the audit share: audit (the file), audit_logs (rows),
 * audit_journal.
 */
#ifndef STORE_AUDIT_WORK_H
#define STORE_AUDIT_WORK_H

#include <stdint.h>

#include "base/map.h"
#include "base/status.h"
#include "chain/chain.h"
#include "store/audit.h"
#include "store/sqlite/db.h"

#define AUDIT_WHAT_SIZE 512

/* What the journal's check needs of a log: where it stands, and a batch that is partly in place. */
struct audit_log {
	struct hash genesis; /* the key */
	uint64_t id;
	struct position in_place, newest;
	uint64_t unfinished_first, unfinished_last; /* 0: none */
	UT_hash_handle hh;
	size_t name_size;
	char name[];
};

struct audit {
	const struct audit_target *target;
	const struct audit_observer *observer;
	struct audit_totals *totals;
	uint64_t actions_done, actions_total;
	struct db *db;
	struct audit_log *logs;
	struct statement *actions, *batches, *stamps, *link;
};

void audit_find(struct audit *, struct text log, uint64_t seq, const char *what);

/* What a statement that gives no more rows means: what SQLite cannot read is a finding; a fault
 * ends the audit. */
MUST_CHECK enum status audit_end(struct audit *, struct text log, uint64_t seq, enum step);

/* What is known of a log from now on; in place up to a position. NULL when memory is out. */
MUST_CHECK struct audit_log *audit_remember(struct audit *, struct text name,
					    const struct hash *genesis,
					    const struct position *in_place);

/* Every log's rows. */
MUST_CHECK enum status audit_logs(struct audit *);

/* Every journal record, against what audit_logs saw in place. */
MUST_CHECK enum status audit_journal(struct audit *);

#endif
