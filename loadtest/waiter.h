/*
 * waiter: what the lanes do that hold a request for news of a log (protocol 4.2, wait).
 *
 * Each holds one GET …/actions?after=<seq>&wait=30 and issues it again when it ends. What it is
 * told must link to what it knew; the position it knows is its own, not the run's, since news may
 * be faster than the answer to the request that made them.
 *
 * Threads: the run's own.
 */
#ifndef LOADTEST_WAITER_H
#define LOADTEST_WAITER_H

#include <stdint.h>

#include "loadtest/lane.h"

extern const struct work waiter_work;

/* Begins to wait for news of this log. */
void waiter_start(struct lane *, uint32_t user);

#endif
