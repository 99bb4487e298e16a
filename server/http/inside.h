/*
 * inside: the structs that this room's files share. Nobody else includes it.
 *
 *     listener.c   start, drain, stop                address.c  sockets and their names
 *     worker.c     a thread and its libmicrohttpd
 *     access.c     libmicrohttpd's calls, the life of a request
 *     request.c    what the app sees of one     hangup.c   clients that left
 *     body.c       what arrives                      reply.c    what leaves
 *     headers.c    the checks before anything else   stream.c   what leaves piece by piece
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
#include "http/hangup.h"
#include "http/headers.h"
#include "http/listener.h"
#include "http/request.h"
#include "http/worker.h"

struct MHD_Connection;
struct stream;

#define REPLY_HEADERS_MAX 8

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
	unsigned status;
	const char *content_type;
	struct buffer body;
	struct stream *stream;
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
	struct request *next_free;
	enum request_phase phase;

	struct text method;
	struct text target; /* the raw request target, in the arena */
	struct text path;
	struct text query;
	struct text id;
	char id_made[2 * (REQUEST_ID_PREFIX_SIZE + sizeof(uint64_t))];
	struct headers headers;

	bool begun;	    /* counted as under way; app->end is due */
	bool body_expected; /* request_expect_body() was called */
	size_t body_size_max;
	size_t discard_left;
	struct body body;

	bool suspended;	    /* since the app's function was last called; HTTP thread only */
	atomic_bool parked; /* may be resumed */
	void (*next)(void *cookie, struct request *);

	struct reply reply;
	struct arena arena;
	void *state;
};

struct listener {
	struct app app;
	struct worker *workers;
	unsigned worker_count; /* started; constant once they are open */
	struct address address;
	struct hangup hangup;
	bool quiesced; /* owner's thread only */

	unsigned connections_max;
	size_t header_bytes;
	size_t drain_bytes;
	size_t arena_bytes; /* the app's part of a request's arena … */
	size_t own_bytes;   /* … and this room's: a copy of the target */
	struct body_budget body_budget;

	atomic_bool draining; /* answers close their connections */
	atomic_bool refusing; /* new requests get SHUTTING_DOWN */
	_Atomic unsigned connections;
	_Atomic unsigned under_way; /* begun and not ended */
	_Atomic unsigned parked;
	_Atomic uint64_t begun_msec; /* while draining: when the newest request began */

	uint8_t id_prefix[REQUEST_ID_PREFIX_SIZE];
	_Atomic uint64_t id_count;
};

/* --- request.c --- */

/* On the worker's thread: a fresh one, from those kept for later if there is one. NULL when memory
 * is out. */
struct request *request_new(struct worker *);

/* On its thread: gives back all that it has, and keeps it for later. */
void request_recycle(struct request *);

/* Frees what is kept for later requests. */
void requests_release(struct worker *);

/* --- reply.c --- */

/* Gives the answer to libmicrohttpd. False: memory is out, the connection must be closed. */
bool reply_queue(struct request *);

/*
 * Sends the answer around libmicrohttpd, which cannot answer in the middle of an upload, and ends
 * the sending side of the connection. An answer that does not go out in one piece is lost; the
 * connection is closed soon in any case.
 */
void reply_send_raw(struct request *);

void reply_release(struct request *);

/* Whether an answer of this type may be gzipped: then it varies with Accept-Encoding. */
bool reply_is_compressible(const char *content_type);

/* --- stream.c --- */

struct MHD_Response;

/* NULL when memory is out. */
struct stream *stream_new(struct request *, request_pull *, bool gzip);
bool stream_is_gzip(const struct stream *);
struct MHD_Response *stream_response(struct stream *);
void stream_free(struct stream *);

#endif
