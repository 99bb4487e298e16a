/*
 * waiters: requests that wait for a commit to their log, or for their time to be over.
 *
 *     waiters_add ─▶ waiting ─▶ wake(waiter), exactly once:
 *                                 waiters_wake   a commit to the log
 *                                 the timer      the deadline has passed
 *                                 waiters_drain  the server stops
 *
 * A wake says only "look again": whoever is woken asks the store and may wait again.
 *
 * How no commit is missed: the caller sees a head, adds itself, and looks at the head again; if it
 * has moved, it calls waiters_wake itself. A commit that was not seen by that second look comes
 * after the adding, and finds the waiter.
 *
 * Ownership: a waiter belongs to the registry from waiters_add() returning WAITERS_ADDED until its
 * wake() is called; from the adding on, another thread may call it at any moment, and its memory
 * may be gone when waiters_add returns.
 * Threads: all functions from any thread, new and free by the owner. wake() runs on the caller's
 * thread of waiters_wake or waiters_drain, or on the timer's, without a lock; it must not block.
 */
#ifndef API_WAITERS_H
#define API_WAITERS_H

#include <stddef.h>
#include <stdint.h>

#include "chain/chain.h"

struct waiters;

struct waiter {
	/* The caller's. */
	struct hash genesis;	/* of the log it waits for */
	uint64_t deadline_msec; /* of the monotonic clock */
	void (*wake)(struct waiter *);

	/* The registry's: its place among the log's waiters, and among those of its tick. */
	struct waiting_log *log;
	struct waiter *next_here, **link_here;
	struct waiter *next_due, **link_due;
};

enum waiters_outcome {
	WAITERS_ADDED,
	WAITERS_FULL,  /* as many as may wait are waiting, or memory is out */
	WAITERS_CLOSED /* drained: none may wait any more */
};

/* At most max at once. NULL when memory or threads are out. */
struct waiters *waiters_new(size_t max);
void waiters_set_max(struct waiters *, size_t max);
enum waiters_outcome waiters_add(struct waiters *, struct waiter *);

/* Wakes all who wait for this log. Costs one atomic operation while nobody waits at all. */
void waiters_wake(struct waiters *, const struct hash *genesis);

/* Wakes everybody and lets nobody wait from now on. */
void waiters_drain(struct waiters *);

/* Nobody may be waiting. */
void waiters_free(struct waiters *);

#endif
