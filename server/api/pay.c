#include "api/pay.h"

#include "api/asker.h"
#include "api/call.h"
#include "api/problem.h"
#include "base/clock.h"

#define HEADER_SIZE 256

/* --- what is told --- */

static void
set_header(struct call *call, const char *name, const struct buffer *value)
{
	if (!value->failed)
		request_set_header(call->request, name, (struct text){value->data, value->size});
}

static void
tell_state(struct call *call, uint64_t now_usec)
{
	struct buffer state;
	buffer_init(&state, HEADER_SIZE);
	rate_write_state(&call->payer, now_usec, &state);
	set_header(call, "RateLimit", &state);
	buffer_release(&state);
}

static void
refuse(struct call *call, const struct rate_refusal *refusal, struct text detail)
{
	struct asker asker;
	asker_find(&asker, call->request, call);
	const struct problem problem = {.status = STATUS_RATE_LIMITED,
					.detail = detail,
					.asker = &asker,
					.retry_after_msec = refusal->wait_msec};
	problem_answer(call->request, &problem);
}

static void
refuse_payer(struct call *call, const struct rate_refusal *refusal)
{
	struct buffer state;
	buffer_init(&state, HEADER_SIZE);
	rate_write_refusal(refusal, &state);
	set_header(call, "RateLimit", &state);
	buffer_release(&state);
	refuse(call, refusal, rate_detail(refusal->kind));
}

/* --- who pays --- */

static struct text
text_of_client(const struct address_name *client)
{
	return (struct text){(const char *)client->bytes, sizeof(client->bytes)};
}

static struct rate_payer
find_payer(struct call *call)
{
	const struct api *api = call->api;
	struct address_name client;
	if (call->identity)
		return rate_payer_of(api->rate, call->policy, identity_subject(call->identity));
	if (!trusted_contain(&api->trusted, request_peer(call->request)) ||
	    !asker_client(call, &client))
		return (struct rate_payer){.rate = NULL};
	return rate_payer_of(api->rate, call->policy, text_of_client(&client));
}

/* --- what is paid --- */

bool
pay_request(struct call *call)
{
	struct rate_refusal refusal;
	call->payer = find_payer(call);
	if (!call->payer.rate)
		return true;
	const uint64_t now_usec = clock_monotonic_usec();
	const bool is_sync = call->route.target == ROUTE_SYNC;
	request_set_header(call->request, "RateLimit-Policy", text_of(call->policy->text));
	if (!rate_admit(&call->payer, is_sync, now_usec, &refusal)) {
		refuse_payer(call, &refusal);
		return false;
	}
	tell_state(call, now_usec);
	return true;
}

bool
pay_failure(struct call *call)
{
	struct rate_refusal refusal;
	struct address_name client;
	if (!asker_client(call, &client) ||
	    rate_fail(call->api->rate, call->policy, text_of_client(&client),
		      clock_monotonic_usec(), &refusal))
		return true;
	refuse(call, &refusal,
	       TEXT("Too many requests without good credentials came from this address."));
	return false;
}

static const struct hash *
state_of(const struct batch *batch)
{
	return batch->action_count > 0 ? &batch->state_hash : NULL;
}

bool
pay_batch_before(struct call *call, const struct batch *batch)
{
	struct rate_refusal refusal;
	if (!call->payer.rate ||
	    rate_admit_batch(&call->payer, state_of(batch), clock_monotonic_usec(), &refusal))
		return true;
	refuse_payer(call, &refusal);
	return false;
}

void
pay_batch_after(struct call *call, const struct batch *batch, enum status status,
		const struct verdict *verdict)
{
	struct rate_batch paid = {.others = batch->action_count};
	if (!call->payer.rate || status_info(status)->http >= 500 || status == STATUS_BACKPRESSURE)
		return;
	if (status == STATUS_OK) {
		paid.state = state_of(batch);
		paid.applied = verdict->applied;
		paid.others = verdict->duplicates + verdict->refused;
	}
	rate_charge_batch(&call->payer, &paid, clock_monotonic_usec());
}

void
pay_answer(struct call *call, uint64_t bytes)
{
	struct rate_refusal refusal;
	if (!call->payer.rate)
		return;
	const uint64_t now_usec = clock_monotonic_usec();
	(void)rate_charge_bytes(&call->payer, bytes, now_usec, &refusal);
	tell_state(call, now_usec);
}

void
pay_bytes(struct call *call, uint64_t bytes)
{
	struct rate_refusal refusal;
	if (call->payer.rate)
		(void)rate_charge_bytes(&call->payer, bytes, clock_monotonic_usec(), &refusal);
}

bool
pay_piece(struct call *call, uint64_t bytes, uint64_t *wait_msec)
{
	struct rate_refusal refusal;
	if (!call->payer.rate ||
	    rate_charge_bytes(&call->payer, bytes, clock_monotonic_usec(), &refusal))
		return true;
	*wait_msec = refusal.wait_msec;
	return false;
}
