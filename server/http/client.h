/*
 * client: one connection: whether somebody is still at its other end, and how long each step may
 * take, whatever trickles in meanwhile (libmicrohttpd only knows how long nothing came).
 *
 *     accepted ─▶ HEAD ─▶ BODY ─▶ SERVED ─▶ ANSWER ─▶ HEAD …
 *                   │       │   (no deadline: the app's turn, or parked)
 *                   │       │                 └─▶ cut
 *                   └───────┴─▶ 408, closed
 *
 * HEAD: the first request's head must be there header_sec after the connection was accepted (a TLS
 * handshake included), a later one's header_sec after its first line, and that idle_sec + header_sec
 * after the answer before. Who connected and sent nothing is closed without an answer.
 * BODY: body_sec, and a second more for each least_rate bytes of it that are here.
 * ANSWER: in each send_sec at least send_sec * least_rate bytes of it must be taken, as long as
 * there are any to take. Of a TCP connection that is what was acknowledged; a unix socket does not
 * tell, there any progress counts. A live stream with nothing to send is not looked at; when it has
 * something again, and for send_sec nothing of what was sent before was taken, it is cut.
 *
 * Who is expired, and who has finished sending, has the receiving side shut at each look: what is
 * unread stays readable, and it raises an edge. The latter is needed because libmicrohttpd 0.9.75
 * with epoll takes a read that filled less than its buffer for a sign that nothing is there any
 * more, and waits for the next edge. The end of a connection that arrived together with the bytes
 * before it raises none: who sends half a request and leaves would keep a connection, and the memory
 * that was reserved for a body, until the idle timeout.
 *
 * Private to this room. Threads: a client is its worker's; all functions on that thread.
 */
#ifndef HTTP_CLIENT_H
#define HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct MHD_Connection;
struct certificate;
struct live;
struct gnutls_session_int;
struct peer;
struct request;
struct worker;

/* How often clients are looked at, and so by how much a deadline may be late. */
#define CLIENT_LOOK_MSEC 250

enum client_step { CLIENT_HEAD, CLIENT_BODY, CLIENT_SERVED, CLIENT_ANSWER };

struct client {
	struct worker *worker;
	struct MHD_Connection *connection;
	struct request *request; /* whose first line is here; NULL between two */
	struct peer *peer;
	struct gnutls_session_int *session; /* NULL without TLS, and when it was taken … */
	struct certificate *certificate;    /* … and what it uses */
	struct live *live;		    /* it was taken from libmicrohttpd … */
	bool closed;			    /* … which knows that it has gone … */
	bool over;			    /* … before it really has */
	int fd;
	enum client_step step;
	bool expired;
	bool finished;	     /* it has closed its sending side */
	bool listed;	     /* among worker->watched */
	bool measured;	     /* ANSWER: taken is set */
	bool greeting;	     /* counted in worker->greeting */
	bool paused;	     /* ANSWER: a live stream has nothing to send */
	uint64_t since_msec; /* BODY: of the head; ANSWER: of taken */
	uint64_t until_msec; /* HEAD */
	uint64_t received;   /* BODY: bytes of it */
	uint64_t taken;	     /* ANSWER: bytes acknowledged, or waiting in a unix socket */
	struct client *prev, *next;
};

/* A connection was accepted, the peer is left when it ends. NULL when memory or the kernel's is out: it must be
 * closed, and the peer is left. */
struct client *client_new(struct worker *, struct MHD_Connection *, int fd, struct peer *);

/* Its socket is still open. NULL is allowed. One that was taken is closed by this. */
void client_free(struct client *);

/*
 * Takes it from libmicrohttpd, which must have the connection suspended and then be let close it: the
 * socket gets another descriptor, and the old one a socket that leads nowhere. False: nothing has
 * changed.
 */
bool client_take(struct client *, struct live *);

/* libmicrohttpd has closed the connection that was taken. */
void client_closed(struct client *);

/* The next step begins. client_head(): the request's first line is here. client_next(): its answer
 * is out. */
void client_head(struct client *, struct request *);
void client_body(struct client *);
void client_served(struct client *);
void client_answer(struct client *);
void client_next(struct client *);

/* How long it has been in its step. */
uint64_t client_msec(const struct client *);

/* Within ANSWER: a live stream has nothing more to send; it has again. */
void client_pause(struct client *);
void client_go_on(struct client *);

/* What the descriptor said that worker->events_fd reports for it. */
void client_event(struct client *, uint32_t events);

/* Sends what fits, around libmicrohttpd; -1: nothing. */
ssize_t client_send(struct client *, const void *data, size_t size);

/* Nothing more will be sent. */
void client_end_sending(struct client *);

/* Ends what is over. Every CLIENT_LOOK_MSEC while worker->watched is not NULL. */
void clients_look(struct worker *);

#endif
