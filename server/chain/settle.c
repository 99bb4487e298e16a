#include "chain/settle.h"

#include "base/check.h"
#include "chain/stamps.h"

#define AHEAD_MSEC 300000 /* five minutes: beyond that an applied action counts as ahead */
#define ROWS_MIN 16

/* One call of settle: its arguments, to hand on. */
struct job {
	struct settle_log *log;
	const struct batch *batch;
	const struct facts *facts;
	const struct clock_policy *clock;
	uint64_t now_msec;
	struct verdict *verdict;
	struct outcome *outcomes;
};

void
settle_log_init(struct settle_log *log, const struct head *head, struct arena *group)
{
	*log = (struct settle_log){.before = *head, .head = *head, .arena = group};
}

/* Step 3: whether the log has this position. fact is the link that was stored there before the
 * group. */
static bool
log_has(const struct job *job, const struct position *position, const struct hash *fact)
{
	const struct settle_log *log = job->log;
	uint64_t before = log->before.position.seq;
	const struct hash *link = fact;

	if (position->seq > log->head.position.seq)
		return false;
	if (position->seq == 0)
		link = &job->batch->genesis;
	else if (position->seq > before)
		link = &log->rows[position->seq - before - 1].outcome->link;
	return link != NULL && hash_equal(link, &position->link);
}

/* The base is known not to be in the log. Locators need not come in any order. */
static struct position
find_ancestor(const struct job *job)
{
	const struct batch *batch = job->batch;
	struct position ancestor = {.seq = 0, .link = batch->genesis};

	CHECK(batch->locator_count <= LOCATOR_PAIRS_MAX);
	for (size_t i = 0; i < batch->locator_count; i++)
		if (batch->locator[i].seq > ancestor.seq &&
		    log_has(job, &batch->locator[i], job->facts->links[1 + i]))
			ancestor = batch->locator[i];
	return ancestor;
}

static struct device_facts *
device_of(const struct job *job, size_t i)
{
	return job->facts->devices[job->batch->actions[i].device];
}

/*
 * Step 4: what the log keeps under the action's device and stamp. The device's newest moves as the
 * group goes on: a stamp up to the newest from before the group is in the facts, one up to the
 * newest of now only among the group's rows, and a later one nowhere.
 */
static enum status
look_up(const struct job *job, size_t i, struct taken *taken)
{
	const struct action *action = &job->batch->actions[i].action;
	const struct settled_row *row;
	enum status status;

	*taken = (struct taken){.found = false};
	if (action->ts > device_of(job, i)->newest)
		return STATUS_OK;
	if (job->facts->taken[i].found) {
		*taken = job->facts->taken[i];
		return STATUS_OK;
	}
	status = stamps_find(job->log, action, &row);
	if (status != STATUS_OK || row == NULL)
		return status;
	*taken = (struct taken){
		.found = true, .seq = row->outcome->seq, .digest = row->action->digest};
	return STATUS_OK;
}

static bool
is_ahead_by_more_than(const struct job *job, uint64_t ts, uint64_t msec)
{
	return ts > job->now_msec && ts - job->now_msec > msec;
}

/* The strict policies, for a stamp that is free. A newest stamp that would be refused now came under a
 * clock that was ahead, or without the policy: no stamp of today is after it, and one must get in. */
static enum status
judge_clock(const struct job *job, size_t i, uint64_t *detail)
{
	uint64_t ts = job->batch->actions[i].action.ts;
	uint64_t newest = device_of(job, i)->newest;
	uint64_t max_skew_msec = job->clock->max_skew_msec;

	if (max_skew_msec > 0 && is_ahead_by_more_than(job, ts, max_skew_msec)) {
		*detail = ts - job->now_msec;
		return STATUS_CLOCK_SKEW;
	}
	const bool counts =
		max_skew_msec == 0 || !is_ahead_by_more_than(job, newest, max_skew_msec);
	if (job->clock->monotonic && counts && ts <= newest) {
		*detail = newest;
		return STATUS_NON_MONOTONIC_TIMESTAMP;
	}
	return STATUS_OK;
}

/* Whether the action would be one too many for the log. The verdict then says so of the whole batch: what
 * is behind it may rest on it, and the client keeps them together. */
static bool
exceeds_quota(const struct job *job, size_t i)
{
	const struct quota *quota = &job->facts->quota;
	const struct head *head = &job->log->head;
	const uint64_t seq = head->position.seq, cleared = head->gone.cleared;
	const uint64_t actions = seq > cleared ? seq - cleared : 0;
	const uint64_t bytes = head->bytes + action_size(&job->batch->actions[i].action);
	const struct {
		bool exceeded;
		uint64_t limit;
	} kinds[] = {
		[QUOTA_LOG_ACTIONS] = {actions >= quota->log_actions, quota->log_actions},
		[QUOTA_LOG_BYTES] = {bytes > quota->log_bytes, quota->log_bytes},
		[QUOTA_SUBJECT_LOGS] = {seq == 0, quota->subject_logs},
	};
	for (unsigned kind = QUOTA_LOG_ACTIONS; kind <= QUOTA_SUBJECT_LOGS; kind++) {
		if (kinds[kind].limit == 0 || !kinds[kind].exceeded)
			continue;
		job->verdict->status = STATUS_QUOTA_EXCEEDED;
		job->verdict->quota = (enum quota_kind)kind;
		job->verdict->limit = kinds[kind].limit;
		return true;
	}
	return false;
}

static enum status
make_room_for_row(struct settle_log *log, size_t expected)
{
	size_t capacity = log->row_capacity == 0 ? ROWS_MIN : 2 * log->row_capacity;
	struct settled_row *rows;

	if (log->row_count < log->row_capacity)
		return STATUS_OK;
	while (capacity < log->row_count + expected)
		capacity *= 2;
	rows = arena_calloc(log->arena, capacity, sizeof(*rows));
	if (rows == NULL)
		return STATUS_INTERNAL;
	for (size_t i = 0; i < log->row_count; i++)
		rows[i] = log->rows[i];
	log->rows = rows;
	log->row_capacity = capacity;
	return STATUS_OK;
}

static enum status
apply(const struct job *job, size_t i)
{
	const struct batch_action *action = &job->batch->actions[i];
	struct device_facts *device = device_of(job, i);
	struct outcome *outcome = &job->outcomes[i];
	struct settle_log *log = job->log;
	struct position *head = &log->head.position;
	enum status status = make_room_for_row(log, job->batch->action_count - i);

	if (status != STATUS_OK)
		return status;
	chain_link(&head->link, &action->digest, &head->link);
	head->seq++;
	log->head.bytes += action_size(&action->action);
	outcome->kind = OUTCOME_APPLIED;
	outcome->seq = head->seq;
	outcome->link = head->link;
	log->rows[log->row_count++] = (struct settled_row){.action = action, .outcome = outcome};

	if (job->verdict->applied == 0)
		job->verdict->first_seq = head->seq;
	job->verdict->applied++;
	if (is_ahead_by_more_than(job, action->action.ts, AHEAD_MSEC))
		job->verdict->ahead++;
	if (action->action.ts <= device->newest)
		job->verdict->late++;
	else
		device->newest = action->action.ts;
	return STATUS_OK;
}

/* The verdict's status tells that this action decided: with reject, or as the log is full. */
static enum status
settle_action(const struct job *job, size_t i)
{
	const struct batch *batch = job->batch;
	struct verdict *verdict = job->verdict;
	struct outcome *outcome = &job->outcomes[i];
	struct taken taken;
	enum status status = look_up(job, i, &taken);

	if (status != STATUS_OK)
		return status;
	*outcome = (struct outcome){.kind = OUTCOME_REFUSED};
	if (taken.found && hash_equal(&taken.digest, &batch->actions[i].digest)) {
		outcome->kind = OUTCOME_DUPLICATE;
		outcome->seq = taken.seq;
		verdict->duplicates++;
		return STATUS_OK;
	}
	if (batch->reject &&
	    !hash_equal(&job->log->head.position.link, batch_link_before(batch, i))) {
		outcome->refusal = STATUS_CONFLICT;
		verdict->status = STATUS_CONFLICT;
		verdict->index = i;
		return STATUS_OK;
	}
	outcome->refusal =
		taken.found ? STATUS_TIMESTAMP_TAKEN : judge_clock(job, i, &outcome->detail);
	if (outcome->refusal == STATUS_OK)
		return exceeds_quota(job, i) ? STATUS_OK : apply(job, i);
	verdict->refused++;
	if (batch->reject) {
		verdict->status = outcome->refusal;
		verdict->index = i;
	}
	return STATUS_OK;
}

/* Step 5: where to go back to. */
struct mark {
	struct head head;
	size_t row_count;
	uint64_t newest[BATCH_DEVICES_MAX];
};

static void
set_mark(const struct job *job, struct mark *mark)
{
	CHECK(job->batch->device_count <= BATCH_DEVICES_MAX);
	mark->head = job->log->head;
	mark->row_count = job->log->row_count;
	for (size_t i = 0; i < job->batch->device_count; i++)
		mark->newest[i] = job->facts->devices[i]->newest;
}

static void
roll_back(const struct job *job, const struct mark *mark)
{
	struct settle_log *log = job->log;

	stamps_cut(log, mark->row_count);
	log->row_count = mark->row_count;
	log->head = mark->head;
	for (size_t i = 0; i < job->batch->device_count; i++)
		job->facts->devices[i]->newest = mark->newest[i];
	*job->verdict = (struct verdict){.status = job->verdict->status,
					 .head = log->head,
					 .index = job->verdict->index,
					 .quota = job->verdict->quota,
					 .limit = job->verdict->limit};
}

/* After the roll back: what of a conflicting batch is in the log. */
static enum status
tell_duplicates(const struct job *job)
{
	for (size_t i = 0; i < job->batch->action_count; i++) {
		struct outcome *outcome = &job->outcomes[i];
		struct taken taken;
		enum status status = look_up(job, i, &taken);

		if (status != STATUS_OK)
			return status;
		*outcome = (struct outcome){.kind = OUTCOME_REFUSED, .refusal = STATUS_CONFLICT};
		if (taken.found && hash_equal(&taken.digest, &job->batch->actions[i].digest))
			*outcome = (struct outcome){.kind = OUTCOME_DUPLICATE, .seq = taken.seq};
	}
	return STATUS_OK;
}

/* Goes through the actions until one decides against the batch. */
static enum status
settle_actions(const struct job *job)
{
	struct mark mark;

	set_mark(job, &mark);
	for (size_t i = 0; i < job->batch->action_count; i++) {
		enum status status = settle_action(job, i);

		if (status != STATUS_OK)
			return status;
		if (job->verdict->status != STATUS_OK) {
			roll_back(job, &mark);
			return job->verdict->status == STATUS_CONFLICT ? tell_duplicates(job)
								       : STATUS_OK;
		}
	}
	return STATUS_OK;
}

/* Up to the reported position the log goes on from the base as the batch does: with its actions, each at
 * its place, and so with its links. */
static bool
state_holds(const struct job *job)
{
	const struct batch *batch = job->batch;
	if (batch->state.digest.data == NULL)
		return false;
	for (uint64_t seq = batch->base.seq + 1; seq <= batch->state.seq; seq++) {
		const struct outcome *outcome = &job->outcomes[seq - batch->base.seq - 1];
		if (outcome->kind == OUTCOME_REFUSED || outcome->seq != seq)
			return false;
	}
	return true;
}

enum status
settle(struct settle_log *log, const struct batch *batch, const struct facts *facts,
       const struct clock_policy *clock, uint64_t now_msec, struct verdict *verdict,
       struct outcome *outcomes)
{
	const struct job job = {log, batch, facts, clock, now_msec, verdict, outcomes};
	enum status status;

	*verdict = (struct verdict){.status = STATUS_OK, .head = log->head};
	if (log->head.gone.erased_at > 0 || batch->base.seq < log->head.gone.pruned) {
		verdict->status = log->head.gone.erased_at > 0 ? STATUS_ERASED : STATUS_PRUNED;
		return STATUS_OK;
	}
	if (!log_has(&job, &batch->base, facts->links[0])) {
		verdict->status = batch->base.seq > log->head.position.seq ? STATUS_SERVER_BEHIND
									   : STATUS_HASH_MISMATCH;
		verdict->ancestor = find_ancestor(&job);
		return STATUS_OK;
	}
	status = settle_actions(&job);
	if (status != STATUS_OK || verdict->status != STATUS_OK)
		return status;

	if (verdict->applied > 0 && now_msec > log->head.received_at)
		log->head.received_at = now_msec;
	verdict->head = log->head;
	verdict->fast_forward = hash_equal(&log->head.position.link, batch_end(batch));
	verdict->state_holds = state_holds(&job);
	return STATUS_OK;
}
