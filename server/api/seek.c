#include "api/seek.h"

#include "api/call.h"
#include "api/pay.h"
#include "api/problem.h"

#define STEP_ROWS 2000 /* looked through before others have their turn */

struct seek {
	uint64_t from; /* where the next step begins */
	seek_done *done;
	struct holder *holder; /* of its place, once it has one */
	bool entered;
};

static void
leave(struct call *call)
{
	struct seek *seek = call->seek;
	if (seek->entered)
		places_leave(call->api->seeks, seek->holder);
	seek->entered = false;
}

/* What one step finds needs no place. False: the request was refused. */
static bool
enter(struct call *call)
{
	struct seek *seek = call->seek;
	const struct problem too_many = {
		.status = STATUS_RATE_LIMITED,
		.detail = TEXT("A long log is searched for a link by this subject already; ask "
			       "again when that is done, or say at which seq the link is.")};
	if (seek->entered)
		return true;
	switch (places_enter(call->api->seeks, identity_subject(call->identity), &seek->holder)) {
	case PLACES_GIVEN:
		seek->entered = true;
		call->leave = leave;
		return true;
	case PLACES_TAKEN:
		call_refuse(call, STATUS_BACKPRESSURE,
			    TEXT("As many long logs as may be are searched for a link; ask again "
				 "later, or say at which seq the link is."));
		return false;
	case PLACES_TOO_MANY:
		break;
	}
	call_problem(call, &too_many);
	return false;
}

/* A link costs what it would if it were sent. */
static void
step(void *cookie, struct request *request)
{
	(void)cookie;
	struct call *call = call_of(request);
	struct seek *seek = call->seek;
	const struct route *route = &call->route;
	const uint64_t rows = seek->from - route->after;
	bool found = false;
	uint64_t seq = 0;
	const enum status status = store_seek(call->api->store, route_log(route), &route->genesis,
					      &route->until.position.link, seek->from,
					      rows < STEP_ROWS ? rows : STEP_ROWS, &found, &seq);
	if (status == STATUS_OK)
		pay_bytes(call, (seek->from - seq + found) * sizeof(struct hash));
	if (status == STATUS_OK && !found && seq > route->after && seq < seek->from) {
		if (!enter(call))
			return;
		seek->from = seq;
		request_park(request);
		request_resume(request, step);
		return;
	}
	leave(call);
	seek->done(call, status, found, seq);
}

void
seek_link(struct call *call, uint64_t from, seek_done *done)
{
	call->seek = arena_calloc(request_arena(call->request), 1, sizeof(*call->seek));
	if (!call->seek) {
		call_refuse(call, STATUS_INTERNAL, TEXT("memory is out"));
		return;
	}
	call->seek->from = from;
	call->seek->done = done;
	step(call->api, call->request);
}
