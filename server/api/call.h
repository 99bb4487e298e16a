/*
 * call: one request on its way through this room, and what the endpoints share.
 *
 *     api.c: begin ─▶ struct call, in the request's arena ─▶ serve ─▶ serve_sync | serve_actions |
 *                                              serve_head | serve_events | serve_info |
 *                                              serve_snapshot_…
 *
 * Threads: as the request's: one HTTP thread at a time.
 */
#ifndef API_CALL_H
#define API_CALL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "api/account.h"
#include "api/admission.h"
#include "api/api.h"
#include "api/places.h"
#include "api/route.h"
#include "api/waiters.h"
#include "auth/auth.h"
#include "base/mem.h"
#include "http/request.h"
#include "store/store.h"

/* What was configured, as it is for the requests that began under it, the last of which frees it. */
struct api_settings {
	size_t users; /* these requests, and the api while it is the newest; under the api's lock */
	struct api_limits limits;
	struct rate_policy policy;
	char auth_mode[32];
	struct receipt_signers signers;
};

struct api {
	pthread_mutex_t lock; /* held for the next one and its users */
	struct api_settings *newest;
	struct store *store;
	struct auth *auth; /* NULL: everybody may do everything */
	struct waiters *waiters;
	struct places *places; /* of those who wait */
	struct places *seeks;  /* of those who look for a link */
	struct rate *rate;
	struct trusted trusted;
	atomic_bool warned_of_proxy;
	struct admission admission;
	_Atomic(struct snapshot_keeper *) snapshots; /* NULL: the store is not started */
};

struct problem;
struct seek;

/* How a request goes on after it was parked. cookie is the api. */
typedef void call_next(void *cookie, struct request *);

struct call {
	struct api *api;
	struct api_settings *settings; /* of when the request began; what these two point into */
	const struct api_limits *limits;
	const struct rate_policy *policy;
	struct request *request;
	struct route route;
	enum status status; /* OK, or MALFORMED: told when the body is there, after what may be
			       wrong with that */
	struct route_fault fault;
	struct identity *identity; /* who asks; NULL as long as auth is, or nobody needs to know */
	const char *reason; /* why credentials are not good, for the log alone; NULL: they are */
	struct rate_payer payer; /* of what it asks for */
	void *work;		 /* the endpoint's own */
	struct seek *seek;	 /* for a link, if there is one */

	/* What the endpoint has to give back in the end; NULL: nothing. */
	void (*leave)(struct call *);

	struct phases phases;
	bool under_way; /* a sync that has taken its place */

	/* Waiting. */
	bool entered; /* has a place */
	struct holder *holder;
	struct waiter waiter;
	call_next *next;
	uint64_t commits;	/* when the head was looked at */
	uint64_t deadline_msec; /* of the query's wait; 0: not waited yet */
	bool wait_over;
};

/* Before the body: says what it may be, or refuses. */
void begin_sync(struct call *);
void begin_snapshot_put(struct call *);

/* The endpoints. Each answers or parks. */
void serve_sync(struct call *);
void serve_actions(struct call *);
void serve_head(struct call *);
void serve_events(struct call *);
void serve_info(struct call *);
void serve_snapshot_put(struct call *);
void serve_snapshot_get(struct call *);

struct call *call_of(const struct request *);

/* Gives a sync's place back, if it has one: when it is answered, or when its client is gone before. */
void call_leave_sync(struct call *);

/* The request is over: gives back what it has besides memory. */
void call_end(struct call *);

/* Answers 200 with Cache-Control: no-store. The body's memory is taken over. */
void call_answer(struct call *, struct buffer *body);

/* Answers with a problem, which is paid for. */
void call_problem(struct call *, const struct problem *);

/* The same with one that adds nothing; detail may be empty. */
void call_refuse(struct call *, enum status, struct text detail);

/* Adds `head`, and `ancestor` unless NULL. */
void call_refuse_at(struct call *, enum status, struct text detail, const struct position *head,
		    const struct position *ancestor);

/* Looks at the log's head: as store_head(). */
MUST_CHECK enum status call_look(struct call *, struct head *);

/* The same; false: the request was refused, as it is for an erased log. */
bool call_read_head(struct call *, struct head *);

/* QUOTA_EXCEEDED, with `quota` and `limit`. */
void call_refuse_quota(struct call *, const struct verdict *);

/* Of a log that is erased, with `tombstone`; else what is asked for is pruned, with `from`. */
void call_refuse_gone(struct call *, const struct head *);

/* Whether anybody can be given a place under these limits: else no request is held, and there are no
 * event streams. */
bool limits_let_wait(const struct api_limits *);

/* Whether the query's wait is over: none was asked for, its time has passed, the server drains, or the
 * client has left. */
bool call_wait_is_over(struct call *);

/* Parks the request until the log's head is no longer `seen` or the query's wait is over; then next
 * looks again. Refuses the request when too many wait. The caller must return at once. */
void call_wait(struct call *, const struct position *seen, call_next *next);

/* The same in two steps: a place among those who wait, for as long as the request lives (false: it was
 * refused), and parking until a deadline of the monotonic clock; next may be NULL (request_resume). */
bool call_enter(struct call *);
void call_park(struct call *, const struct position *seen, uint64_t deadline_msec, call_next *next);

/* Its client has left: it waits no more. */
void call_cancel(struct call *);

/* ,"serverTimestamp":… */
void write_server_timestamp(struct buffer *);

/* {"seq":…,"stateHash":"…","serverTimestamp":…} */
void write_head(struct buffer *, const struct position *);

#endif
