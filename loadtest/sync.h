/*
 * sync: what the lanes of --mode=sync do: push, pull, repeat, and check every answer.
 *
 *     sync_start ─┬▶ HEAD ─▶ NEWEST ─┐   a log that the run does not know yet
 *                 └──────────────────┴▶ SYNC ─▶ acknowledged, dropped or repeated
 *
 * A log stays taken until its outcome is known: refused for certain (429), it is as before; where
 * the batch may be stored (no answer, storage unavailable), the same bytes go out again.
 *
 * Threads: the run's own.
 */
#ifndef LOADTEST_SYNC_H
#define LOADTEST_SYNC_H

#include <stdbool.h>
#include <stdint.h>

#include "loadtest/lane.h"

extern const struct work sync_work;

/* Begins the next request on an idle lane, of a kind drawn from the plan's shares. False when
 * something is under way for every log. */
bool sync_start(struct lane *, bool measured, uint64_t intended_usec);

#endif
