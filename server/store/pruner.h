/*
 * pruner: the thread that ends what of removals was begun and cut off, and removes the content of old actions
 * for which snapshots stand, so that logs do not grow for ever.
 *
 *     at the start, and before each round: each log that is said to be pruned or erased and is not to its
 *              end ─▶ REMOVE_BEGUN, a step at a time ─▶ snapshots_follow
 *     a round: each log that has a snapshot: one that stands for nothing any more goes ─▶
 *              is there anything that old up to its oldest one? ─▶ snapshots_stand_for ─▶ the shard's writer, a step at a time ─▶ snapshots_follow
 *
 * It goes as edgereplay prune does, but what files keep of it between rows and in free pages is overwritten
 * only of an erasure: the room of what was pruned is used again. A log that cannot be pruned now is tried again in the next round,
 * a damaged one only after many.
 * It ends with a line in the log when anything went.
 *
 * Threads: its own, and start, set and stop by the owner. A stop waits for one step.
 */
#ifndef STORE_PRUNER_H
#define STORE_PRUNER_H

#include <stdint.h>

#include "base/status.h"
#include "store/snapshots.h"
#include "store/store.h"

struct pruner;

struct pruner_pace {
	uint64_t after_sec; /* since they were received; 0: nothing more is removed */
	uint64_t every_sec; /* between the starts of two rounds; ≥ 1 */
};

/* Both outlive it; the store has started. */
MUST_CHECK enum status pruner_start(struct store *, struct snapshots *, const struct pruner_pace *,
				    struct pruner **);
void pruner_set(struct pruner *, const struct pruner_pace *);

/* While the store still serves. Takes NULL. */
void pruner_stop(struct pruner *);

#endif
