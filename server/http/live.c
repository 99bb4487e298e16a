#include "http/live.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <utlist.h>

#include "base/check.h"
#include "http/inside.h"
#include "http/sealer.h"

#define HEAD_SIZE_MAX ((size_t)8 * 1024)
#define CHUNK_SIZE_MAX 32 /* what is around a piece, and the end */
#define UNREAD_SIZE 4096

struct live {
	struct client *client;
	struct live *prev, *next;
	struct sealer *sealer; /* NULL without TLS */
	struct buffer out;     /* what is being sent; empty while parked */
	size_t sent;
	bool chunked;
	bool ended; /* what is being sent is all */
};

static void
live_free(struct live *live)
{
	struct client *client = live->client;
	struct request *request = client->request;
	struct listener *listener = client->worker->listener;
	DL_DELETE(client->worker->lives, live);
	buffer_release(&live->out);
	sealer_free(live->sealer);
	free(live);
	client_free(client);
	access_finish(request);
	atomic_fetch_sub(&listener->connections, 1);
}

/* --- sending --- */

/* Whether all of it is out; *failed: it never will be. */
static bool
send_out(struct live *live, bool *failed)
{
	*failed = live->out.failed;
	while (!*failed && live->sent < live->out.size) {
		ssize_t size = client_send(live->client, live->out.data + live->sent,
					   live->out.size - live->sent);
		if (size >= 0)
			live->sent += (size_t)size;
		else if (errno == EAGAIN)
			return false;
		else
			*failed = errno != EINTR;
	}
	buffer_release(&live->out);
	live->sent = 0;
	return !*failed;
}

static void
seal(struct live *live)
{
	if (live->sealer != NULL)
		sealer_seal(live->sealer, &live->out, live->ended);
}

static void
append_piece(struct live *live, struct text piece)
{
	live->out.size_max = piece.size + CHUNK_SIZE_MAX;
	if (live->chunked && piece.size > 0)
		buffer_printf(&live->out, "%zX\r\n", piece.size);
	buffer_append_text(&live->out, piece);
	if (live->chunked && piece.size > 0)
		buffer_append_text(&live->out, TEXT("\r\n"));
	if (live->chunked && live->ended)
		buffer_append_text(&live->out, TEXT("0\r\n\r\n"));
	seal(live);
}

/* Closing a socket with unread data would reset it, and what was sent last might be lost. */
static void
end_well(struct live *live)
{
	char unread[UNREAD_SIZE];
	client_end_sending(live->client);
	(void)!recv(live->client->fd, unread, sizeof(unread), MSG_DONTWAIT);
}

/* Sends what the app has to say until it parks, the socket is full, or all is said: then it is gone. */
static void
go_on(struct live *live)
{
	struct request *request = live->client->request;
	bool failed = false;
	while (send_out(live, &failed) && !live->ended) {
		struct text piece;
		live->ended = !stream_next(request->reply.stream, &piece, &failed);
		if (failed || request->suspended)
			break;
		append_piece(live, piece);
	}
	if (request->suspended || (!failed && live->out.size > 0))
		return;
	if (!failed)
		end_well(live);
	live_free(live);
}

void
live_event(struct client *client)
{
	if (!client->request->suspended)
		go_on(client->live);
}

/* Puts the head into what is sent, and, if it is no stream, all of it. */
static void
begin_answer(struct live *live)
{
	struct request *request = live->client->request;
	struct reply *reply = &request->reply;
	char framing[64] = "";
	CHECK(reply->ready);
	reply->close = true;
	access_answers(request);
	const bool bodiless = text_equal(request->method, TEXT("HEAD")) || reply->status == 304;
	live->ended = bodiless || reply->stream == NULL;
	if (reply->stream == NULL && reply->status != 304)
		(void)snprintf(framing, sizeof(framing), "Content-Length: %zu\r\n",
			       reply->body.size);
	else if (!live->ended && live->chunked)
		(void)snprintf(framing, sizeof(framing), "Transfer-Encoding: chunked\r\n");
	live->out.size_max = HEAD_SIZE_MAX + reply->body.size;
	reply_write_head(request, framing, &live->out);
	if (!bodiless && reply->stream == NULL)
		buffer_append(&live->out, reply->body.data, reply->body.size);
	buffer_release(&reply->body); /* once is enough */
	seal(live);
}

/* --- resuming --- */

void
live_resume(struct request *request)
{
	struct worker *worker = request->worker;
	struct request *first = atomic_load(&worker->ready);
	do
		request->next_ready = first;
	while (!atomic_compare_exchange_weak(&worker->ready, &first, request));
}

static void
run(struct request *request)
{
	struct client *client = request->client;
	void (*next)(void *cookie, struct request *) = request->next;
	request->suspended = false;
	if (next == NULL) {
		client_go_on(client);
	} else {
		request->next = NULL;
		next(request->listener->app.cookie, request);
		if (request->suspended)
			return;
		begin_answer(client->live);
	}
	go_on(client->live);
}

void
lives_run(struct worker *worker)
{
	struct request *newest = atomic_exchange(&worker->ready, NULL);
	struct request *oldest = NULL;
	while (newest != NULL) {
		struct request *older = newest->next_ready;
		newest->next_ready = oldest;
		oldest = newest;
		newest = older;
	}
	while (oldest != NULL) {
		struct request *request = oldest;
		oldest = request->next_ready;
		run(request);
	}
}

void
live_begin(struct request *request)
{
	begin_answer(request->client->live);
	request->suspended = true;
	request->next = NULL;
	live_resume(request);
}

void
lives_end(struct worker *worker)
{
	for (struct live *live = worker->lives, *next; live != NULL; live = next) {
		next = live->next;
		live_free(live);
	}
}

/* --- taking --- */

/* What of a request lies in the memory of libmicrohttpd's connection. An answer is not gzipped. */
static bool
keep_texts(struct request *request)
{
	struct arena *arena = &request->arena;
	const struct headers *headers = &request->headers;
	const struct text method = arena_copy(arena, request->method);
	const struct text id = arena_copy(arena, request->id);
	const struct text origin = arena_copy(arena, headers->origin);
	const struct text traceparent = arena_copy(arena, request_traceparent(request));
	if (method.data == NULL || id.data == NULL || origin.data == NULL ||
	    traceparent.data == NULL)
		return false;
	request->method = method;
	request->id = id;
	request->headers = (struct headers){
		.origin = origin, .traceparent = traceparent, .by_browser = headers->by_browser};
	return true;
}

/* As live_take(), of a connection that is suspended. */
static bool
take(struct request *request, struct live *live)
{
	struct gnutls_session_int *session = request->client->session;
	if (!keep_texts(request))
		return false;
	if (session != NULL) {
		live->sealer = sealer_new(session);
		if (live->sealer == NULL)
			return false;
	}
	return client_take(request->client, live);
}

bool
live_take(struct request *request)
{
	struct MHD_Connection *connection = request->connection;
	struct live *live = calloc(1, sizeof(*live));
	if (live == NULL)
		return false;
	MHD_suspend_connection(connection);
	const bool taken = take(request, live);
	MHD_resume_connection(connection);
	if (!taken) {
		sealer_free(live->sealer);
		free(live);
		return false;
	}
	live->client = request->client;
	live->chunked = !request->http_1_0;
	buffer_init(&live->out, HEAD_SIZE_MAX);
	DL_APPEND(request->worker->lives, live);
	request->connection = NULL;
	request->live = true;
	worker_mark(request->worker);
	return true;
}
