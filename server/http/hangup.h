/*
 * hangup: notices clients that have left, where libmicrohttpd does not.
 *
 * libmicrohttpd 0.9.75 with epoll takes a read that filled less than its buffer for a sign that
 * nothing is there any more, and waits for the next edge. The end of a connection that arrived
 * together with the bytes before it raises none. So who sends half a request and leaves keeps a
 * connection, and the memory that was reserved for a body, until the idle timeout; a few of those
 * at the limit of connections, and nobody is served. This thread looks at all connections with one
 * poll() a quarter of a second and shuts the receiving side of those whose client has finished
 * sending: it takes nothing away (what is unread stays readable), but it raises an edge.
 *
 * Private to this room.
 * Threads: hangup_add() and hangup_remove() from any thread; the others from the owner's.
 */
#ifndef HTTP_HANGUP_H
#define HTTP_HANGUP_H

#include <pthread.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

struct hangup {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed; /* a first connection is there, or stopping */
	struct pollfd *sockets; /* this and the rest are guarded by lock */
	void ***places;		/* of each socket: where its owner keeps the pointer to it */
	size_t count;
	size_t capacity;
	bool stopping;
};

/* Starts the thread, for at most capacity sockets. INTERNAL when memory or threads are out. */
MUST_CHECK enum status hangup_start(struct hangup *, size_t capacity);
void hangup_stop(struct hangup *);

/* *place is the room's to use until hangup_remove(). The socket must stay open until then. Without
 * room the socket is not watched. */
void hangup_add(struct hangup *, int fd, void **place);
void hangup_remove(struct hangup *, void **place);

#endif
