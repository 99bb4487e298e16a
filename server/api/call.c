#include "api/call.h"

#include <stddef.h>
#include <string.h>

#include "api/problem.h"
#include "api/wire.h"
#include "base/clock.h"

#define POSITIONS_SIZE 1024 /* two positions as members */

struct call *
call_of(const struct request *request)
{
	return request_state(request);
}

void
call_leave(struct call *call)
{
	if (call->under_way)
		admission_leave(&call->api->admission);
	call->under_way = false;
}

void
call_answer(struct call *call, struct buffer *body)
{
	request_add_header(call->request, "Cache-Control", TEXT("no-store"));
	request_answer(call->request, 200, "application/json", body);
	buffer_release(body);
}

void
call_refuse(struct call *call, enum status status, struct text detail)
{
	const struct problem problem = {.status = status, .detail = detail};
	problem_answer(call->request, &problem);
}

void
call_refuse_at(struct call *call, enum status status, struct text detail,
	       const struct position *head, const struct position *ancestor)
{
	struct buffer members;
	buffer_init(&members, POSITIONS_SIZE);
	buffer_append_text(&members, TEXT("\"head\":"));
	wire_write_position(&members, head);
	if (ancestor) {
		buffer_append_text(&members, TEXT(",\"ancestor\":"));
		wire_write_position(&members, ancestor);
	}
	struct problem problem = {.status = status, .detail = detail};
	if (members.failed)
		problem = (struct problem){.status = STATUS_INTERNAL,
					   .detail = TEXT("memory is out")};
	else
		problem.members = (struct text){members.data, members.size};
	problem_answer(call->request, &problem);
	buffer_release(&members);
}

bool
call_wait_is_over(struct call *call)
{
	if (call->route.wait_sec == 0 || call->wait_over || request_is_draining(call->request))
		return true;
	uint64_t now = clock_monotonic_msec();
	if (call->deadline_msec == 0)
		call->deadline_msec = now + call->route.wait_sec * 1000;
	return now >= call->deadline_msec;
}

static void
wake(struct waiter *waiter)
{
	struct call *call = (struct call *)((char *)waiter - offsetof(struct call, waiter));
	request_resume(call->request, call->next);
}

static void
refuse_waiter(void *cookie, struct request *request)
{
	(void)cookie;
	call_refuse(call_of(request), STATUS_BACKPRESSURE,
		    TEXT("As many requests as may wait are waiting; ask again later, or without "
			 "wait."));
}

void
call_wait(struct call *call, const struct position *seen, call_next *next)
{
	/* Once added, the request may go on in another thread and be over: nothing of it may be
	 * touched, so what is needed afterwards is copied. */
	struct api *api = call->api;
	struct request *request = call->request;
	const struct hash genesis = call->route.genesis;
	const uint64_t seen_seq = seen->seq;
	char name[LOG_NAME_SIZE_MAX];
	const struct text log = {name, call->route.log_size};
	struct head head;
	memcpy(name, call->route.log_name, sizeof(name));

	call->next = next;
	call->waiter.genesis = genesis;
	call->waiter.deadline_msec = call->deadline_msec;
	call->waiter.wake = wake;
	request_park(request);
	switch (waiters_add(api->waiters, &call->waiter)) {
	case WAITERS_FULL:
		request_resume(request, refuse_waiter);
		return;
	case WAITERS_CLOSED:
		call->wait_over = true;
		request_resume(request, next);
		return;
	case WAITERS_ADDED:
		break;
	}
	/* A commit between the first look and the adding woke nobody. */
	if (store_head(api->store, log, &genesis, &head) != STATUS_OK ||
	    head.position.seq != seen_seq)
		waiters_wake(api->waiters, &genesis);
}

void
write_server_timestamp(struct buffer *out)
{
	buffer_append_text(out, TEXT(",\"serverTimestamp\":"));
	buffer_append_u64(out, clock_server_msec());
}
