/*
 * request: one HTTP request's life, from its headers to its answer.
 *
 *     headers ─▶ app->begin ─▶ body (bounded, decoded) ─▶ app->serve ─▶ request_answer ─▶ app->end
 *                    │                                        │  ▲
 *                    └─▶ request_answer (early refusal)       ▼  │ request_resume(next), any thread
 *                                                        request_park
 *
 * A live stream (request_stream_live) parks and is resumed in the middle of its answer, too.
 *
 * This room knows no JSON and no SQL. What a request means is the app's, handed down as struct app.
 *
 * Ownership: a request belongs to the listener, from begin until end returned. Everything reachable
 * from it (path, headers, body, arena) lives as long. Threads: begin, serve, next, end and the
 * stream's functions run on one HTTP thread at a time, the connection's. request_resume() and
 * request_resume_soon() are the functions for other threads.
 *
 * Invariants:
 * 1. A request is parked before anybody who may resume it hears of it: resuming what is not parked
 * is a bug.
 * 2. Each park is followed by exactly one resume, also at shutdown.
 * 3. Each request is answered exactly once, or its connection is closed; end is called exactly
 * once.
 */
#ifndef HTTP_REQUEST_H
#define HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/origin.h"
#include "base/status.h"
#include "base/text.h"

struct request;
struct sockaddr;

/* What the layer above hands down. */
struct app {
	void *cookie;

	/* The headers are here. Either answers at once (an early refusal; the body is drained), or
	 * says with request_expect_body() how much body it takes (else any body is refused as
	 * BODY_TOO_LARGE). */
	void (*begin)(void *cookie, struct request *);

	/* The body is complete. Must answer, or park. */
	void (*serve)(void *cookie, struct request *);

	/* This room refuses a request (BODY_TOO_LARGE, BACKPRESSURE, SHUTTING_DOWN, MALFORMED,
	 * UNSUPPORTED_MEDIA_TYPE for a content coding, INTERNAL for an answer that there was no memory
	 * for, …): must answer it. detail is one sentence
	 * in the request's arena or static. */
	void (*refuse)(void *cookie, struct request *, enum status, struct text detail);

	/* The client of a parked request has ended its sending side: it is gone, or waits for
	 * nothing but the answer. What was to wait for long should not. Once a connection at most, on
	 * its thread; the request may have been resumed already. May be NULL. */
	void (*leave)(void *cookie, struct request *);

	/* The request is over, answered or cut. For the app's own state (request_set_state). Called
	 * for each request that begin or refuse heard of, and for those that this room answers itself (a
	 * web page's preflight); without begin there is no state. */
	void (*end)(void *cookie, struct request *);
};

/* --- what arrived --- */

struct text request_method(const struct request *);
struct text
request_path(const struct request *); /* raw, still percent-encoded, without the query */
struct text request_query(const struct request *); /* raw, without '?'; empty if there is none */
struct text request_id(const struct request *);	   /* X-Request-Id if sane, else made */

/* The trace id, 32 hexadecimal digits, of the traceparent header (W3C Trace Context); data == NULL when
 * there is none that is valid. */
struct text request_trace(const struct request *);

/* The same with its other parts, as it came, but for what a later version may have added. */
struct text request_traceparent(const struct request *);

/* Both for who hears of what came of it, as long as it lives. */
struct origin request_origin(const struct request *);

/* How a log line says which request it is about: its id, and its trace if it has one. */
#define LOG_REQUEST(r) LOG_TEXT("request", request_id(r)), LOG_TEXT("trace", request_trace(r))

/* The header's value, or data == NULL. When the header is repeated, all values in a list (RFC 9110,
 * section 5.3), or the first if the arena is used up. */
struct text request_header(struct request *, const char *name);

/* The same of these two, which nearly every request is asked for. */
struct text request_accept(struct request *);
struct text request_content_type(struct request *);

/* The first value of a header whose meaning does not survive being joined, and how often it came. The
 * first of these two is kept from the start, since nearly every request has it. */
struct text request_authorization(const struct request *, unsigned *count);
struct text request_header_once(struct request *, const char *name, unsigned *count);

/* Who is at the other end of the connection; of a unix socket only its family says something. NULL
 * when it is not known. */
const struct sockaddr *request_peer(const struct request *);

/* Whether that is this machine: loopback, or a unix socket. */
bool request_peer_is_local(const struct request *);

/* The whole body after decoding (Content-Encoding: gzip); writable: it may be decoded further in
 * place. NULL-terminated beyond its size. Only from serve on. */
char *request_body(struct request *, size_t *size);

struct arena *request_arena(struct request *);

/* True once the server drains: answers get Connection: close by themselves. */
bool request_is_draining(const struct request *);

/* Whether there is a point in waiting: the server does not drain and the client has not left. */
bool request_may_wait(const struct request *);

void request_set_state(struct request *, void *);
void *request_state(const struct request *);

/* --- what the app decides --- */

/* Only in begin. size_max bounds the body after decoding. */
void request_expect_body(struct request *, size_t size_max);

/* The same for a body that is not kept: take gets each piece as it comes, decoded, and request_body() is
 * empty. What take returns but STATUS_OK the request is refused with. */
typedef enum status request_taker(struct request *, const char *data, size_t size);
void request_pass_body(struct request *, size_t size_max, request_taker *take);

/* Only in begin. size_max bounds what the app may take from the arena, where that is more than the
 * listener's arena_bytes: limits may have been raised since the listener started. */
void request_expect_memory(struct request *, size_t size_max);

/* Suspends the request; the handler that called must return at once after handing it to whoever
 * resumes it. */
void request_park(struct request *);

/* The same for long, as one of thousands: the connection may give up what only further requests would
 * need, and then ends with the answer. Headers can then not be asked for any more. */
void request_park_long(struct request *);

/* Any thread, once per park: continues with next(cookie, request) on an HTTP thread; with NULL a live
 * stream is pulled. If the listener is stopped before that, next is not called, only end. */
void request_resume(struct request *, void (*next)(void *cookie, struct request *));

/* The same where a request_resume() of the same listener follows at once, with which it takes
 * effect: many that were decided together cost one wake-up. Without one it waits until its thread
 * has something else to do. */
void request_resume_soon(struct request *, void (*next)(void *cookie, struct request *));

/* The HTTP status that it was answered with; 0 before, and when its client left first. In end the last
 * of these is plain. */
unsigned request_answered(const struct request *);

/* When its answer was ready (clock_monotonic_usec); 0 before. */
uint64_t request_answered_usec(const struct request *);

/* How long its body took to come. */
uint64_t request_receive_msec(const struct request *);

/* A number that the app keeps with a request from its beginning to end, also without a state; 0 at
 * first. */
void request_set_note(struct request *, unsigned);
unsigned request_note(const struct request *);

/* Adds a header to the answer to come. name is static; the value is copied. */
void request_add_header(struct request *, const char *name, struct text value);

/* The same, in the place of one of this name that was added before. */
void request_set_header(struct request *, const char *name, struct text value);

/* Answers. The body's memory is taken over (body is left empty) and gzipped if that is accepted and
 * worth it. content_type is static; NULL for none. A failed buffer is refused as INTERNAL, and if that
 * fails too becomes an empty 500. */
void request_answer(struct request *, unsigned http_status, const char *content_type,
		    struct buffer *body);

/*
 * Answers with a stream. pull appends the next piece to out (a bounded one, about 64 KiB) and
 * returns true, or false when that was the last. It runs whenever the connection has room. Gzipped
 * if accepted. A piece that failed cuts the connection. Not called for HEAD. It must not park.
 * content_type lives as long as the request.
 */
typedef bool request_pull(void *cookie, struct request *, struct buffer *out);
void request_stream(struct request *, unsigned http_status, const char *content_type,
		    request_pull *);

/*
 * The same for a stream that has something to say from time to time: each piece leaves at once, as it
 * is. Where there is nothing now, pull parks the request, appends nothing and returns true; it runs
 * again after request_resume(request, NULL).
 */
void request_stream_live(struct request *, unsigned http_status, const char *content_type,
			 request_pull *);

/* The same with 200 and of known size, which the client is told: pull gives exactly so much, and it is
 * never gzipped. */
void request_stream_sized(struct request *, const char *content_type, uint64_t size,
			  request_pull *);

#endif
