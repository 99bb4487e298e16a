#include "store/sqlite/tail_batch.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

static struct tail_batch *
new_batch(size_t action_count, size_t device_count, size_t record_size, uint8_t **record)
{
	/* The parts are multiples of their alignment up to the record, which needs none. */
	size_t actions_size = frame_aligned(action_count * sizeof(struct tail_action));
	size_t devices_size = device_count * sizeof(struct text);
	size_t frame_size = frame_aligned(FRAME_SIZE + record_size);
	size_t size = sizeof(struct tail_batch) + actions_size + devices_size + frame_size;
	struct tail_batch *batch = malloc(size);
	if (batch == NULL)
		return NULL;
	memset(batch, 0, sizeof(*batch));
	batch->size = size;
	batch->refs = 1;
	batch->action_count = action_count;
	batch->device_count = device_count;
	batch->devices = (struct text *)(void *)((char *)batch->actions + actions_size);
	batch->frame = (uint8_t *)(batch->devices + device_count);
	batch->frame_size = frame_size;
	memset(batch->frame + FRAME_SIZE + record_size, 0, frame_size - FRAME_SIZE - record_size);
	*record = batch->frame + FRAME_SIZE;
	batch->record = *record;
	batch->record_size = record_size;
	return batch;
}

static void
fill_head(struct tail_batch *batch, const struct record *record)
{
	batch->first_seq = record->first_seq;
	batch->received_at = record->received_at;
	batch->before = record->before;
	batch->log_name = record->log;
	batch->writer = record->writer;
	for (size_t i = 0; i < batch->device_count; i++)
		batch->devices[i] = record->devices[i];
}

struct tail_batch *
tail_batch_encode(const struct append *append)
{
	size_t size = journal_size(append);
	if (size == 0)
		return NULL;
	uint8_t *bytes;
	struct tail_batch *batch =
		new_batch(append->applied, append->batch->device_count, size, &bytes);
	if (batch == NULL)
		return NULL;
	journal_encode(append, bytes, size);
	batch->log_bytes = append->head.bytes;
	struct record record;
	CHECK(journal_peek(bytes, size, &record));
	fill_head(batch, &record);
	batch->gone = append->head.gone;

	size_t offset = record.actions_at, applied = 0;
	for (size_t i = 0; i < append->batch->action_count; i++) {
		if (append->outcomes[i].kind != OUTCOME_APPLIED)
			continue;
		struct tail_action *action = &batch->actions[applied];
		*action = (struct tail_action){.offset = (uint32_t)offset,
					       .link = append->outcomes[i].link};
		struct action ignored;
		size_t device;
		offset = journal_action(bytes, offset, &ignored, &device);
		applied++;
	}
	CHECK(hash_equal(&batch->actions[applied - 1].link, &append->head.position.link));
	return batch;
}

struct tail_batch *
tail_batch_decode(const struct record *from)
{
	uint8_t *bytes;
	struct tail_batch *batch =
		new_batch(from->action_count, from->device_count, from->size, &bytes);
	if (batch == NULL)
		return NULL;
	memcpy(bytes, from->bytes, from->size);
	struct record record;
	CHECK(journal_peek(bytes, from->size, &record));
	fill_head(batch, &record);

	struct hash link = record.before;
	size_t offset = record.actions_at;
	for (size_t i = 0; i < record.action_count; i++) {
		struct action action;
		size_t device;
		size_t next = journal_action(bytes, offset, &action, &device);
		action.device = record.devices[device];
		struct hash digest;
		chain_digest(&action, &digest);
		chain_link(&link, &digest, &link);
		batch->actions[i] = (struct tail_action){.offset = (uint32_t)offset, .link = link};
		offset = next;
	}
	return batch;
}

void
tail_batch_free(struct tail_batch *batch)
{
	free(batch);
}

bool
tail_group_encode(struct tail_group *group, const struct append *appends, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct tail_batch *batch = tail_batch_encode(&appends[i]);
		if (batch == NULL)
			return false;
		if (group->first == NULL)
			group->first = batch;
		else
			group->last->next = batch;
		group->last = batch;
		group->bytes += batch->size;
	}
	return true;
}

void
tail_group_free(struct tail_group *group)
{
	while (group->first != NULL) {
		struct tail_batch *batch = group->first;
		group->first = batch->next;
		tail_batch_free(batch);
	}
}

const struct hash *
tail_batch_link(const struct tail_batch *batch, uint64_t seq)
{
	if (seq + 1 == batch->first_seq)
		return &batch->before;
	CHECK(seq >= batch->first_seq && seq <= tail_batch_last_seq(batch));
	return &batch->actions[seq - batch->first_seq].link;
}

void
tail_batch_action(const struct tail_batch *batch, size_t index, struct action *action)
{
	size_t device;
	(void)journal_action(batch->record, batch->actions[index].offset, action, &device);
	action->device = batch->devices[device];
}

uint64_t
tail_batch_bytes(const struct tail_batch *batch, size_t from)
{
	uint64_t bytes = 0;
	for (size_t i = from; i < batch->action_count; i++) {
		struct action action;
		tail_batch_action(batch, i, &action);
		bytes += action_size(&action);
	}
	return bytes;
}
