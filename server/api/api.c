#include "api/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "api/problem.h"
#include "api/wire.h"
#include "base/check.h"
#include "base/log.h"

/* Beside the batch: the call, headers, the http room's copies. */
#define ARENA_SIZE_MIN ((size_t)64 * 1024)

static struct snapshot *
snapshot_new(const struct api_limits *limits, struct snapshot *older)
{
	struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
	if (!snapshot)
		return NULL;
	snapshot->older = older;
	snapshot->limits = *limits;
	snprintf(snapshot->auth_mode, sizeof(snapshot->auth_mode), "%s", limits->auth_mode);
	snapshot->limits.auth_mode = snapshot->auth_mode;
	return snapshot;
}

struct api *
api_new(const struct api_limits *limits)
{
	struct api *api = calloc(1, sizeof(*api));
	if (!api)
		return NULL;
	struct snapshot *snapshot = snapshot_new(limits, NULL);
	api->waiters = waiters_new(limits->waiters);
	if (!snapshot || !api->waiters) {
		free(snapshot);
		waiters_free(api->waiters);
		free(api);
		return NULL;
	}
	atomic_init(&api->newest, snapshot);
	admission_init(&api->admission, 1000 * limits->sync_msec);
	return api;
}

void
api_set_store(struct api *api, struct store *store)
{
	api->store = store;
}

bool
api_set_limits(struct api *api, const struct api_limits *limits)
{
	struct snapshot *snapshot = snapshot_new(limits, atomic_load(&api->newest));
	if (!snapshot)
		return false;
	atomic_store(&api->newest, snapshot);
	waiters_set_max(api->waiters, limits->waiters);
	admission_set_target(&api->admission, 1000 * limits->sync_msec);
	return true;
}

/* --- what the listener calls --- */

static void
begin_call(struct call *call)
{
	struct request *request = call->request;
	const struct route_input input = {
		.method = request_method(request),
		.path = request_path(request),
		.query = request_query(request),
		.accept = request_accept(request),
		.content_type = request_content_type(request),
	};
	const struct route_limits limits = {.wait_sec = call->limits->wait_sec};
	call->status = route_read(&input, &limits, &call->route, &call->fault);
	if (call->status != STATUS_OK && call->status < STATUS_MALFORMED) {
		const struct problem problem = {.status = call->status,
						.detail = text_of(call->fault.detail),
						.allow = call->fault.allow};
		problem_answer(request, &problem);
	} else if (call->route.target == ROUTE_SYNC) {
		begin_sync(call);
	}
}

static void
begin(void *cookie, struct request *request)
{
	struct api *api = cookie;
	struct call *call = arena_calloc(request_arena(request), 1, sizeof(*call));
	if (!call) {
		const struct problem problem = {.status = STATUS_INTERNAL,
						.detail = TEXT("memory is out")};
		problem_answer(request, &problem);
		return;
	}
	call->api = api;
	call->limits = &atomic_load(&api->newest)->limits;
	call->request = request;
	request_set_state(request, call);
	begin_call(call);
}

static void
answer_options(struct call *call)
{
	struct buffer none;
	buffer_init(&none, 0);
	request_add_header(call->request, "Allow", text_of(call->route.allow));
	request_add_header(call->request, "Cache-Control", TEXT("no-store"));
	request_answer(call->request, 204, NULL, &none);
	buffer_release(&none);
}

static void
serve(void *cookie, struct request *request)
{
	(void)cookie;
	struct call *call = call_of(request);
	CHECK(call);
	if (call->status != STATUS_OK) {
		call_refuse(call, call->status, text_of(call->fault.detail));
		return;
	}
	switch (call->route.target) {
	case ROUTE_OPTIONS:
		answer_options(call);
		break;
	case ROUTE_SYNC:
		serve_sync(call);
		break;
	case ROUTE_ACTIONS:
		serve_actions(call);
		break;
	case ROUTE_HEAD:
		serve_head(call);
		break;
	case ROUTE_INFO:
		serve_info(call);
		break;
	}
}

/* May come before begin, of a request that never got a call. */
static void
refuse(void *cookie, struct request *request, enum status status, struct text detail)
{
	struct api *api = cookie;
	const struct call *call = request_state(request);
	char limit[32];
	struct problem problem = {.status = status, .detail = detail};
	if (status == STATUS_BODY_TOO_LARGE) {
		size_t bytes = atomic_load(&api->newest)->limits.body_bytes;
		if (call)
			bytes = call->route.target == ROUTE_SYNC ? call->limits->body_bytes : 0;
		int size = snprintf(limit, sizeof(limit), "\"limit\":%zu", bytes);
		problem.members = (struct text){limit, (size_t)size};
	}
	problem_answer(request, &problem);
}

static void
end(void *cookie, struct request *request)
{
	(void)cookie;
	struct call *call = request_state(request);
	if (call)
		call_leave(call);
	log_debug("api", "request over", LOG_TEXT("method", request_method(request)),
		  LOG_TEXT("path", request_path(request)),
		  LOG_TEXT("request", request_id(request)));
}

struct app
api_app(struct api *api)
{
	return (struct app){
		.cookie = api, .begin = begin, .serve = serve, .refuse = refuse, .end = end};
}

void
api_committed(void *cookie, const struct hash *genesis, const struct head *head)
{
	(void)head; /* who wakes looks for itself: there may be a newer one by then */
	struct api *api = cookie;
	waiters_wake(api->waiters, genesis);
}

void
api_drain(struct api *api)
{
	waiters_drain(api->waiters);
}

void
api_free(struct api *api)
{
	if (!api)
		return;
	waiters_free(api->waiters);
	struct snapshot *snapshot = atomic_load(&api->newest);
	while (snapshot) {
		struct snapshot *older = snapshot->older;
		free(snapshot);
		snapshot = older;
	}
	free(api);
}

size_t
api_arena_bytes(const struct api_limits *limits)
{
	const struct wire_limits wire = {.payload_bytes = limits->payload_bytes,
					 .batch_actions = limits->batch_actions};
	return ARENA_SIZE_MIN + wire_arena_bytes(&wire) +
	       limits->batch_actions * (sizeof(struct outcome) + sizeof(uint64_t));
}
