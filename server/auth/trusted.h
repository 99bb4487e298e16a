/*
 * trusted: a list of addresses from which a proxy may come.
 *
 *     10.0.0.0/8, 192.0.2.7, 2001:db8::/32, unix
 *
 * An IPv4 address and the same one mapped into IPv6 are one. "unix" is whoever may connect to the unix
 * socket.
 *
 * Threads: never changed once made.
 */
#ifndef AUTH_TRUSTED_H
#define AUTH_TRUSTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

#define TRUSTED_MAX 64

struct sockaddr;

struct trusted {
	bool unix_socket;
	size_t count;
	struct {
		uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d */
		unsigned bits;	     /* of 128 */
	} networks[TRUSTED_MAX];
};

/* False: *bad is what cannot be understood, or the first one too many. */
bool trusted_parse(struct trusted *, struct text list, struct text *bad);

/* NULL is nobody. */
bool trusted_contain(const struct trusted *, const struct sockaddr *);

#endif
