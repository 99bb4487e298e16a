/*
 * settle_group: settles a group job by job and has the model do the same, and says what differs.
 *
 * The facts come from the model as it stood before the group, and only those that settle.h says a
 * store must give: links up to the head from before, stamps up to a device's newest from before.
 */
#ifndef SUPPORT_SETTLE_GROUP_H
#define SUPPORT_SETTLE_GROUP_H

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "support/model.h"

#define GROUP_DEVICES_MAX 8
#define GROUP_ACTIONS_MAX 16 /* in one batch */
#define GROUP_JOBS_MAX 16

static inline void
known_batch_begin(struct batch *batch, struct text log, struct batch_action *actions,
		  const struct position *base)
{
	batch->log = log;
	chain_genesis(log, &batch->genesis);
	batch->base = *base;
	batch->actions = actions;
	batch->action_count = 0;
	batch->device_count = 0;
	batch->locator_count = 0;
	batch->reject = false;
}

static inline void
batch_add(struct batch *batch, const struct action *action)
{
	batch->actions[batch->action_count++] = (struct batch_action){
		.action = *action, .device = (unsigned)batch_device(batch, action->device)};
}

/* Chains the batch's actions from its base and claims what they give. */
static inline void
batch_finish(struct batch *batch)
{
	struct hash end;

	memset(&batch->state_hash, 0, sizeof(batch->state_hash));
	if (batch_verify(batch, &end) != STATUS_OK)
		batch->state_hash = end;
}

struct settle_group {
	struct model *model;
	size_t before; /* the model's rows before the group */

	struct settle_log log;
	struct text devices[GROUP_DEVICES_MAX];
	struct device_facts newest[GROUP_DEVICES_MAX];
	size_t device_count;

	struct outcome outcomes[GROUP_JOBS_MAX][GROUP_ACTIONS_MAX]; /* must live like the group */
	size_t job_count;
	struct verdict verdict; /* of the last job */
	char difference[256];
};

/* The arena is the test's: reset here, released by it. */
static inline void
group_begin(struct settle_group *group, struct model *model, const struct clock_policy *clock,
	    struct arena *arena)
{
	struct head head = model_head(model);

	model->group_start = model->count;
	model->clock = *clock;
	group->model = model;
	group->before = model->count;
	group->device_count = 0;
	group->job_count = 0;
	group->difference[0] = '\0';
	arena_reset(arena);
	settle_log_init(&group->log, &head, arena);
}

static inline struct device_facts *
group_device(struct settle_group *group, struct text device)
{
	size_t i = 0;

	while (i < group->device_count && !text_equal(group->devices[i], device))
		i++;
	if (i == group->device_count) {
		group->devices[i] = device;
		group->newest[i].newest = model_newest(group->model, group->before, device);
		group->device_count++;
	}
	return &group->newest[i];
}

static inline const struct hash *
group_link(const struct settle_group *group, uint64_t seq)
{
	return seq <= group->before ? model_link(group->model, seq) : NULL;
}

static inline void
group_gather(struct settle_group *group, const struct batch *batch, struct facts *facts,
	     struct taken *taken)
{
	facts->links[0] = group_link(group, batch->base.seq);
	for (size_t i = 0; i < batch->locator_count; i++)
		facts->links[1 + i] = group_link(group, batch->locator[i].seq);
	for (size_t i = 0; i < batch->device_count; i++)
		facts->devices[i] = group_device(group, batch->devices[i]);
	for (size_t i = 0; i < batch->action_count; i++) {
		const struct action *action = &batch->actions[i].action;
		uint64_t seq = model_find(group->model, group->before, action->device, action->ts);

		taken[i] = (struct taken){.found = seq > 0, .seq = seq};
		if (seq > 0)
			taken[i].digest = group->model->rows[seq - 1].digest;
	}
	facts->taken = taken;
	facts->quota = group->model->quota;
}

#define GROUP_SAME(group, what, a, b)                                                              \
	do {                                                                                       \
		if ((a) != (b)) {                                                                  \
			snprintf((group)->difference, sizeof((group)->difference),                 \
				 "job %zu: %s is %llu, the model has %llu", (group)->job_count,    \
				 what, (unsigned long long)(a), (unsigned long long)(b));          \
			return false;                                                              \
		}                                                                                  \
	} while (0)

#define GROUP_SAME_LINK(group, what, a, b) GROUP_SAME(group, what, hash_equal(a, b), true)

static inline bool
group_same_verdict(struct settle_group *group, const struct verdict *a, const struct verdict *b)
{
	GROUP_SAME(group, "status", a->status, b->status);
	GROUP_SAME(group, "head.seq", a->head.position.seq, b->head.position.seq);
	GROUP_SAME_LINK(group, "head.link", &a->head.position.link, &b->head.position.link);
	GROUP_SAME(group, "head.received_at", a->head.received_at, b->head.received_at);
	GROUP_SAME(group, "applied", a->applied, b->applied);
	GROUP_SAME(group, "duplicates", a->duplicates, b->duplicates);
	GROUP_SAME(group, "refused", a->refused, b->refused);
	GROUP_SAME(group, "first_seq", a->first_seq, b->first_seq);
	GROUP_SAME(group, "late", a->late, b->late);
	GROUP_SAME(group, "ahead", a->ahead, b->ahead);
	GROUP_SAME(group, "fast_forward", a->fast_forward, b->fast_forward);
	GROUP_SAME(group, "state_holds", a->state_holds, b->state_holds);
	GROUP_SAME(group, "ancestor.seq", a->ancestor.seq, b->ancestor.seq);
	GROUP_SAME_LINK(group, "ancestor.link", &a->ancestor.link, &b->ancestor.link);
	GROUP_SAME(group, "index", a->index, b->index);
	GROUP_SAME(group, "head.bytes", a->head.bytes, b->head.bytes);
	GROUP_SAME(group, "quota", a->quota, b->quota);
	GROUP_SAME(group, "limit", a->limit, b->limit);
	return true;
}

/* With CONFLICT only duplicates are told; with another refusal only of the action at fault. */
static inline bool
group_same_outcome(struct settle_group *group, const struct outcome *a, const struct outcome *b)
{
	bool conflict = group->verdict.status == STATUS_CONFLICT;

	GROUP_SAME(group, "duplicate", a->kind == OUTCOME_DUPLICATE, b->kind == OUTCOME_DUPLICATE);
	if (a->kind == OUTCOME_DUPLICATE || conflict) {
		GROUP_SAME(group, "duplicate's seq", a->seq, b->seq);
		return true;
	}
	GROUP_SAME(group, "kind", a->kind, b->kind);
	GROUP_SAME(group, "refusal", a->refusal, b->refusal);
	GROUP_SAME(group, "detail", a->detail, b->detail);
	GROUP_SAME(group, "seq", a->seq, b->seq);
	GROUP_SAME_LINK(group, "link", &a->link, &b->link);
	return true;
}

/* What the next jobs of the group build on: rows, head, newest stamps. */
static inline bool
group_same_log(struct settle_group *group)
{
	const struct model *model = group->model;
	struct head head = model_head(model);

	GROUP_SAME(group, "log's rows", group->log.row_count, model->count - group->before);
	GROUP_SAME(group, "log's head", group->log.head.position.seq, head.position.seq);
	GROUP_SAME_LINK(group, "log's link", &group->log.head.position.link, &head.position.link);
	GROUP_SAME(group, "log's received_at", group->log.head.received_at, head.received_at);
	GROUP_SAME(group, "log's bytes", group->log.head.bytes, head.bytes);
	for (size_t i = 0; i < group->log.row_count; i++) {
		const struct settled_row *a = &group->log.rows[i];
		const struct model_row *b = &model->rows[group->before + i];

		GROUP_SAME(group, "row's seq", a->outcome->seq, group->before + 1 + i);
		GROUP_SAME(group, "row's ts", a->action->action.ts, b->action.ts);
		GROUP_SAME(group, "row's device",
			   text_equal(a->action->action.device, b->action.device), true);
		GROUP_SAME_LINK(group, "row's digest", &a->action->digest, &b->digest);
		GROUP_SAME_LINK(group, "row's link", &a->outcome->link, &b->link);
	}
	for (size_t i = 0; i < group->device_count; i++)
		GROUP_SAME(group, "newest", group->newest[i].newest,
			   model_newest(model, model->count, group->devices[i]));
	return true;
}

/* False when the two differ: group->difference says in what. */
static inline bool
group_settle(struct settle_group *group, const struct batch *batch, uint64_t now_msec)
{
	struct outcome *outcomes = group->outcomes[group->job_count];
	struct outcome expected_outcomes[GROUP_ACTIONS_MAX];
	struct verdict expected;
	struct taken taken[GROUP_ACTIONS_MAX];
	struct facts facts;
	bool decided; /* by the action at the verdict's index */

	group_gather(group, batch, &facts, taken);
	GROUP_SAME(group, "settle's return",
		   settle(&group->log, batch, &facts, &group->model->clock, now_msec,
			  &group->verdict, outcomes),
		   STATUS_OK);
	model_sync(group->model, batch, now_msec, &expected, expected_outcomes);
	if (!group_same_verdict(group, &group->verdict, &expected))
		return false;
	decided = expected.status != STATUS_SERVER_BEHIND &&
		  expected.status != STATUS_HASH_MISMATCH &&
		  expected.status != STATUS_QUOTA_EXCEEDED;
	for (size_t i = 0; i < batch->action_count; i++) {
		bool told = expected.status == STATUS_OK || expected.status == STATUS_CONFLICT ||
			    (decided && expected.index == i);

		if (told && !group_same_outcome(group, &outcomes[i], &expected_outcomes[i]))
			return false;
	}
	group->job_count++;
	return group_same_log(group);
}

#endif
