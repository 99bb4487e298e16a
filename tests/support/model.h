/*
 * model: a slow log that is obviously right, to judge settle by.
 *
 * Written from section 4.1 of the protocol: an array of rows, one job at a time, everything found
 * by reading the array from its start. There is no group, no fact gathered before, no index. A
 * batch that is refused is taken back by shortening the array.
 *
 * Each flaw makes the model wrong in one way. A comparison that does not notice is worth nothing.
 */
#ifndef SUPPORT_MODEL_H
#define SUPPORT_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chain/batch.h"
#include "chain/settle.h"

#define MODEL_ROWS_MAX 512

enum flaw {
	FLAW_NONE,
	FLAW_FORGETS_THE_GROUP,	 /* looks for stamps only in what was there before it */
	FLAW_FORGETS_THE_BATCH,	 /* looks for stamps only in what was there before the batch */
	FLAW_BASE_ONLY_BEFORE,	 /* knows no base among the group's rows */
	FLAW_CLOCK_BEFORE_STAMP, /* lets the clock policies speak before TIMESTAMP_TAKEN */
	FLAW_AHEAD_COUNTS,   /* takes a newest stamp that is skewed itself for one to come after */
	FLAW_REFUSED_BLOCKS, /* refuses everything behind a refused action */
	FLAW_REFUSAL_BEFORE_CONFLICT, /* answers a refusal where CONFLICT comes first */
	FLAW_DUPLICATE_CONFLICTS,     /* takes a retry for a conflict */
	FLAW_KEEPS_REJECTED,	      /* leaves what reject had appended before it failed */
	FLAW_OWN_ARE_DUPLICATES, /* CONFLICT: takes what was rolled back for what is in the log */
	FLAW_FIRST_ANCESTOR,	 /* takes the first pair that matches instead of the newest */
	FLAW_NO_GENESIS,	 /* counts [0, genesis] only if it was sent */
	FLAW_TIME_GOES_BACK,	 /* lets receivedAt follow the clock backwards */
	FLAW_FULL_BY_ONE,	 /* takes a quota for what may not be reached */
	FLAW_FULL_FOR_ONE,	 /* refuses only the action for which there is no room */
	FLAW_FULL_FOR_KNOWN,	 /* refuses duplicates of a log that is full */
	FLAW_FULL_FIRST,	 /* looks for room before the stamp and the clock */
	FLAW_FULL_AS_BEFORE,	 /* counts only what was there before the group */
	FLAW_NEVER_TAKEN,	 /* applies a second action under a stamp */
	FLAW_STATE_BY_SEQ, /* takes any report on a position that there is for one of this log */
	FLAW_COUNT
};

struct model_row {
	struct action action;
	struct hash digest;
	struct hash link;
	uint64_t received_at;
};

struct model {
	struct hash genesis;
	struct model_row rows[MODEL_ROWS_MAX]; /* rows[n - 1] is seq n */
	size_t count;
	struct clock_policy clock;
	struct quota quota;

	enum flaw flaw;
	size_t group_start; /* how many rows were there before the group; only flaws look at it */
	size_t batch_start; /* and before the batch */
};

static inline void
model_init(struct model *model, struct text log)
{
	chain_genesis(log, &model->genesis);
	model->count = 0;
	model->clock = (struct clock_policy){.max_skew_msec = 0};
	model->quota = (struct quota){0};
	model->flaw = FLAW_NONE;
	model->group_start = 0;
	model->batch_start = 0;
}

static inline const struct hash *
model_link(const struct model *model, uint64_t seq)
{
	return seq == 0 ? &model->genesis : &model->rows[seq - 1].link;
}

/* What the first count rows sent, in bytes. */
static inline uint64_t
model_bytes(const struct model *model, size_t count)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < count; i++) {
		const struct action *action = &model->rows[i].action;

		bytes += action->device.size + action->type.size + action->payload.size;
	}
	return bytes;
}

static inline struct head
model_head(const struct model *model)
{
	return (struct head){
		.bytes = model_bytes(model, model->count),
		.position = {.seq = model->count, .link = *model_link(model, model->count)},
		.received_at = model->count == 0 ? 0 : model->rows[model->count - 1].received_at};
}

static inline bool
model_has(const struct model *model, const struct position *position)
{
	if (model->flaw == FLAW_BASE_ONLY_BEFORE && position->seq > model->group_start)
		return false;
	return position->seq <= model->count &&
	       hash_equal(model_link(model, position->seq), &position->link);
}

/* The seq of the device's action with this stamp among the first count rows, 0 if there is none. */
static inline uint64_t
model_find(const struct model *model, size_t count, struct text device, uint64_t ts)
{
	for (size_t i = 0; i < count; i++)
		if (model->rows[i].action.ts == ts &&
		    text_equal(model->rows[i].action.device, device))
			return i + 1;
	return 0;
}

/* The device's newest stamp among the first count rows, 0 if it wrote none of them. */
static inline uint64_t
model_newest(const struct model *model, size_t count, struct text device)
{
	uint64_t newest = 0;

	for (size_t i = 0; i < count; i++)
		if (text_equal(model->rows[i].action.device, device) &&
		    model->rows[i].action.ts > newest)
			newest = model->rows[i].action.ts;
	return newest;
}

static inline void
model_append(struct model *model, const struct action *action, uint64_t now_msec)
{
	struct head head = model_head(model);
	struct model_row *row = &model->rows[model->count];

	row->action = *action;
	chain_digest(action, &row->digest);
	chain_link(&head.position.link, &row->digest, &row->link);
	row->received_at = now_msec > head.received_at || model->flaw == FLAW_TIME_GOES_BACK
				   ? now_msec
				   : head.received_at;
	model->count++;
}

/* Step 3: the newest of the pairs sent that is in the log. */
static inline struct position
model_ancestor(const struct model *model, const struct batch *batch)
{
	struct position newest = {.seq = 0, .link = model->genesis};
	bool found = false;

	for (size_t i = 0; i < batch->locator_count; i++) {
		const struct position *pair = &batch->locator[i];

		if (!model_has(model, pair))
			continue;
		if (pair->seq > newest.seq && !(found && model->flaw == FLAW_FIRST_ANCESTOR))
			newest = *pair;
		found = true;
	}
	if (!found && model->flaw == FLAW_NO_GENESIS)
		return (struct position){.seq = 0};
	return newest;
}

/* Whether the log has the link that the batch has at its report's position. */
static inline bool
model_has_state(const struct model *model, const struct batch *batch)
{
	const uint64_t seq = batch->state.seq;
	struct hash link = batch->base.link;

	for (size_t i = 0; i < seq - batch->base.seq; i++) {
		struct hash digest;

		chain_digest(&batch->actions[i].action, &digest);
		chain_link(&link, &digest, &link);
	}
	if (model->flaw == FLAW_STATE_BY_SEQ)
		return seq <= model->count;
	return model_has(model, &(struct position){.seq = seq, .link = link});
}

static inline enum status
model_clock(const struct model *model, const struct action *action, uint64_t now_msec,
	    uint64_t *detail)
{
	const struct clock_policy *clock = &model->clock;
	uint64_t newest = model_newest(model, model->count, action->device);
	bool skewed = clock->max_skew_msec > 0 && action->ts > now_msec + clock->max_skew_msec;
	bool old = clock->monotonic && action->ts <= newest;

	if (clock->max_skew_msec > 0 && newest > now_msec + clock->max_skew_msec &&
	    model->flaw != FLAW_AHEAD_COUNTS)
		old = false;
	if (skewed) {
		*detail = action->ts - now_msec;
		return STATUS_CLOCK_SKEW;
	}
	if (old) {
		*detail = newest;
		return STATUS_NON_MONOTONIC_TIMESTAMP;
	}
	return STATUS_OK;
}

/* Whether the quota has room for one more action; else the verdict says why not. */
static inline bool
model_has_room(const struct model *model, const struct action *action, struct verdict *verdict)
{
	const struct quota *quota = &model->quota;
	size_t before = model->flaw == FLAW_FULL_AS_BEFORE ? model->group_start : model->count;
	uint64_t slack = model->flaw == FLAW_FULL_BY_ONE ? 1 : 0;
	uint64_t bytes = model_bytes(model, before) + action->device.size + action->type.size +
			 action->payload.size;

	if (quota->subject_logs > 0 && model->count == 0) {
		verdict->quota = QUOTA_SUBJECT_LOGS;
		verdict->limit = quota->subject_logs;
	}
	if (quota->log_bytes > 0 && bytes + slack > quota->log_bytes) {
		verdict->quota = QUOTA_LOG_BYTES;
		verdict->limit = quota->log_bytes;
	}
	if (quota->log_actions > 0 && before + 1 + slack > quota->log_actions) {
		verdict->quota = QUOTA_LOG_ACTIONS;
		verdict->limit = quota->log_actions;
	}
	return verdict->limit == 0;
}

/* Step 4 for one action: what would become of it, without doing it. */
static inline struct outcome
model_judge(const struct model *model, const struct action *action, uint64_t now_msec)
{
	struct outcome outcome = {.kind = OUTCOME_REFUSED};
	size_t known = model->flaw == FLAW_FORGETS_THE_GROUP   ? model->group_start
		       : model->flaw == FLAW_FORGETS_THE_BATCH ? model->batch_start
							       : model->count;
	uint64_t seq = model_find(model, known, action->device, action->ts);
	struct hash digest;

	chain_digest(action, &digest);
	if (seq > 0 && hash_equal(&model->rows[seq - 1].digest, &digest))
		return (struct outcome){.kind = OUTCOME_DUPLICATE, .seq = seq};
	outcome.refusal = model_clock(model, action, now_msec, &outcome.detail);
	if (outcome.refusal != STATUS_OK && model->flaw == FLAW_CLOCK_BEFORE_STAMP)
		return outcome;
	if (seq > 0 && model->flaw != FLAW_NEVER_TAKEN)
		return (struct outcome){.kind = OUTCOME_REFUSED, .refusal = STATUS_TIMESTAMP_TAKEN};
	if (outcome.refusal == STATUS_OK)
		outcome.kind = OUTCOME_APPLIED;
	return outcome;
}

/* Step 5 for one action: what it does to the whole batch. */
static inline enum status
model_reject(const struct model *model, const struct batch *batch, size_t i,
	     const struct outcome *outcome)
{
	const struct hash *has = model_link(model, model->count);
	struct hash clients = batch->base.link, digest;
	bool conflict;

	for (size_t j = 0; j < i; j++) {
		chain_digest(&batch->actions[j].action, &digest);
		chain_link(&clients, &digest, &clients);
	}
	conflict = !hash_equal(has, &clients);
	if (outcome->kind == OUTCOME_DUPLICATE && model->flaw != FLAW_DUPLICATE_CONFLICTS)
		return STATUS_OK;
	if (outcome->kind == OUTCOME_REFUSED && model->flaw == FLAW_REFUSAL_BEFORE_CONFLICT)
		return outcome->refusal;
	if (conflict)
		return STATUS_CONFLICT;
	return outcome->kind == OUTCOME_REFUSED ? outcome->refusal : STATUS_OK;
}

/* Takes the batch back and says of each action whether the log has it. */
static inline void
model_refuse(struct model *model, const struct batch *batch, struct verdict *verdict,
	     struct outcome *outcomes)
{
	if (model->flaw != FLAW_KEEPS_REJECTED)
		model->count = model->batch_start;
	*verdict = (struct verdict){.status = verdict->status,
				    .head = model_head(model),
				    .index = verdict->index,
				    .quota = verdict->quota,
				    .limit = verdict->limit};
	for (size_t i = 0; verdict->status == STATUS_CONFLICT && i < batch->action_count; i++) {
		const struct action *action = &batch->actions[i].action;
		uint64_t seq = model_find(model, model->count, action->device, action->ts);
		struct hash digest;
		bool rolled_back = i < verdict->index && outcomes[i].kind == OUTCOME_APPLIED;

		chain_digest(action, &digest);
		if (seq > 0 && hash_equal(&model->rows[seq - 1].digest, &digest))
			outcomes[i] = (struct outcome){.kind = OUTCOME_DUPLICATE, .seq = seq};
		else if (!(rolled_back && model->flaw == FLAW_OWN_ARE_DUPLICATES))
			outcomes[i] = (struct outcome){.kind = OUTCOME_REFUSED,
						       .refusal = STATUS_CONFLICT};
		else
			outcomes[i].kind = OUTCOME_DUPLICATE;
	}
}

static inline void
model_apply(struct model *model, const struct action *action, uint64_t now_msec,
	    struct verdict *verdict, struct outcome *outcome)
{
	verdict->late += action->ts <= model_newest(model, model->count, action->device);
	verdict->ahead += action->ts > now_msec + 5 * 60 * 1000;
	model_append(model, action, now_msec);
	outcome->seq = model->count;
	outcome->link = *model_link(model, model->count);
	if (verdict->applied++ == 0)
		verdict->first_seq = model->count;
}

/* Step 4, the quota: of what would be appended. */
static inline void
model_limit(const struct model *model, const struct action *action, struct verdict *verdict,
	    struct outcome *outcome)
{
	bool asks = outcome->kind == OUTCOME_APPLIED && verdict->status == STATUS_OK;

	if (model->flaw == FLAW_FULL_FIRST)
		asks = outcome->kind != OUTCOME_DUPLICATE && verdict->status != STATUS_CONFLICT;
	if (model->flaw == FLAW_FULL_FOR_KNOWN && outcome->kind == OUTCOME_DUPLICATE)
		asks = verdict->status == STATUS_OK;
	if (!asks || model_has_room(model, action, verdict))
		return;
	if (model->flaw == FLAW_FULL_FOR_ONE) {
		*outcome =
			(struct outcome){.kind = OUTCOME_REFUSED, .refusal = STATUS_QUOTA_EXCEEDED};
		verdict->limit = 0;
		return;
	}
	verdict->status = STATUS_QUOTA_EXCEEDED;
}

static inline void
model_sync(struct model *model, const struct batch *batch, uint64_t now_msec,
	   struct verdict *verdict, struct outcome *outcomes)
{
	struct hash end = batch->base.link;

	model->batch_start = model->count;
	*verdict = (struct verdict){.status = STATUS_OK, .head = model_head(model)};
	if (!model_has(model, &batch->base)) {
		verdict->status = batch->base.seq > model->count ? STATUS_SERVER_BEHIND
								 : STATUS_HASH_MISMATCH;
		verdict->ancestor = model_ancestor(model, batch);
		return;
	}
	for (size_t i = 0; i < batch->action_count; i++) {
		const struct action *action = &batch->actions[i].action;
		struct hash digest;

		chain_digest(action, &digest);
		chain_link(&end, &digest, &end);
		outcomes[i] = model_judge(model, action, now_msec);
		if (model->flaw == FLAW_REFUSED_BLOCKS && verdict->refused > 0)
			outcomes[i] = (struct outcome){.kind = OUTCOME_REFUSED,
						       .refusal = STATUS_TIMESTAMP_TAKEN};
		if (batch->reject)
			verdict->status = model_reject(model, batch, i, &outcomes[i]);
		model_limit(model, action, verdict, &outcomes[i]);
		if (verdict->status != STATUS_OK) {
			verdict->index = verdict->status == STATUS_QUOTA_EXCEEDED ? 0 : i;
			model_refuse(model, batch, verdict, outcomes);
			return;
		}
		verdict->duplicates += outcomes[i].kind == OUTCOME_DUPLICATE;
		verdict->refused += outcomes[i].kind == OUTCOME_REFUSED;
		if (outcomes[i].kind == OUTCOME_APPLIED)
			model_apply(model, action, now_msec, verdict, &outcomes[i]);
	}
	verdict->head = model_head(model);
	verdict->fast_forward = hash_equal(&verdict->head.position.link, &end);
	verdict->state_holds = batch->state.digest.data != NULL && model_has_state(model, batch);
}

#endif
