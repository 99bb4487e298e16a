/*
 * request: one HTTP request's life, from its headers to its answer.
 *
 *     headers ─▶ app->begin ─▶ body (bounded, decoded) ─▶ app->serve ─▶ request_answer ─▶ app->end
 *                    │                                        │  ▲
 *                    └─▶ request_answer (early refusal)       ▼  │ request_resume(next), any thread
 *                                                        request_park
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
#include "base/status.h"
#include "base/text.h"

struct request;

#define REQUEST_ID_SIZE_MAX 128

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
	 * UNSUPPORTED_MEDIA_TYPE for a content coding, …): must answer it. detail is one sentence
	 * in the request's arena or static. */
	void (*refuse)(void *cookie, struct request *, enum status, struct text detail);

	/* The request is over, answered or cut. For the app's own state (request_set_state). Called
	 * for each request that begin or refuse heard of; after refuse alone there is no state. */
	void (*end)(void *cookie, struct request *);
};

/* --- what arrived --- */

struct text request_method(const struct request *);
struct text
request_path(const struct request *); /* raw, still percent-encoded, without the query */
struct text request_query(const struct request *); /* raw, without '?'; empty if there is none */
struct text request_id(const struct request *);	   /* X-Request-Id if sane, else made */

/* The header's value, or data == NULL. When the header is repeated, all values in a list (RFC 9110,
 * section 5.3), or the first if the arena is used up. */
struct text request_header(struct request *, const char *name);

/* The same of these two, which nearly every request is asked for. */
struct text request_accept(struct request *);
struct text request_content_type(struct request *);

/* The whole body after decoding (Content-Encoding: gzip); writable: it may be decoded further in
 * place. NULL-terminated beyond its size. Only from serve on. */
char *request_body(struct request *, size_t *size);

struct arena *request_arena(struct request *);

/* True once the server drains: answers get Connection: close by themselves; what would wait should
 * not. */
bool request_is_draining(const struct request *);

void request_set_state(struct request *, void *);
void *request_state(const struct request *);

/* --- what the app decides --- */

/* Only in begin. size_max bounds the body after decoding. */
void request_expect_body(struct request *, size_t size_max);

/* Only in begin. size_max bounds what the app may take from the arena, where that is more than the
 * listener's arena_bytes: limits may have been raised since the listener started. */
void request_expect_memory(struct request *, size_t size_max);

/* Suspends the request; the handler that called must return at once after handing it to whoever
 * resumes it. */
void request_park(struct request *);

/* Any thread, once per park: continues with next(cookie, request) on an HTTP thread. If the
 * listener is stopped before that, next is not called, only end. */
void request_resume(struct request *, void (*next)(void *cookie, struct request *));

/* The same where a request_resume() of the same listener follows at once, with which it takes
 * effect: many that were decided together cost one wake-up. Without one it waits until its thread
 * has something else to do. */
void request_resume_soon(struct request *, void (*next)(void *cookie, struct request *));

/* Adds a header to the answer to come. name is static; the value is copied. */
void request_add_header(struct request *, const char *name, struct text value);

/* Answers. The body's memory is taken over (body is left empty) and gzipped if that is accepted and
 * worth it. content_type is static; NULL for none. A failed buffer becomes an empty 500. */
void request_answer(struct request *, unsigned http_status, const char *content_type,
		    struct buffer *body);

/*
 * Answers with a stream. pull appends the next piece to out (a bounded one, about 64 KiB) and
 * returns true, or false when that was the last. It runs whenever the connection has room. Gzipped
 * if accepted. A piece that failed cuts the connection. Not called for HEAD. It must not park.
 */
typedef bool request_pull(void *cookie, struct request *, struct buffer *out);
void request_stream(struct request *, unsigned http_status, const char *content_type,
		    request_pull *);

#endif
