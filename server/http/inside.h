/*
 * inside: the structs that this room's files share. Nobody else includes it.
 *
 *     listener.c   start, drain, stop                address.c  sockets and their names
 *     worker.c     a thread and its libmicrohttpd    peers.c    connections of an address
 *     access.c     libmicrohttpd's calls, the life of a request
 *     request.c    what the app sees of one          client.c   a connection and its deadlines
 *     body.c       what arrives                      reply.c    what leaves
 *     budget.c     memory that requests share
 *     headers.c    the checks before anything else   stream.c   what leaves piece by piece
 *     live.c       … from time to time               sealer.c   … and encrypted
 *     tls.c        certificates, and what leaves around libmicrohttpd
 *     cors.c       which web pages may read it
 */
#ifndef HTTP_INSIDE_H
#define HTTP_INSIDE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "http/address.h"
#include "http/body.h"
#include "http/client.h"
#include "http/cors.h"
#include "http/headers.h"
#include "http/listener.h"
#include "http/live.h"
#include "http/peers.h"
#include "http/request.h"
#include "http/tls.h"
#include "http/worker.h"

struct MHD_Connection;
struct stream;

#define REPLY_HEADERS_MAX 12
#define STREAM_SIZE_UNKNOWN UINT64_MAX

/* gzip with a window of 8 KiB: about 70 KiB of memory a stream instead of 260, and little worse for
 * lines that resemble their neighbours. */
#define REPLY_GZIP_LEVEL 5
#define REPLY_GZIP_WINDOW_BITS (16 + 13)
#define REPLY_GZIP_MEMORY_LEVEL 6

#define REQUEST_ID_PREFIX_SIZE 8

/* The answer, from request_answer() or request_stream() until it is given to libmicrohttpd. */
struct reply {
	bool ready;
	bool close;    /* the connection ends with this answer */
	bool no_store; /* among the headers is Cache-Control: no-store */
	bool failed;   /* memory was out for the answer, which became a refusal */
	unsigned status;
	const char *content_type;
	struct buffer body;
	struct stream *stream;
	uint64_t stream_size; /* or STREAM_SIZE_UNKNOWN */
	size_t reserved;      /* of the listener's answer_budget */
	size_t header_count;
	struct {
		const char *name;
		const char *value; /* in the request's arena */
	} headers[REPLY_HEADERS_MAX];
};

/*
 *              begin                     body complete         answer queued
 *     HEADERS ──────▶ BODY ────────────────────▶ SERVE ────────────────▶ ANSWERED
 *        │             │ refused                                           ▲
 *        └──────────▶ DISCARD ─────────────────────────────────────────────┘
 *        answered early │ too much to read away
 *                       └─▶ LINGER ─▶ (closed)
 */
enum request_phase {
	PHASE_HEADERS,
	PHASE_BODY,
	PHASE_DISCARD, /* an answer is ready; what still arrives is read away so that it gets there
			*/
	PHASE_LINGER,  /* the answer has left; reads a little more, so that it is no reset */
	PHASE_SERVE,   /* the app's turn, or parked */
	PHASE_ANSWERED
};

struct request {
	struct listener *listener;
	struct worker *worker;
	struct MHD_Connection *connection;
	struct client *client;
	struct request *next_free;
	struct request *next_ready; /* live */
	enum request_phase phase;

	struct text method;
	struct text sent_target; /* where libmicrohttpd had it; decoded there since */
	struct text target;	 /* the raw request target, in the arena */
	struct text path;
	struct text query;
	struct text id;
	char id_made[2 * (REQUEST_ID_PREFIX_SIZE + sizeof(uint64_t))];
	struct headers headers;

	bool http_1_0;
	bool live;	     /* its connection was taken from libmicrohttpd (live.h) */
	bool held;	     /* or it was not, and the request is parked for long */
	bool begun;	     /* counted as under way; app->end is due */
	bool body_expected;  /* request_expect_body() or request_pass_body() was called */
	request_taker *take; /* the latter's */
	size_t body_size_max;
	size_t discard_left;
	struct body body;

	bool suspended;	    /* since the app's function was last called; HTTP thread only */
	atomic_bool parked; /* may be resumed */
	void (*next)(void *cookie, struct request *);

	struct reply reply;
	struct arena arena;
	struct arena own; /* while arena is a borrowed one */
	bool borrowed;
	void *state;
	unsigned note;
	uint64_t receive_msec;
	uint64_t answered_usec;
};

struct listener {
	struct app app;
	struct worker *workers;
	unsigned worker_count; /* started; constant once they are open */
	struct address address;
	bool quiesced; /* owner's thread only */

	unsigned connections_max;
	struct deadlines deadlines;
	struct peers peers;
	struct cors cors;
	bool has_tls;
	struct tls tls; /* if it has */
	size_t header_bytes;
	size_t drain_bytes;
	size_t arena_bytes; /* the app's part of a request's arena … */
	size_t own_bytes;   /* … and this room's: a copy of the target */
	struct budget body_budget;
	struct budget answer_budget;

	atomic_bool draining; /* answers close their connections */
	atomic_bool refusing; /* new requests get SHUTTING_DOWN */
	_Atomic unsigned connections;
	_Atomic uint64_t refused_full;	  /* connections, as too many were open … */
	_Atomic uint64_t refused_address; /* … or too many of their address */
	_Atomic unsigned under_way;	  /* begun and not ended */
	_Atomic unsigned parked;
	_Atomic uint64_t begun_msec; /* while draining: when the newest request began */

	uint8_t id_prefix[REQUEST_ID_PREFIX_SIZE];
	_Atomic uint64_t id_count;
};

/* --- access.c --- */

/* The time for what the client is sending is over: answers 408. */
void access_expired(struct client *);

/* It has ended its sending side: tells the app if its request is parked. */
void access_left(struct client *);

/* Its answer is there and begins to leave; where there is no memory for it, another one. */
void access_answers(struct request *);

/* The request is over. */
void access_finish(struct request *);

/* --- request.c --- */

/* On the worker's thread: a fresh one, from those kept for later if there is one. NULL when memory
 * is out. */
struct request *request_new(struct worker *);

/* It has a body: until it is recycled its arena is one of those that have grown with others. */
void request_borrow_arena(struct request *);

/* On its thread: gives back all that it has, and keeps it for later. */
void request_recycle(struct request *);

/* Frees what is kept for later requests. */
void requests_release(struct worker *);

/* --- reply.c --- */

/* Reserves the memory that the answer has until its client took it. False: there is not so much left,
 * and the answer is gone. */
bool reply_reserve(struct request *);

/* Gives the answer to libmicrohttpd. False: memory is out, the connection must be closed. */
bool reply_queue(struct request *);

/*
 * Sends the answer around libmicrohttpd, which cannot answer in the middle of an upload, and ends
 * the sending side of the connection. An answer that does not go out in one piece is lost; the
 * connection is closed soon in any case.
 */
void reply_send_raw(struct request *);

/* The head of such an answer. framing is the header line that says where the body ends, or empty. */
void reply_write_head(struct request *, const char *framing, struct buffer *out);

void reply_release(struct request *);

/* Whether an answer of this type may be gzipped: then it varies with Accept-Encoding. */
bool reply_is_compressible(const char *content_type);

/* --- stream.c --- */

struct MHD_Response;

/* NULL when memory is out. */
struct stream *stream_new(struct request *, request_pull *, bool gzip);
void stream_make_live(struct stream *);

/* Outside of libmicrohttpd: the next piece, there until the next call; empty when the request was
 * parked. False: it is the last. */
bool stream_next(struct stream *, struct text *piece, bool *failed);
bool stream_is_live(const struct stream *); /* NULL is not */
bool stream_is_gzip(const struct stream *);
struct MHD_Response *stream_response(struct stream *, uint64_t size);
void stream_free(struct stream *);

#endif
