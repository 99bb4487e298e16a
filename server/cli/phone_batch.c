#include "cli/phone_batch.h"

#include "cli/json_text.h"
#include "cli/report.h"

#define BODY_SIZE_MAX ((size_t)1 << 30)

/* Then the others are let in first. */
#define CONFLICTS_IN_A_ROW 5

/* What follows the last action: "],"stateHash":"…"}". */
#define BODY_TAIL_SIZE 96

/* Taking, as the queue's visitor sees it. */
struct taking {
	struct phone_sync *sync;
	struct phone_batch *batch;
	struct text devices[BATCH_DEVICES_MAX];
	size_t device_count;
	bool out_of_memory;
};

static bool
takes_device(struct taking *taking, struct text device)
{
	for (size_t i = 0; i < taking->device_count; i++) {
		if (text_equal(taking->devices[i], device))
			return true;
	}
	if (taking->device_count == BATCH_DEVICES_MAX)
		return false;
	taking->devices[taking->device_count] = arena_copy(&taking->sync->arena, device);
	if (taking->devices[taking->device_count].data == NULL)
		return false;
	taking->device_count++;
	return true;
}

/* {"ts":…,"type":"…","payload":"…"}; another device's action names it. */
static void
write_action(struct buffer *body, const struct action *action, struct text own_device)
{
	buffer_append_text(body, TEXT("{"));
	if (!text_equal(action->device, own_device)) {
		buffer_append_text(body, TEXT("\"device\":"));
		json_write_string(body, action->device);
		buffer_append_text(body, TEXT(","));
	}
	buffer_append_text(body, TEXT("\"ts\":"));
	buffer_append_u64(body, action->ts);
	buffer_append_text(body, TEXT(",\"type\":"));
	json_write_string(body, action->type);
	buffer_append_text(body, TEXT(",\"payload\":"));
	json_write_string(body, action->payload);
	buffer_append_text(body, TEXT("}"));
}

static bool
copy_item(struct taking *taking, const struct queued *queued)
{
	struct arena *arena = &taking->sync->arena;
	struct queued *item = &taking->batch->items[taking->batch->count];
	struct action *action = &item->kept.action;

	*item = *queued;
	action->device = arena_copy(arena, queued->kept.action.device);
	action->type = arena_copy(arena, queued->kept.action.type);
	action->payload = arena_copy(arena, queued->kept.action.payload);
	return action->device.data != NULL && action->type.data != NULL &&
	       action->payload.data != NULL;
}

/* Appends one action, unless the batch is full without it. The first always fits: whether it is too
 * large alone is for the server to say. */
static bool
take_queued(void *cookie, const struct queued *queued)
{
	struct taking *taking = cookie;
	struct phone_batch *batch = taking->batch;
	struct buffer *body = &batch->body;
	size_t size_before = body->size;
	struct phone_action computed = queued->kept;

	/* What rotted in the file is not sent under a digest that would make it look whole. */
	phone_action_digest(&computed);
	if (!hash_equal(&computed.digest, &queued->kept.digest)) {
		batch->damaged = batch->count == 0;
		batch->damaged_place = queued->place;
		return false;
	}
	if (batch->count == taking->sync->batch_limit ||
	    !takes_device(taking, queued->kept.action.device))
		return false;
	if (batch->count > 0)
		buffer_append_text(body, TEXT(","));
	write_action(body, &queued->kept.action, phone_store_device(taking->sync->store));
	if (batch->count > 0 &&
	    body->size + BODY_TAIL_SIZE > (size_t)taking->sync->limits.body_bytes) {
		body->size = size_before;
		return false;
	}
	if (body->failed || !copy_item(taking, queued)) {
		taking->out_of_memory = true;
		return false;
	}
	chain_link(&batch->end, &batch->items[batch->count].kept.digest, &batch->end);
	batch->count++;
	return true;
}

/* The seqs of a locator. Between the start and 0 there are none: there stands the start. */
static size_t
find_pairs(const struct phone_sync *sync, uint64_t base, uint64_t seqs[LOCATOR_PAIRS_MAX])
{
	const uint64_t start = phone_store_start(sync->store)->seq;
	const size_t all = chain_locator(base, seqs);
	size_t count = 0;

	while (count < all && seqs[count] > start)
		count++;
	if (count == all)
		return all;
	if (start > 0 && start < base)
		seqs[count++] = start;
	seqs[count] = 0;
	return count + 1;
}

static enum status
write_locator(struct phone_sync *sync, struct phone_batch *batch)
{
	uint64_t seqs[LOCATOR_PAIRS_MAX];
	size_t count = find_pairs(sync, batch->base.seq, seqs);
	const char *comma = "";

	buffer_append_text(&batch->body, TEXT("\"locator\":["));
	for (size_t i = 0; i < count; i++) {
		struct hash link;
		enum status status = phone_store_link(sync->store, seqs[i], &link);

		if (status == STATUS_NOT_FOUND)
			continue;
		if (status != STATUS_OK)
			return status;
		buffer_printf(&batch->body, "%s[", comma);
		buffer_append_u64(&batch->body, seqs[i]);
		buffer_append_text(&batch->body, TEXT(","));
		json_write_hash(&batch->body, &link);
		buffer_append_text(&batch->body, TEXT("]"));
		comma = ",";
	}
	buffer_append_text(&batch->body, TEXT("],"));
	return STATUS_OK;
}

static void
write_state(struct buffer *body, const struct state_report *state)
{
	buffer_append_text(body, TEXT("\"state\":{\"seq\":"));
	buffer_append_u64(body, state->seq);
	buffer_append_text(body, TEXT(",\"digest\":"));
	json_write_string(body, state->digest);
	buffer_append_text(body, TEXT(",\"app\":"));
	json_write_string(body, state->app);
	buffer_append_text(body, TEXT("},"));
}

static enum status
write_head(struct phone_sync *sync, struct phone_batch *batch, bool reject)
{
	struct buffer *body = &batch->body;
	enum status status = STATUS_OK;

	buffer_append_text(body, TEXT("{\"device\":"));
	json_write_string(body, phone_store_device(sync->store));
	buffer_append_text(body, TEXT(",\"seq\":"));
	buffer_append_u64(body, batch->base.seq);
	buffer_append_text(body, TEXT(",\"prevHash\":"));
	json_write_hash(body, &batch->base.link);
	buffer_append_text(body, TEXT(","));
	if (batch->has_locator)
		status = write_locator(sync, batch);
	if (reject)
		buffer_append_text(body, TEXT("\"onConflict\":\"reject\","));
	if (sync->receipts && sync->limits.receipt)
		buffer_append_text(body, TEXT("\"receipt\":true,"));
	if (batch->has_state)
		write_state(body, &sync->state);
	buffer_append_text(body, TEXT("\"actions\":["));
	return status;
}

enum status
phone_batch_take(struct phone_sync *sync, struct phone_batch *batch)
{
	struct taking taking = {.sync = sync, .batch = batch};
	bool reject =
		sync->reject && sync->limits.on_conflict && sync->conflicts < CONFLICTS_IN_A_ROW;
	enum status status;

	*batch = (struct phone_batch){.base = *phone_store_base(sync->store),
				      .has_locator = sync->with_locator};
	batch->has_state = sync->state.digest.data != NULL && sync->limits.state &&
			   sync->state.seq == batch->base.seq;
	batch->end = batch->base.link;
	buffer_init(&batch->body, BODY_SIZE_MAX);
	batch->items = arena_calloc(&sync->arena, sync->batch_limit, sizeof(*batch->items));
	if (batch->items == NULL) {
		taking.out_of_memory = true;
		goto done;
	}
	status = write_head(sync, batch, reject);
	if (status == STATUS_OK && sync->push)
		status = phone_store_queue(sync->store, take_queued, &taking);
	if (status != STATUS_OK)
		return status;
	buffer_append_text(&batch->body, TEXT("]"));
	if (batch->count > 0) {
		buffer_append_text(&batch->body, TEXT(",\"stateHash\":"));
		json_write_hash(&batch->body, &batch->end);
	}
	buffer_append_text(&batch->body, TEXT("}"));

done:
	if (taking.out_of_memory || batch->body.failed) {
		report_error("out of memory");
		return STATUS_INTERNAL;
	}
	return STATUS_OK;
}

void
phone_batch_release(struct phone_batch *batch)
{
	buffer_release(&batch->body);
}
