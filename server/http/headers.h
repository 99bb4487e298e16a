/*
 * headers: what this room itself must know of a request's headers, and the checks that keep two
 * parsers in a row from seeing two different requests (RFC 9112, section 11.2). libmicrohttpd makes
 * none of them.
 *
 * It takes a header line that begins with its colon, or with a NUL, for the end of the headers; a NUL
 * byte for the end of the value or target that it is in; a bare LF for the end of a line; it drops
 * what a folded line adds, and skips spaces in the request line. None of this shows in what it hands
 * out, but in where: 0.9.75 reads the head into one piece of memory and hands out pointers into it,
 *
 *     GET 0 /v1/info 0 HTTP/1.1 00 Host 0  a 00 Accept 0  b 00 00
 *     ▲method ▲target  ▲version    ▲name   ▲value             ▲ method + the head's size
 *
 * so whatever it left out is a gap between them, and then the request is refused. With another
 * version of the library that check is left out. What stays unseen: a NUL right before a bare LF
 * passes for a CR, and a line before the request line that begins with a NUL for an empty one, which
 * is skipped.
 *
 * How chunks are framed is not shown at all, and libmicrohttpd is lenient there (bare LF; a trailer
 * line that begins with its colon ends the trailer). So nothing that comes behind a chunked body is
 * taken for a request: its answer closes the connection (access.c).
 *
 * Private to this room. The texts live as long as the request.
 */
#ifndef HTTP_HEADERS_H
#define HTTP_HEADERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

struct MHD_Connection;

struct headers {
	struct text request_id;
	struct text content_encoding;
	struct text accept_encoding;
	struct text origin;
	struct text traceparent;
	bool by_browser;		  /* there is a Sec-Fetch-Mode */
	bool asks_for_method;		  /* there is an Access-Control-Request-Method */
	struct text accept, content_type; /* the first of each … */
	bool repeated;			  /* … and whether there are more of either */
	struct text authorization;	  /* the first */
	unsigned authorization_count;
	uint64_t content_length;
	unsigned content_length_count;
	unsigned transfer_encoding_count;
	unsigned host_count;
	bool chunked;
	bool expect_continue;
	const char *problem;
};

/* Whether a request target is there and has neither spaces nor control characters. */
bool headers_target_is_sane(struct text target);

/* The path, at least "/", and the query without its question mark, empty if there is none. A target in
 * absolute form (RFC 9112, 3.2.2) loses its scheme and authority. */
void headers_split_target(struct text target, struct text *path, struct text *query);

/* Where libmicrohttpd has put what it read. */
struct headers_place {
	const char *method;
	struct text target; /* as it was before it was decoded: only where and how long */
	const char *version;
};

/* Whether the check of the layout is made with the library that is loaded. */
bool headers_layout_is_known(void);

/* Fills *headers. NULL, or one sentence about what is wrong: then where the request ends cannot be
 * trusted and the connection must be closed. */
const char *headers_read(struct MHD_Connection *, const struct headers_place *, struct headers *);

/* The trace id in a traceparent (W3C Trace Context, section 3.2); data == NULL when it is not valid. */
struct text headers_trace(struct text traceparent);

/* Whether a value of Accept-Encoding (empty if there was none) allows gzip (RFC 9110, 12.5.3). */
bool headers_accept_gzip(struct text accept_encoding);

#endif
