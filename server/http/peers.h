/*
 * peers: how many connections each address has: an IPv4 address, or the first 64 bits of an IPv6
 * one, which is what one customer gets. Nothing is kept of an address without connections.
 *
 * Private to this room. Threads: all functions from any thread, but init and release.
 */
#ifndef HTTP_PEERS_H
#define HTTP_PEERS_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "base/status.h"

struct peer;

struct peers {
	pthread_mutex_t lock;
	struct peer *table; /* guarded by lock */
	unsigned max;	    /* connections of one address; 0: as many as it likes */
};

MUST_CHECK enum status peers_init(struct peers *, unsigned max);
void peers_release(struct peers *);

/* One more connection of that address. False: it has too many, or memory is out. *peer is NULL where
 * nobody counts: without a limit, and for a unix socket. */
MUST_CHECK bool peers_enter(struct peers *, const struct sockaddr *, struct peer **peer);

/* One less. NULL is allowed. */
void peers_leave(struct peers *, struct peer *);

#endif
