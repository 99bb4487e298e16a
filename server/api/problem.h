/*
 * problem: problem+json (RFC 9457; protocol, section 5), made from the status table.
 */
#ifndef API_PROBLEM_H
#define API_PROBLEM_H

#include "base/mem.h"
#include "base/status.h"
#include "base/text.h"
#include "http/request.h"

struct asker;

/* What a problem may add to the table's members. Zero it, then set what applies. */
struct problem {
	enum status status;
	struct text detail;	   /* a sentence; empty for the title's sake */
	uint64_t retry_after_msec; /* > 0: Retry-After (seconds, rounded up) and retryAfterMs */
	struct text members; /* ready JSON members, without the leading comma: "\"limit\":1000" */
	const char *allow;   /* METHOD_NOT_ALLOWED: the Allow header */
	const struct asker *asker; /* for the log; NULL: it says nothing of who asked */
};

/* Answers the request with the problem, notes its status with it (request_note, by which it is
 * counted) and logs it (rate-limited). */
void problem_answer(struct request *, const struct problem *);

/* The same in two steps, for who wants to know its size before it leaves. The body's memory is the
 * caller's, until it is given. */
void problem_prepare(struct request *, const struct problem *, struct buffer *body);
void problem_give(struct request *, const struct problem *, struct buffer *body);

/* The same document, to be put inside a stream. */
void problem_write(struct buffer *, const struct problem *, struct text request_id);

#endif
