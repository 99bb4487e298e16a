#include "store/sqlite/tail_stamps.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "store/sqlite/tail.h"

#define ENTRIES_MIN ((size_t)256)
#define BUCKETS_MIN ((size_t)256)
#define BUCKETS_MAX ((size_t)65536)
#define BYTES_PER_BUCKET 256

struct tail_device {
	uint64_t newest;
	size_t refs; /* batches that name it */
	size_t key_size;
	UT_hash_handle hh;
	struct {
		const struct tail_log *log;
		char name[DEVICE_SIZE_MAX];
	} key; /* only as many bytes as the name has are part of it */
};

struct stamp_entry {
	const struct tail_device *device; /* to be compared, not to be followed: it may be gone */
	uint64_t ts;
	uint64_t seq;
	uint32_t older; /* in the bucket: a place and 1, or 0 */
};

static bool
table_init(struct stamp_table *table, size_t bucket_count)
{
	*table = (struct stamp_table){.buckets = calloc(bucket_count, sizeof(uint32_t))};
	return table->buckets != NULL;
}

static void
table_release(struct stamp_table *table)
{
	free(table->buckets);
	free(table->entries);
}

bool
tail_stamps_init(struct tail_stamps *stamps, size_t tail_bytes)
{
	*stamps = (struct tail_stamps){.bucket_count = BUCKETS_MIN};
	while (stamps->bucket_count < BUCKETS_MAX &&
	       stamps->bucket_count < tail_bytes / BYTES_PER_BUCKET)
		stamps->bucket_count *= 2;
	bool made = table_init(&stamps->filling, stamps->bucket_count) &&
		    table_init(&stamps->applying, stamps->bucket_count);
	if (!made)
		tail_stamps_release(stamps);
	return made;
}

void
tail_stamps_release(struct tail_stamps *stamps)
{
	struct tail_device *device = stamps->devices;
	HASH_CLEAR(hh, stamps->devices);
	while (device != NULL) {
		struct tail_device *next = device->hh.next;
		free(device);
		device = next;
	}
	table_release(&stamps->filling);
	table_release(&stamps->applying);
}

static struct tail_device *
find_device(const struct tail_stamps *stamps, const struct tail_log *log, struct text name,
	    struct tail_device *probe)
{
	CHECK(name.size <= DEVICE_SIZE_MAX);
	probe->key.log = log;
	memcpy(probe->key.name, name.data, name.size);
	probe->key_size = sizeof(probe->key.log) + name.size;
	struct tail_device *device = NULL;
	if (stamps->devices != NULL)
		HASH_FIND(hh, stamps->devices, &probe->key, probe->key_size, device);
	return device;
}

static struct tail_device *
hold_device(struct tail_stamps *stamps, const struct tail_log *log, struct text name)
{
	struct tail_device probe = {0};
	struct tail_device *device = find_device(stamps, log, name, &probe);
	if (device == NULL) {
		device = malloc(sizeof(*device));
		if (device == NULL)
			return NULL;
		*device = probe;
		HASH_ADD_KEYPTR(hh, stamps->devices, &device->key, device->key_size, device);
		if (device->hh.tbl == NULL) {
			free(device);
			return NULL;
		}
	}
	device->refs++;
	return device;
}

static bool
reserve(struct stamp_table *table, size_t count)
{
	size_t capacity = table->capacity < ENTRIES_MIN ? ENTRIES_MIN : table->capacity;
	while (capacity < count)
		capacity *= 2;
	if (capacity > UINT32_MAX)
		return false;
	if (capacity == table->capacity)
		return true;
	struct stamp_entry *grown = reallocarray(table->entries, capacity, sizeof(*grown));
	if (grown == NULL)
		return false;
	table->entries = grown;
	table->capacity = capacity;
	return true;
}

bool
tail_stamps_hold(struct tail_stamps *stamps, struct tail_batch *batch)
{
	for (size_t i = 0; i < batch->device_count; i++) {
		batch->devices[i].entry = hold_device(stamps, batch->log, batch->devices[i].name);
		if (batch->devices[i].entry == NULL)
			return false;
	}
	stamps->held += batch->action_count;
	return reserve(&stamps->filling, stamps->filling.count + stamps->held);
}

static size_t
bucket_of(const struct tail_stamps *stamps, const struct tail_device *device, uint64_t ts)
{
	struct {
		uint64_t device, ts;
	} key = {(uintptr_t)device, ts};
	return map_hash(&key, sizeof(key)) & (stamps->bucket_count - 1);
}

void
tail_stamps_add(struct tail_stamps *stamps, const struct tail_batch *batch)
{
	struct stamp_table *table = &stamps->filling;
	CHECK(table->count + batch->action_count <= table->capacity);
	stamps->held -= batch->action_count;
	for (size_t i = 0; i < batch->action_count; i++) {
		struct action action;
		size_t device;
		tail_batch_action(batch, i, &action, &device);
		struct tail_device *entry = batch->devices[device].entry;
		if (action.ts > entry->newest)
			entry->newest = action.ts;
		uint32_t *bucket = &table->buckets[bucket_of(stamps, entry, action.ts)];
		table->entries[table->count++] = (struct stamp_entry){.device = entry,
								      .ts = action.ts,
								      .seq = batch->first_seq + i,
								      .older = *bucket};
		*bucket = (uint32_t)table->count;
	}
}

void
tail_stamps_leave(struct tail_stamps *stamps, const struct tail_batch *batch)
{
	for (size_t i = 0; i < batch->device_count; i++) {
		struct tail_device *entry = batch->devices[i].entry;
		if (--entry->refs > 0)
			continue;
		CHECK(stamps->devices != NULL);
		HASH_DEL(stamps->devices, entry);
		free(entry);
	}
}

void
tail_stamps_freeze(struct tail_stamps *stamps)
{
	struct stamp_table empty = stamps->applying;
	CHECK(empty.count == 0 && stamps->held == 0);
	stamps->applying = stamps->filling;
	stamps->filling = empty;
}

void
tail_stamps_finish(struct tail_stamps *stamps)
{
	stamps->applying.count = 0;
	memset(stamps->applying.buckets, 0,
	       stamps->bucket_count * sizeof(*stamps->applying.buckets));
}

uint64_t
tail_stamps_newest(const struct tail_stamps *stamps, const struct tail_log *log, struct text device)
{
	struct tail_device probe = {0};
	const struct tail_device *entry = find_device(stamps, log, device, &probe);
	return entry == NULL ? 0 : entry->newest;
}

/* The entry's action, if the tail has it still. */
static const struct tail_action *
follow(const struct stamp_entry *entry, const struct tail_log *log)
{
	const struct tail_batch *batch = tail_batch_at(log, entry->seq);
	struct action action;
	size_t device;
	if (batch == NULL)
		return NULL;
	const size_t index = (size_t)(entry->seq - batch->first_seq);
	tail_batch_action(batch, index, &action, &device);
	const bool same = action.ts == entry->ts && batch->devices[device].entry == entry->device;
	return same ? &batch->actions[index] : NULL;
}

static const struct tail_action *
find_in(const struct stamp_table *table, size_t bucket, const struct stamp_entry *wanted,
	const struct tail_log *log)
{
	for (uint32_t at = table->buckets[bucket]; at != 0; at = table->entries[at - 1].older) {
		const struct stamp_entry *entry = &table->entries[at - 1];
		if (entry->device != wanted->device || entry->ts != wanted->ts)
			continue;
		const struct tail_action *action = follow(entry, log);
		if (action != NULL)
			return action;
	}
	return NULL;
}

const struct tail_action *
tail_stamps_find(const struct tail_stamps *stamps, const struct tail_log *log, struct text name,
		 uint64_t ts)
{
	struct tail_device probe = {0};
	const struct tail_device *device = find_device(stamps, log, name, &probe);
	if (device == NULL)
		return NULL;
	const struct stamp_entry wanted = {.device = device, .ts = ts};
	const size_t bucket = bucket_of(stamps, device, ts);
	const struct tail_action *action = find_in(&stamps->filling, bucket, &wanted, log);
	return action != NULL ? action : find_in(&stamps->applying, bucket, &wanted, log);
}
