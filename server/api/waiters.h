/*
 * waiters: requests that wait for a commit to their log, or for their time to be over.
 *
 *     waiters_add ─▶ waiting ─▶ wake(waiter), exactly once:
 *          ▲                       waiters_wake    a commit to the log
 *          │                       the timer       the deadline has passed
 *          │                       waiters_cancel  the client has left
 *          ╰── again ◀──           waiters_drain   the server stops
 *
 * A wake says only "look again": whoever is woken asks the store and may wait again.
 *
 * How no commit is missed: the caller asks for the number of commits, sees a head, adds itself, and
 * where there were commits since, to whatever log, looks at the head again; if it has moved, it wakes
 * itself. A commit that was not seen by that second look comes after the adding, and finds the waiter.
 *
 * Ownership: a waiter belongs to the registry from waiters_add() returning WAITERS_ADDED until its
 * wake() is called; from the adding on, another thread may call it at any moment.
 * Threads: all functions from any thread, new and free by the owner. wake() runs on the caller's
 * thread of waiters_wake, waiters_cancel or waiters_drain, or on the timer's, without a lock; it must
 * not block.
 */
#ifndef API_WAITERS_H
#define API_WAITERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chain/chain.h"

struct waiters;

struct waiter {
	/* The caller's. */
	struct hash genesis;			  /* of the log it waits for */
	uint64_t deadline_msec;			  /* of the monotonic clock */
	void (*wake)(struct waiter *, bool more); /* more: another one is woken at once after */

	/* The registry's: its place among the log's waiters, and among those of its tick. */
	struct waiting_log *log; /* NULL: it does not wait */
	struct waiter *next_here, **link_here;
	struct waiter *next_due, **link_due;
};

enum waiters_outcome {
	WAITERS_ADDED,
	WAITERS_FAILED, /* memory is out */
	WAITERS_CLOSED	/* drained: none may wait any more */
};

/* NULL when memory or threads are out. */
struct waiters *waiters_new(void);

/* A waiter that is all zeros, or was woken. */
enum waiters_outcome waiters_add(struct waiters *, struct waiter *);

/* Counts a commit, and wakes all who wait for this log. Costs two atomic operations while nobody waits
 * at all. */
void waiters_wake(struct waiters *, const struct hash *genesis);
uint64_t waiters_commits(const struct waiters *);

/* Wakes this one, if it waits. */
void waiters_cancel(struct waiters *, struct waiter *);

/* Wakes everybody and lets nobody wait from now on. */
void waiters_drain(struct waiters *);

/* Nobody may be waiting. */
void waiters_free(struct waiters *);

#endif
