/*
 * states: what a shard's writer remembers of the reports on apps' states, and what it finds in them.
 *
 *     group, committed ─▶ states_judge ─▶ chain/drift, by log ─▶ job->drift, the metrics, the log's lines
 *                              │ ╰─ a log that is not remembered: engine load_states
 *                              ╰──── what is new: engine keep_state
 *
 * Only after the commit: the log then has each position that settle found, for good. A log that was
 * forgotten before its newest reports were written comes back without them.
 *
 * Threads: the shard's writer alone.
 */
#ifndef STORE_STATES_H
#define STORE_STATES_H

#include <stddef.h>

#include "base/map.h"
#include "chain/drift.h"
#include "store/engine.h"
#include "store/store.h"

struct states_log {
	struct hash genesis; /* the key */
	struct drift_log log;
	uint64_t stale_from; /* kept reports from here on are of a history that the log lost */
	struct states_log *newer, *older; /* by last use */
	UT_hash_handle hh;
};

struct states {
	struct drift_limits limits;
	struct states_log *logs; /* by genesis */
	struct states_log *newest, *oldest;
	size_t bytes, bytes_max; /* beyond which the least recently used are forgotten */
};

void states_init(struct states *, const struct drift_limits *, size_t bytes_max);

/* Jobs of a group that was committed, in their order. Where memory is out nobody drifts. */
void states_judge(struct states *, struct engine *, struct job **, size_t count);

/* One log, for it is erased, or changed otherwise than by appending; or everything. */
void states_forget_log(struct states *, const struct hash *genesis);
void states_forget(struct states *);

#endif
