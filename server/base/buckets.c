#include "base/buckets.h"

#include <assert.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"

#define LOCKS 64 /* a power of two */
#define NSEC_PER_SEC UINT64_C(1000000000)
#define SECONDS_MAX UINT64_C(1000000000) /* no bucket takes longer to fill */

struct entry {
	uint64_t full_nsec[BUCKET_KINDS]; /* when it is full again */
	uint32_t marks[BUCKET_MARKS];	  /* the newest first */
};

/* The keys stand together: looking for one reads one cache line. */
struct set {
	uint64_t keys[BUCKETS_WAYS]; /* 0: nobody */
	struct entry entries[BUCKETS_WAYS];
};

static_assert(sizeof(struct set) % 64 == 0, "a set begins with a cache line");

struct buckets {
	unsigned char hash_key[crypto_shorthash_KEYBYTES];
	size_t set_count; /* a power of two */
	struct set *sets;
	pthread_mutex_t locks[LOCKS];
};

struct buckets *
buckets_new(size_t owners)
{
	struct buckets *buckets = calloc(1, sizeof(*buckets));
	if (buckets == NULL)
		return NULL;
	buckets->set_count = 1;
	while (buckets->set_count * BUCKETS_WAYS < owners)
		buckets->set_count *= 2;
	const size_t size = buckets->set_count * sizeof(struct set);
	/* Zeros of which the kernel gives each page when it is written to. */
	/* cppcheck-suppress invalidFunctionArg ; the -1 of an anonymous mapping, see mmap(2) */
	void *sets = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (sets == MAP_FAILED) {
		free(buckets);
		return NULL;
	}
	buckets->sets = sets;
	crypto_shorthash_keygen(buckets->hash_key);
	for (size_t i = 0; i < LOCKS; i++)
		CHECK(pthread_mutex_init(&buckets->locks[i], NULL) == 0);
	return buckets;
}

void
buckets_free(struct buckets *buckets)
{
	if (buckets == NULL)
		return;
	for (size_t i = 0; i < LOCKS; i++)
		pthread_mutex_destroy(&buckets->locks[i]);
	CHECK(munmap(buckets->sets, buckets->set_count * sizeof(struct set)) == 0);
	free(buckets);
}

uint64_t
buckets_key(const struct buckets *buckets, struct text owner)
{
	unsigned char hash[crypto_shorthash_BYTES];
	uint64_t key;
	const void *data = owner.size == 0 ? "" : owner.data;
	static_assert(sizeof(hash) == sizeof(key), "a key is a hash");
	crypto_shorthash(hash, data, owner.size, buckets->hash_key);
	memcpy(&key, hash, sizeof(key));
	return key == 0 ? 1 : key;
}

/* --- one bucket --- */

/* How long the rate takes for an amount. The remainder is below 2^34: times 10^9 it fits. */
static uint64_t
nsec_of(const struct bucket_rate *rate, uint64_t amount)
{
	const uint64_t seconds = amount / rate->per_sec;
	if (seconds >= SECONDS_MAX)
		return SECONDS_MAX * NSEC_PER_SEC;
	return seconds * NSEC_PER_SEC + amount % rate->per_sec * NSEC_PER_SEC / rate->per_sec;
}

/* How far a bucket is from full, never beyond the deepest debt: the rate may have been another. */
static uint64_t
missing_nsec(uint64_t full_nsec, uint64_t now_nsec, uint64_t burst_nsec)
{
	const uint64_t missing = full_nsec > now_nsec ? full_nsec - now_nsec : 0;
	return missing < 2 * burst_nsec ? missing : 2 * burst_nsec;
}

/* --- one set --- */

static struct set *
lock_set(struct buckets *buckets, uint64_t key)
{
	const size_t at = key & (buckets->set_count - 1);
	CHECK(key != 0);
	CHECK(pthread_mutex_lock(&buckets->locks[at % LOCKS]) == 0);
	return &buckets->sets[at];
}

static void
unlock_set(struct buckets *buckets, uint64_t key)
{
	const size_t at = key & (buckets->set_count - 1);
	CHECK(pthread_mutex_unlock(&buckets->locks[at % LOCKS]) == 0);
}

/* NULL: nothing is known of the owner, all buckets are full. */
static struct entry *
find_locked(struct set *set, uint64_t key)
{
	for (unsigned i = 0; i < BUCKETS_WAYS; i++)
		if (set->keys[i] == key)
			return &set->entries[i];
	return NULL;
}

static uint64_t
all_full_nsec(const struct entry *entry)
{
	uint64_t last = 0;
	for (unsigned kind = 0; kind < BUCKET_KINDS; kind++)
		if (entry->full_nsec[kind] > last)
			last = entry->full_nsec[kind];
	return last;
}

/* A new owner's entry, in the place of the one that says least. */
static struct entry *
replace_locked(struct set *set, uint64_t key)
{
	unsigned least = 0;
	for (unsigned i = 0; i < BUCKETS_WAYS; i++)
		if (all_full_nsec(&set->entries[i]) < all_full_nsec(&set->entries[least]))
			least = i;
	set->keys[least] = key;
	set->entries[least] = (struct entry){0};
	return &set->entries[least];
}

static void
use_locked(struct set *set, const struct bucket_owner *owner, const uint64_t amounts[BUCKET_KINDS])
{
	const uint64_t now_nsec = owner->now_usec * 1000;
	struct entry *entry = find_locked(set, owner->key);
	for (unsigned kind = 0; kind < BUCKET_KINDS; kind++) {
		const struct bucket_rate *rate = &owner->rates[kind];
		if (rate->per_sec == 0 || amounts[kind] == 0 || amounts[kind] == BUCKET_ANY)
			continue;
		if (entry == NULL)
			entry = replace_locked(set, owner->key);
		const uint64_t burst = nsec_of(rate, rate->burst);
		const uint64_t missing = missing_nsec(entry->full_nsec[kind], now_nsec, burst) +
					 nsec_of(rate, amounts[kind]);
		entry->full_nsec[kind] = now_nsec + (missing < 2 * burst ? missing : 2 * burst);
	}
}

uint64_t
buckets_take(struct buckets *buckets, const struct bucket_owner *owner,
	     const uint64_t amounts[BUCKET_KINDS], unsigned *kind)
{
	const uint64_t now_nsec = owner->now_usec * 1000;
	uint64_t wait_nsec = 0;
	struct set *set = lock_set(buckets, owner->key);
	const struct entry *entry = find_locked(set, owner->key);
	for (unsigned i = 0; i < BUCKET_KINDS && entry != NULL; i++) {
		const struct bucket_rate *rate = &owner->rates[i];
		if (rate->per_sec == 0 || amounts[i] == BUCKET_ANY)
			continue;
		const uint64_t burst = nsec_of(rate, rate->burst);
		const uint64_t cost =
			nsec_of(rate, amounts[i] < rate->burst ? amounts[i] : rate->burst);
		const uint64_t missing = missing_nsec(entry->full_nsec[i], now_nsec, burst);
		if (missing + cost > burst + wait_nsec) {
			wait_nsec = missing + cost - burst;
			*kind = i;
		}
	}
	if (wait_nsec == 0)
		use_locked(set, owner, amounts);
	unlock_set(buckets, owner->key);
	return wait_nsec == 0 ? 0 : wait_nsec / 1000 + 1;
}

void
buckets_charge(struct buckets *buckets, const struct bucket_owner *owner,
	       const uint64_t amounts[BUCKET_KINDS])
{
	struct set *set = lock_set(buckets, owner->key);
	use_locked(set, owner, amounts);
	unlock_set(buckets, owner->key);
}

/* A copy of what is known of the owner. */
static struct entry
look_up(struct buckets *buckets, const struct bucket_owner *owner)
{
	struct set *set = lock_set(buckets, owner->key);
	const struct entry *found = find_locked(set, owner->key);
	struct entry entry = {.marks = {0}};
	if (found != NULL)
		entry = *found;
	unlock_set(buckets, owner->key);
	return entry;
}

bool
buckets_is_spent(struct buckets *buckets, const struct bucket_owner *owner, unsigned kind)
{
	const struct bucket_rate *rate = &owner->rates[kind];
	CHECK(kind < BUCKET_KINDS);
	if (rate->per_sec == 0)
		return false;
	const uint64_t burst = nsec_of(rate, rate->burst);
	const struct entry entry = look_up(buckets, owner);
	return missing_nsec(entry.full_nsec[kind], owner->now_usec * 1000, burst) == 2 * burst;
}

void
buckets_levels(struct buckets *buckets, const struct bucket_owner *owner,
	       struct bucket_level levels[BUCKET_KINDS])
{
	const struct entry entry = look_up(buckets, owner);
	for (unsigned kind = 0; kind < BUCKET_KINDS; kind++) {
		const struct bucket_rate *rate = &owner->rates[kind];
		levels[kind] = (struct bucket_level){.left = rate->burst};
		if (rate->per_sec == 0)
			continue;
		const uint64_t burst = nsec_of(rate, rate->burst);
		const uint64_t missing =
			missing_nsec(entry.full_nsec[kind], owner->now_usec * 1000, burst);
		const double left = burst > missing ? (double)(burst - missing) * 1e-9 : 0;
		levels[kind].full_usec = missing / 1000;
		if (missing > 0)
			levels[kind].left = (uint64_t)(left * (double)rate->per_sec + 1e-6);
	}
}

void
buckets_mark(struct buckets *buckets, const struct bucket_owner *owner, uint32_t mark)
{
	struct set *set = lock_set(buckets, owner->key);
	struct entry *entry = find_locked(set, owner->key);
	if (entry != NULL) {
		unsigned last = 0;
		while (last < BUCKET_MARKS - 1 && entry->marks[last] != mark)
			last++;
		memmove(entry->marks + 1, entry->marks, last * sizeof(mark));
		entry->marks[0] = mark;
	}
	unlock_set(buckets, owner->key);
}

bool
buckets_has_mark(struct buckets *buckets, const struct bucket_owner *owner, uint32_t mark)
{
	const struct entry entry = look_up(buckets, owner);
	for (unsigned i = 0; i < BUCKET_MARKS; i++)
		if (entry.marks[i] == mark)
			return mark != 0;
	return false;
}
