/*
 * Reading a sync request.
 *
 * A malformed body ends the reading at once. What is too large is only noted, so that a malformed
 * part behind it still comes first (protocol, section 5).
 */
#include "api/wire.h"

#include <string.h>

#include "api/wire_reader.h"
#include "base/check.h"

#define ACTIONS_FIRST 8 /* room for the first actions; doubled as needed */

/* TEXT is no constant expression. */
#define NAME(literal)                                                                              \
	{                                                                                          \
		(literal), sizeof(literal) - 1                                                     \
	}

enum member {
	MEMBER_DEVICE,
	MEMBER_SEQ,
	MEMBER_PREV_HASH,
	MEMBER_ACTIONS,
	MEMBER_STATE_HASH,
	MEMBER_LOCATOR,
	MEMBER_PULL,
	MEMBER_ON_CONFLICT,
	MEMBER_RECEIPT,
	MEMBER_STATE,
	MEMBER_COUNT
};

static const struct text members[MEMBER_COUNT] = {
	[MEMBER_DEVICE] = NAME("device"),
	[MEMBER_SEQ] = NAME("seq"),
	[MEMBER_PREV_HASH] = NAME("prevHash"),
	[MEMBER_ACTIONS] = NAME("actions"),
	[MEMBER_STATE_HASH] = NAME("stateHash"),
	[MEMBER_LOCATOR] = NAME("locator"),
	[MEMBER_PULL] = NAME("pull"),
	[MEMBER_ON_CONFLICT] = NAME("onConflict"),
	[MEMBER_RECEIPT] = NAME("receipt"),
	[MEMBER_STATE] = NAME("state"),
};

/* In the order that clients send. */
enum action_member { ACTION_TS, ACTION_TYPE, ACTION_PAYLOAD, ACTION_DEVICE, ACTION_MEMBER_COUNT };

static const struct text action_members[ACTION_MEMBER_COUNT] = {
	[ACTION_TS] = NAME("ts"),
	[ACTION_TYPE] = NAME("type"),
	[ACTION_PAYLOAD] = NAME("payload"),
	[ACTION_DEVICE] = NAME("device"),
};

/* --- actions --- */

static bool
read_payload(struct reader *reader, struct text *payload)
{
	if (!reader_string(reader, payload))
		return false;
	size_t limit = reader->limits->payload_bytes;
	if (payload->size > limit && reader->fault->status == STATUS_OK) {
		reader_too_large(reader, STATUS_PAYLOAD_TOO_LARGE, limit,
				 "actions[%zu].payload: has %zu bytes, at most %zu are allowed",
				 reader->index, payload->size, limit);
		reader_set_index(reader);
	}
	return true;
}

static bool
read_action_member(struct reader *reader, int member, struct action *action)
{
	switch (member) {
	case ACTION_TS:
		return reader_integer(reader, 1, TS_MAX, &action->ts);
	case ACTION_TYPE:
		if (!reader_string(reader, &action->type))
			return false;
		return type_is_valid(action->type) ||
		       reader_malformed(reader, "must be 1 to %d bytes without control characters",
					TYPE_SIZE_MAX);
	case ACTION_PAYLOAD:
		return read_payload(reader, &action->payload);
	default:
		return reader_device(reader, &action->device);
	}
}

/* device.data stays NULL when the action names none. */
static bool
read_action(struct reader *reader, struct action *action)
{
	unsigned seen = 0;
	bool first = true;
	struct text name;
	*action = (struct action){0};
	reader->member = NULL;
	if (!reader_expect(reader, JSON_KIND_OBJECT, "must be an object"))
		return false;
	if (!json_enter(&reader->json, JSON_KIND_OBJECT))
		return reader_syntax(reader);
	while (json_member(&reader->json, &first, &name)) {
		int member =
			reader_member(reader, name, action_members, ACTION_MEMBER_COUNT, &seen);
		if (member == -1 || !read_action_member(reader, member, action))
			return false;
		reader->member = NULL;
	}
	if (reader->json.fault)
		return reader_syntax(reader);
	if (!(seen & 1U << ACTION_DEVICE) && reader->without_device == SIZE_MAX)
		reader->without_device = reader->index;
	return reader_require(reader, action_members, seen,
			      1U << ACTION_TS | 1U << ACTION_TYPE | 1U << ACTION_PAYLOAD);
}

/* Room for one action more: doubled, so that copying and the arena's waste stay below three times
 * the limit. False: memory is out. */
static bool
grow_actions(struct reader *reader)
{
	struct batch *batch = reader->batch;
	if (batch->action_count < reader->capacity)
		return true;
	size_t capacity = reader->capacity == 0 ? ACTIONS_FIRST : reader->capacity * 2;
	if (capacity > reader->limits->batch_actions)
		capacity = reader->limits->batch_actions;
	struct batch_action *actions = arena_alloc(reader->arena, capacity * sizeof(*actions));
	if (!actions) {
		*reader->fault = (struct wire_fault){.status = STATUS_INTERNAL};
		return false;
	}
	if (batch->action_count > 0)
		memcpy(actions, batch->actions, batch->action_count * sizeof(*actions));
	batch->actions = actions;
	reader->capacity = capacity;
	return true;
}

static bool
read_actions(struct reader *reader)
{
	struct batch *batch = reader->batch;
	bool first = true;
	if (!reader_expect(reader, JSON_KIND_ARRAY, "must be an array"))
		return false;
	if (!json_enter(&reader->json, JSON_KIND_ARRAY))
		return reader_syntax(reader);
	while (json_element(&reader->json, &first)) {
		struct batch_action action = {0};
		reader->scope = "actions";
		reader->index = reader->actions;
		if (!read_action(reader, &action.action))
			return false;
		reader->scope = NULL;
		reader->member = members[MEMBER_ACTIONS].data;
		if (reader->actions++ >= reader->limits->batch_actions)
			continue;
		if (!grow_actions(reader))
			return false;
		batch->actions[batch->action_count++] = action;
	}
	if (reader->json.fault)
		return reader_syntax(reader);
	if (reader->actions > reader->limits->batch_actions)
		reader_too_large(reader, STATUS_BATCH_TOO_LARGE, reader->limits->batch_actions,
				 "actions: there are %zu, at most %zu are allowed in a batch",
				 reader->actions, reader->limits->batch_actions);
	return true;
}

/* --- locator --- */

static bool
read_pair(struct reader *reader, struct position *pair)
{
	bool first = true;
	reader->member = NULL;
	if (!reader_expect(reader, JSON_KIND_ARRAY, "must be a pair [seq, hash]"))
		return false;
	if (!json_enter(&reader->json, JSON_KIND_ARRAY))
		return reader_syntax(reader);
	for (int i = 0; i < 2; i++) {
		if (!json_element(&reader->json, &first)) {
			if (reader->json.fault)
				return reader_syntax(reader);
			return reader_malformed(reader, "must be a pair [seq, hash]");
		}
		reader->member = i == 0 ? "[0]" : "[1]";
		bool good = i == 0 ? reader_integer(reader, 0, SEQ_MAX, &pair->seq)
				   : reader_hash(reader, &pair->link);
		if (!good)
			return false;
		reader->member = NULL;
	}
	if (json_element(&reader->json, &first))
		return reader_malformed(reader, "must be a pair [seq, hash]");
	return !reader->json.fault || reader_syntax(reader);
}

static bool
read_locator(struct reader *reader)
{
	struct batch *batch = reader->batch;
	bool first = true;
	if (!reader_expect(reader, JSON_KIND_ARRAY, "must be an array of pairs [seq, hash]"))
		return false;
	if (!json_enter(&reader->json, JSON_KIND_ARRAY))
		return reader_syntax(reader);
	while (json_element(&reader->json, &first)) {
		size_t count = batch->locator_count;
		if (count == LOCATOR_PAIRS_MAX)
			return reader_malformed(reader, "must have at most %d pairs",
						LOCATOR_PAIRS_MAX);
		struct position *pair = &batch->locator[count];
		reader->scope = "locator";
		reader->index = count;
		if (!read_pair(reader, pair))
			return false;
		if (count > 0 && pair->seq >= pair[-1].seq)
			return reader_malformed(reader, "must be older than the pair before it");
		if (pair->seq == 0 && !hash_equal(&pair->link, &batch->genesis))
			return reader_malformed(reader,
						"with seq 0 it must have the log's genesis link");
		reader->scope = NULL;
		reader->member = members[MEMBER_LOCATOR].data;
		batch->locator_count++;
	}
	return !reader->json.fault || reader_syntax(reader);
}

/* --- the body --- */

static bool
read_on_conflict(struct reader *reader)
{
	struct text value;
	if (!reader_string(reader, &value))
		return false;
	reader->batch->reject = text_equal(value, TEXT("reject"));
	return reader->batch->reject || text_equal(value, TEXT("rebase")) ||
	       reader_malformed(reader, "must be \"rebase\" or \"reject\"");
}

static bool
read_receipt(struct reader *reader)
{
	enum json_kind kind;
	if (!json_peek(&reader->json, &kind))
		return reader_syntax(reader);
	if (kind != JSON_KIND_TRUE && kind != JSON_KIND_FALSE)
		return reader_malformed(reader, "must be true or false");
	return json_read_bool(&reader->json, &reader->batch->receipt) || reader_syntax(reader);
}

static bool
read_member(struct reader *reader, int member)
{
	struct batch *batch = reader->batch;
	switch (member) {
	case MEMBER_DEVICE:
		return reader_device(reader, &reader->device);
	case MEMBER_SEQ:
		return reader_integer(reader, 0, SEQ_MAX, &batch->base.seq);
	case MEMBER_PREV_HASH:
		return reader_hash(reader, &batch->base.link);
	case MEMBER_ACTIONS:
		return read_actions(reader);
	case MEMBER_STATE_HASH:
		reader->has_state_hash = true;
		return reader_hash(reader, &batch->state_hash);
	case MEMBER_LOCATOR:
		return read_locator(reader);
	case MEMBER_PULL:
		return reader_integer(reader, 0, SEQ_MAX, &batch->pull);
	case MEMBER_ON_CONFLICT:
		return read_on_conflict(reader);
	case MEMBER_RECEIPT:
		return read_receipt(reader);
	default:
		return reader_state(reader);
	}
}

static bool
read_body(struct reader *reader)
{
	unsigned seen = 0;
	bool first = true;
	struct text name;
	if (!reader_expect(reader, JSON_KIND_OBJECT, "must be an object"))
		return false;
	if (!json_enter(&reader->json, JSON_KIND_OBJECT))
		return reader_syntax(reader);
	while (json_member(&reader->json, &first, &name)) {
		int member = reader_member(reader, name, members, MEMBER_COUNT, &seen);
		if (member == -1 || !read_member(reader, member))
			return false;
		reader->member = NULL;
	}
	if (reader->json.fault || !json_end(&reader->json))
		return reader_syntax(reader);
	return reader_require(reader, members, seen,
			      1U << MEMBER_SEQ | 1U << MEMBER_PREV_HASH | 1U << MEMBER_ACTIONS);
}

/* Who says it must be named, and the request must have the link of where. */
static bool
check_state(struct reader *reader)
{
	const uint64_t base = reader->batch->base.seq, seq = reader->state.seq;
	if (reader->state.digest.data == NULL)
		return true;
	reader->member = members[MEMBER_DEVICE].data;
	if (reader->device.data == NULL)
		return reader_malformed(reader, "is missing, and there is a state");
	reader->member = "state.seq";
	return (seq >= base && seq - base <= reader->actions) ||
	       reader_malformed(reader, "must be from seq to seq + the number of actions");
}

/* What members mean for each other. */
static bool
check_together(struct reader *reader)
{
	const struct batch *batch = reader->batch;
	reader->member = members[MEMBER_PREV_HASH].data;
	if (batch->base.seq == 0 && !hash_equal(&batch->base.link, &batch->genesis))
		return reader_malformed(reader,
					"with seq 0 it must be the log's genesis link; the client "
					"derived the genesis wrongly");
	reader->member = members[MEMBER_STATE_HASH].data;
	if (reader->actions > 0 && !reader->has_state_hash)
		return reader_malformed(reader, "is missing, and there are actions");
	if (reader->without_device != SIZE_MAX && !reader->device.data) {
		reader->scope = "actions";
		reader->index = reader->without_device;
		reader->member = members[MEMBER_DEVICE].data;
		return reader_malformed(reader,
					"is missing, and the body names no device for all actions");
	}
	return check_state(reader);
}

/* Gives each action its device, which may stand behind the actions in the text. */
static void
resolve_devices(struct reader *reader)
{
	struct batch *batch = reader->batch;
	int device = -1;
	for (size_t i = 0; i < batch->action_count; i++) {
		struct batch_action *action = &batch->actions[i];
		if (!action->action.device.data)
			action->action.device = reader->device;
		if (device == -1 || !text_equal(batch->devices[device], action->action.device))
			device = batch_device(batch, action->action.device);
		if (device == -1) {
			reader_too_large(reader, STATUS_BATCH_TOO_LARGE, BATCH_DEVICES_MAX,
					 "actions: they name more than %d devices",
					 BATCH_DEVICES_MAX);
			return;
		}
		action->device = (unsigned)device;
	}
}

/* The tables of devices and locator pairs stay as they are up to their counts: they are most of a
 * batch, and most requests leave them nearly empty. */
static void
begin_batch(struct batch *batch, struct text log)
{
	batch->log = log;
	chain_genesis(log, &batch->genesis);
	batch->base = (struct position){0};
	batch->actions = NULL;
	batch->action_count = 0;
	batch->state_hash = (struct hash){0};
	batch->device_count = 0;
	batch->locator_count = 0;
	batch->pull = WIRE_PULL_DEFAULT;
	batch->reject = false;
	batch->receipt = false;
}

enum status
wire_read_sync(char *body, size_t size, struct text log, const struct wire_limits *limits,
	       struct arena *arena, struct batch *batch, struct wire_fault *fault)
{
	struct reader reader = {
		.limits = limits,
		.arena = arena,
		.batch = batch,
		.fault = fault,
		.without_device = SIZE_MAX,
	};
	CHECK(limits->batch_actions > 0);
	*fault = (struct wire_fault){.status = STATUS_OK};
	begin_batch(batch, log);
	json_begin(&reader.json, body, size);
	if (read_body(&reader) && check_together(&reader))
		resolve_devices(&reader);
	batch->device = reader.device;
	batch->state = reader.state;
	return fault->status;
}

size_t
wire_arena_bytes(const struct wire_limits *limits)
{
	return (3 * limits->batch_actions + ACTIONS_FIRST) * sizeof(struct batch_action);
}
