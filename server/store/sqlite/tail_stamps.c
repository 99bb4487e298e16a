#include "store/sqlite/tail_stamps.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

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

bool
tail_stamps_init(struct tail_stamps *stamps, size_t tail_bytes)
{
	stamps->devices = NULL;
	stamps->bucket_count = BUCKETS_MIN;
	while (stamps->bucket_count < BUCKETS_MAX &&
	       stamps->bucket_count < tail_bytes / BYTES_PER_BUCKET)
		stamps->bucket_count *= 2;
	stamps->buckets = calloc(stamps->bucket_count, sizeof(struct tail_action *));
	return stamps->buckets != NULL;
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
	free(stamps->buckets);
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

bool
tail_stamps_hold(struct tail_stamps *stamps, struct tail_batch *batch)
{
	for (size_t i = 0; i < batch->device_count; i++) {
		batch->devices[i].entry = hold_device(stamps, batch->log, batch->devices[i].name);
		if (batch->devices[i].entry == NULL)
			return false;
	}
	return true;
}

static struct tail_action **
bucket_of(const struct tail_stamps *stamps, const struct tail_device *device, uint64_t ts)
{
	struct {
		uint64_t device, ts;
	} key = {(uintptr_t)device, ts};
	return &stamps->buckets[map_hash(&key, sizeof(key)) & (stamps->bucket_count - 1)];
}

void
tail_stamps_add(struct tail_stamps *stamps, struct tail_batch *batch)
{
	for (size_t i = 0; i < batch->action_count; i++) {
		struct action action;
		size_t device;
		tail_batch_action(batch, i, &action, &device);
		struct tail_device *entry = batch->devices[device].entry;
		if (action.ts > entry->newest)
			entry->newest = action.ts;
		struct tail_action **bucket = bucket_of(stamps, entry, action.ts);
		struct tail_action *first = *bucket;
		batch->actions[i].next = first;
		batch->actions[i].at = bucket;
		if (first != NULL)
			first->at = &batch->actions[i].next;
		*bucket = &batch->actions[i];
	}
}

void
tail_stamps_remove(struct tail_stamps *stamps, struct tail_batch *batch)
{
	for (size_t i = 0; i < batch->action_count; i++) {
		struct tail_action *action = &batch->actions[i];
		*action->at = action->next;
		if (action->next != NULL)
			action->next->at = action->at;
	}
	for (size_t i = 0; i < batch->device_count; i++) {
		struct tail_device *entry = batch->devices[i].entry;
		if (--entry->refs > 0)
			continue;
		CHECK(stamps->devices != NULL);
		HASH_DEL(stamps->devices, entry);
		free(entry);
	}
}

uint64_t
tail_stamps_newest(const struct tail_stamps *stamps, const struct tail_log *log, struct text device)
{
	struct tail_device probe = {0};
	const struct tail_device *entry = find_device(stamps, log, device, &probe);
	return entry == NULL ? 0 : entry->newest;
}

struct tail_action *
tail_stamps_find(const struct tail_stamps *stamps, const struct tail_log *log, struct text name,
		 uint64_t ts)
{
	struct tail_device probe = {0};
	const struct tail_device *entry = find_device(stamps, log, name, &probe);
	if (entry == NULL)
		return NULL;
	for (struct tail_action *at = *bucket_of(stamps, entry, ts); at != NULL; at = at->next) {
		const struct tail_batch *batch = tail_batch_of(at);
		struct action action;
		size_t device;
		tail_batch_action(batch, at->index, &action, &device);
		if (action.ts == ts && batch->devices[device].entry == entry)
			return at;
	}
	return NULL;
}
