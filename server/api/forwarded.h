/*
 * forwarded: whose address a request comes from, where proxies stand between.
 *
 *     client ─▶ proxy A ─▶ proxy B ─▶ here        X-Forwarded-For: (what the client wrote), client, A
 *                                                                  └ believed by nobody ┘  ◀── read
 *
 * Each proxy adds, at the end, whom it was asked by. So the list is read from its end, as long as
 * who added to it is trusted: the first address that is not trusted is the client's, and what stands
 * before it is the client's own invention. A hop that cannot be read ends the walk as well.
 */
#ifndef API_FORWARDED_H
#define API_FORWARDED_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/text.h"

/* In the order of the option's choices. */
enum forwarded_header { FORWARDED_FOR, FORWARDED_RFC7239, FORWARDED_NONE };

/* The header's name; NULL for FORWARDED_NONE. */
const char *forwarded_name(enum forwarded_header);

struct forwarded_trust {
	bool (*is_trusted)(const void *cookie, const struct sockaddr *);
	const void *cookie;
};

/* What tells addresses apart: an IPv4 address, or the first half of an IPv6 one, which is all a
 * network gives to one customer. All that come over a unix socket are one. */
struct address_name {
	uint8_t bytes[8];
};

/* The client's address, from the peer's and the header's list (empty: none). False when it is a
 * trusted one, which is a proxy that does not say for whom it asks, or of an unknown kind. */
bool forwarded_client(enum forwarded_header, const struct sockaddr *peer, struct text list,
		      const struct forwarded_trust *, struct address_name *);

/* The same address as it is written; of the peer's kind or the proxy's own where no client's is told. data is
 * NULL when it is of an unknown kind. */
struct text forwarded_text(enum forwarded_header, const struct sockaddr *peer, struct text list,
			   const struct forwarded_trust *, char written[INET6_ADDRSTRLEN]);

#endif
