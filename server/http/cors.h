/*
 * cors: which web pages may read answers (the Fetch standard, "CORS protocol"): a list of origins,
 * compared byte by byte with what the browser says. No wildcard, and no credentials: a page sends
 * its token itself. Who is not on the list is answered as ever; his browser keeps it from the page.
 *
 * Private to this room. Threads: any, once it is open.
 */
#ifndef HTTP_CORS_H
#define HTTP_CORS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "base/text.h"

/* What a page may read of an answer's headers, and send of a request's. */
#define CORS_EXPOSED                                                                               \
	"ETag, Edgereplay-App-Version, Edgereplay-Seq, Edgereplay-State-Hash, RateLimit, "         \
	"RateLimit-Policy, Retry-After, X-Request-Id"
#define CORS_METHODS "GET, HEAD, POST, PUT"
#define CORS_HEADERS                                                                               \
	"Accept, Authorization, Content-Encoding, Content-Type, Edgereplay-App-Version, "          \
	"Edgereplay-State-Hash, If-None-Match, Last-Event-ID, traceparent, tracestate, "           \
	"X-Request-Id"

struct cors {
	char *memory;
	struct text *origins;
	size_t count; /* 0: none is allowed, and nothing said about it */
	unsigned max_age_sec;
};

/* list: origins ("https://app.example", "http://localhost:3000") with spaces or commas between;
 * empty or NULL: off. On failure (INTERNAL) *problem says which is none (base/problem). */
MUST_CHECK enum status cors_open(struct cors *, const char *list, unsigned max_age_sec,
				 const char **problem);
void cors_close(struct cors *);

/* Whether the header Origin (empty: there was none) is on the list. */
bool cors_allows(const struct cors *, struct text origin);

#endif
