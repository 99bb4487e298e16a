/*
 * scrubber: the thread that walks through all logs in place, shard by shard, at a bounded rate, so that
 * rot is found while there still are copies: what no phone asks for is never read otherwise.
 *
 *     a round: shard 0, 1, … ─▶ engine's scrub, a step at a time ─▶ a pause that keeps the rate
 *
 * What it finds marks its log (engine.h), is logged and counted there. The end of a round is logged with
 * what there was and how much of it is damaged; the next one begins an hour after this one began, or at
 * once when it took longer. A start begins a round anew.
 *
 * Threads: its own, and start, set_rate and stop by the store's owner. A stop waits for one step.
 */
#ifndef STORE_SCRUBBER_H
#define STORE_SCRUBBER_H

#include <stdint.h>

#include "base/status.h"
#include "store/shard.h"

struct scrubber;

/* rate: rows a second; 0: none until it is set. The shards outlive it. */
MUST_CHECK enum status scrubber_start(struct shard *const *shards, unsigned count, uint64_t rate,
				      struct scrubber **);
void scrubber_set_rate(struct scrubber *, uint64_t rate);

/* Takes NULL. */
void scrubber_stop(struct scrubber *);

#endif
