/*
 * origin: the request that something came of, for who writes about it in the log or tells another.
 */
#ifndef BASE_ORIGIN_H
#define BASE_ORIGIN_H

#include "base/log.h"
#include "base/text.h"

#define REQUEST_ID_SIZE_MAX 128
#define TRACEPARENT_SIZE 55 /* of W3C Trace Context, version 00 */

/* data is NULL where there is none. */
struct origin {
	struct text request;	 /* its id, REQUEST_ID_SIZE_MAX bytes at most */
	struct text traceparent; /* valid, TRACEPARENT_SIZE bytes */
};

/* The trace id in it. */
static inline struct text
origin_trace(const struct origin *origin)
{
	const struct text none = {NULL, 0};
	return origin->traceparent.size == TRACEPARENT_SIZE
		       ? (struct text){origin->traceparent.data + 3, 32}
		       : none;
}

/* Which request a line of the log is about. */
#define LOG_ORIGIN(o) LOG_TEXT("request", (o)->request), LOG_TEXT("trace", origin_trace(o))

#endif
