/*
 * POST …/sync (protocol, section 4.1).
 *
 *     begin_sync: the limits of its body, or BACKPRESSURE
 *     serve_sync: wire_read_sync ─▶ batch_verify ─▶ park ─▶ store_submit
 *     done (a writer) ─▶ resume ─▶ answer: the verdict's words, and what the client has missed
 */
#include "api/call.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/account.h"
#include "api/admit.h"
#include "api/page.h"
#include "api/pay.h"
#include "api/problem.h"
#include "api/receipts.h"
#include "api/wire.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"

#define ANSWER_SIZE (1024 + RECEIPTS_MEMBER_SIZE_MAX) /* without its results and its page */
#define RESULT_SIZE_MAX 96			      /* one of results or duplicates */
#define DETAIL_SIZE 256
#define BACKOFF_MSEC_MIN 100 /* what a full queue asks for at least */

struct sync {
	struct batch batch;
	struct job job;
	uint64_t *own; /* seqs after the base of this batch's duplicates: ascending, each once */
	size_t own_count;
};

/* --- refusals --- */

static void
refuse_body(struct call *call, const struct wire_fault *fault)
{
	char members[96] = "";
	int size = 0;
	if (fault->has_limit)
		size = snprintf(members, sizeof(members), "\"limit\":%zu", fault->limit);
	if (fault->has_index)
		size += snprintf(members + size, sizeof(members) - (size_t)size, "%s\"index\":%zu",
				 size > 0 ? "," : "", fault->index);
	const struct problem problem = {.status = fault->status,
					.detail = text_of(fault->detail),
					.members = {members, (size_t)size}};
	call_problem(call, &problem);
}

static void
refuse_chain(struct call *call, const struct batch *batch, const struct hash *actual)
{
	struct buffer members;
	buffer_init(&members, ANSWER_SIZE);
	buffer_append_text(&members, TEXT("\"expected\":"));
	wire_write_hash(&members, &batch->state_hash);
	buffer_append_text(&members, TEXT(",\"actual\":"));
	wire_write_hash(&members, actual);
	const struct problem problem = {
		.status = STATUS_CHAIN_BROKEN,
		.detail = TEXT(
			"The actions, chained from prevHash, do not end in stateHash: actual is "
			"what they give. The client's digests or links are computed wrongly, or "
			"the batch was changed on its way."),
		.members = {members.data, members.failed ? 0 : members.size}};
	call_problem(call, &problem);
	buffer_release(&members);
}

/* What to ask of the log's clients before they send more. */
static uint64_t
backoff_msec(const struct call *call)
{
	const uint64_t store = store_backoff_msec(call->api->store, &call->route.genesis);
	const uint64_t admission = admission_backoff_msec(&call->api->admission);
	return store > admission ? store : admission;
}

static void
refuse_busy(struct call *call)
{
	chain_genesis(route_log(&call->route), &call->route.genesis);
	const uint64_t backoff = backoff_msec(call);
	const struct problem problem = {
		.status = STATUS_BACKPRESSURE,
		.detail =
			TEXT("More writes wait than can be done soon. Nothing was stored; send the "
			     "same again later."),
		.retry_after_msec = backoff > BACKOFF_MSEC_MIN ? backoff : BACKOFF_MSEC_MIN};
	call_problem(call, &problem);
}

/* SERVER_BEHIND, HASH_MISMATCH. */
static void
refuse_base(struct call *call, const struct sync *sync)
{
	const struct verdict *verdict = &sync->job.verdict;
	char detail[DETAIL_SIZE];
	account_history(&sync->job);
	if (verdict->status == STATUS_SERVER_BEHIND)
		snprintf(detail, sizeof(detail),
			 "The base is seq %ju, and the log ends at %ju. Go back to the ancestor, "
			 "and send again what is after it.",
			 (uintmax_t)sync->batch.base.seq, (uintmax_t)verdict->head.position.seq);
	else
		snprintf(detail, sizeof(detail),
			 "The log has another link at seq %ju than prevHash. Go back to the "
			 "ancestor, pull what is after it, and send the rest again.",
			 (uintmax_t)sync->batch.base.seq);
	call_refuse_at(call, verdict->status, text_of(detail), &verdict->head.position,
		       &verdict->ancestor);
}

/* The refusals of one action in mode reject. */
static void
refuse_action(struct call *call, const struct sync *sync)
{
	const struct verdict *verdict = &sync->job.verdict;
	uint64_t added = sync->job.outcomes[verdict->index].detail;
	char members[96], detail[DETAIL_SIZE];
	int size = snprintf(members, sizeof(members), "\"index\":%zu", verdict->index);
	const char *name = verdict->status == STATUS_CLOCK_SKEW		       ? "aheadMs"
			   : verdict->status == STATUS_NON_MONOTONIC_TIMESTAMP ? "newest"
									       : NULL;
	if (name)
		size += snprintf(members + size, sizeof(members) - (size_t)size, ",\"%s\":%ju",
				 name, (uintmax_t)added);
	snprintf(detail, sizeof(detail),
		 "actions[%zu]: %s. Nothing of the batch was stored, as onConflict is reject.",
		 verdict->index, status_info(verdict->status)->title);
	const struct problem problem = {.status = verdict->status,
					.detail = text_of(detail),
					.members = {members, (size_t)size}};
	call_problem(call, &problem);
}

/* --- what the client has missed --- */

static void
write_bool(struct buffer *out, bool value)
{
	buffer_append_text(out, value ? TEXT("true") : TEXT("false"));
}

static int
compare_seqs(const void *a, const void *b)
{
	const uint64_t *left = a, *right = b;
	return (*left > *right) - (*left < *right);
}

/* The batch's duplicates after the base that are in the log before what it added itself. */
static void
collect_own(struct sync *sync, uint64_t upto)
{
	size_t count = 0, kept = 0;
	for (size_t i = 0; i < sync->batch.action_count; i++) {
		const struct outcome *outcome = &sync->job.outcomes[i];
		if (outcome->kind == OUTCOME_DUPLICATE && outcome->seq > sync->batch.base.seq &&
		    outcome->seq <= upto)
			sync->own[count++] = outcome->seq;
	}
	if (count > 1)
		qsort(sync->own, count, sizeof(sync->own[0]), compare_seqs);
	for (size_t i = 0; i < count; i++)
		if (kept == 0 || sync->own[kept - 1] != sync->own[i])
			sync->own[kept++] = sync->own[i];
	sync->own_count = kept;
}

/*
 * ,"missed":[…],"hasMore":… with the rows after the base up to upto, but the own ones. The batch is
 * stored or refused by now, whatever this read gives: when it fails the client is told to go on
 * with a replay, where the fault shows.
 */
static void
write_missed(struct call *call, struct sync *sync, uint64_t upto, struct buffer *out)
{
	const struct api_limits *limits = call->limits;
	const struct batch *batch = &sync->batch;
	uint64_t others = upto - batch->base.seq - sync->own_count;
	uint64_t pull = batch->pull < limits->page_actions ? batch->pull : limits->page_actions;
	struct page page = {.out = out,
			    .rows_max = pull < others ? pull : others,
			    .bytes_max = limits->page_bytes,
			    .own = sync->own,
			    .own_count = sync->own_count};
	enum status status = STATUS_OK;
	buffer_append_text(out, TEXT(",\"missed\":"));
	const size_t mark = out->size;
	if (page.rows_max > 0)
		status = page_read(call, batch->base.seq, upto, &page);
	if (status != STATUS_OK)
		log_limited(LOG_WARN, "api", "missed actions not read",
			    LOG_STR("code", status_info(status)->code),
			    LOG_TEXT("log", route_log(&call->route)), LOG_REQUEST(call->request));
	if (status != STATUS_OK || page.rows_max == 0) {
		out->size = mark;
		page.rows = 0;
		buffer_append_text(out, TEXT("[]"));
	}
	buffer_append_text(out, TEXT(",\"hasMore\":"));
	write_bool(out, status != STATUS_OK || others > page.rows);
}

static void
refuse_conflict(struct call *call, struct sync *sync)
{
	const struct verdict *verdict = &sync->job.verdict;
	const struct batch *batch = &sync->batch;
	struct buffer members;
	bool first = true;
	buffer_init(&members, ANSWER_SIZE + page_size_max(call->limits) +
				      batch->action_count * RESULT_SIZE_MAX);
	buffer_append_text(&members, TEXT("\"head\":"));
	wire_write_position(&members, &verdict->head.position);
	write_missed(call, sync, verdict->head.position.seq, &members);
	buffer_append_text(&members, TEXT(",\"duplicates\":["));
	for (size_t i = 0; i < batch->action_count; i++) {
		if (sync->job.outcomes[i].kind != OUTCOME_DUPLICATE)
			continue;
		buffer_append_text(&members, first ? TEXT("{\"index\":") : TEXT(",{\"index\":"));
		buffer_append_u64(&members, i);
		buffer_append_text(&members, TEXT(",\"seq\":"));
		buffer_append_u64(&members, sync->job.outcomes[i].seq);
		buffer_append_text(&members, TEXT("}"));
		first = false;
	}
	buffer_append_text(&members, TEXT("]"));
	struct problem problem = {
		.status = STATUS_CONFLICT,
		.detail = TEXT(
			"Others wrote to the log since the base, and onConflict is reject. Nothing "
			"of the batch was stored: apply missed and send again from there."),
		.members = {members.data, members.size}};
	if (members.failed)
		problem = (struct problem){.status = STATUS_INTERNAL,
					   .detail = TEXT("memory is out for a conflict's answer")};
	call_problem(call, &problem);
	buffer_release(&members);
}

/* --- success --- */

static void
write_result(struct buffer *out, const struct outcome *outcome)
{
	if (outcome->kind != OUTCOME_REFUSED) {
		buffer_append_text(out, TEXT("{\"seq\":"));
		buffer_append_u64(out, outcome->seq);
		if (outcome->kind == OUTCOME_DUPLICATE)
			buffer_append_text(out, TEXT(",\"duplicate\":true"));
		buffer_append_text(out, TEXT("}"));
		return;
	}
	buffer_append_text(out, TEXT("{\"refused\":\""));
	buffer_append_text(out, text_of(status_info(outcome->refusal)->code));
	buffer_append_text(out, TEXT("\""));
	if (outcome->refusal == STATUS_CLOCK_SKEW)
		buffer_append_text(out, TEXT(",\"aheadMs\":"));
	else if (outcome->refusal == STATUS_NON_MONOTONIC_TIMESTAMP)
		buffer_append_text(out, TEXT(",\"newest\":"));
	if (outcome->refusal != STATUS_TIMESTAMP_TAKEN)
		buffer_append_u64(out, outcome->detail);
	buffer_append_text(out, TEXT("}"));
}

static void
write_results(struct buffer *out, const struct sync *sync)
{
	buffer_append_text(out, TEXT(",\"results\":["));
	for (size_t i = 0; i < sync->batch.action_count; i++) {
		if (i > 0)
			buffer_append_text(out, TEXT(","));
		write_result(out, &sync->job.outcomes[i]);
	}
	buffer_append_text(out, TEXT("]"));
}

/* The time, and a receipt that says the same when the client asked for one. */
static void
write_time(struct buffer *out, const struct call *call, const struct sync *sync)
{
	const struct receipt receipt = {.log = sync->batch.log,
					.position = sync->job.verdict.head.position,
					.msec = clock_server_msec()};
	buffer_append_text(out, TEXT(",\"serverTimestamp\":"));
	buffer_append_u64(out, receipt.msec);
	if (sync->batch.receipt && call->limits->signers->count > 0)
		receipts_write(out, &receipt, call->limits->signers);
}

static void
answer_success(struct call *call, struct sync *sync)
{
	const struct verdict *verdict = &sync->job.verdict;
	const struct position *head = &verdict->head.position;
	struct buffer out;
	account_actions(call, &sync->job);
	buffer_init(&out, verdict->fast_forward
				  ? ANSWER_SIZE
				  : ANSWER_SIZE + page_size_max(call->limits) +
					    sync->batch.action_count * RESULT_SIZE_MAX);
	buffer_append_text(&out, TEXT("{\"seq\":"));
	buffer_append_u64(&out, head->seq);
	buffer_append_text(&out, TEXT(",\"stateHash\":"));
	wire_write_hash(&out, &head->link);
	write_time(&out, call, sync);
	buffer_append_text(&out, TEXT(",\"applied\":"));
	buffer_append_u64(&out, verdict->applied);
	buffer_append_text(&out, TEXT(",\"duplicates\":"));
	buffer_append_u64(&out, verdict->duplicates);
	buffer_append_text(&out, TEXT(",\"refused\":"));
	buffer_append_u64(&out, verdict->refused);
	buffer_append_text(&out, TEXT(",\"fastForward\":"));
	write_bool(&out, verdict->fast_forward);
	if (!verdict->fast_forward) {
		/* What this batch added is the end of the log: missed is before it. */
		uint64_t upto = verdict->applied > 0 ? verdict->first_seq - 1 : head->seq;
		collect_own(sync, upto);
		write_results(&out, sync);
		write_missed(call, sync, upto, &out);
	}
	buffer_append_text(&out, TEXT(",\"backoffMs\":"));
	buffer_append_u64(&out, backoff_msec(call));
	wire_write_drift(&out, sync->batch.state.seq, &sync->job.drift);
	buffer_append_text(&out, TEXT("}"));
	call_answer(call, &out);
}

static void
answer_status(struct call *call, struct sync *sync, enum status status)
{
	switch (status) {
	case STATUS_OK:
		answer_success(call, sync);
		break;
	case STATUS_BACKPRESSURE:
		refuse_busy(call);
		break;
	case STATUS_SERVER_BEHIND:
	case STATUS_HASH_MISMATCH:
		refuse_base(call, sync);
		break;
	case STATUS_CONFLICT:
		refuse_conflict(call, sync);
		break;
	case STATUS_TIMESTAMP_TAKEN:
	case STATUS_CLOCK_SKEW:
	case STATUS_NON_MONOTONIC_TIMESTAMP:
		refuse_action(call, sync);
		break;
	case STATUS_QUOTA_EXCEEDED:
		call_refuse_quota(call, &sync->job.verdict);
		break;
	case STATUS_ERASED:
	case STATUS_PRUNED:
		call_refuse_gone(call, &sync->job.verdict.head);
		break;
	case STATUS_LOG_DAMAGED:
		call_refuse_at(call, status,
			       TEXT("What is stored after head does not verify. Nothing is added."),
			       &sync->job.verdict.head.position, NULL);
		break;
	default:
		call_refuse(call, status,
			    status == STATUS_STORAGE_UNAVAILABLE
				    ? TEXT("The outcome is unknown: the batch may be stored or "
					   "not. Send the same again later.")
				    : TEXT(""));
	}
}

static void
answer(void *cookie, struct request *request)
{
	(void)cookie;
	struct call *call = call_of(request);
	struct sync *sync = call->work;
	const struct job *job = &sync->job;
	const enum status status = job->status != STATUS_OK ? job->status : job->verdict.status;
	call->phases.taken_usec = job->taken_usec;
	call->phases.done_usec = job->done_usec;
	FAIL_POINT(BEFORE_ANSWER);
	pay_batch_after(call, &sync->batch, status, &job->verdict);
	answer_status(call, sync, status);
	FAIL_POINT(AFTER_ANSWER);
	/* One that the queue had no room for was fast and says nothing. */
	if (status != STATUS_BACKPRESSURE)
		admission_record(&call->api->admission, call->phases.began_usec,
				 request_answered_usec(request));
	call_leave_sync(call);
}

/* On a shard's writer. */
static void
done(struct job *job)
{
	if (job->more)
		request_resume_soon(job->cookie, answer);
	else
		request_resume(job->cookie, answer);
}

static void
submit(struct call *call, struct sync *sync)
{
	struct store *store = call->api->store;
	struct request *request = call->request;
	sync->job.batch = &sync->batch;
	sync->job.writer = identity_subject(call->identity);
	sync->job.origin = request_origin(request);
	sync->job.own_log = identity_own_log(call->identity);
	sync->job.counts = identity_counts(call->identity, sync->batch.log);
	sync->job.done = done;
	sync->job.cookie = request;
	sync->job.submitted_usec = call->phases.submitted_usec = clock_monotonic_usec();
	admission_enter(&call->api->admission);
	call->under_way = true;
	/* Parked before the store hears of it; when the store took it, done may have been called
	 * and the request be over by now. */
	request_park(request);
	FAIL_POINT(BEFORE_SUBMIT);
	const enum status status = store_submit(store, &sync->job);
	FAIL_POINT(AFTER_SUBMIT);
	if (status == STATUS_OK)
		return;
	sync->job.status = status;
	request_resume(request, answer);
}

/* Where as many are under way as can be done in time, the body is not even read. */
void
begin_sync(struct call *call)
{
	if (admission_is_full(&call->api->admission)) {
		refuse_busy(call);
		return;
	}
	request_expect_body(call->request, call->limits->body_bytes);
	request_expect_memory(call->request, api_arena_bytes(call->limits));
}

void
serve_sync(struct call *call)
{
	/* Others may have come while the body did. */
	if (admission_is_full(&call->api->admission)) {
		refuse_busy(call);
		return;
	}
	struct arena *arena = request_arena(call->request);
	const struct wire_limits limits = {.payload_bytes = call->limits->payload_bytes,
					   .batch_actions = call->limits->batch_actions};
	struct wire_fault fault;
	struct hash actual;
	size_t size;
	char *body = request_body(call->request, &size);
	struct sync *sync = arena_alloc(arena, sizeof(*sync));
	if (!sync) {
		call_refuse(call, STATUS_INTERNAL, TEXT("memory is out"));
		return;
	}
	call->work = sync;
	sync->job = (struct job){0};
	sync->own_count = 0;
	FAIL_POINT(BEFORE_DECODE);
	if (wire_read_sync(body, size, route_log(&call->route), &limits, arena, &sync->batch,
			   &fault) != STATUS_OK) {
		refuse_body(call, &fault);
		return;
	}
	call->route.genesis = sync->batch.genesis;
	if (!admit_batch(call, &sync->batch))
		return;
	if (batch_verify(&sync->batch, &actual) != STATUS_OK) {
		pay_batch_after(call, &sync->batch, STATUS_CHAIN_BROKEN, NULL);
		refuse_chain(call, &sync->batch, &actual);
		return;
	}
	FAIL_POINT(AFTER_DECODE);
	if (!admit_write(call, &sync->batch))
		return;
	if (!admit_state(call, &sync->batch))
		sync->batch.state.digest.data = NULL;
	/* All memory that the answer needs besides its text: after the commit it is too late to
	 * fail. */
	size_t count = sync->batch.action_count;
	sync->job.outcomes = arena_calloc(arena, count, sizeof(*sync->job.outcomes));
	sync->own = arena_alloc(arena, count * sizeof(*sync->own));
	if (!sync->job.outcomes || !sync->own) {
		call_refuse(call, STATUS_INTERNAL, TEXT("memory is out"));
		return;
	}
	submit(call, sync);
}
