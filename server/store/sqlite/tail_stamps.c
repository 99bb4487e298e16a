#include "store/sqlite/tail_stamps.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/map.h"
#include "store/sqlite/tail.h"

/* A log with no more actions than these is read through, which costs less than a microsecond. */
#define READ_ACTIONS_MAX 64

/* Set in the hash of an entry that has a device's newest action, else not: the two kinds never meet. */
#define DEVICES_NEWEST 0x80000000u

struct slot {
	uint32_t hash;
	uint32_t place; /* seq - first_seq + 1; 0 when empty */
};

struct tail_stamps {
	uint64_t first_seq, next_seq; /* what it has */
	size_t count;	   /* actions, and devices of batches: at least the slots taken */
	size_t slot_count; /* a power of two */
	struct slot slots[];
};

struct key {
	uint32_t hash;
	struct text device;
	uint64_t ts; /* of a device's newest: the one that is to be put in */
};

/* Hashes are keyed: clients choose devices and stamps, and must not choose slots. */
static struct key
stamp_key(struct text device, uint64_t ts)
{
	uint8_t bytes[sizeof(ts) + DEVICE_SIZE_MAX];
	CHECK(device.size <= DEVICE_SIZE_MAX);
	memcpy(bytes, &ts, sizeof(ts));
	memcpy(bytes + sizeof(ts), device.data, device.size);
	const uint32_t hash = map_hash(bytes, sizeof(ts) + device.size);
	return (struct key){.hash = hash & ~DEVICES_NEWEST, .device = device, .ts = ts};
}

static struct key
newest_key(struct text device, uint64_t ts)
{
	const uint32_t hash = map_hash(device.data, device.size);
	return (struct key){.hash = hash | DEVICES_NEWEST, .device = device, .ts = ts};
}

static bool
is_meant(const struct key *key, const struct action *action)
{
	return text_equal(action->device, key->device) &&
	       ((key->hash & DEVICES_NEWEST) != 0 || action->ts == key->ts);
}

static uint64_t
oldest_seq(const struct tail_log *log)
{
	return log->items[log->first]->first_seq;
}

/* --- a few actions --- */

/* Of those that are meant, the newest. */
static uint64_t
read_through(const struct tail_log *log, const struct key *key, struct action *found)
{
	uint64_t seq = 0;
	for (size_t i = 0; i < log->count; i++) {
		const struct tail_batch *batch = log->items[log->first + i];
		for (size_t at = 0; at < batch->action_count; at++) {
			struct action action;
			tail_batch_action(batch, at, &action);
			if (!is_meant(key, &action) || (seq != 0 && action.ts <= found->ts))
				continue;
			*found = action;
			seq = batch->first_seq + at;
		}
	}
	return seq;
}

/* --- many: the table --- */

/* The seq of the entry's action, if that is still in the tail, and the one that is meant. Otherwise
 * 0, and *slot is where the entry would stand. */
static uint64_t
find_slot(const struct tail_log *log, const struct key *key, struct action *action,
	  struct slot **slot)
{
	struct tail_stamps *stamps = log->stamps;
	struct slot *left = NULL;
	size_t at = key->hash & (stamps->slot_count - 1);
	for (; stamps->slots[at].place != 0; at = (at + 1) & (stamps->slot_count - 1)) {
		*slot = &stamps->slots[at];
		if ((*slot)->hash != key->hash)
			continue;
		const uint64_t seq = stamps->first_seq + (*slot)->place - 1;
		const struct tail_batch *batch = tail_batch_at(log, seq);
		if (batch == NULL) {
			left = *slot;
			continue;
		}
		tail_batch_action(batch, (size_t)(seq - batch->first_seq), action);
		if (is_meant(key, action))
			return seq;
	}
	*slot = left != NULL ? left : &stamps->slots[at];
	return 0;
}

static void
put(const struct tail_log *log, const struct key *key, uint64_t seq)
{
	struct action there;
	struct slot *slot;
	if (find_slot(log, key, &there, &slot) == 0 || there.ts < key->ts)
		*slot = (struct slot){.hash = key->hash,
				      .place = (uint32_t)(seq - log->stamps->first_seq + 1)};
}

static void
add_batch(struct tail_log *log, const struct tail_batch *batch)
{
	struct tail_stamps *stamps = log->stamps;
	CHECK(batch->first_seq == stamps->next_seq);
	for (size_t i = 0; i < batch->action_count; i++) {
		struct action action;
		tail_batch_action(batch, i, &action);
		const struct key stamp = stamp_key(action.device, action.ts);
		const struct key newest = newest_key(action.device, action.ts);
		put(log, &stamp, batch->first_seq + i);
		put(log, &newest, batch->first_seq + i);
	}
	stamps->next_seq += batch->action_count;
	stamps->count += batch->action_count + batch->device_count;
}

/* How much the batches from a seq on may add, and how many batches that are. */
static size_t
count_from(const struct tail_log *log, uint64_t seq, size_t *batch_count)
{
	size_t count = 0;
	for (*batch_count = 0; *batch_count < log->count; ++*batch_count) {
		const size_t last = log->first + log->count - 1;
		const struct tail_batch *batch = log->items[last - *batch_count];
		if (batch->first_seq < seq)
			break;
		count += batch->action_count + batch->device_count;
	}
	return count;
}

/* NULL when memory is out, or when it would be more than 32 bits can count. */
static struct tail_stamps *
new_stamps(uint64_t first_seq, size_t count)
{
	size_t slot_count = 1;
	if (count > UINT32_MAX / 4)
		return NULL;
	while (slot_count < 2 * count)
		slot_count *= 2;
	struct tail_stamps *stamps =
		calloc(1, sizeof(*stamps) + slot_count * sizeof(*stamps->slots));
	if (stamps == NULL)
		return NULL;
	stamps->first_seq = stamps->next_seq = first_seq;
	stamps->slot_count = slot_count;
	return stamps;
}

/* Brings the table up to what is in the tail. False when there is none. */
static bool
catch_up(struct tail_log *log)
{
	const uint64_t oldest = oldest_seq(log);
	size_t batch_count;
	size_t count =
		count_from(log, log->stamps == NULL ? oldest : log->stamps->next_seq, &batch_count);
	if (log->stamps != NULL && log->stamps->count + count > log->stamps->slot_count / 4 * 3) {
		tail_stamps_free(log->stamps);
		log->stamps = NULL;
		count = count_from(log, oldest, &batch_count);
	}
	if (log->stamps == NULL)
		log->stamps = new_stamps(oldest, count);
	if (log->stamps == NULL)
		return false;
	for (size_t i = log->count - batch_count; i < log->count; i++)
		add_batch(log, log->items[log->first + i]);
	return true;
}

static uint64_t
find(struct tail_log *log, const struct key *key, struct action *action)
{
	CHECK(log->count > 0);
	struct slot *slot;
	if (log->head.position.seq - oldest_seq(log) < READ_ACTIONS_MAX || !catch_up(log))
		return read_through(log, key, action);
	return find_slot(log, key, action, &slot);
}

uint64_t
tail_stamps_find(struct tail_log *log, struct text device, uint64_t ts)
{
	struct action action;
	const struct key key = stamp_key(device, ts);
	return find(log, &key, &action);
}

uint64_t
tail_stamps_newest(struct tail_log *log, struct text device)
{
	struct action action;
	const struct key key = newest_key(device, 0);
	return find(log, &key, &action) == 0 ? 0 : action.ts;
}

void
tail_stamps_leave(struct tail_log *log, uint64_t seq)
{
	if (log->stamps == NULL || log->stamps->next_seq > seq + 1)
		return;
	tail_stamps_free(log->stamps);
	log->stamps = NULL;
}

void
tail_stamps_free(struct tail_stamps *stamps)
{
	free(stamps);
}
