#include "api/admit.h"

#include "api/call.h"
#include "api/pay.h"
#include "api/problem.h"
#include "auth/auth.h"
#include "base/log.h"

#define DISK_RETRY_MSEC 10000 /* somebody has to make room */

/* The same words whatever was wrong: what helps an honest client is in the server's log. */
static void
refuse_unknown(struct call *call, bool token_given)
{
	request_add_header(call->request, "WWW-Authenticate",
			   token_given ? TEXT("Bearer error=\"invalid_token\"") : TEXT("Bearer"));
	call_refuse(call, STATUS_UNAUTHENTICATED,
		    TEXT("This needs valid credentials: get new ones, then send the same again."));
}

static void
refuse_log(struct call *call)
{
	call_refuse(call, STATUS_FORBIDDEN,
		    TEXT("Who asks may not do this with this log, whether it exists or not."));
}

static struct header_value
header_of(struct request *request, const char *name)
{
	struct header_value header = {.count = 0};
	if (name)
		header.value = request_header_once(request, name, &header.count);
	return header;
}

static enum status
identify(struct call *call, bool *token_given, struct auth_fault *fault)
{
	struct auth *auth = call->api->auth;
	struct request *request = call->request;
	struct credentials credentials = {.user = header_of(request, auth_user_header(auth)),
					  .secret = header_of(request, auth_secret_header(auth)),
					  .peer = request_peer(request)};
	credentials.authorization.value =
		request_authorization(request, &credentials.authorization.count);
	*token_given = credentials.authorization.count > 0;
	const enum status status = auth_identify(auth, &credentials, &call->identity, fault);
	call->reason = fault->why;
	return status;
}

static bool
was_forwarded(struct request *request)
{
	return request_header(request, "X-Forwarded-For").size > 0 ||
	       request_header(request, "Forwarded").size > 0;
}

/* Where no header is to be believed (rate.forwarded=none), somebody has thought of it. */
static void
warn_of_proxy(struct call *call)
{
	struct api *api = call->api;
	struct request *request = call->request;
	if (atomic_load_explicit(&api->warned_of_proxy, memory_order_relaxed) ||
	    call->limits->forwarded == FORWARDED_NONE || !request_peer_is_local(request) ||
	    trusted_contain(&api->trusted, request_peer(request)) || !was_forwarded(request) ||
	    atomic_exchange(&api->warned_of_proxy, true))
		return;
	log_warn("api", "a proxy on this machine is not in auth.trusted",
		 LOG_STR("problem",
			 api->auth ? "all of its clients count as one address, and where some of "
				     "them guess tokens the others get 429 in the place of 401: "
				     "set auth.trusted to what it comes from (127.0.0.1, ::1, unix)"
				   : "it lets others in, and with auth.mode=none each of them may "
				     "write every log: set auth.mode, and auth.trusted to what it "
				     "comes from (127.0.0.1, ::1, unix)"));
}

/* False: there were too many of them from this address, and it was answered. */
static bool
count_failure(struct call *call, bool counts)
{
	return !counts || pay_failure(call);
}

bool
admit(struct call *call)
{
	bool token_given = false;
	struct auth_fault fault;
	warn_of_proxy(call);
	if (!call->api->auth)
		return pay_request(call);
	switch (identify(call, &token_given, &fault)) {
	case STATUS_OK:
		break;
	case STATUS_UNAUTHENTICATED:
		if (count_failure(call, fault.counts))
			refuse_unknown(call, token_given);
		return false;
	case STATUS_FORBIDDEN:
		refuse_log(call);
		return false;
	case STATUS_STORAGE_UNAVAILABLE:
		if (!count_failure(call, fault.counts))
			return false;
		call_refuse(call, STATUS_STORAGE_UNAVAILABLE,
			    TEXT("The keys to check this token with are not there yet; send the "
				 "same again later."));
		return false;
	default:
		call_refuse(call, STATUS_INTERNAL, TEXT("memory is out"));
		return false;
	}
	if (!pay_request(call))
		return false;
	const struct text log = route_log(&call->route);
	if (log.size > 0 && identity_access(call->identity, log) == ACCESS_NONE) {
		refuse_log(call);
		return false;
	}
	return true;
}

bool
admit_batch(struct call *call, const struct batch *batch)
{
	const struct text device = identity_device(call->identity);
	const bool writes = batch->action_count > 0;
	if (writes && identity_access(call->identity, batch->log) != ACCESS_WRITE) {
		call_refuse(call, STATUS_FORBIDDEN,
			    TEXT("Who asks may only read this log: send an empty batch."));
		return false;
	}
	if (writes && device.data && batch->device.data && !text_equal(device, batch->device)) {
		call_refuse(call, STATUS_FORBIDDEN,
			    TEXT("The credentials are for another device than the batch's."));
		return false;
	}
	return pay_batch_before(call, batch);
}

/* An app must be able to sync whatever becomes of advice, so what is not taken is no refusal. */
bool
admit_state(struct call *call, const struct batch *batch)
{
	const struct text device = identity_device(call->identity);
	return batch->state.digest.data != NULL &&
	       identity_access(call->identity, batch->log) == ACCESS_WRITE &&
	       (device.data == NULL || text_equal(device, batch->device)) &&
	       store_has_room(call->api->store);
}

bool
admit_snapshot(struct call *call)
{
	if (identity_access(call->identity, route_log(&call->route)) == ACCESS_WRITE)
		return true;
	call_refuse(call, STATUS_FORBIDDEN, TEXT("Who asks may only read this log."));
	return false;
}

bool
admit_write(struct call *call, const struct batch *batch)
{
	return batch->action_count == 0 || admit_room(call);
}

bool
admit_room(struct call *call)
{
	const struct problem full = {
		.status = STATUS_STORAGE_UNAVAILABLE,
		.detail =
			TEXT("The server's disk is nearly full. Nothing was stored; send the same "
			     "again later. What is stored can be read."),
		.retry_after_msec = DISK_RETRY_MSEC};
	if (store_has_room(call->api->store))
		return true;
	call_problem(call, &full);
	return false;
}
