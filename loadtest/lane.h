/*
 * lane: a connection of a run and what it does.
 *
 *     lane_request ─▶ SENT ─▶ work->answered() ─┬▶ lane_request …
 *                      │                        ├▶ lane_pause ─▶ PAUSED ─▶ lane_repeat
 *                      └─▶ work->lost() ─▶ PAUSED (the same bytes again)
 *                                               └▶ lane_rest ─▶ IDLE
 *
 * When an answer does not come (the connection breaks, or time is up) nobody knows whether the
 * request arrived: work->lost() is told, and the same bytes are sent again a while later, on a new
 * connection, until there is an answer (protocol, section 7).
 *
 * Threads: the run's own.
 */
#ifndef LOADTEST_LANE_H
#define LOADTEST_LANE_H

#include <stdbool.h>
#include <stdint.h>

#include "loadtest/connection.h"
#include "loadtest/run.h"

enum lane_state { LANE_IDLE, LANE_SENT, LANE_PAUSED };

/* Which answer a lane waits for. */
enum lane_step {
	STEP_HEAD,
	STEP_NEWEST,
	STEP_SYNC,
	STEP_WAIT,
	STEP_STREAM,
	STEP_SUBSCRIBE,
	STEP_EVENTS
};

/* What a lane is there for. Each may be called only while the lane is SENT. */
struct work {
	/* The reply is whole. Must end in lane_request, lane_repeat, lane_pause or lane_rest. */
	void (*answered)(struct lane *);

	/* There will be no answer to what was sent. Must not do anything but take note. */
	void (*lost)(struct lane *);

	/* A part of a body has come; NULL when only whole ones matter. */
	void (*part)(struct lane *);
	unsigned wait_sec; /* how much longer than others an answer may take */
};

struct lane {
	struct run *run;
	const struct work *work;
	struct connection connection;
	enum lane_state state;
	enum lane_step step;
	struct measure measure;
	uint64_t until_usec; /* SENT: the answer's deadline; PAUSED: the end of the pause */
	unsigned failures;   /* since the last success */
	size_t place;	     /* PAUSED: among the paused */

	uint32_t user;
	bool repeatable; /* what stands in the connection was acknowledged whole */
	bool refused;	 /* it was refused whole */
	struct users_batch batch;
	struct expectation expectation;
	struct position at; /* waiter, replay: verified up to here; subscriber: the newest head */
	uint64_t streamed;  /* replay: lines of the stream; subscriber: heads */
	bool stream_ended;
	const char *stream_fault; /* replay: what is wrong with it, or NULL */
};

/* Where the body of a POST goes; NULL, and the run is aborted, when memory is out. */
char *lane_body(struct lane *, size_t size_max);

/* Sends a POST to the log's /sync, with the body that was written there. */
void lane_post(struct lane *, enum lane_step, size_t body_size);

/* Sends a GET for the log: "/head", "/actions?after=7". The accept is a header line or nothing. */
void lane_get(struct lane *, enum lane_step, const char *path, struct text accept);

/* The same bytes once more, now. */
void lane_repeat(struct lane *);

/* The same, after so long and a random time more that grows with each failure. */
void lane_pause(struct lane *, uint64_t msec);
void lane_rest(struct lane *);

/* What epoll says of the lane. */
void lane_event(struct lane *, uint32_t events);

/* The deadline of a SENT lane is over. */
void lane_expire(struct lane *);

#endif
