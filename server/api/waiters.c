/*
 * Two indexes over the same waiters: by log, a map of lists; by deadline, a wheel of lists, one a
 * tick. Whoever takes a waiter out of both, under the lock, is the one who wakes it, after the
 * lock: so it is woken once.
 */
#include "api/waiters.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/map.h"

#define TICK_MSEC 100
#define WHEEL_TICKS 1024 /* later deadlines stay in the wheel for another turn */

/* The waiters of one log; there while there is one. */
struct waiting_log {
	struct hash genesis;
	struct waiter *first;
	UT_hash_handle hh;
};

struct waiters {
	_Atomic uint64_t commits;

	/* Changed under the lock, read without it by waiters_wake. */
	atomic_size_t count;

	pthread_mutex_t lock;
	pthread_cond_t changed; /* somebody waits, or stop; of the monotonic clock */
	struct waiting_log *logs;
	struct waiter *wheel[WHEEL_TICKS];
	uint64_t tick; /* all before it are done */
	bool closed, stop;
	pthread_t timer;
};

static uint64_t
tick_of(uint64_t msec)
{
	return msec / TICK_MSEC;
}

/* Puts the waiter before *first. */
static void
link_here(struct waiter **first, struct waiter *waiter)
{
	waiter->next_here = *first;
	waiter->link_here = first;
	if (*first)
		(*first)->link_here = &waiter->next_here;
	*first = waiter;
}

static void
link_due(struct waiter **first, struct waiter *waiter)
{
	waiter->next_due = *first;
	waiter->link_due = first;
	if (*first)
		(*first)->link_due = &waiter->next_due;
	*first = waiter;
}

/* Takes the waiter out of both indexes and puts it before *woken, a list by next_due. */
static void
take_locked(struct waiters *waiters, struct waiter *waiter, struct waiter **woken)
{
	struct waiting_log *log = waiter->log;
	*waiter->link_here = waiter->next_here;
	if (waiter->next_here)
		waiter->next_here->link_here = waiter->link_here;
	*waiter->link_due = waiter->next_due;
	if (waiter->next_due)
		waiter->next_due->link_due = waiter->link_due;
	if (!log->first) {
		HASH_DEL(waiters->logs, log);
		free(log);
	}
	waiter->log = NULL;
	waiter->next_due = *woken;
	*woken = waiter;
	atomic_fetch_sub(&waiters->count, 1);
}

static void
wake_all(struct waiter *woken)
{
	while (woken) {
		struct waiter *waiter = woken;
		woken = waiter->next_due; /* before wake: then the waiter may be gone */
		waiter->wake(waiter, woken != NULL);
	}
}

/* Takes whoever is due up to now_msec. After a long sleep one turn of the wheel sees them all. */
static struct waiter *
take_due_locked(struct waiters *waiters, uint64_t now_msec)
{
	struct waiter *woken = NULL;
	uint64_t last = tick_of(now_msec);
	if (waiters->tick + WHEEL_TICKS < last)
		waiters->tick = last - WHEEL_TICKS;
	for (; waiters->tick < last; waiters->tick++) {
		struct waiter *waiter = waiters->wheel[waiters->tick % WHEEL_TICKS];
		while (waiter) {
			struct waiter *following = waiter->next_due;
			if (waiter->deadline_msec <= now_msec)
				take_locked(waiters, waiter, &woken);
			waiter = following;
		}
	}
	return woken;
}

static void
sleep_locked(struct waiters *waiters)
{
	if (atomic_load(&waiters->count) == 0) {
		pthread_cond_wait(&waiters->changed, &waiters->lock);
		return;
	}
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += TICK_MSEC * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_nsec -= 1000000000L;
		until.tv_sec++;
	}
	pthread_cond_timedwait(&waiters->changed, &waiters->lock, &until);
}

static void *
run_timer(void *cookie)
{
	struct waiters *waiters = cookie;
	pthread_mutex_lock(&waiters->lock);
	while (!waiters->stop) {
		struct waiter *woken = take_due_locked(waiters, clock_monotonic_msec());
		if (woken) {
			pthread_mutex_unlock(&waiters->lock);
			wake_all(woken);
			pthread_mutex_lock(&waiters->lock);
			continue;
		}
		sleep_locked(waiters);
	}
	pthread_mutex_unlock(&waiters->lock);
	return NULL;
}

struct waiters *
waiters_new(void)
{
	pthread_condattr_t attributes;
	struct waiters *waiters = calloc(1, sizeof(*waiters));
	if (!waiters)
		return NULL;
	waiters->tick = tick_of(clock_monotonic_msec());
	if (pthread_condattr_init(&attributes) != 0)
		goto free_waiters;
	int failed = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	failed = failed != 0 ? failed : pthread_cond_init(&waiters->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	if (failed != 0)
		goto free_waiters;
	if (pthread_mutex_init(&waiters->lock, NULL) != 0)
		goto destroy_condition;
	if (pthread_create(&waiters->timer, NULL, run_timer, waiters) != 0)
		goto destroy_lock;
	return waiters;

destroy_lock:
	pthread_mutex_destroy(&waiters->lock);
destroy_condition:
	pthread_cond_destroy(&waiters->changed);
free_waiters:
	free(waiters);
	return NULL;
}

/* The log's entry, made if need be; NULL when memory is out. */
static struct waiting_log *
find_log_locked(struct waiters *waiters, const struct hash *genesis)
{
	struct waiting_log *log;
	HASH_FIND(hh, waiters->logs, genesis, sizeof(*genesis), log);
	if (log)
		return log;
	log = calloc(1, sizeof(*log));
	if (!log)
		return NULL;
	log->genesis = *genesis;
	HASH_ADD(hh, waiters->logs, genesis, sizeof(log->genesis), log);
	if (!log->hh.tbl) {
		free(log);
		return NULL;
	}
	return log;
}

static enum waiters_outcome
add_locked(struct waiters *waiters, struct waiter *waiter)
{
	if (waiters->closed)
		return WAITERS_CLOSED;
	struct waiting_log *log = find_log_locked(waiters, &waiter->genesis);
	if (!log)
		return WAITERS_FAILED;

	/* The timer slept without looking at the clock while nobody waited. */
	uint64_t now = tick_of(clock_monotonic_msec());
	if (atomic_load(&waiters->count) == 0 && waiters->tick < now)
		waiters->tick = now;
	uint64_t tick = tick_of(waiter->deadline_msec);
	if (tick < waiters->tick)
		tick = waiters->tick;
	waiter->log = log;
	link_here(&log->first, waiter);
	link_due(&waiters->wheel[tick % WHEEL_TICKS], waiter);
	if (atomic_fetch_add(&waiters->count, 1) == 0)
		pthread_cond_signal(&waiters->changed);
	return WAITERS_ADDED;
}

enum waiters_outcome
waiters_add(struct waiters *waiters, struct waiter *waiter)
{
	CHECK(waiter->wake && !waiter->log);
	pthread_mutex_lock(&waiters->lock);
	enum waiters_outcome outcome = add_locked(waiters, waiter);
	pthread_mutex_unlock(&waiters->lock);
	return outcome;
}

uint64_t
waiters_commits(const struct waiters *waiters)
{
	return atomic_load(&waiters->commits);
}

void
waiters_wake(struct waiters *waiters, const struct hash *genesis)
{
	/* A store of the head by this thread, an add to commits, a read of count; on the other side an
	 * add to count, a read of commits, a read of the head. These are in one order for all: whoever
	 * does not find the waiter here was counted before it looked. */
	(void)atomic_fetch_add(&waiters->commits, 1);
	if (atomic_load(&waiters->count) == 0)
		return;
	struct waiting_log *log;
	struct waiter *woken = NULL;
	pthread_mutex_lock(&waiters->lock);
	HASH_FIND(hh, waiters->logs, genesis, sizeof(*genesis), log);
	for (struct waiter *waiter = log ? log->first : NULL; waiter;) {
		struct waiter *following = waiter->next_here;
		take_locked(waiters, waiter, &woken);
		waiter = following;
	}
	pthread_mutex_unlock(&waiters->lock);
	wake_all(woken);
}

void
waiters_cancel(struct waiters *waiters, struct waiter *waiter)
{
	struct waiter *woken = NULL;
	pthread_mutex_lock(&waiters->lock);
	if (waiter->log)
		take_locked(waiters, waiter, &woken);
	pthread_mutex_unlock(&waiters->lock);
	wake_all(woken);
}

void
waiters_drain(struct waiters *waiters)
{
	struct waiter *woken = NULL;
	pthread_mutex_lock(&waiters->lock);
	waiters->closed = true;
	for (size_t i = 0; i < WHEEL_TICKS; i++)
		while (waiters->wheel[i])
			take_locked(waiters, waiters->wheel[i], &woken);
	pthread_mutex_unlock(&waiters->lock);
	wake_all(woken);
}

void
waiters_free(struct waiters *waiters)
{
	if (!waiters)
		return;
	pthread_mutex_lock(&waiters->lock);
	CHECK(atomic_load(&waiters->count) == 0);
	waiters->stop = true;
	pthread_cond_signal(&waiters->changed);
	pthread_mutex_unlock(&waiters->lock);
	pthread_join(waiters->timer, NULL);
	pthread_cond_destroy(&waiters->changed);
	pthread_mutex_destroy(&waiters->lock);
	free(waiters);
}
