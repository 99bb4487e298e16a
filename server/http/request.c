#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "http/inside.h"

/* Requests that a worker keeps for later, with their arenas. */
#define FREE_REQUESTS_MAX 64

/* What a request without a body may keep of its arena: it may be the next one that is parked for long,
 * with thousands of others. */
#define OWN_ARENA_MAX ((size_t)8 * 1024)

/* Requests of a worker that may be parked for long inside libmicrohttpd. */
#define HELD_MAX 256

struct text
request_method(const struct request *request)
{
	return request->method;
}

struct text
request_path(const struct request *request)
{
	return request->path;
}

struct text
request_query(const struct request *request)
{
	return request->query;
}

struct text
request_id(const struct request *request)
{
	return request->id;
}

struct text
request_trace(const struct request *request)
{
	return headers_trace(request->headers.traceparent);
}

struct text
request_traceparent(const struct request *request)
{
	const struct text whole = request->headers.traceparent;
	const bool is_valid = headers_trace(whole).data != NULL;
	return is_valid ? (struct text){whole.data, TRACEPARENT_SIZE} : (struct text){NULL, 0};
}

struct origin
request_origin(const struct request *request)
{
	return (struct origin){.request = request->id, .traceparent = request_traceparent(request)};
}

/* A header's values on their way into one. */
struct joining {
	struct text name;
	struct text first;
	size_t count;
	size_t size; /* of the whole */
	char *out;   /* NULL: only counting */
};

static enum MHD_Result
on_header(void *cookie, enum MHD_ValueKind kind, const char *name, size_t name_size,
	  const char *value, size_t value_size)
{
	struct joining *joining = cookie;
	const struct text text = {value == NULL ? "" : value, value_size};
	(void)kind;
	if (name_size != joining->name.size ||
	    strncasecmp(name, joining->name.data, name_size) != 0)
		return MHD_YES;
	if (joining->out != NULL) {
		if (joining->count > 0)
			joining->out[joining->size++] = ',';
		memcpy(joining->out + joining->size, text.data, text.size);
		joining->size += text.size;
	} else {
		if (joining->count == 0)
			joining->first = text;
		joining->size += text.size + (joining->count > 0 ? 1 : 0);
	}
	joining->count++;
	return MHD_YES;
}

struct text
request_header(struct request *request, const char *name)
{
	struct joining joining = {.name = text_of(name)};
	(void)MHD_get_connection_values_n(request->connection, MHD_HEADER_KIND, on_header,
					  &joining);
	if (joining.count < 2)
		return joining.first;
	joining.out = arena_alloc(&request->arena, joining.size);
	if (joining.out == NULL)
		return joining.first;
	joining.count = 0;
	joining.size = 0;
	(void)MHD_get_connection_values_n(request->connection, MHD_HEADER_KIND, on_header,
					  &joining);
	return (struct text){joining.out, joining.size};
}

struct text
request_accept(struct request *request)
{
	const struct headers *headers = &request->headers;
	return headers->repeated ? request_header(request, "Accept") : headers->accept;
}

struct text
request_content_type(struct request *request)
{
	const struct headers *headers = &request->headers;
	return headers->repeated ? request_header(request, "Content-Type") : headers->content_type;
}

struct text
request_authorization(const struct request *request, unsigned *count)
{
	*count = request->headers.authorization_count;
	return request->headers.authorization;
}

struct text
request_header_once(struct request *request, const char *name, unsigned *count)
{
	struct joining joining = {.name = text_of(name)};
	(void)MHD_get_connection_values_n(request->connection, MHD_HEADER_KIND, on_header,
					  &joining);
	*count = (unsigned)joining.count;
	return joining.first;
}

const struct sockaddr *
request_peer(const struct request *request)
{
	if (request->connection == NULL)
		return NULL;
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	return info ? info->client_addr : NULL;
}

bool
request_peer_is_local(const struct request *request)
{
	const struct sockaddr *peer = request_peer(request);
	return peer && address_is_local(peer);
}

char *
request_body(struct request *request, size_t *size)
{
	CHECK(request->phase == PHASE_SERVE);
	*size = request->body.size;
	return request->body.data;
}

struct arena *
request_arena(struct request *request)
{
	return &request->arena;
}

bool
request_is_draining(const struct request *request)
{
	return atomic_load(&request->listener->draining);
}

bool
request_may_wait(const struct request *request)
{
	return !request_is_draining(request) && !request->client->finished;
}

void
request_set_state(struct request *request, void *state)
{
	request->state = state;
}

void *
request_state(const struct request *request)
{
	return request->state;
}

unsigned
request_answered(const struct request *request)
{
	return request->reply.ready ? request->reply.status : 0;
}

uint64_t
request_answered_usec(const struct request *request)
{
	return request->answered_usec;
}

uint64_t
request_receive_msec(const struct request *request)
{
	return request->receive_msec;
}

void
request_set_note(struct request *request, unsigned note)
{
	request->note = note;
}

unsigned
request_note(const struct request *request)
{
	return request->note;
}

void
request_expect_body(struct request *request, size_t size_max)
{
	CHECK(request->phase == PHASE_HEADERS);
	request->body_expected = true;
	request->body_size_max = size_max;
}

static enum status
take_piece(void *cookie, const char *data, size_t size)
{
	struct request *request = cookie;
	return request->take(request, data, size);
}

void
request_pass_body(struct request *request, size_t size_max, request_taker *take)
{
	request_expect_body(request, size_max);
	request->take = take;
	body_pass_on(&request->body, take_piece, request);
}

void
request_expect_memory(struct request *request, size_t size_max)
{
	CHECK(request->phase == PHASE_HEADERS);
	size_max += request->listener->own_bytes;
	if (request->arena.used_max < size_max)
		request->arena.used_max = size_max;
}

void
request_park(struct request *request)
{
	CHECK(!request->suspended);
	if (request->reply.ready) {
		CHECK(request->phase == PHASE_ANSWERED && stream_is_live(request->reply.stream));
		client_pause(request->client);
	} else {
		CHECK(request->phase == PHASE_SERVE);
	}
	request->suspended = true;
	request->next = NULL;
	atomic_fetch_add(&request->listener->parked, 1);
	if (!request->live)
		MHD_suspend_connection(request->connection);
	atomic_store(&request->parked, true);
}

void
request_park_long(struct request *request)
{
	struct worker *worker = request->worker;
	if (!request->live && !request->held && (worker->held < HELD_MAX || !live_take(request))) {
		request->held = true;
		worker->held++;
	}
	request_park(request);
}

/* Once the connection is marked as resumed the request may be gone at any moment, and once none is
 * parked, the listener as well. */
static void
let_go(struct request *request, void (*next)(void *cookie, struct request *), bool soon)
{
	struct worker *worker = request->worker;
	struct listener *listener = request->listener;
	CHECK((next == NULL) == request->reply.ready);
	request->next = next;
	CHECK(atomic_exchange(&request->parked, false));
	if (request->live)
		live_resume(request);
	else
		MHD_resume_connection(request->connection);
	worker_mark(worker);
	for (unsigned i = 0; !soon && i < listener->worker_count; i++)
		worker_rouse(&listener->workers[i]);
	atomic_fetch_sub(&listener->parked, 1);
}

void
request_resume(struct request *request, void (*next)(void *cookie, struct request *))
{
	let_go(request, next, false);
}

void
request_resume_soon(struct request *request, void (*next)(void *cookie, struct request *))
{
	let_go(request, next, true);
}

/* --- birth and death --- */

struct request *
request_new(struct worker *worker)
{
	struct listener *listener = worker->listener;
	struct request *request = worker->free_requests;
	if (request != NULL) {
		worker->free_requests = request->next_free;
		worker->free_count--;
		return request;
	}
	request = calloc(1, sizeof(*request));
	if (request == NULL)
		return NULL;
	request->listener = listener;
	request->worker = worker;
	arena_init(&request->arena, listener->own_bytes + listener->arena_bytes);
	body_init(&request->body);
	return request;
}

static void
request_free(struct request *request)
{
	arena_release(&request->arena);
	free(request);
}

void
request_borrow_arena(struct request *request)
{
	struct worker *worker = request->worker;
	request->own = request->arena;
	request->borrowed = true;
	if (worker->spare_count > 0)
		request->arena = worker->spare_arenas[--worker->spare_count];
	else
		arena_init(&request->arena, 0);
	request->arena.used_max = request->own.used_max;
}

static void
give_arena_back(struct request *request)
{
	struct worker *worker = request->worker;
	if (worker->spare_count == WORKER_SPARE_MAX) {
		arena_release(&request->arena);
	} else {
		arena_reset(&request->arena);
		worker->spare_arenas[worker->spare_count++] = request->arena;
	}
	request->arena = request->own;
	request->borrowed = false;
}

/* Back into the state of a new one, but with its memory. */
void
request_recycle(struct request *request)
{
	struct listener *listener = request->listener;
	body_release(&request->body);
	reply_release(request);
	if (request->borrowed)
		give_arena_back(request);
	if (request->arena.used > OWN_ARENA_MAX)
		arena_release(&request->arena);
	else
		arena_reset(&request->arena);
	request->arena.used_max = listener->own_bytes + listener->arena_bytes;
	request->connection = NULL;
	request->client = NULL;
	request->phase = PHASE_HEADERS;
	request->live = false;
	request->held = false;
	request->begun = false;
	request->body_expected = false;
	request->take = NULL;
	request->body_size_max = 0;
	request->suspended = false;
	request->next = NULL;
	request->state = NULL;
	request->note = 0;
	request->receive_msec = 0;
	request->answered_usec = 0;
	struct worker *worker = request->worker;
	if (worker->free_count == FREE_REQUESTS_MAX) {
		request_free(request);
		return;
	}
	request->next_free = worker->free_requests;
	worker->free_requests = request;
	worker->free_count++;
}

void
requests_release(struct worker *worker)
{
	for (struct request *request = worker->free_requests; request != NULL;) {
		struct request *next = request->next_free;
		request_free(request);
		request = next;
	}
	worker->free_requests = NULL;
	worker->free_count = 0;
	while (worker->spare_count > 0)
		arena_release(&worker->spare_arenas[--worker->spare_count]);
}
