/*
 * worker: one HTTP thread, and the libmicrohttpd daemon that it runs.
 *
 *     MHD_run ─▶ asleep until a socket moves, a request is resumed, or a timeout ─▶ accept ─▶ …
 *                                   ▲
 *     worker_rouse (any thread) ────╯ one write for however many were resumed while it slept
 *
 * After it has answered a request whose body it did not read, a worker sleeps a moment: what has come
 * in by then is served at once. Where most requests are refused, falling asleep and waking for each
 * would cost as much as refusing it, and those that are let in would pay for that.
 *
 * The loop is ours, since libmicrohttpd 0.9.75's own has two faults: when epoll_wait gives it
 * exactly as many events as it asks for, 128, it waits for more, up to the idle timeout, before it
 * serves them; and it is woken by a write of its own for each connection that is resumed. So is
 * accepting: when descriptors are out libmicrohttpd would try again at once, for ever; here it waits
 * a tenth of a second. And while a TLS handshake waits for its client libmicrohttpd wants to be run
 * again at once, so that a few bytes of a handshake would keep a processor busy: when nothing moved
 * for some rounds, the worker sleeps a moment all the same; an event still wakes it.
 *
 * Private to this room.
 * Threads: worker_mark() and worker_rouse() from any thread; the others from the owner's.
 */
#ifndef HTTP_WORKER_H
#define HTTP_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/status.h"
#include "http/listener.h"

struct MHD_Daemon;
struct client;
struct live;
struct peer;
struct request;

/* Arenas that a worker keeps for later. */
#define WORKER_SPARE_MAX 64

struct worker {
	struct listener *listener;
	struct MHD_Daemon *daemon;
	pthread_t thread;
	int events_fd; /* an epoll set: libmicrohttpd's own, wake_fd, the listening socket, and every
			  client for the end of what it sends */
	int wake_fd;

	atomic_bool woken;     /* there is something to look at besides sockets */
	atomic_bool asleep;    /* or about to be; who finds this writes to wake_fd */
	atomic_bool open;      /* it may begin */
	atomic_bool quiescing; /* accept no more */
	atomic_bool quiesced;  /* it does not */
	atomic_bool stopping;
	atomic_bool called; /* it has not come round since it was asked to */

	_Atomic(struct request *) ready; /* live ones that were resumed, newest first */

	/* Its thread's: a body was left unread since it last slept; requests kept for later. */
	bool left_unread;
	bool accepting;	      /* the listening socket is in events_fd */
	bool arriving;	      /* a connection was counted and libmicrohttpd has not taken it … */
	struct peer *peer;    /* … of this one */
	uint64_t now_msec;    /* as it last came round */
	uint64_t events_msec; /* when events_fd was last asked */
	uint64_t look_msec;   /* when clients are looked at next */
	uint64_t accept_msec; /* when accepting is tried again; 0: it goes on */
	struct client *watched;
	unsigned greeting;    /* TLS clients that have brought no request yet */
	unsigned answering;   /* clients that are being answered */
	unsigned idle_rounds; /* since something moved */
	bool moved;	      /* libmicrohttpd called something of ours, since it last came round */
	struct live *lives;
	unsigned held; /* requests that are parked for long inside libmicrohttpd */
	struct request *free_requests;
	size_t free_count;
	struct arena spare_arenas[WORKER_SPARE_MAX]; /* large ones, for requests with a body */
	unsigned spare_count;
};

/* Makes it ready to serve the listener's socket; it waits for worker_open(), which the listener calls
 * when all of its workers are there. The caller keeps the struct in place. */
MUST_CHECK enum status worker_start(struct worker *, struct listener *,
				    const struct listener_options *);

/* There is something to look at besides sockets. Takes effect when the worker next comes round, or
 * with worker_rouse(), which ends its sleep if it is marked. */
void worker_mark(struct worker *);
void worker_rouse(struct worker *);

/* Has it come round since the last call; calls it again if so. */
bool worker_came_round(struct worker *);

void worker_open(struct worker *);

/* Tells it to accept no more connections; waits until it does not: as long as the handler takes that
 * it is in. */
void worker_quiesce(struct worker *);
void worker_wait_quiesced(struct worker *);

/* Ends the thread, closes its connections and frees what it has. */
void worker_stop(struct worker *);

/* Descriptors that a worker has besides its connections. */
#define WORKER_DESCRIPTORS 3

#endif
