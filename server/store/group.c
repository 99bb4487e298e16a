#include "store/group.h"

#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "store/creators.h"

/* How often a group is settled anew because what was remembered of a log did not hold any more. */
#define ATTEMPTS_MAX 16

/* One job on its way. */
struct member {
	struct job *job;
	struct facts_log *log;
	struct facts facts;
	struct facts_device *devices[BATCH_DEVICES_MAX];
	bool took_place;       /* for a log that the job begins */
	bool out;	       /* it has its answer already: its log is damaged */
	bool base_in_question; /* the locator's links are needed */
};

/* Look-ups of one round, with what to do with each answer. */
struct round {
	struct lookup *lookups;
	struct lookup_use {
		struct member *member;
		struct facts_device *device; /* LOOKUP_NEWEST */
		size_t index; /* LOOKUP_LINK: into facts.links; LOOKUP_TAKEN: the action */
	} * uses;
	size_t count, capacity;
};

struct members {
	struct member *items;
	size_t count;
};

static struct lookup *
round_add(struct round *round, struct arena *arena, enum lookup_kind kind, struct lookup_use use)
{
	if (round->count == round->capacity) {
		const size_t capacity = round->capacity == 0 ? 32 : 2 * round->capacity;
		struct lookup *lookups = arena_alloc(arena, capacity * sizeof(*lookups));
		struct lookup_use *uses = arena_alloc(arena, capacity * sizeof(*uses));
		if (lookups == NULL || uses == NULL)
			return NULL;
		if (round->count > 0) {
			memcpy(lookups, round->lookups, round->count * sizeof(*lookups));
			memcpy(uses, round->uses, round->count * sizeof(*uses));
		}
		round->lookups = lookups;
		round->uses = uses;
		round->capacity = capacity;
	}
	struct lookup *lookup = &round->lookups[round->count];
	memset(lookup, 0, sizeof(*lookup));
	lookup->kind = kind;
	lookup->log = use.member->job->batch->log;
	lookup->genesis = &use.member->job->batch->genesis;
	round->uses[round->count++] = use;
	return lookup;
}

/* Whether the lookup found its log damaged: then its job is answered and out of the group. */
static bool
member_is_out(struct member *member, const struct lookup *lookup)
{
	if (lookup->status != STATUS_OK && !member->out) {
		member->out = true;
		member->job->status = lookup->status;
		member->job->verdict.head = lookup->head;
	}
	return member->out;
}

static enum status
gather(const struct group *group, struct round *round)
{
	if (round->count == 0)
		return STATUS_OK;
	return group->engine->ops->gather(group->engine, round->lookups, round->count);
}

/* Round 1: heads and newest stamps that are not remembered. Several jobs of one log may ask the
 * same. */
static enum status
ask_head(const struct group *group, struct round *round, struct member *member)
{
	const struct batch *batch = member->job->batch;
	member->log = facts_log(group->facts, &batch->genesis);
	if (member->log == NULL)
		return STATUS_INTERNAL;
	if (!member->log->known && round_add(round, group->arena, LOOKUP_HEAD,
					     (struct lookup_use){.member = member}) == NULL)
		return STATUS_INTERNAL;
	for (size_t d = 0; d < batch->device_count; d++) {
		struct facts_device *device =
			facts_device(group->facts, member->log, batch->devices[d]);
		if (device == NULL)
			return STATUS_INTERNAL;
		member->devices[d] = device;
		member->facts.devices[d] = &device->facts;
		if (device->known)
			continue;
		struct lookup *lookup =
			round_add(round, group->arena, LOOKUP_NEWEST,
				  (struct lookup_use){.member = member, .device = device});
		if (lookup == NULL)
			return STATUS_INTERNAL;
		lookup->device = batch->devices[d];
	}
	return STATUS_OK;
}

static enum status
gather_heads(const struct group *group, struct members *members)
{
	struct round round = {0};
	enum status status = STATUS_OK;
	for (size_t i = 0; i < members->count && status == STATUS_OK; i++)
		status = ask_head(group, &round, &members->items[i]);
	if (status == STATUS_OK)
		status = gather(group, &round);
	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < round.count; i++) {
		const struct lookup *lookup = &round.lookups[i];
		if (member_is_out(round.uses[i].member, lookup))
			continue;
		if (lookup->kind == LOOKUP_HEAD) {
			round.uses[i].member->log->head = lookup->head;
			round.uses[i].member->log->known = true;
		} else {
			struct facts_device *device = round.uses[i].device;
			CHECK(device != NULL);
			device->facts.newest = lookup->newest;
			device->known = true;
		}
	}
	return STATUS_OK;
}

/* Asks for the stored link at a position, where that is not plain from the head. */
static enum status
ask_link(const struct group *group, struct round *round, struct member *member, size_t index)
{
	const struct batch *batch = member->job->batch;
	const uint64_t seq = index == 0 ? batch->base.seq : batch->locator[index - 1].seq;
	const struct head *head = &member->log->head;
	member->facts.links[index] = NULL;
	if (seq == 0)
		member->facts.links[index] = &batch->genesis;
	else if (seq == head->position.seq)
		member->facts.links[index] = &member->log->group->before.position.link;
	else if (seq < head->position.seq) {
		struct lookup *lookup =
			round_add(round, group->arena, LOOKUP_LINK,
				  (struct lookup_use){.member = member, .index = index});
		if (lookup == NULL)
			return STATUS_INTERNAL;
		lookup->seq = seq;
	}
	return STATUS_OK;
}

/* Asks for the stamps that may be taken: those not after their device's newest. */
static enum status
ask_taken(const struct group *group, struct round *round, struct member *member)
{
	const struct batch *batch = member->job->batch;
	struct taken *taken = arena_calloc(group->arena, batch->action_count, sizeof(*taken));
	if (taken == NULL && batch->action_count > 0)
		return STATUS_INTERNAL;
	member->facts.taken = taken;
	for (size_t i = 0; i < batch->action_count; i++) {
		const struct batch_action *action = &batch->actions[i];
		if (action->action.ts > member->devices[action->device]->facts.newest)
			continue;
		struct lookup *lookup =
			round_add(round, group->arena, LOOKUP_TAKEN,
				  (struct lookup_use){.member = member, .index = i});
		if (lookup == NULL)
			return STATUS_INTERNAL;
		lookup->device = action->action.device;
		lookup->ts = action->action.ts;
	}
	return STATUS_OK;
}

static void
take_answers(const struct round *round)
{
	for (size_t i = 0; i < round->count; i++) {
		const struct lookup *lookup = &round->lookups[i];
		struct member *member = round->uses[i].member;
		const size_t index = round->uses[i].index;
		if (member_is_out(member, lookup))
			continue;
		if (lookup->kind == LOOKUP_LINK)
			member->facts.links[index] = lookup->found ? &lookup->link : NULL;
		else
			((struct taken *)member->facts.taken)[index] = lookup->taken;
	}
}

/* Round 2: the links at the bases, and the stamps. */
static enum status
gather_positions(const struct group *group, struct members *members)
{
	struct round round = {0};
	for (size_t i = 0; i < members->count; i++) {
		struct member *member = &members->items[i];
		if (member->out)
			continue;
		if (member->log->group == NULL) {
			member->log->group = arena_alloc(group->arena, sizeof(struct settle_log));
			if (member->log->group == NULL)
				return STATUS_INTERNAL;
			settle_log_init(member->log->group, &member->log->head, group->arena);
		}
		enum status status = ask_link(group, &round, member, 0);
		if (status == STATUS_OK)
			status = ask_taken(group, &round, member);
		if (status != STATUS_OK)
			return status;
	}
	const enum status status = gather(group, &round);
	if (status == STATUS_OK)
		take_answers(&round);
	return status;
}

/* Round 3: only a base that is not plainly in the log needs its locator. */
static enum status
gather_locators(const struct group *group, struct members *members)
{
	struct round round = {0};
	for (size_t i = 0; i < members->count; i++) {
		struct member *member = &members->items[i];
		if (member->out)
			continue;
		const struct batch *batch = member->job->batch;
		const struct hash *link = member->facts.links[0];
		member->base_in_question = link == NULL || !hash_equal(link, &batch->base.link);
		for (size_t pair = 0; member->base_in_question && pair < batch->locator_count;
		     pair++) {
			const enum status status = ask_link(group, &round, member, 1 + pair);
			if (status != STATUS_OK)
				return status;
		}
	}
	const enum status status = gather(group, &round);
	if (status == STATUS_OK)
		take_answers(&round);
	return status;
}

/* Who brings the first batch of a log needs a place for it. */
static void
take_place(const struct group *group, struct member *member)
{
	const struct job *job = member->job;
	member->facts.quota = *group->quota;
	member->facts.quota.subject_logs = 0;
	if (job->creator != NULL && member->log->group->head.position.seq == 0)
		member->took_place = creators_take(job->creator, &member->facts.quota.subject_logs);
	if (member->took_place)
		member->facts.quota.subject_logs = 0;
}

static void
give_place_back(struct member *member)
{
	if (member->took_place)
		creators_give_back(member->job->creator);
	member->took_place = false;
}

static enum status
settle_members(const struct group *group, struct members *members)
{
	const uint64_t now = clock_server_msec();
	for (size_t i = 0; i < members->count; i++) {
		struct member *member = &members->items[i];
		struct job *job = member->job;
		if (member->out)
			continue;
		take_place(group, member);
		const enum status status = settle(member->log->group, job->batch, &member->facts,
						  group->clock, now, &job->verdict, job->outcomes);
		if (status != STATUS_OK)
			return status;
		if (job->verdict.applied == 0)
			give_place_back(member);
		job->status = STATUS_OK;
	}
	return STATUS_OK;
}

static enum status
write_appends(const struct group *group, struct members *members)
{
	struct append *appends = arena_alloc(group->arena, members->count * sizeof(*appends));
	if (appends == NULL)
		return STATUS_INTERNAL;
	size_t count = 0;
	for (size_t i = 0; i < members->count; i++) {
		const struct member *member = &members->items[i];
		const struct job *job = member->job;
		if (member->out || job->verdict.status != STATUS_OK || job->verdict.applied == 0)
			continue;
		struct append *append = &appends[count++];
		*append = (struct append){.batch = job->batch,
					  .outcomes = job->outcomes,
					  .applied = job->verdict.applied,
					  .expected = member->log->head,
					  .head = job->verdict.head,
					  .writer = job->writer};
		/* The head moves with each append, so that the next one of this log expects it. A
		 * group that fails is forgotten with the whole cache. */
		member->log->head = job->verdict.head;
	}
	if (count == 0)
		return STATUS_OK;
	const enum status status = group->engine->ops->write(group->engine, appends, count);
	if (status == STATUS_OK)
		counter_add(COUNTER_COMMITS, 1);
	return status;
}

static enum status
run_once(const struct group *group, struct members *members)
{
	enum status status = gather_heads(group, members);
	if (status == STATUS_OK)
		status = gather_positions(group, members);
	if (status == STATUS_OK)
		status = gather_locators(group, members);
	if (status == STATUS_OK)
		status = settle_members(group, members);
	if (status == STATUS_OK)
		status = write_appends(group, members);
	for (size_t i = 0; i < members->count; i++) {
		if (members->items[i].log != NULL)
			members->items[i].log->group = NULL;
		/* After a fault of the storage nobody knows what is stored. */
		if (status != STATUS_OK && status != STATUS_STORAGE_UNAVAILABLE)
			give_place_back(&members->items[i]);
	}
	return status;
}

/* A log that could not be looked up must not stay remembered as known to be empty. */
static void
forget_unknown(const struct group *group, struct members *members)
{
	for (size_t i = 0; i < members->count; i++) {
		struct facts_log *log = NULL;
		HASH_FIND(hh, group->facts->logs, &members->items[i].job->batch->genesis,
			  sizeof(struct hash), log);
		if (log != NULL && members->items[i].out)
			facts_forget_log(group->facts, log);
	}
}

enum status
group_run(const struct group *group, struct job **jobs, size_t count)
{
	CHECK(count >= 1);
	for (unsigned attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
		struct members members = {
			.items = arena_calloc(group->arena, count, sizeof(struct member)),
			.count = count};
		if (members.items == NULL)
			return STATUS_INTERNAL;
		for (size_t i = 0; i < count; i++)
			members.items[i].job = jobs[i];
		const enum status status = run_once(group, &members);
		if (status == STATUS_OK)
			forget_unknown(group, &members);
		if (status == STATUS_OK && !group->engine->ops->alone)
			facts_forget(group->facts);
		if (status != STATUS_CONFLICT && status != STATUS_LOG_DAMAGED)
			return status;
		facts_forget(group->facts);
	}
	return STATUS_STORAGE_UNAVAILABLE;
}
