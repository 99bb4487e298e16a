#include "auth/cache.h"

#include <assert.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* Bytes for each chain: about two entries of ordinary tokens. */
#define CHAIN_BYTES 512

/* What malloc adds to a piece of memory, at most. */
#define MALLOC_BYTES 32

struct entry {
	struct cache_key key;
	uint64_t generation;
	struct identity *identity;
	size_t size;
	struct entry *next;	     /* of its chain */
	struct entry *newer, *older; /* by their last use */
};

struct part {
	pthread_mutex_t lock;
	struct entry **chains;
	struct entry *newest, *oldest;
	size_t size; /* of the entries */
};

struct cache {
	uint8_t secret[crypto_shorthash_siphashx24_KEYBYTES];
	size_t chain_count; /* of each part */
	size_t size_max;    /* of each part's entries */
	struct part parts[CACHE_PARTS];
};

struct cache *
cache_new(size_t bytes)
{
	struct cache *cache = calloc(1, sizeof(*cache));
	if (!cache)
		return NULL;
	const size_t part_bytes = bytes / CACHE_PARTS;
	cache->chain_count = part_bytes / CHAIN_BYTES + 1;
	const size_t tables = cache->chain_count * sizeof(struct entry *) + sizeof(struct part);
	cache->size_max = part_bytes > tables ? part_bytes - tables : 0;
	randombytes_buf(cache->secret, sizeof(cache->secret));
	bool complete = true;
	for (size_t i = 0; i < CACHE_PARTS; i++) {
		struct part *part = &cache->parts[i];
		pthread_mutex_init(&part->lock, NULL);
		part->chains = calloc(cache->chain_count, sizeof(struct entry *));
		complete = complete && part->chains;
	}
	if (complete)
		return cache;
	cache_free(cache);
	return NULL;
}

static void
entry_free(struct entry *entry)
{
	identity_release(entry->identity);
	free(entry);
}

void
cache_free(struct cache *cache)
{
	if (!cache)
		return;
	for (size_t i = 0; i < CACHE_PARTS; i++) {
		struct part *part = &cache->parts[i];
		while (part->newest) {
			struct entry *entry = part->newest;
			part->newest = entry->older;
			entry_free(entry);
		}
		free(part->chains);
		pthread_mutex_destroy(&part->lock);
	}
	sodium_memzero(cache->secret, sizeof(cache->secret));
	free(cache);
}

struct cache_key
cache_key_of(const struct cache *cache, struct text token)
{
	struct cache_key key;
	static_assert(sizeof(key.bytes) == crypto_shorthash_siphashx24_BYTES, "a hash is a key");
	crypto_shorthash_siphashx24(key.bytes, (const uint8_t *)token.data, token.size,
				    cache->secret);
	return key;
}

/* --- a part --- */

static struct part *
part_of(struct cache *cache, const struct cache_key *key)
{
	return &cache->parts[key->bytes[CACHE_KEY_SIZE - 1] % CACHE_PARTS];
}

static struct entry **
chain_of(const struct cache *cache, const struct part *part, const struct cache_key *key)
{
	uint64_t number;
	memcpy(&number, key->bytes, sizeof(number));
	return &part->chains[number % cache->chain_count];
}

static struct entry *
find_locked(const struct cache *cache, const struct part *part, const struct cache_key *key)
{
	struct entry *entry = *chain_of(cache, part, key);
	while (entry && memcmp(&entry->key, key, sizeof(*key)) != 0)
		entry = entry->next;
	return entry;
}

static void
unrank_locked(struct part *part, struct entry *entry)
{
	*(entry->newer ? &entry->newer->older : &part->newest) = entry->older;
	*(entry->older ? &entry->older->newer : &part->oldest) = entry->newer;
}

static void
rank_locked(struct part *part, struct entry *entry)
{
	entry->newer = NULL;
	entry->older = part->newest;
	*(part->newest ? &part->newest->newer : &part->oldest) = entry;
	part->newest = entry;
}

static void
add_locked(const struct cache *cache, struct part *part, struct entry *entry)
{
	struct entry **chain = chain_of(cache, part, &entry->key);
	entry->next = *chain;
	*chain = entry;
	rank_locked(part, entry);
	part->size += entry->size;
}

/* Puts it in front of those that are to be freed when the lock is. */
static void
remove_locked(const struct cache *cache, struct part *part, struct entry *entry,
	      struct entry **removed)
{
	struct entry **link = chain_of(cache, part, &entry->key);
	while (*link != entry)
		link = &(*link)->next;
	*link = entry->next;
	unrank_locked(part, entry);
	part->size -= entry->size;
	entry->next = *removed;
	*removed = entry;
}

static void
free_removed(struct entry *removed)
{
	while (removed) {
		struct entry *entry = removed;
		removed = entry->next;
		entry_free(entry);
	}
}

/* --- what others see --- */

struct identity *
cache_find(struct cache *cache, const struct cache_key *key, uint64_t generation, uint64_t now_sec)
{
	struct part *part = part_of(cache, key);
	struct identity *found = NULL;
	struct entry *removed = NULL;
	pthread_mutex_lock(&part->lock);
	struct entry *entry = find_locked(cache, part, key);
	if (entry && now_sec >= identity_expires_sec(entry->identity)) {
		remove_locked(cache, part, entry, &removed);
	} else if (entry && entry->generation == generation) {
		if (part->newest != entry) {
			unrank_locked(part, entry);
			rank_locked(part, entry);
		}
		found = identity_hold(entry->identity);
	}
	pthread_mutex_unlock(&part->lock);
	free_removed(removed);
	return found;
}

void
cache_put(struct cache *cache, const struct cache_key *key, uint64_t generation,
	  struct identity *identity)
{
	struct part *part = part_of(cache, key);
	struct entry *removed = NULL;
	const size_t size =
		sizeof(struct entry) + identity_size(identity) + (size_t)2 * MALLOC_BYTES;
	struct entry *entry = size <= cache->size_max ? malloc(sizeof(*entry)) : NULL;
	if (!entry)
		return;
	*entry = (struct entry){.key = *key,
				.generation = generation,
				.identity = identity_hold(identity),
				.size = size};
	pthread_mutex_lock(&part->lock);
	struct entry *before = find_locked(cache, part, key);
	if (before)
		remove_locked(cache, part, before, &removed);
	while (part->oldest && part->size + size > cache->size_max)
		remove_locked(cache, part, part->oldest, &removed);
	add_locked(cache, part, entry);
	pthread_mutex_unlock(&part->lock);
	free_removed(removed);
}
