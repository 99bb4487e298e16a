/*
 * slice: a stretch of the tail's applying generation, as tables that an INSERT … SELECT reads.
 *
 *     slice_set ─▶ INSERT … SELECT … FROM slice_actions: a row an action
 *                  INSERT … SELECT … FROM slice_batches: a row a batch whose first action it has
 *
 * Batches of logs that are stuck have no rows.
 *
 * Threads: the db's user.
 */
#ifndef STORE_SQLITE_SLICE_H
#define STORE_SQLITE_SLICE_H

#include <stdbool.h>
#include <stddef.h>

#include "store/sqlite/feed.h"
#include "store/sqlite/tail.h"

#define SLICE_ACTIONS "slice_actions"
#define SLICE_ACTION_COLUMNS "log, seq, device, ts, link, type, payload"
#define SLICE_BATCHES "slice_batches"
#define SLICE_BATCH_COLUMNS "log, seq, last, received_at, writer"

/* An action of the generation: the index of its batch, and of the action in that. No seq. */
struct place {
	size_t batch, action;
};

struct slice {
	struct place begin, end;
	size_t actions; /* rows of slice_actions */

	/* Where the statement that reads it stands. */
	struct tail_batch **items; /* the generation */
	struct place at;
	struct action action;

	struct feed feed_actions, feed_batches;
};

/* Makes the tables. The slice lives as long as the db. */
MUST_CHECK enum status slice_attach(struct slice *, struct db *);

/* From a place on, as many actions as there are up to actions_max. */
void slice_set(struct slice *, struct tail_batch **items, size_t count, struct place begin,
	       size_t actions_max);

bool place_is_before(struct place, struct place other);

#endif
