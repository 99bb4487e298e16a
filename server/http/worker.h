/*
 * worker: one HTTP thread, and the libmicrohttpd daemon that it runs.
 *
 *     MHD_run ─▶ asleep until a socket moves, a request is resumed, or a timeout ─▶ MHD_run …
 *                                   ▲
 *     worker_rouse (any thread) ────╯ one write for however many were resumed while it slept
 *
 * After it has answered a request whose body it did not read, a worker sleeps a moment: what has come
 * in by then is served at once. Where most requests are refused, falling asleep and waking for each
 * would cost as much as refusing it, and those that are let in would pay for that.
 *
 * The loop is ours, since libmicrohttpd 0.9.75's own has two faults: when epoll_wait gives it
 * exactly as many events as it asks for, 128, it waits for more, up to the idle timeout, before it
 * serves them; and it is woken by a write of its own for each connection that is resumed.
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

#include "base/status.h"
#include "http/listener.h"

struct MHD_Daemon;

struct worker {
	struct listener *listener;
	struct MHD_Daemon *daemon;
	pthread_t thread;
	int sockets_fd; /* libmicrohttpd's epoll set */
	int wake_fd;

	atomic_bool woken;     /* there is something to look at besides sockets */
	atomic_bool asleep;    /* or about to be; who finds this writes to wake_fd */
	atomic_bool open;      /* it may begin */
	atomic_bool quiescing; /* accept no more */
	atomic_bool quiesced;  /* it does not */
	atomic_bool stopping;

	/* Its thread's: a body was left unread since it last slept; requests kept for later. */
	bool left_unread;
	struct request *free_requests;
	size_t free_count;
};

/* Makes it ready to serve the listener's socket; it waits for worker_open(), which the listener calls
 * when all of its workers are there. The caller keeps the struct in place. */
MUST_CHECK enum status worker_start(struct worker *, struct listener *,
				    const struct listener_options *);

/* There is something to look at besides sockets. Takes effect when the worker next comes round, or
 * with worker_rouse(), which ends its sleep if it is marked. */
void worker_mark(struct worker *);
void worker_rouse(struct worker *);

void worker_open(struct worker *);

/* Tells it to accept no more connections; waits until it does not: as long as the handler takes that
 * it is in. */
void worker_quiesce(struct worker *);
void worker_wait_quiesced(struct worker *);

/* Ends the thread, closes its connections and frees what it has. */
void worker_stop(struct worker *);

/* Descriptors that a worker has besides its connections. */
#define WORKER_DESCRIPTORS 2

#endif
