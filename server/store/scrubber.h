/*
 * scrubber: the thread that walks through all logs in place, shard by shard, at a bounded rate, so that
 * rot is found while there still are copies: what no phone asks for is never read otherwise.
 *
 *     a round: shard 0, 1, … ─▶ engine's scrub, a step of 10 ms at most ─▶ a pause that keeps the rate,
 *                                                                         and is as long as the step
 *
 * What it finds marks its log (engine.h), is logged and counted there. The end of a round is logged with
 * what there was and how much of it is damaged; the next one begins an hour after this one began, or at
 * once when it took longer. A start begins a round anew. A shard of which nothing can be read, because it
 * is down or for its disk, is given up until the next round; the log says so, and this one is not counted.
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

/* How long to wait after a step: to keep the rate, and to leave the disk to others, and the WAL without a
 * reader, for at least as long as the step took. Pure. */
uint64_t scrubber_pause_usec(uint64_t rows, uint64_t rate, uint64_t took_usec);

#endif
