/*
 * scrub: the walk through what is in place, for rot that nobody has read yet: every row of every log by
 * its link, that the index of stamps leads to it, that the newest one is the head and none is beyond it,
 * that the log is found by its name, and that there are no actions of a log that is not there.
 *
 *     scrub_step ─▶ a snapshot: the rest of a log, the next logs … up to so many rows ─▶ where to go on
 *
 * A finding marks its log as a reader's would: after it was read once more, under a new snapshot and
 * from the file. Rows and logs are what it verifies; who received what, and when (batches), is left to
 * the audit.
 *
 * Threads: one user at a time, at the same time as the writer and the readers. The connection is its
 * own, opened when first needed.
 */
#ifndef STORE_SQLITE_SCRUB_H
#define STORE_SQLITE_SCRUB_H

#include "store/engine.h"
#include "store/sqlite/damage.h"
#include "store/sqlite/log_ids.h"
#include "store/sqlite/rows.h"
#include "store/sqlite/tail.h"

struct scrub {
	/* set by the owner */
	const char *path;
	struct tail *tail;
	struct damage *damage;

	struct rows *rows; /* NULL while there is no connection */
	struct log_ids ids;
};

/* See engine.h. After a fault the walk has moved on to the next log. */
MUST_CHECK enum status scrub_step(struct scrub *, struct walk *, uint64_t rows_max,
				  struct walked *);

void scrub_close(struct scrub *);

#endif
