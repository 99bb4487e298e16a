/*
 * headers: what this room itself must know of a request's headers, and the checks that keep two
 * parsers in a row from seeing two different requests (RFC 9112, section 11.2). libmicrohttpd makes
 * none of them. Two things cannot be seen from here: it takes a header line that begins with its
 * colon for the end of the headers, and a NUL byte for the end of the value or target that it is
 * in. The proxies that are common before this daemon refuse or drop such lines.
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
	struct text accept, content_type; /* the first of each … */
	bool repeated;			  /* … and whether there are more of either */
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

/* Fills *headers. NULL, or one sentence about what is wrong: then where the request ends cannot be
 * trusted and the connection must be closed. */
const char *headers_read(struct MHD_Connection *, const char *http_version, struct headers *);

/* Whether a value of Accept-Encoding (empty if there was none) allows gzip (RFC 9110, 12.5.3). */
bool headers_accept_gzip(struct text accept_encoding);

#endif
