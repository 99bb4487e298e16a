#include "api/api.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/account.h"
#include "api/admit.h"
#include "api/asker.h"
#include "api/call.h"
#include "api/problem.h"
#include "api/seek.h"
#include "api/wire.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"

/* Beside the batch: the call, headers, the http room's copies. */
#define ARENA_SIZE_MIN ((size_t)64 * 1024)

static struct api_settings *
settings_new(const struct api_limits *limits)
{
	struct api_settings *settings = calloc(1, sizeof(*settings));
	if (!settings)
		return NULL;
	settings->users = 1;
	settings->limits = *limits;
	snprintf(settings->auth_mode, sizeof(settings->auth_mode), "%s", limits->auth_mode);
	settings->limits.auth_mode = settings->auth_mode;
	rate_policy_make(&settings->policy, &limits->rate);
	if (limits->signers != NULL)
		settings->signers = *limits->signers;
	settings->limits.signers = &settings->signers;
	return settings;
}

static struct api_settings *
settings_take(struct api *api)
{
	pthread_mutex_lock(&api->lock);
	struct api_settings *settings = api->newest;
	settings->users++;
	pthread_mutex_unlock(&api->lock);
	return settings;
}

static void
settings_give(struct api *api, struct api_settings *settings)
{
	pthread_mutex_lock(&api->lock);
	const bool unused = --settings->users == 0;
	pthread_mutex_unlock(&api->lock);
	if (!unused)
		return;
	sodium_memzero(settings, sizeof(*settings)); /* there are signing keys in it */
	free(settings);
}

struct api *
api_new(const struct api_limits *limits)
{
	struct api *api = calloc(1, sizeof(*api));
	if (!api)
		return NULL;
	api->newest = settings_new(limits);
	api->waiters = waiters_new();
	api->places = places_new(limits->waiters, limits->subject_waiters);
	api->seeks = places_new(SEEKS_MAX, SUBJECT_SEEKS_MAX);
	api->rate = rate_new(limits->rate_owners);
	if (!api->newest || !api->waiters || !api->places || !api->seeks || !api->rate) {
		free(api->newest);
		rate_free(api->rate);
		places_free(api->seeks);
		places_free(api->places);
		waiters_free(api->waiters);
		free(api);
		return NULL;
	}
	CHECK(pthread_mutex_init(&api->lock, NULL) == 0);
	atomic_init(&api->warned_of_proxy, false);
	admission_init(&api->admission, 1000 * limits->sync_msec);
	return api;
}

void
api_set_store(struct api *api, struct store *store)
{
	api->store = store;
}

void
api_set_snapshots(struct api *api, struct snapshot_keeper *keeper)
{
	atomic_store(&api->snapshots, keeper);
}

void
api_set_auth(struct api *api, struct auth *auth)
{
	api->auth = auth;
}

void
api_set_trusted(struct api *api, const struct trusted *trusted)
{
	api->trusted = *trusted;
}

bool
api_set_limits(struct api *api, const struct api_limits *limits)
{
	struct api_settings *settings = settings_new(limits);
	if (!settings)
		return false;
	pthread_mutex_lock(&api->lock);
	struct api_settings *older = api->newest;
	api->newest = settings;
	pthread_mutex_unlock(&api->lock);
	settings_give(api, older);
	places_set_max(api->places, limits->waiters, limits->subject_waiters);
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
	const struct route_limits limits = {
		.wait_sec = limits_let_wait(call->limits) ? call->limits->wait_sec : 0};
	call->status = route_read(&input, &limits, &call->route, &call->fault);
	/* What may be known of a log is decided before anything of it is looked at. */
	if (call->status != STATUS_NOT_FOUND && call->status != STATUS_METHOD_NOT_ALLOWED &&
	    route_is_guarded(&call->route) && !admit(call))
		return;
	if (call->status != STATUS_OK && call->status < STATUS_MALFORMED) {
		const struct problem problem = {.status = call->status,
						.detail = text_of(call->fault.detail),
						.allow = call->fault.allow};
		call_problem(call, &problem);
	} else if (call->route.target == ROUTE_SYNC) {
		begin_sync(call);
	} else if (call->route.target == ROUTE_SNAPSHOT_PUT) {
		begin_snapshot_put(call);
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
	call->settings = settings_take(api);
	call->limits = &call->settings->limits;
	call->policy = &call->settings->policy;
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
	call->phases.began_usec = clock_monotonic_usec();
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
	case ROUTE_EVENTS:
		serve_events(call);
		break;
	case ROUTE_INFO:
		serve_info(call);
		break;
	case ROUTE_SNAPSHOT_PUT:
		serve_snapshot_put(call);
		break;
	case ROUTE_SNAPSHOT_GET:
		serve_snapshot_get(call);
		break;
	}
}

/* How much a body may be: as it was when the call began; of a request that never got one, as it is for most. */
static size_t
body_bytes(struct api *api, const struct call *call)
{
	if (call)
		return call->route.target == ROUTE_SYNC		  ? call->limits->body_bytes
		       : call->route.target == ROUTE_SNAPSHOT_PUT ? call->limits->snapshot_bytes
								  : 0;
	struct api_settings *settings = settings_take(api);
	const size_t bytes = settings->limits.body_bytes;
	settings_give(api, settings);
	return bytes;
}

/* May come before begin. */
static void
refuse(void *cookie, struct request *request, enum status status, struct text detail)
{
	struct call *call = request_state(request);
	char limit[32];
	struct problem problem = {.status = status, .detail = detail};
	if (status == STATUS_BODY_TOO_LARGE) {
		int size =
			snprintf(limit, sizeof(limit), "\"limit\":%zu", body_bytes(cookie, call));
		problem.members = (struct text){limit, (size_t)size};
	}
	struct asker asker;
	if (call) {
		call_problem(call, &problem);
		return;
	}
	asker_find(&asker, request, NULL);
	problem.asker = &asker;
	problem_answer(request, &problem);
}

static void
leave(void *cookie, struct request *request)
{
	(void)cookie;
	struct call *call = request_state(request);
	CHECK(call);
	call_cancel(call);
}

static void
end(void *cookie, struct request *request)
{
	struct call *call = request_state(request);
	if (call) {
		call_end(call);
		identity_release(call->identity);
	}
	account_end(request, call);
	if (call)
		settings_give(cookie, call->settings);
	log_debug("api", "request over", LOG_TEXT("method", request_method(request)),
		  LOG_TEXT("path", request_path(request)),
		  LOG_U64("status", request_answered(request)), LOG_REQUEST(request));
}

struct app
api_app(struct api *api)
{
	return (struct app){.cookie = api,
			    .begin = begin,
			    .serve = serve,
			    .refuse = refuse,
			    .leave = leave,
			    .end = end};
}

void
api_committed(void *cookie, const struct committed *committed)
{
	/* Who wakes looks for itself: there may be a newer head by then. */
	struct api *api = cookie;
	waiters_wake(api->waiters, committed->genesis);
}

void
api_drain(struct api *api)
{
	waiters_drain(api->waiters);
}

void
api_measure(const struct api *api, struct api_figures *figures)
{
	struct snapshot_keeper *keeper = atomic_load(&api->snapshots);
	*figures = (struct api_figures){.snapshots = keeper ? snapshot_keeper_transfers(keeper) : 0,
					.waiters = places_taken(api->places),
					.waiters_max = places_max(api->places),
					.syncs = admission_count(&api->admission),
					.syncs_max = admission_max(&api->admission)};
	figures->has_keys = api->auth && auth_measure(api->auth, &figures->keys);
}

void
api_free(struct api *api)
{
	if (!api)
		return;
	waiters_free(api->waiters);
	places_free(api->seeks);
	places_free(api->places);
	rate_free(api->rate);
	settings_give(api, api->newest);
	pthread_mutex_destroy(&api->lock);
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
