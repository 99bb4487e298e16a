/*
 * connection: one kept-alive HTTP/1.1 connection that never blocks.
 *
 *     connection_body ─▶ (body written in place) ─▶ connection_begin ─▶ connection_send …
 *                                                                    └▶ connection_receive …
 *
 * A request stands in the connection's own memory until the next one is begun, so that it can be
 * repeated byte for byte (connection_again), over a new socket too. Opened edge-triggered for both
 * directions: after an event call send while something is left to send, then receive.
 *
 * Ownership: connection_release() closes and frees. Threads: one user at a time.
 */
#ifndef LOADTEST_CONNECTION_H
#define LOADTEST_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/status.h"
#include "base/text.h"
#include "loadtest/reply.h"

#define CONNECTION_HEAD_SIZE 512 /* of the request's head at most, without the token */

struct connection {
	int fd;	     /* -1: closed */
	bool broken; /* the other side ended it, or an error did */
	int error;   /* of a broken one: errno, or 0 when the other side ended it */
	char *out;
	size_t out_capacity;
	size_t out_begin;
	size_t out_end;
	size_t out_at; /* sent up to here */
	char *in;
	size_t in_size;
	size_t in_capacity;
	bool drained; /* the last read took all there was */
	bool blocked; /* the last read found nothing */
	uint64_t bytes_in;
	uint64_t bytes_out;
	struct reply reply;
};

/* How a request begins. */
struct connection_head {
	struct text line;   /* "GET /v1/info HTTP/1.1\r\n" */
	struct text fields; /* further ones, each with its line end; the same for all requests */
};

void connection_init(struct connection *);
void connection_release(struct connection *);

/* Connects and registers with epoll under the cookie. STATUS_INTERNAL, with errno set, when the
 * system refuses; what only turns out later breaks the connection. */
MUST_CHECK enum status connection_open(struct connection *, const struct sockaddr *, socklen_t,
				       int epoll, void *cookie);
void connection_close(struct connection *);

/* Where the next request's body goes, size_max bytes of room for it and head_size for its head;
 * NULL when memory is out. */
char *connection_body(struct connection *, size_t head_size, size_t size_max);

/* Puts the head before the body (of no bytes: a GET) and takes it for the next request. */
void connection_begin(struct connection *, const struct connection_head *, size_t body_size);

/* The same request once more. */
void connection_again(struct connection *);

/* Sends what can be sent. An error is only remembered: the answer may be here already. */
void connection_send(struct connection *);

/* Reads once; call again while the reply is not whole and drained is false. The reply's state,
 * REPLY_BAD when the connection broke before the reply was whole. */
enum reply_state connection_receive(struct connection *);

/* The body of the reply. */
char *connection_reply(const struct connection *, size_t *size);

#endif
