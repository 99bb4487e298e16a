#include <microhttpd.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "http/inside.h"

/* Requests that are kept for later, with their arenas. */
#define FREE_REQUESTS_MAX 64

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

/* A header's values on their way into one. */
struct joining {
	const char *name;
	struct text first;
	size_t count;
	size_t size; /* of the whole */
	char *out;   /* NULL: only counting */
};

static enum MHD_Result
join(void *cookie, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct joining *joining = cookie;
	(void)kind;
	if (name == NULL || strcasecmp(name, joining->name) != 0)
		return MHD_YES;
	struct text text = text_of(value == NULL ? "" : value);
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
	struct joining joining = {.name = name};
	(void)MHD_get_connection_values(request->connection, MHD_HEADER_KIND, join, &joining);
	if (joining.count < 2)
		return joining.first;
	joining.out = arena_alloc(&request->arena, joining.size);
	if (joining.out == NULL)
		return joining.first;
	joining.count = 0;
	joining.size = 0;
	(void)MHD_get_connection_values(request->connection, MHD_HEADER_KIND, join, &joining);
	return (struct text){joining.out, joining.size};
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

void
request_expect_body(struct request *request, size_t size_max)
{
	CHECK(request->phase == PHASE_HEADERS);
	request->body_expected = true;
	request->body_size_max = size_max;
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
	CHECK(request->phase == PHASE_SERVE && !request->suspended && !request->reply.ready);
	request->suspended = true;
	request->next = NULL;
	atomic_fetch_add(&request->listener->parked, 1);
	MHD_suspend_connection(request->connection);
	atomic_store(&request->parked, true);
}

/* After MHD_resume_connection() the request, and the listener with it, may be gone at any moment.
 */
void
request_resume(struct request *request, void (*next)(void *cookie, struct request *))
{
	CHECK(next != NULL);
	request->next = next;
	CHECK(atomic_exchange(&request->parked, false));
	atomic_fetch_sub(&request->listener->parked, 1);
	MHD_resume_connection(request->connection);
}

/* --- birth and death --- */

struct request *
request_new(struct listener *listener)
{
	(void)pthread_mutex_lock(&listener->free_lock);
	struct request *request = listener->free_requests;
	if (request != NULL) {
		listener->free_requests = request->next_free;
		listener->free_count--;
	}
	(void)pthread_mutex_unlock(&listener->free_lock);
	if (request != NULL)
		return request;
	request = calloc(1, sizeof(*request));
	if (request == NULL)
		return NULL;
	request->listener = listener;
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

/* Back into the state of a new one, but with its memory. */
void
request_recycle(struct request *request)
{
	struct listener *listener = request->listener;
	body_release(&request->body);
	reply_release(request);
	arena_reset(&request->arena);
	request->arena.used_max = listener->own_bytes + listener->arena_bytes;
	request->connection = NULL;
	request->phase = PHASE_HEADERS;
	request->begun = false;
	request->body_expected = false;
	request->body_size_max = 0;
	request->suspended = false;
	request->next = NULL;
	request->state = NULL;
	(void)pthread_mutex_lock(&listener->free_lock);
	bool keep = listener->free_count < FREE_REQUESTS_MAX;
	if (keep) {
		request->next_free = listener->free_requests;
		listener->free_requests = request;
		listener->free_count++;
	}
	(void)pthread_mutex_unlock(&listener->free_lock);
	if (!keep)
		request_free(request);
}

void
requests_release(struct listener *listener)
{
	for (struct request *request = listener->free_requests; request != NULL;) {
		struct request *next = request->next_free;
		request_free(request);
		request = next;
	}
	listener->free_requests = NULL;
	listener->free_count = 0;
}
