/*
 * call: one request on its way through this room, and what the endpoints share.
 *
 *     api.c: begin ─▶ struct call, in the request's arena ─▶ serve ─▶ serve_sync | serve_actions |
 *                                                                     serve_head | serve_info
 *
 * Threads: as the request's: one HTTP thread at a time.
 */
#ifndef API_CALL_H
#define API_CALL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "api/admission.h"
#include "api/api.h"
#include "api/route.h"
#include "api/waiters.h"
#include "base/mem.h"
#include "http/request.h"
#include "store/store.h"

/* Limits that some requests may still look at: kept until the api is freed. */
struct snapshot {
	struct snapshot *older;
	struct api_limits limits;
	char auth_mode[32];
};

struct api {
	_Atomic(struct snapshot *) newest;
	struct store *store;
	struct waiters *waiters;
	struct admission admission;
};

/* How a request goes on after it was parked. cookie is the api. */
typedef void call_next(void *cookie, struct request *);

struct call {
	struct api *api;
	const struct api_limits *limits; /* as they were when the request began */
	struct request *request;
	struct route route;
	enum status status; /* OK, or MALFORMED: told when the body is there, after what may be
			       wrong with that */
	struct route_fault fault;
	void *work;	/* the endpoint's own */
	bool under_way; /* a sync that has taken its place */

	/* Waiting. */
	struct waiter waiter;
	call_next *next;
	uint64_t deadline_msec; /* 0: not waited yet */
	bool wait_over;
};

/* Before the body: says what it may be, or refuses. */
void begin_sync(struct call *);

/* The endpoints. Each answers or parks. */
void serve_sync(struct call *);
void serve_actions(struct call *);
void serve_head(struct call *);
void serve_info(struct call *);

struct call *call_of(const struct request *);

/* Gives a sync's place back, if it has one: when it is answered, or when its client is gone before. */
void call_leave(struct call *);

/* Answers 200 with Cache-Control: no-store. The body's memory is taken over. */
void call_answer(struct call *, struct buffer *body);

/* Answers with a problem that adds nothing; detail may be empty. */
void call_refuse(struct call *, enum status, struct text detail);

/* Adds `head`, and `ancestor` unless NULL. */
void call_refuse_at(struct call *, enum status, struct text detail, const struct position *head,
		    const struct position *ancestor);

/* Whether the query's wait is over: none was asked for, its time has passed, or the server drains.
 */
bool call_wait_is_over(struct call *);

/* Parks the request until the log's head is no longer `seen` or the wait is over; then next looks
 * again. The caller must return at once. */
void call_wait(struct call *, const struct position *seen, call_next *next);

/* ,"serverTimestamp":… */
void write_server_timestamp(struct buffer *);

#endif
