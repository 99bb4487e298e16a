/*
 * store_fixture: what the engine's tests share: an engine (engine_fixture), and a plain model of what
 * its logs must hold.
 */
#ifndef STORE_FIXTURE_H
#define STORE_FIXTURE_H

#include "store/audit.h"
#include "support/engine_fixture.h"

#define MODEL_ACTIONS_MAX 20000
#define GROUP_LOGS_MAX 8

struct model_action {
	char device[16], type[16];
	char *payload;
	size_t payload_size;
	uint64_t ts, received_at;
	struct hash digest, link;
};

struct model_log {
	char name[32];
	struct hash genesis;
	struct head head;
	struct model_action *actions;
	size_t count;
};

UNUSED static void
model_init(struct model_log *log, const char *name)
{
	memset(log, 0, sizeof(*log));
	snprintf(log->name, sizeof(log->name), "%s", name);
	chain_genesis(text_of(log->name), &log->genesis);
	log->head.position.link = log->genesis;
}

UNUSED static void
model_truncate(struct model_log *log, size_t count)
{
	while (log->count > count)
		free(log->actions[--log->count].payload);
}

UNUSED static void
model_free(struct model_log *log)
{
	model_truncate(log, 0);
	free(log->actions);
	memset(log, 0, sizeof(*log));
}

UNUSED static struct action
model_action(const struct model_action *action)
{
	return (struct action){.device = text_of(action->device),
			       .ts = action->ts,
			       .type = text_of(action->type),
			       .payload = {action->payload, action->payload_size}};
}

/* As it was when the log had so many actions. */
UNUSED static struct head
model_head_at(const struct model_log *log, size_t count)
{
	struct head head = {.position = {.link = log->genesis}};
	for (size_t i = 0; i < count; i++) {
		const struct action action = model_action(&log->actions[i]);
		head.bytes += action_size(&action);
		head.position = (struct position){i + 1, log->actions[i].link};
		head.received_at = log->actions[i].received_at;
	}
	return head;
}

/* Appends one action; its stamp is unique in the log for its device. payload: from malloc. */
UNUSED static void
model_add_payload(struct fixture *fixture, struct model_log *log, const char *device, uint64_t ts,
		  char *payload, size_t payload_size)
{
	/* All at once: appends borrow from it. */
	if (log->actions == NULL)
		log->actions = calloc(MODEL_ACTIONS_MAX, sizeof(*log->actions));
	ck_assert(log->actions != NULL && log->count < MODEL_ACTIONS_MAX);
	struct model_action *action = &log->actions[log->count++];
	snprintf(action->device, sizeof(action->device), "%s", device);
	snprintf(action->type, sizeof(action->type), "type/%d", (int)fixture_random(fixture, 9));
	action->ts = ts;
	action->received_at = fixture->now;
	action->payload_size = payload_size;
	action->payload = payload;
	struct action as_action = model_action(action);
	chain_digest(&as_action, &action->digest);
	chain_link(&log->head.position.link, &action->digest, &action->link);
	log->head.position.link = action->link;
	log->head.position.seq = log->count;
	log->head.received_at = fixture->now;
	log->head.bytes += strlen(action->device) + strlen(action->type) + payload_size;
}

UNUSED static void
model_add(struct fixture *fixture, struct model_log *log, const char *device, uint64_t ts,
	  size_t payload_size)
{
	char *payload = malloc(payload_size + 1);
	ck_assert_ptr_nonnull(payload);
	for (size_t i = 0; i < payload_size; i++)
		payload[i] = (char)fixture_random(fixture, 128);
	model_add_payload(fixture, log, device, ts, payload, payload_size);
}

/* Adds random actions of random devices; healed ones come with stamps from the past. */
UNUSED static void
model_add_random(struct fixture *fixture, struct model_log *log, size_t count, size_t payload_max)
{
	for (size_t i = 0; i < count; i++) {
		char device[16];
		snprintf(device, sizeof(device), "device-%d", (int)fixture_random(fixture, 3));
		uint64_t ts = 1000000 + 2 * log->count;
		if (fixture_random(fixture, 4) == 0)
			ts = 1000000 - 2 * log->count - 1;
		model_add(fixture, log, device, ts, fixture_random(fixture, payload_max + 1));
	}
}

/* The last actions of a log as an append. */
struct model_append {
	struct append append;
	struct batch *batch;
	struct outcome *outcomes;
};

UNUSED static void
model_append_init(struct model_append *out, const struct model_log *log, size_t count,
		  const struct head *expected)
{
	size_t first = log->count - count;
	out->batch = calloc(1, sizeof(*out->batch));
	/* One action of the batch was a duplicate: the engine must skip it. */
	out->batch->actions = calloc(count + 1, sizeof(struct batch_action));
	out->outcomes = calloc(count + 1, sizeof(struct outcome));
	ck_assert(out->batch != NULL && out->batch->actions != NULL && out->outcomes != NULL);
	out->batch->log = text_of(log->name);
	out->batch->genesis = log->genesis;
	out->batch->action_count = count + 1;
	for (size_t i = 0; i <= count; i++) {
		const struct model_action *from = &log->actions[first + (i == 0 ? 0 : i - 1)];
		struct batch_action *action = &out->batch->actions[i];
		action->action = model_action(from);
		int device = batch_device(out->batch, action->action.device);
		ck_assert_int_ge(device, 0);
		action->device = (unsigned)device;
		action->digest = from->digest;
		out->outcomes[i].kind = i == 0 ? OUTCOME_DUPLICATE : OUTCOME_APPLIED;
		out->outcomes[i].seq = first + (i == 0 ? 1 : i);
		out->outcomes[i].link = from->link;
	}
	out->append = (struct append){.batch = out->batch,
				      .outcomes = out->outcomes,
				      .applied = count,
				      .expected = *expected,
				      .head = log->head,
				      .writer = text_of(log->name)};
}

UNUSED static void
model_append_release(struct model_append *append)
{
	free(append->batch->actions);
	free(append->batch);
	free(append->outcomes);
}

/* Adds random actions to each of some logs, and writes them as one group. */
UNUSED static enum status
fixture_write_group(struct fixture *fixture, struct model_log *logs, size_t log_count, size_t count,
		    size_t payload_max)
{
	struct model_append appends[GROUP_LOGS_MAX];
	struct append group[GROUP_LOGS_MAX];
	ck_assert_uint_le(log_count, GROUP_LOGS_MAX);
	fixture->now++;
	for (size_t i = 0; i < log_count; i++) {
		struct head expected = logs[i].head;
		model_add_random(fixture, &logs[i], count, payload_max);
		model_append_init(&appends[i], &logs[i], count, &expected);
		group[i] = appends[i].append;
	}
	enum status status = fixture->engine->ops->write(fixture->engine, group, log_count);
	for (size_t i = 0; i < log_count; i++)
		model_append_release(&appends[i]);
	return status;
}

UNUSED static enum status
fixture_write(struct fixture *fixture, struct model_log *log, size_t count, size_t payload_max)
{
	return fixture_write_group(fixture, log, 1, count, payload_max);
}

struct reading_check {
	const struct model_log *log;
	uint64_t next;
};

UNUSED static bool
check_row(void *cookie, const struct row *row)
{
	struct reading_check *check = cookie;
	const struct model_action *expected = &check->log->actions[check->next - 1];
	struct action action = model_action(expected);
	ck_assert_uint_eq(row->seq, check->next);
	ck_assert(text_equal(row->action.device, action.device));
	ck_assert(text_equal(row->action.type, action.type));
	ck_assert(text_equal(row->action.payload, action.payload));
	ck_assert_uint_eq(row->action.ts, action.ts);
	ck_assert(hash_equal(&row->link, &expected->link));
	ck_assert(hash_equal(&row->digest, &expected->digest));
	ck_assert_uint_eq(row->received_at, expected->received_at);
	ck_assert(text_equal(row->writer, text_of(check->log->name)));
	check->next++;
	return true;
}

/* Everything readers and the writer can be asked about a log is as in the model. */
UNUSED static void
fixture_check_log(struct fixture *fixture, const struct model_log *log)
{
	const struct engine_ops *ops = fixture->engine->ops;
	struct head head;
	ck_assert_int_eq(ops->head(fixture->engine, text_of(log->name), &log->genesis, &head),
			 STATUS_OK);
	ck_assert_uint_eq(head.position.seq, log->count);
	ck_assert(hash_equal(&head.position.link, &log->head.position.link));
	ck_assert_uint_eq(head.received_at, log->head.received_at);
	ck_assert_uint_eq(head.bytes, log->head.bytes);

	struct range range = {.after = fixture_random(fixture, log->count + 1),
			      .upto = log->count,
			      .rows_max = 1 + fixture_random(fixture, 40)};
	struct reading_check check = {log, range.after + 1};
	struct position start, end;
	do {
		range.after = check.next - 1;
		ck_assert_int_eq(ops->read(fixture->engine, text_of(log->name), &log->genesis,
					   &range, check_row, &check, &start, &end),
				 STATUS_OK);
		ck_assert_uint_eq(start.seq, range.after);
		const struct hash *link =
			range.after == 0 ? &log->genesis : &log->actions[range.after - 1].link;
		ck_assert(hash_equal(&start.link, link));
		ck_assert_uint_eq(end.seq, check.next - 1);
	} while (end.seq < log->count);
	ck_assert(hash_equal(&end.link, &log->head.position.link));
}

UNUSED static struct lookup
fixture_ask(struct fixture *fixture, const struct model_log *log, struct lookup lookup)
{
	lookup.log = text_of(log->name);
	lookup.genesis = &log->genesis;
	ck_assert_int_eq(fixture->engine->ops->gather(fixture->engine, &lookup, 1), STATUS_OK);
	return lookup;
}

/* The writer's facts are the model's, for a random action and one that is not there. */
UNUSED static void
fixture_check_facts(struct fixture *fixture, const struct model_log *log)
{
	struct lookup lookup = fixture_ask(fixture, log, (struct lookup){.kind = LOOKUP_HEAD});
	ck_assert_int_eq(lookup.status, STATUS_OK);
	ck_assert_uint_eq(lookup.head.position.seq, log->count);
	ck_assert(hash_equal(&lookup.head.position.link, &log->head.position.link));
	ck_assert_uint_eq(lookup.head.received_at, log->head.received_at);
	ck_assert_uint_eq(lookup.head.bytes, log->head.bytes);
	lookup = fixture_ask(
		fixture, log,
		(struct lookup){.kind = LOOKUP_TAKEN, .device = TEXT("nobody"), .ts = 5});
	ck_assert(lookup.status == STATUS_OK && !lookup.taken.found);
	lookup = fixture_ask(fixture, log,
			     (struct lookup){.kind = LOOKUP_NEWEST, .device = TEXT("nobody")});
	ck_assert(lookup.status == STATUS_OK && lookup.newest == 0);
	lookup = fixture_ask(fixture, log,
			     (struct lookup){.kind = LOOKUP_LINK, .seq = log->count + 1});
	ck_assert(lookup.status == STATUS_OK && !lookup.found);
	if (log->count == 0)
		return;

	uint64_t seq = 1 + fixture_random(fixture, log->count);
	const struct model_action *action = &log->actions[seq - 1];
	lookup = fixture_ask(fixture, log, (struct lookup){.kind = LOOKUP_LINK, .seq = seq});
	ck_assert(lookup.status == STATUS_OK && lookup.found);
	ck_assert(hash_equal(&lookup.link, &action->link));
	struct text device = text_of(action->device);
	lookup = fixture_ask(
		fixture, log,
		(struct lookup){.kind = LOOKUP_TAKEN, .device = device, .ts = action->ts});
	ck_assert(lookup.status == STATUS_OK && lookup.taken.found);
	ck_assert_uint_eq(lookup.taken.seq, seq);
	ck_assert(hash_equal(&lookup.taken.digest, &action->digest));
	uint64_t newest = 0;
	for (size_t i = 0; i < log->count; i++) {
		if (strcmp(log->actions[i].device, action->device) == 0 &&
		    log->actions[i].ts > newest)
			newest = log->actions[i].ts;
	}
	lookup =
		fixture_ask(fixture, log, (struct lookup){.kind = LOOKUP_NEWEST, .device = device});
	ck_assert(lookup.status == STATUS_OK && lookup.newest == newest);
}

/* --- the audit ----------------------------------------------------------------------------------
 */

struct findings {
	size_t count;
	char log[64]; /* of the first */
	uint64_t seq;
	char what[512];
};

UNUSED static void
remember_finding(void *cookie, const struct audit_finding *finding)
{
	struct findings *findings = cookie;
	if (findings->count++ > 0)
		return;
	snprintf(findings->log, sizeof(findings->log), "%.*s", (int)finding->log.size,
		 finding->log.data);
	findings->seq = finding->seq;
	snprintf(findings->what, sizeof(findings->what), "%s", finding->what);
}

UNUSED static struct findings
fixture_audit(struct fixture *fixture, struct audit_totals *totals)
{
	struct findings findings = {0};
	struct audit_observer observer = {.finding = remember_finding, .cookie = &findings};
	struct audit_target target = {.path = fixture->path,
				      .shard = fixture->options.shard,
				      .shards = fixture->options.shards,
				      .id = fixture->options.id};
	memset(totals, 0, sizeof(*totals));
	enum status status = audit_shard(&target, &observer, totals);
	ck_assert(status == STATUS_OK || findings.count > 0);
	ck_assert_uint_eq(totals->findings, findings.count);
	return findings;
}

UNUSED static void
fixture_check_clean(struct fixture *fixture)
{
	struct audit_totals totals;
	struct findings findings = fixture_audit(fixture, &totals);
	ck_assert_msg(findings.count == 0, "%s %lu: %s", findings.log, findings.seq, findings.what);
}

#endif
