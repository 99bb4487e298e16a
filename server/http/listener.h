/*
 * listener: the HTTP daemon: its socket, its threads, its limits; start, quiesce, drain, stop.
 *
 *     listener_start ─▶ serving ─▶ listener_quiesce ─▶ draining ─▶ listener_stop
 *                                  (accepts no more;    (open connections are served
 *                                   socket shut)         with Connection: close)
 *
 * microhttpd.h is included in this room only, and in no header that others include.
 * Threads: all functions from the owner's thread, unless they say otherwise.
 *
 * Each thread has a libmicrohttpd of its own and runs it (worker.h).
 *
 * Why epoll, and not poll (measured with libmicrohttpd's own loop): with few idle connections both
 * cost the same (9 to 10 µs of CPU a request with 64 connections, 19 to 22 when it is parked). But
 * poll looks at every open connection at each wake-up, and most phones that are connected do nothing:
 * with 1000 of those beside, the 64 cost 15 and 27 to 36 µs with poll and the same as before with
 * epoll, and a single busy one 130 to 280 µs with poll. libmicrohttpd 0.9.75 has two faults with
 * epoll: it may not notice that a client left (client.h), and where descriptors are out it spins on
 * accept(). So clients are watched here, and connections are accepted here (worker.h), with
 * libmicrohttpd's own limit out of reach.
 *
 * What libmicrohttpd answers by itself, with a short HTML body and a closed connection, because it
 * offers no way to replace it: 431 or 414 where the headers or the target do not fit into the
 * memory of a connection (twice header_bytes; between header_bytes and that the app answers
 * HEADERS_TOO_LARGE), 400 for a header line, a Content-Length or a chunk that it cannot read, 413
 * for a Content-Length or a chunk of 2^64 bytes or more, 505 for an unknown version. For a bad
 * Content-Length it sends the answer's head twice. A connection that is idle too long, or whose
 * request line makes no sense, is closed without an answer. A request that does not arrive in time
 * gets TIMEOUT, and the connection is closed (client.h).
 */
#ifndef HTTP_LISTENER_H
#define HTTP_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "http/request.h"

struct listener;

/* How long each step of a connection may take; none is 0. What counts as one says client.h. */
struct deadlines {
	unsigned header_sec; /* until a request's head is here; else 408 */
	unsigned body_sec;   /* until its body is, and a second more for each least_rate of it */
	unsigned send_sec;   /* in which send_sec * least_rate of an answer must be taken */
	unsigned idle_sec;   /* a connection without traffic is closed */
	size_t least_rate;   /* bytes a second */
};

struct listener_options {
	const char *address;  /* "host:port", "[v6]:port", "unix:/path" */
	unsigned socket_mode; /* of a unix socket */
	int inherited_fd; /* a listening socket that was passed in, or -1; address is then not used
			   */
	unsigned threads;
	unsigned connections;	      /* more are closed at once on accept */
	unsigned address_connections; /* the same of one address; 0: no limit */
	struct deadlines deadlines;
	const char *tls_cert; /* PEM files; both or none (NULL or empty), then in clear text */
	const char *tls_key;
	size_t header_bytes; /* of one request, its first line included; a connection has twice that
				as working memory */
	const char
		*cors_origins; /* web pages that may read answers (cors.h); NULL or empty: none */
	unsigned cors_max_age_sec;
	size_t body_memory; /* request bodies over all connections; beyond it BACKPRESSURE */
	size_t answer_memory; /* answers over all connections that their clients have not taken yet, but
				 small ones; beyond it BACKPRESSURE, but for a lone one */
	size_t drain_bytes; /* how much of a refused body is read so that the answer arrives */
	size_t arena_bytes; /* most memory one request may allocate beside its body and target,
				unless it says request_expect_memory() */
};

/* Starts serving. On failure (always INTERNAL) *problem says why (base/problem). A socket file that
 * nobody listens on is replaced. */
MUST_CHECK enum status listener_start(const struct listener_options *, const struct app *,
				      struct listener **, const char **problem);

/* "127.0.0.1:8080", "[::1]:8080" or "unix:/path": where it listens, with the real port when 0 was
 * asked for. */
const char *listener_address(const struct listener *);

/* Whether the address can be understood; else *problem says what is wrong (base/problem). */
bool listener_address_is_valid(const char *address, const char **problem);

/* Whether the options name an address that only this machine reaches (loopback or a unix socket).
 */
bool listener_address_is_local(const char *address);

/* The same of a socket that was passed in. */
bool listener_socket_is_local(int fd);

struct listener_figures {
	unsigned connections; /* open */
	unsigned connections_max;
	uint64_t refused_full;	  /* closed on accept so far, as there were that many */
	uint64_t refused_address; /* or as there were too many of their address */
};

/* Any thread. */
void listener_measure(const struct listener *, struct listener_figures *);

/* Whether each thread has come round since this was asked last; a thread that is asleep is woken for it. */
bool listener_came_round(struct listener *);

/* File descriptors that it will need at most; for the check against RLIMIT_NOFILE. */
unsigned listener_descriptors(const struct listener_options *);

/* Loads the certificate and its key again, for connections from now on; nothing without TLS. On
 * failure the old ones stay, and *problem says why (base/problem). */
MUST_CHECK enum status listener_reload(struct listener *, const char **problem);

/*
 * Accepts no more connections. A socket of our own is shut, a unix socket's file is removed; an
 * inherited socket stays open, and what waits there is for whoever else holds it. From now on
 * answers close their connections.
 */
void listener_quiesce(struct listener *);

/* Waits until no request is under way and open connections had a moment to end (they are gone, or
 * sent nothing for 300 ms), at most timeout_msec. False: some requests are still under way.
 * Requests that begin after this returned get SHUTTING_DOWN. Quiesces if that was not done. */
bool listener_drain(struct listener *, uint64_t timeout_msec);

/* Closes what is left, at once, and frees. Every parked request must have been resumed (else it
 * aborts). NULL is allowed. */
void listener_stop(struct listener *);

#endif
