/*
 * body: a request's body while it arrives: bounded, decoded, and paid for from one budget.
 *
 *     body_begin ─▶ body_write … ─▶ body_finish ─▶ data, size
 *                                                  body_release (gives back what was reserved)
 *
 * A body whose length is announced is reserved whole before its first byte is read, so that a
 * request that was let in cannot fail half-way for want of memory that others took. One whose
 * length shows only as it comes (chunked, or compressed) is reserved step by step.
 *
 * A body that is passed on is not kept: each piece goes to who takes it as it comes, decoded, and
 * nothing but what inflating needs is reserved.
 *
 * Private to this room. Threads: a body has one user at a time; the budget is shared by all.
 *
 * Invariants:
 * 1. size ≤ capacity ≤ size_max, and there is one byte more than capacity, for a NUL.
 * 2. The sum of all reserved is budget->used ≤ budget->max.
 */
#ifndef HTTP_BODY_H
#define HTTP_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <zlib.h>

#include "base/status.h"
#include "base/text.h"
#include "http/budget.h"

/* Bodies up to this size live in the request itself and cost no malloc. */
#define BODY_SMALL_SIZE ((size_t)4096)

/* What zlib takes for one inflating stream: a window of 32 KiB and its state. */
#define BODY_INFLATE_SIZE ((size_t)48 * 1024)

/* The length of a chunked body. */
#define BODY_LENGTH_UNKNOWN UINT64_MAX

/* Gets the next piece. What it returns but STATUS_OK ends the body. */
typedef enum status body_taker(void *cookie, const char *data, size_t size);

struct body {
	struct budget *budget; /* NULL: nothing was begun */
	size_t reserved;
	size_t size_max;
	uint64_t received; /* bytes as they came, before decoding */
	uint64_t received_max;

	body_taker *take; /* NULL: it is kept */
	void *taker;
	uint64_t taken; /* bytes that were passed on */

	char *data; /* small, or from malloc */
	size_t size;
	size_t capacity;

	bool gzip;
	bool inflating;	  /* inflater is initialised */
	bool member_done; /* the gzip member is complete; another may follow */
	z_stream inflater;

	char small[BODY_SMALL_SIZE + 1];
};

/* An empty body without memory of its own; what body_release leaves, too. */
void body_init(struct body *);

/* Before body_begin(): the body is passed on. */
void body_pass_on(struct body *, body_taker *, void *cookie);

/*
 * Gets ready for a body of at most size_max bytes after decoding. coding is the Content-Encoding
 * (empty if there is none), length the Content-Length or BODY_LENGTH_UNKNOWN.
 * Errors: UNSUPPORTED_MEDIA_TYPE (a coding other than gzip and identity), BODY_TOO_LARGE,
 * BACKPRESSURE (the budget or memory is out).
 */
MUST_CHECK enum status body_begin(struct body *, struct budget *, size_t size_max,
				  struct text coding, uint64_t length);

/* Takes what arrived. Errors: BODY_TOO_LARGE, BACKPRESSURE, MALFORMED (bad gzip data), and those of who
 * takes what is passed on. */
MUST_CHECK enum status body_write(struct body *, const char *data, size_t size);

/* That was all; terminates the data with a NUL. Errors: MALFORMED (the gzip data were cut). */
MUST_CHECK enum status body_finish(struct body *);

/* May be called at any time and more than once. */
void body_release(struct body *);

#endif
