/*
 * outbox: the logs that have grown and whose notice has not been delivered; each once, whatever came
 * since, in the order in which they are due.
 *
 *     outbox_put ─▶ fresh ──▶ outbox_take ─▶ being sent ─┬─▶ outbox_delivered ─▶ (gone, or fresh:
 *                                  ▲                     │                        it grew meanwhile)
 *                   failed ────────╯◀── outbox_failed ───╯
 *
 * A notice is as old as the newest growth that it tells of: what came last is never dropped for the age
 * of what came before.
 *
 * All memory is taken at the start. No clock: times are the caller's, in milliseconds of one clock.
 * Threads: one at a time; webhook.c has the lock.
 */
#ifndef WEBHOOK_OUTBOX_H
#define WEBHOOK_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "base/origin.h"
#include "base/status.h"
#include "base/text.h"
#include "chain/chain.h"

/* A request's, kept. */
struct kept_origin {
	char request[REQUEST_ID_SIZE_MAX];
	char traceparent[TRACEPARENT_SIZE];
	size_t request_size;
	size_t traceparent_size; /* 0: it has none */
};

struct notice {
	char name[LOG_NAME_SIZE_MAX];
	size_t size;		   /* of the name */
	struct position head;	   /* newest */
	struct kept_origin origin; /* of the request that brought it */
	uint64_t changed_msec;	   /* newest commit that nobody was told of */
	uint64_t due_msec;	   /* not before this */
	unsigned failures;	   /* in a row */
	bool changed;		   /* while it is being sent */
	bool sending;
	uint64_t row;		    /* webhook.c's: of failures, the last that it was counted in */
	size_t place;		    /* among those that failed */
	struct notice *prev, *next; /* among the fresh */
	struct notice *older, *newer;
	UT_hash_handle hh;
};

struct outbox {
	struct notice *notices; /* all there are */
	struct notice *unused;	/* by next */
	struct notice *fresh;	/* waiting, without a failure; the first that is due first */
	struct notice **failed; /* waiting, a binary heap by due_msec */
	size_t failed_count;
	struct notice *oldest; /* by changed_msec; waiting or being sent */
	struct notice *by_log;
	size_t max;
	size_t count; /* waiting or being sent */
	uint64_t gather_msec;
};

/* At most max logs; each waits for gather_msec for more commits. INTERNAL: memory is out. */
MUST_CHECK enum status outbox_init(struct outbox *, size_t max, uint64_t gather_msec);
void outbox_release(struct outbox *);

/* What a notice says. */
struct growth {
	struct text log;
	struct position head;
	struct origin origin;
};

/* The copy lasts as long as what it was kept in. */
struct origin origin_of(const struct kept_origin *);

/* The log has grown. False: there is no room; it was not taken. */
bool outbox_put(struct outbox *, const struct growth *, uint64_t now_msec);

/* The first that is due, or NULL. Its name may be read until it is given back, its head is others'. */
struct notice *outbox_take(struct outbox *, uint64_t now_msec);

/* The same of those that have not failed. */
struct notice *outbox_take_fresh(struct outbox *, uint64_t now_msec);

/* Gives up some of those whose newest commit was before this. How many they were. */
size_t outbox_expire(struct outbox *, uint64_t oldest_msec);

void outbox_delivered(struct outbox *, struct notice *, uint64_t now_msec);

/* It is due again at the given time, whether it grows before or not. */
void outbox_failed(struct outbox *, struct notice *, uint64_t due_msec);

/* When the next one is due; UINT64_MAX when none waits. */
uint64_t outbox_next_msec(const struct outbox *);

#endif
