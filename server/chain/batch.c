#include "chain/batch.h"

#include "base/check.h"

enum status
batch_verify(struct batch *batch, struct hash *actual)
{
	const struct hash *link = &batch->base.link;

	if (batch->action_count == 0)
		return STATUS_OK;
	for (size_t i = 0; i < batch->action_count; i++) {
		struct batch_action *action = &batch->actions[i];

		chain_digest(&action->action, &action->digest);
		chain_link(link, &action->digest, &action->link);
		link = &action->link;
	}
	if (hash_equal(link, &batch->state_hash))
		return STATUS_OK;
	*actual = *link;
	return STATUS_CHAIN_BROKEN;
}

const struct hash *
batch_link_before(const struct batch *batch, size_t i)
{
	CHECK(i < batch->action_count);
	return i == 0 ? &batch->base.link : &batch->actions[i - 1].link;
}

const struct hash *
batch_end(const struct batch *batch)
{
	return batch->action_count == 0 ? &batch->base.link : &batch->state_hash;
}

int
batch_device(struct batch *batch, struct text device)
{
	for (size_t i = 0; i < batch->device_count; i++)
		if (text_equal(batch->devices[i], device))
			return (int)i;
	if (batch->device_count == BATCH_DEVICES_MAX)
		return -1;
	batch->devices[batch->device_count] = device;
	return (int)batch->device_count++;
}
