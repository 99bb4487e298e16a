/*
 * metrics: the process's counters, in one table.
 *
 * Threads: from any thread, relaxed atomics, no lock.
 */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include <stddef.h>
#include <stdint.h>

/* enumerator, name */
#define COUNTER_TABLE(X)                                                                           \
	X(COUNTER_REQUESTS, "requests")                                                            \
	X(COUNTER_COMMITS, "commits")                                                              \
	X(COUNTER_APPLIED, "actions_applied")                                                      \
	X(COUNTER_DUPLICATES, "actions_duplicate")                                                 \
	X(COUNTER_REFUSED, "actions_refused")                                                      \
	X(COUNTER_LATE, "actions_stamped_late")                                                    \
	X(COUNTER_AHEAD, "actions_stamped_ahead")                                                  \
	X(COUNTER_CHAIN_BROKEN, "chain_broken")                                                    \
	X(COUNTER_MISMATCHES, "hash_mismatches")                                                   \
	X(COUNTER_BACKPRESSURE, "backpressure")                                                    \
	X(COUNTER_DAMAGED, "logs_damaged")                                                         \
	X(COUNTER_SCRUBBED, "actions_scrubbed")                                                    \
	X(COUNTER_SCRUB_ROUNDS, "scrub_rounds")                                                    \
	X(COUNTER_STORAGE_FAULTS, "storage_faults")

#define COUNTER_ENUMERATOR(name, text) name,
enum counter { COUNTER_TABLE(COUNTER_ENUMERATOR) COUNTER_COUNT };
#undef COUNTER_ENUMERATOR

void counter_add(enum counter, uint64_t);
uint64_t counter_value(enum counter);
const char *counter_name(enum counter);

#endif
