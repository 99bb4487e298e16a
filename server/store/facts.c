#include "store/facts.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define DEVICES_PER_LOG 4

void
facts_init(struct facts_cache *cache, size_t logs_max)
{
	CHECK(logs_max >= 1);
	memset(cache, 0, sizeof(*cache));
	cache->logs_max = logs_max;
}

static void
unlink_log(struct facts_cache *cache, struct facts_log *log)
{
	if (log->newer != NULL)
		log->newer->older = log->older;
	else
		cache->newest = log->older;
	if (log->older != NULL)
		log->older->newer = log->newer;
	else
		cache->oldest = log->newer;
	log->newer = log->older = NULL;
}

static void
link_newest(struct facts_cache *cache, struct facts_log *log)
{
	log->older = cache->newest;
	if (cache->newest != NULL)
		cache->newest->newer = log;
	else
		cache->oldest = log;
	cache->newest = log;
}

struct facts_log *
facts_log(struct facts_cache *cache, const struct hash *genesis)
{
	struct facts_log *log = NULL;
	HASH_FIND(hh, cache->logs, genesis, sizeof(*genesis), log);
	if (log != NULL) {
		if (log != cache->newest) {
			unlink_log(cache, log);
			link_newest(cache, log);
		}
		return log;
	}
	log = calloc(1, sizeof(*log));
	if (log == NULL)
		return NULL;
	log->genesis = *genesis;
	HASH_ADD(hh, cache->logs, genesis, sizeof(log->genesis), log);
	if (log->hh.tbl == NULL) {
		free(log);
		return NULL;
	}
	link_newest(cache, log);
	cache->log_count++;
	return log;
}

struct facts_device *
facts_device(struct facts_cache *cache, struct facts_log *log, struct text name)
{
	CHECK(name.size <= DEVICE_SIZE_MAX);
	struct facts_device probe;
	struct facts_device *device = NULL;
	probe.key.log = log;
	memcpy(probe.key.name, name.data, name.size);
	const size_t key_size = sizeof(probe.key.log) + name.size;
	HASH_FIND(hh, cache->devices, &probe.key, key_size, device);
	if (device != NULL)
		return device;
	device = calloc(1, sizeof(*device));
	if (device == NULL)
		return NULL;
	memcpy(&device->key, &probe.key, key_size);
	HASH_ADD_KEYPTR(hh, cache->devices, &device->key, key_size, device);
	if (device->hh.tbl == NULL) {
		free(device);
		return NULL;
	}
	device->next_of_log = log->devices;
	log->devices = device;
	log->device_count++;
	cache->device_count++;
	return device;
}

void
facts_forget_log(struct facts_cache *cache, struct facts_log *log)
{
	CHECK(log->group == NULL);
	while (log->devices != NULL) {
		struct facts_device *device = log->devices;
		log->devices = device->next_of_log;
		HASH_DEL(cache->devices, device); // NOLINT(clang-analyzer-*): uthash's invariants
		cache->device_count--;
		free(device);
	}
	unlink_log(cache, log);
	CHECK(cache->oldest != log && cache->newest != log);
	HASH_DEL(cache->logs, log); // NOLINT(clang-analyzer-*): likewise
	cache->log_count--;
	free(log);
}

void
facts_trim(struct facts_cache *cache)
{
	while (cache->log_count > cache->logs_max ||
	       cache->device_count > DEVICES_PER_LOG * cache->logs_max)
		facts_forget_log(cache, cache->oldest);
}

void
facts_forget(struct facts_cache *cache)
{
	while (cache->oldest != NULL)
		facts_forget_log(cache, cache->oldest);
}
