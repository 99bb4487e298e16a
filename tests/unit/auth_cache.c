/* auth/cache: what was verified is remembered, not for long, not for ever, and not without bound. */
#include <check.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/cache.h"
#include "support/runner.h"

#define BYTES ((size_t)256 * 1024)
#define ENTRIES 1000 /* more than have room */
#define THREADS 4
#define ROUNDS 20000

static struct cache *cache;

static void
begin(void)
{
	ck_assert_int_ne(sodium_init(), -1);
	cache = cache_new(BYTES);
	ck_assert_ptr_nonnull(cache);
}

static void
finish(void)
{
	cache_free(cache);
}

static struct cache_key
key_of(unsigned number)
{
	char token[32];
	const int size = snprintf(token, sizeof(token), "token %u", number);
	return cache_key_of(cache, (struct text){token, (size_t)size});
}

/* What it takes. */
static size_t
put(unsigned number, uint64_t generation, uint64_t expires_sec)
{
	char subject[32];
	snprintf(subject, sizeof(subject), "%u", number);
	const struct cache_key key = key_of(number);
	const struct identity_facts facts = {.subject = text_of(subject),
					     .expires_sec = expires_sec};
	struct identity *identity = identity_new(&facts);
	const size_t size = identity_size(identity);
	cache_put(cache, &key, generation, identity);
	identity_release(identity);
	return size;
}

/* Whether it is there, and the right one. */
static bool
has(unsigned number, uint64_t generation, uint64_t now_sec)
{
	char subject[32];
	const struct cache_key key = key_of(number);
	struct identity *identity = cache_find(cache, &key, generation, now_sec);
	if (!identity)
		return false;
	snprintf(subject, sizeof(subject), "%u", number);
	ck_assert(text_equal(identity_subject(identity), text_of(subject)));
	identity_release(identity);
	return true;
}

START_TEST(what_was_put_is_found_until_it_expires_or_the_keys_change)
{
	ck_assert(!has(1, 1, 0));
	put(1, 1, 10);
	ck_assert(has(1, 1, 9));
	ck_assert(!has(1, 2, 9));
	ck_assert(!has(2, 1, 9));
	ck_assert(!has(1, 1, 10));
	put(1, 2, 20);
	ck_assert(has(1, 2, 19));
	ck_assert(!has(1, 1, 9));
}
END_TEST

START_TEST(what_is_used_stays_and_what_was_not_makes_room)
{
	size_t found = 0;
	const size_t size = put(0, 1, 10);
	for (unsigned i = 1; i <= 10 * ENTRIES; i++) {
		put(i, 1, 10);
		ck_assert(has(i, 1, 0));
		ck_assert(has(0, 1, 0));
	}
	for (unsigned i = 0; i <= 10 * ENTRIES; i++)
		found += has(i, 1, 0) ? 1 : 0;
	ck_assert_uint_lt(found * size, BYTES);
	ck_assert_uint_gt(found * size, BYTES / 4);
}
END_TEST

/* An identity with as many grants, and what it takes. */
static size_t
put_large(unsigned number, size_t grants)
{
	struct grant *granted = calloc(grants, sizeof(*granted));
	const struct cache_key key = key_of(number);
	const struct identity_facts facts = {.subject = TEXT("large"),
					     .grants = granted,
					     .grant_count = grants,
					     .expires_sec = 10};
	struct identity *identity = identity_new(&facts);
	const size_t size = identity_size(identity);
	cache_put(cache, &key, 1, identity);
	identity_release(identity);
	free(granted);
	return size;
}

static bool
is_kept(unsigned number)
{
	const struct cache_key key = key_of(number);
	struct identity *identity = cache_find(cache, &key, 1, 0);
	identity_release(identity);
	return identity != NULL;
}

START_TEST(large_identities_are_counted_by_what_they_take)
{
	size_t kept = 0;
	for (unsigned i = 0; i < ENTRIES; i++) {
		const size_t size = put_large(i, 1 + i % 400);
		ck_assert(is_kept(i));
		ck_assert_uint_lt(size, BYTES / CACHE_PARTS);
	}
	for (unsigned i = 0; i < ENTRIES; i++)
		kept += is_kept(i) ? sizeof(struct grant) * (1 + i % 400) : 0;
	ck_assert_uint_lt(kept, BYTES);
	ck_assert_uint_gt(kept, BYTES / 3);
}
END_TEST

START_TEST(what_is_larger_than_a_part_is_not_kept_and_drives_nothing_out)
{
	put(1, 1, 10);
	for (unsigned i = 1; i <= ENTRIES; i++) {
		ck_assert_uint_gt(put_large(ENTRIES + i, 1000), BYTES / CACHE_PARTS);
		ck_assert(!is_kept(ENTRIES + i));
	}
	ck_assert(has(1, 1, 0));
}
END_TEST

START_TEST(without_bytes_nothing_is_kept)
{
	struct cache *before = cache;
	cache = cache_new(0);
	put(1, 1, 10);
	ck_assert(!has(1, 1, 0));
	cache_free(cache);
	cache = before;
}
END_TEST

START_TEST(two_caches_have_keys_of_their_own)
{
	struct cache *other = cache_new(1);
	const struct cache_key a = key_of(1), b = cache_key_of(other, TEXT("token 1"));
	ck_assert_mem_ne(a.bytes, b.bytes, sizeof(a.bytes));
	cache_free(other);
}
END_TEST

static void *
hammer(void *cookie)
{
	static atomic_uint started;
	const unsigned offset = atomic_fetch_add(&started, 1);
	for (unsigned i = 0; i < ROUNDS; i++) {
		const unsigned number = (i * 7 + offset) % (2 * ENTRIES);
		if (!has(number, 1, 0))
			put(number, 1, 10);
	}
	return cookie;
}

START_TEST(threads_share_it)
{
	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, hammer, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("auth_cache");
	TCase *tests = tcase_create("cache");
	tcase_add_checked_fixture(tests, begin, finish);
	tcase_add_test(tests, what_was_put_is_found_until_it_expires_or_the_keys_change);
	tcase_add_test(tests, what_is_used_stays_and_what_was_not_makes_room);
	tcase_add_test(tests, large_identities_are_counted_by_what_they_take);
	tcase_add_test(tests, what_is_larger_than_a_part_is_not_kept_and_drives_nothing_out);
	tcase_add_test(tests, without_bytes_nothing_is_kept);
	tcase_add_test(tests, two_caches_have_keys_of_their_own);
	tcase_add_test(tests, threads_share_it);
	suite_add_tcase(suite, tests);
	return runner_run(srunner_create(suite));
}
