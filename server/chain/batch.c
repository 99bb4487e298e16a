#include "chain/batch.h"

#include "base/check.h"
#include "chain/lanes.h"

/* The digests of up to LANES actions, those that are not too long at once. */
static void
digest_some(struct batch_action actions[], size_t count)
{
	uint8_t bytes[LANES][PREIMAGE_SIZE_MAX];
	struct text preimages[LANES] = {{NULL, 0}};
	struct hash digests[LANES];
	struct batch_action *gathered[LANES];
	size_t gathered_count = 0;

	for (size_t i = 0; i < count; i++) {
		uint8_t *preimage = bytes[gathered_count];
		struct action action = actions[i].action; /* its texts are moved */
		const size_t size = chain_preimage(&action, preimage);

		if (size == 0) {
			chain_digest(&actions[i].action, &actions[i].digest);
			continue;
		}
		preimages[gathered_count] = (struct text){(const char *)preimage, size};
		gathered[gathered_count++] = &actions[i];
	}
	chain_digests(preimages, digests, gathered_count);
	for (size_t i = 0; i < gathered_count; i++)
		gathered[i]->digest = digests[i];
}

enum status
batch_verify(struct batch *batch, struct hash *actual)
{
	const struct hash *link = &batch->base.link;

	if (batch->action_count == 0)
		return STATUS_OK;
	for (size_t i = 0; i < batch->action_count; i += LANES) {
		const size_t rest = batch->action_count - i;
		digest_some(batch->actions + i, rest < LANES ? rest : LANES);
	}
	for (size_t i = 0; i < batch->action_count; i++) {
		struct batch_action *action = &batch->actions[i];

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
batch_link_at(const struct batch *batch, uint64_t seq)
{
	CHECK(seq >= batch->base.seq && seq - batch->base.seq <= batch->action_count);
	return seq == batch->base.seq ? &batch->base.link
				      : &batch->actions[seq - batch->base.seq - 1].link;
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
