/*
 * replay: what the lanes of --mode=replay do: stream whole logs as NDJSON from their beginning, and
 * verify every link as it comes, in memory that does not grow with the log.
 *
 * Threads: the run's own.
 */
#ifndef LOADTEST_REPLAY_H
#define LOADTEST_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "loadtest/lane.h"

extern const struct work replay_work;

/* Begins the next log on an idle lane; false when all are being read. */
bool replay_start(struct lane *, bool measured, uint64_t intended_usec);

#endif
