#include "api/call.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "api/asker.h"
#include "api/pay.h"
#include "api/problem.h"
#include "api/receipts.h"
#include "api/wire.h"
#include "base/clock.h"

#define POSITIONS_SIZE 1024 /* two positions as members */
#define PLACE_RETRY_MSEC 5000
#define MEMBERS_SIZE 96 /* a quota as members, or where a log begins */
#define DETAIL_SIZE 256

struct call *
call_of(const struct request *request)
{
	return request_state(request);
}

void
call_leave_sync(struct call *call)
{
	if (call->under_way)
		admission_leave(&call->api->admission);
	call->under_way = false;
}

void
call_end(struct call *call)
{
	call_leave_sync(call);
	if (call->leave)
		call->leave(call);
	if (call->entered)
		places_leave(call->api->places, call->holder);
}

void
call_answer(struct call *call, struct buffer *body)
{
	pay_answer(call, body->size);
	request_add_header(call->request, "Cache-Control", TEXT("no-store"));
	request_answer(call->request, 200, "application/json", body);
	buffer_release(body);
}

void
call_problem(struct call *call, const struct problem *problem)
{
	struct buffer body;
	struct asker asker;
	struct problem told = *problem;
	asker_find(&asker, call->request, call);
	told.asker = &asker;
	problem_prepare(call->request, &told, &body);
	pay_answer(call, body.size);
	problem_give(call->request, &told, &body);
}

void
call_refuse(struct call *call, enum status status, struct text detail)
{
	const struct problem problem = {.status = status, .detail = detail};
	call_problem(call, &problem);
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
	call_problem(call, &problem);
	buffer_release(&members);
}

enum status
call_look(struct call *call, struct head *head)
{
	struct api *api = call->api;
	call->commits = waiters_commits(api->waiters);
	return store_head(api->store, route_log(&call->route), &call->route.genesis, head);
}

bool
call_read_head(struct call *call, struct head *head)
{
	switch (call_look(call, head)) {
	case STATUS_OK:
		if (head->gone.erased_at > 0)
			call_refuse_gone(call, head);
		return head->gone.erased_at == 0;
	case STATUS_LOG_DAMAGED:
		call_refuse_at(call, STATUS_LOG_DAMAGED,
			       TEXT("What is stored of this log does not verify after head. Reads "
				    "up to it "
				    "still work."),
			       &head->position, NULL);
		return false;
	default:
		call_refuse(call, STATUS_STORAGE_UNAVAILABLE,
			    TEXT("The log cannot be read now; ask again later."));
		return false;
	}
}

void
call_refuse_quota(struct call *call, const struct verdict *verdict)
{
	static const struct {
		const char *name, *may, *what;
	} quotas[] = {
		[QUOTA_LOG_ACTIONS] = {"logActions", "A log may have", "actions"},
		[QUOTA_LOG_BYTES] = {"logBytes", "The actions of a log may have", "bytes"},
		[QUOTA_SUBJECT_LOGS] = {"subjectLogs", "Who asks may begin",
					"logs besides the own one"},
	};
	char members[MEMBERS_SIZE], detail[DETAIL_SIZE];
	const int size = snprintf(members, sizeof(members), "\"quota\":\"%s\",\"limit\":%ju",
				  quotas[verdict->quota].name, (uintmax_t)verdict->limit);
	snprintf(detail, sizeof(detail),
		 "%s %ju %s, which only the operator can change. Nothing of the batch was stored: "
		 "keep it. What is stored can be read.",
		 quotas[verdict->quota].may, (uintmax_t)verdict->limit,
		 quotas[verdict->quota].what);
	const struct problem problem = {.status = STATUS_QUOTA_EXCEEDED,
					.detail = text_of(detail),
					.members = {members, (size_t)size}};
	call_problem(call, &problem);
}

static void
refuse_erased(struct call *call, const struct head *head)
{
	const struct receipt tombstone = {.kind = RECEIPT_ERASED,
					  .log = route_log(&call->route),
					  .position = head->position,
					  .msec = head->gone.erased_at};
	struct buffer members;
	buffer_init(&members, RECEIPTS_MEMBER_SIZE_MAX);
	receipts_write_tombstone(&members, &tombstone, call->limits->signers);
	const struct problem problem = {
		.status = STATUS_ERASED,
		.detail = TEXT("All content of this log was erased on the operator's word. Nothing "
			       "is taken for it, and no phone can bring it back."),
		.members = {members.data, members.failed ? 0 : members.size}};
	call_problem(call, &problem);
	buffer_release(&members);
}

void
call_refuse_gone(struct call *call, const struct head *head)
{
	char detail[DETAIL_SIZE], members[MEMBERS_SIZE];
	if (head->gone.erased_at > 0) {
		refuse_erased(call, head);
		return;
	}
	const uint64_t from = head->gone.pruned + 1;
	const int size = snprintf(members, sizeof(members), "\"from\":%ju", (uintmax_t)from);
	(void)snprintf(
		detail, sizeof(detail),
		"Actions before seq %ju have been pruned. Start from a snapshot at seq %ju or "
		"later, keep what is not sent yet, and go on from there.",
		(uintmax_t)from, (uintmax_t)head->gone.pruned);
	const struct problem problem = {.status = STATUS_PRUNED,
					.detail = text_of(detail),
					.members = {members, (size_t)size}};
	call_problem(call, &problem);
}

bool
limits_let_wait(const struct api_limits *limits)
{
	/* Where nobody says who he is, a subject's bound is nobody's. */
	return limits->waiters > 0 &&
	       (limits->subject_waiters > 0 || strcmp(limits->auth_mode, "none") == 0);
}

bool
call_wait_is_over(struct call *call)
{
	if (call->route.wait_sec == 0 || call->wait_over || !request_may_wait(call->request))
		return true;
	uint64_t now = clock_monotonic_msec();
	if (call->deadline_msec == 0)
		call->deadline_msec = now + call->route.wait_sec * 1000;
	return now >= call->deadline_msec;
}

bool
call_enter(struct call *call)
{
	const struct problem too_many = {
		.status = STATUS_RATE_LIMITED,
		.detail = TEXT("This subject has as many requests waiting and event streams as one "
			       "may have; ask again when one of them has ended, or without "
			       "waiting."),
		.retry_after_msec = PLACE_RETRY_MSEC};
	if (call->entered)
		return true;
	switch (places_enter(call->api->places, identity_subject(call->identity), &call->holder)) {
	case PLACES_GIVEN:
		call->entered = true;
		return true;
	case PLACES_TAKEN:
		call_refuse(call, STATUS_BACKPRESSURE,
			    TEXT("As many requests as may wait are waiting; ask again later, or "
				 "without waiting."));
		return false;
	case PLACES_TOO_MANY:
		break;
	}
	call_problem(call, &too_many);
	return false;
}

/* The time that it waited was asked for. */
static void
go_on(void *cookie, struct request *request)
{
	struct call *call = call_of(request);
	call->phases.began_usec = clock_monotonic_usec();
	call->next(cookie, request);
}

static void
wake(struct waiter *waiter, bool more)
{
	struct call *call = (struct call *)((char *)waiter - offsetof(struct call, waiter));
	call_next *next = call->next ? go_on : NULL;
	if (more)
		request_resume_soon(call->request, next);
	else
		request_resume(call->request, next);
}

void
call_park(struct call *call, const struct position *seen, uint64_t deadline_msec, call_next *next)
{
	struct waiters *waiters = call->api->waiters;
	struct head head;
	call->next = next;
	call->waiter.genesis = call->route.genesis;
	call->waiter.deadline_msec = deadline_msec;
	call->waiter.wake = wake;
	if (next)
		request_park_long(call->request);
	else
		request_park(call->request);
	if (waiters_add(waiters, &call->waiter) != WAITERS_ADDED) {
		call->wait_over = true;
		request_resume(call->request, next);
		return;
	}
	/* Resumed by now or not, the request goes on after this, on this thread. A commit between
	 * the first look and the adding woke nobody. */
	if (waiters_commits(waiters) != call->commits &&
	    (call_look(call, &head) != STATUS_OK || head.position.seq != seen->seq ||
	     head.gone.erased_at > 0))
		waiters_cancel(waiters, &call->waiter);
}

void
call_wait(struct call *call, const struct position *seen, call_next *next)
{
	if (call_enter(call))
		call_park(call, seen, call->deadline_msec, next);
}

void
call_cancel(struct call *call)
{
	if (call->entered)
		waiters_cancel(call->api->waiters, &call->waiter);
}

void
write_server_timestamp(struct buffer *out)
{
	buffer_append_text(out, TEXT(",\"serverTimestamp\":"));
	buffer_append_u64(out, clock_server_msec());
}

void
write_head(struct buffer *out, const struct position *head)
{
	buffer_append_text(out, TEXT("{\"seq\":"));
	buffer_append_u64(out, head->seq);
	buffer_append_text(out, TEXT(",\"stateHash\":"));
	wire_write_hash(out, &head->link);
	write_server_timestamp(out);
	buffer_append_text(out, TEXT("}"));
}
