#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "base/clock.h"
#include "http/callbacks.h"
#include "http/inside.h"

void
access_finish(struct request *request)
{
	struct listener *listener = request->listener;
	const bool begun = request->begun;
	request->worker->held -= request->held;
	if (begun)
		listener->app.end(listener->app.cookie, request);
	request_recycle(request);
	if (begun)
		atomic_fetch_sub(&listener->under_way, 1);
}

/* libmicrohttpd decodes the target in place after this, so what was sent is kept here. What this
 * returns is the state that the other callbacks get; on_completed follows always. */
void *
on_target(void *cookie, const char *target, struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct client *client = info->socket_context;
	struct request *request = client == NULL ? NULL : request_new(cookie);
	if (request == NULL)
		return NULL;
	client_head(client, request);
	request->client = client;
	request->connection = connection;
	request->sent_target = text_of(target == NULL ? "" : target);
	request->target = arena_copy(&request->arena, request->sent_target);
	return request;
}

void
on_completed(void *cookie, struct MHD_Connection *connection, void **state,
	     enum MHD_RequestTerminationCode code)
{
	struct request *request = *state;
	(void)cookie;
	(void)connection;
	(void)code;
	if (request == NULL)
		return;
	*state = NULL;
	client_next(request->client);
	access_finish(request);
}

static bool
is_sane_id(struct text id)
{
	for (size_t i = 0; i < id.size; i++) {
		char c = id.data[i];
		bool letter = (unsigned)((c | 0x20) - 'a') < 26;
		if (!letter && !(c >= '0' && c <= '9') && c != '.' && c != '_' && c != '-')
			return false;
	}
	return id.size > 0 && id.size <= REQUEST_ID_SIZE_MAX;
}

/* Unique, not secret: a random prefix of this listener's and a count. */
static void
choose_id(struct request *request)
{
	struct listener *listener = request->listener;
	if (is_sane_id(request->headers.request_id)) {
		request->id = request->headers.request_id;
		return;
	}
	uint64_t count = atomic_fetch_add_explicit(&listener->id_count, 1, memory_order_relaxed);
	uint8_t bytes[sizeof(count)];
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(count >> (8 * (sizeof(bytes) - 1 - i)));
	hex_encode(listener->id_prefix, REQUEST_ID_PREFIX_SIZE, request->id_made);
	hex_encode(bytes, sizeof(bytes), request->id_made + 2 * REQUEST_ID_PREFIX_SIZE);
	request->id = (struct text){request->id_made, sizeof(request->id_made)};
}

static void
refuse(struct request *request, enum status status, struct text detail)
{
	struct listener *listener = request->listener;
	body_release(&request->body);
	listener->app.refuse(listener->app.cookie, request, status, detail);
	CHECK(request->reply.ready);
}

static struct text
body_problem(enum status status)
{
	switch (status) {
	case STATUS_BODY_TOO_LARGE:
		return TEXT("The body is larger than this path takes.");
	case STATUS_BACKPRESSURE:
		return TEXT("The memory for request bodies is in use.");
	case STATUS_UNSUPPORTED_MEDIA_TYPE:
		return TEXT("The content codings that are understood are gzip and identity.");
	case STATUS_STORAGE_UNAVAILABLE:
		return TEXT(
			"The body could not be stored; nothing of it was. Send it again later.");
	default:
		return TEXT("The body is no complete gzip data.");
	}
}

static bool
has_body(const struct request *request)
{
	return request->headers.chunked || request->headers.content_length > 0;
}

/* --- answers that come before the body is read --- */

void
access_answers(struct request *request)
{
	request->phase = PHASE_ANSWERED;
	if (!reply_reserve(request))
		refuse(request, STATUS_BACKPRESSURE, TEXT("The memory for answers is in use."));
	client_answer(request->client);
}

static enum MHD_Result
queue(struct request *request)
{
	if (stream_is_live(request->reply.stream) && !text_equal(request->method, TEXT("HEAD")) &&
	    live_take(request)) {
		live_begin(request);
		return MHD_YES;
	}
	access_answers(request);
	return reply_queue(request) ? MHD_YES : MHD_NO;
}

/*
 * libmicrohttpd takes an answer in the first call (and then closes, with a reset if the client is
 * still sending) or after the whole body, and not between. So an answer that cannot wait is written
 * to the socket directly: nothing else is being sent there while a body arrives. What the client
 * goes on to send is read for a while, because closing a socket with unread data resets it, and the
 * answer may be lost with it.
 */
static void
start_linger(struct request *request)
{
	reply_send_raw(request);
	request->phase = PHASE_LINGER;
	request->discard_left = request->listener->drain_bytes;
}

static void
start_discard(struct request *request, uint64_t received)
{
	const struct headers *headers = &request->headers;
	request->phase = PHASE_DISCARD;
	request->discard_left = request->listener->drain_bytes;
	if (!headers->chunked && headers->content_length - received > request->discard_left)
		start_linger(request);
}

/* --- libmicrohttpd's calls, in their order --- */

static void
count_begin(struct request *request)
{
	struct listener *listener = request->listener;
	request->begun = true;
	atomic_fetch_add(&listener->under_way, 1);
	if (atomic_load(&listener->draining))
		atomic_store(&listener->begun_msec, clock_monotonic_msec());
}

static bool
headers_too_large(const struct request *request)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
		request->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	return info != NULL && info->header_size > request->listener->header_bytes;
}

static bool
is_preflight(const struct request *request)
{
	return request->headers.asks_for_method && text_equal(request->method, TEXT("OPTIONS")) &&
	       cors_allows(&request->listener->cors, request->headers.origin);
}

/* The same for every path: what a page may ask for at all. Who may is asked of the request itself. */
static void
answer_preflight(struct request *request)
{
	char seconds[16];
	const int size =
		snprintf(seconds, sizeof(seconds), "%u", request->listener->cors.max_age_sec);
	request_add_header(request, "Access-Control-Allow-Methods", TEXT(CORS_METHODS));
	request_add_header(request, "Access-Control-Allow-Headers", TEXT(CORS_HEADERS));
	request_add_header(request, "Access-Control-Max-Age", (struct text){seconds, (size_t)size});
	request_add_header(request, "Cache-Control", TEXT("no-store"));
	request_answer(request, 204, NULL, NULL);
}

/* Lets the app look at the headers, and makes room for the body. */
static void
begin(struct request *request)
{
	struct listener *listener = request->listener;
	const struct headers *headers = &request->headers;
	if (atomic_load(&listener->refusing)) {
		request->reply.close = true;
		refuse(request, STATUS_SHUTTING_DOWN, TEXT("The server is stopping."));
		return;
	}
	if (headers_too_large(request)) {
		request->reply.close = true;
		refuse(request, STATUS_HEADERS_TOO_LARGE,
		       TEXT("The request line and headers are too large together."));
		return;
	}
	if (is_preflight(request)) {
		answer_preflight(request);
		return;
	}
	listener->app.begin(listener->app.cookie, request);
	if (request->reply.ready || !has_body(request))
		return;
	if (!request->body_expected) {
		refuse(request, STATUS_BODY_TOO_LARGE, TEXT("This path takes no body."));
		return;
	}
	enum status status =
		body_begin(&request->body, &listener->body_budget, request->body_size_max,
			   headers->content_encoding,
			   headers->chunked ? BODY_LENGTH_UNKNOWN : headers->content_length);
	if (status != STATUS_OK)
		refuse(request, status, body_problem(status));
}

/* An early answer to a request without a body waits for the last call, too: given now it would cost
 * the client its connection. */
static enum MHD_Result
first_call(struct request *request, const char *method, const char *version)
{
	if (request->target.data == NULL)
		return MHD_NO; /* memory is out */
	client_body(request->client);
	request->method = text_of(method);
	request->http_1_0 = strcmp(version, MHD_HTTP_VERSION_1_0) == 0;
	const struct headers_place place = {
		.method = method, .target = request->sent_target, .version = version};
	const char *problem = headers_read(request->connection, &place, &request->headers);
	if (problem == NULL && !headers_target_is_sane(request->target))
		problem = "The request target is empty or has a space or a control character.";
	headers_split_target(request->target, &request->path, &request->query);
	choose_id(request);
	count_begin(request);
	/* How its chunks are framed is not known for sure (headers.h). */
	request->reply.close = request->headers.chunked;
	if (problem != NULL) {
		/* What follows may be a body or another request: it is not read. */
		request->reply.close = true;
		refuse(request, STATUS_MALFORMED, text_of(problem));
		return queue(request);
	}
	if (has_body(request))
		request_borrow_arena(request);
	begin(request);
	if (!request->reply.ready) {
		request->phase = PHASE_BODY;
		return MHD_YES;
	}
	request->worker->left_unread |= has_body(request);
	if (has_body(request) && request->headers.expect_continue)
		return queue(request); /* the client has not sent its body and now will not */
	start_discard(request, 0);
	return MHD_YES;
}

static enum MHD_Result
body_call(struct request *request, const char *data, size_t size)
{
	switch (request->phase) {
	case PHASE_BODY: {
		enum status status = body_write(&request->body, data, size);
		if (status != STATUS_OK) {
			uint64_t received = request->body.received;
			refuse(request, status, body_problem(status));
			start_discard(request, received);
		}
		return MHD_YES;
	}
	case PHASE_DISCARD:
		if (size <= request->discard_left)
			request->discard_left -= size;
		else
			start_linger(request);
		return MHD_YES;
	case PHASE_LINGER:
		if (size > request->discard_left)
			return MHD_NO;
		request->discard_left -= size;
		return MHD_YES;
	default:
		return MHD_NO;
	}
}

/* --- what does not arrive in time --- */

/* libmicrohttpd has no request yet, or none that anybody has heard of: this one stands for it. */
static void
answer_for_head(struct client *client)
{
	struct request *request = request_new(client->worker);
	if (request == NULL)
		return;
	request->client = client;
	request->connection = client->connection;
	request->headers = (struct headers){0};
	request->method = TEXT("");
	request->path = TEXT("");
	request->query = TEXT("");
	choose_id(request);
	count_begin(request);
	refuse(request, STATUS_TIMEOUT, TEXT("The request's head did not arrive in time."));
	reply_send_raw(request);
	access_finish(request);
}

void
access_expired(struct client *client)
{
	struct request *request = client->request;
	if (client->step == CLIENT_HEAD) {
		answer_for_head(client);
	} else if (request->phase == PHASE_BODY) {
		refuse(request, STATUS_TIMEOUT, TEXT("The request's body did not arrive in time."));
		start_linger(request);
	} else if (request->phase == PHASE_DISCARD) {
		start_linger(request);
	}
}

void
access_left(struct client *client)
{
	struct request *request = client->request;
	const struct app *app = &client->worker->listener->app;
	if (request != NULL && request->suspended && app->leave != NULL)
		app->leave(app->cookie, request);
}

/* --- the app's turn --- */

/* The app was called and has answered or parked. Parked, it may be resumed already: only what this
 * thread alone writes is looked at. */
static enum MHD_Result
after_app(struct request *request)
{
	if (request->suspended)
		return MHD_YES;
	CHECK(request->reply.ready);
	return queue(request);
}

static enum MHD_Result
serve(struct request *request)
{
	struct listener *listener = request->listener;
	request->phase = PHASE_SERVE;
	request->receive_msec = client_msec(request->client);
	client_served(request->client);
	enum status status = body_finish(&request->body);
	if (status != STATUS_OK)
		refuse(request, status, body_problem(status));
	else
		listener->app.serve(listener->app.cookie, request);
	return after_app(request);
}

static enum MHD_Result
resume(struct request *request)
{
	struct listener *listener = request->listener;
	if (atomic_load(&request->parked))
		return MHD_YES;
	CHECK(request->next != NULL);
	request->suspended = false;
	request->next(listener->app.cookie, request);
	return after_app(request);
}

/* All of it. */
static enum MHD_Result
arrived(struct request *request)
{
	switch (request->phase) {
	case PHASE_BODY:
		return serve(request);
	case PHASE_DISCARD:
		return queue(request);
	case PHASE_SERVE:
		return resume(request);
	case PHASE_ANSWERED:
		return MHD_YES; /* the daemon is being stopped and took no answer */
	default:
		return MHD_NO;
	}
}

enum MHD_Result
on_access(void *cookie, struct MHD_Connection *connection, const char *url, const char *method,
	  const char *version, const char *data, size_t *size, void **state)
{
	struct worker *worker = cookie;
	struct request *request = *state;
	(void)connection;
	(void)url;
	worker->moved = true;
	if (request == NULL)
		return MHD_NO; /* memory is out, or it was taken */
	if (request->client->expired && request->phase != PHASE_LINGER)
		return MHD_NO; /* it was answered */
	if (request->phase == PHASE_HEADERS)
		return first_call(request, method, version);
	if (*size > 0) {
		const size_t count = *size;
		*size = 0;
		request->client->received += count;
		return body_call(request, data, count);
	}
	const enum MHD_Result result = arrived(request);
	if (request->live)
		*state = NULL; /* libmicrohttpd closes the connection when it calls next */
	return result;
}
