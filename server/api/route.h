/*
 * route: which endpoint a request names, and what its query asks for (protocol, sections 3 to 4.6).
 * No I/O: texts in, a struct route out.
 *
 * The query is read strictly: only the parameters that the endpoint knows, each at most once.
 */
#ifndef API_ROUTE_H
#define API_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/media.h"
#include "base/status.h"
#include "base/text.h"
#include "chain/chain.h"

/* What of a request's head decides. */
struct route_input {
	struct text method;
	struct text path;   /* raw */
	struct text query;  /* raw, without '?' */
	struct text accept; /* data is NULL when the header is absent, here and below */
	struct text content_type;
};

struct route_limits {
	unsigned wait_sec;
};

enum route_target {
	ROUTE_OPTIONS, /* answer with the allowed methods */
	ROUTE_SYNC,
	ROUTE_ACTIONS,
	ROUTE_HEAD,
	ROUTE_EVENTS,
	ROUTE_INFO,
	ROUTE_SNAPSHOT_PUT,
	ROUTE_SNAPSHOT_GET
};

/* The parameter `until`. */
struct until {
	bool has_seq, has_link; /* both false: there is none */
	struct position position;
};

struct route {
	enum route_target target;
	enum media media;
	const char *allow; /* ROUTE_OPTIONS: the methods */

	char log_name[LOG_NAME_SIZE_MAX];
	size_t log_size;     /* 0: none, or none that is valid. Known from NOT_ACCEPTABLE on */
	struct hash genesis; /* of the log; not of ROUTE_SYNC: whoever reads its body makes it */

	uint64_t after;
	uint64_t limit; /* 0: none was asked for */
	struct until until;
	uint64_t wait_sec;
	bool meta;

	/* ROUTE_SNAPSHOT_*. */
	uint64_t snapshot; /* its seq; 0: the latest … */
	uint64_t before;   /* … of those before this one; 0: of all */
};

struct route_fault {
	const char *allow; /* METHOD_NOT_ALLOWED */
	char detail[256];
};

/* The log's name; points into the route. */
struct text route_log(const struct route *);

/* Whether it needs to be known who asks. */
bool route_is_guarded(const struct route *);

/* STATUS_OK, or the first in the order of section 5 of NOT_FOUND, METHOD_NOT_ALLOWED,
 * NOT_ACCEPTABLE, UNSUPPORTED_MEDIA_TYPE, MALFORMED, with *fault. */
MUST_CHECK enum status route_read(const struct route_input *, const struct route_limits *,
				  struct route *, struct route_fault *);

#endif
