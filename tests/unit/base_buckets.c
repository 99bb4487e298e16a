/* base/buckets: how much is let through, by a clock that the test keeps. */
#include "base/buckets.h"

#include <check.h>
#include <malloc.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "support/runner.h"

#define SEC UINT64_C(1000000)
#define HOUR (3600 * SEC)

enum { REQUESTS, ACTIONS, BYTES };

static struct bucket_rate rates[BUCKET_KINDS];
static struct buckets *buckets;
static uint64_t now_usec;

static void
set_up(void)
{
	ck_assert_int_ne(sodium_init(), -1);
	rates[REQUESTS] = (struct bucket_rate){.per_sec = 10, .burst = 20};
	rates[ACTIONS] = (struct bucket_rate){.per_sec = 100, .burst = 1000};
	rates[BYTES] = (struct bucket_rate){0};
	now_usec = HOUR;
	buckets = buckets_new(1024);
	ck_assert_ptr_nonnull(buckets);
}

static void
tear_down(void)
{
	buckets_free(buckets);
}

static struct bucket_owner
owner_of(const char *name)
{
	return (struct bucket_owner){
		.key = buckets_key(buckets, text_of(name)), .rates = rates, .now_usec = now_usec};
}

static uint64_t
take(const char *name, unsigned kind, uint64_t amount)
{
	const struct bucket_owner owner = owner_of(name);
	uint64_t amounts[BUCKET_KINDS] = {BUCKET_ANY, BUCKET_ANY, BUCKET_ANY};
	unsigned refused = BUCKET_KINDS;
	amounts[kind] = amount;
	const uint64_t wait_usec = buckets_take(buckets, &owner, amounts, &refused);
	ck_assert_uint_eq(refused, wait_usec > 0 ? kind : BUCKET_KINDS);
	return wait_usec;
}

static void
charge(const char *name, unsigned kind, uint64_t amount)
{
	const struct bucket_owner owner = owner_of(name);
	uint64_t amounts[BUCKET_KINDS] = {0};
	amounts[kind] = amount;
	buckets_charge(buckets, &owner, amounts);
}

static struct bucket_level
level(const char *name, unsigned kind)
{
	const struct bucket_owner owner = owner_of(name);
	struct bucket_level levels[BUCKET_KINDS];
	buckets_levels(buckets, &owner, levels);
	return levels[kind];
}

/* How many are let through one by one at this moment. */
static unsigned
let_through(const char *name, unsigned kind)
{
	unsigned count = 0;
	while (count < 100000 && take(name, kind, 1) == 0)
		count++;
	return count;
}

START_TEST(who_comes_first_has_a_burst_and_then_the_rate)
{
	ck_assert_uint_eq(let_through("ann", REQUESTS), 20);
	ck_assert_uint_eq(let_through("ann", REQUESTS), 0);
	now_usec += SEC;
	ck_assert_uint_eq(let_through("ann", REQUESTS), 10);
	now_usec += HOUR;
	ck_assert_uint_eq(let_through("ann", REQUESTS), 20);
}
END_TEST

START_TEST(one_owner_is_not_refused_for_another)
{
	ck_assert_uint_eq(let_through("ann", REQUESTS), 20);
	ck_assert_uint_eq(let_through("bob", REQUESTS), 20);
}
END_TEST

START_TEST(who_waits_as_long_as_told_is_let_through_and_not_before)
{
	ck_assert_uint_eq(take("ann", ACTIONS, 1000), 0);
	const uint64_t wait_usec = take("ann", ACTIONS, 250);
	ck_assert_uint_gt(wait_usec, 0);
	ck_assert_uint_le(wait_usec, 250 * SEC / 100 + 1);
	now_usec += wait_usec - 2;
	ck_assert_uint_gt(take("ann", ACTIONS, 250), 0);
	now_usec += 2;
	ck_assert_uint_eq(take("ann", ACTIONS, 250), 0);
}
END_TEST

START_TEST(all_is_taken_or_nothing)
{
	const struct bucket_owner owner = owner_of("ann");
	unsigned kind;
	const uint64_t amounts[BUCKET_KINDS] = {1, 600, 0};
	ck_assert_uint_eq(buckets_take(buckets, &owner, amounts, &kind), 0);
	ck_assert_uint_gt(buckets_take(buckets, &owner, amounts, &kind), 0);
	ck_assert_uint_eq(kind, ACTIONS);
	ck_assert_uint_eq(level("ann", REQUESTS).left, 19);
	ck_assert_uint_eq(level("ann", ACTIONS).left, 400);
}
END_TEST

START_TEST(what_is_charged_afterwards_may_leave_a_debt_that_time_pays)
{
	charge("ann", ACTIONS, 900);
	ck_assert_uint_eq(take("ann", ACTIONS, 0), 0);
	charge("ann", ACTIONS, 900);
	ck_assert_uint_eq(level("ann", ACTIONS).left, 0);
	ck_assert_uint_eq(level("ann", ACTIONS).full_usec, 18 * SEC);
	ck_assert_uint_gt(take("ann", ACTIONS, 0), 7 * SEC);
	now_usec += 8 * SEC;
	ck_assert_uint_eq(take("ann", ACTIONS, 0), 0);
	ck_assert_uint_gt(take("ann", ACTIONS, 1), 0);
}
END_TEST

START_TEST(a_debt_ends_at_a_burst)
{
	const struct bucket_owner owner = owner_of("ann");
	charge("ann", ACTIONS, 1999);
	ck_assert(!buckets_is_spent(buckets, &owner, ACTIONS));
	charge("ann", ACTIONS, UINT64_C(1) << 50);
	ck_assert(buckets_is_spent(buckets, &owner, ACTIONS));
	ck_assert_uint_le(take("ann", ACTIONS, 0), 10 * SEC + 1);
	now_usec += 20 * SEC;
	ck_assert_uint_eq(level("ann", ACTIONS).left, 1000);
}
END_TEST

START_TEST(what_has_no_rate_has_no_limit)
{
	const struct bucket_owner owner = owner_of("ann");
	charge("ann", BYTES, UINT64_C(1) << 50);
	ck_assert_uint_eq(take("ann", BYTES, UINT64_C(1) << 50), 0);
	ck_assert(!buckets_is_spent(buckets, &owner, BYTES));
}
END_TEST

START_TEST(more_than_a_burst_is_asked_as_a_burst)
{
	ck_assert_uint_eq(take("ann", REQUESTS, 1000), 0);
	ck_assert_uint_eq(level("ann", REQUESTS).left, 0);
	ck_assert_uint_gt(take("ann", REQUESTS, 1), SEC);
}
END_TEST

START_TEST(a_new_rate_holds_at_once)
{
	ck_assert_uint_eq(let_through("ann", REQUESTS), 20);
	rates[REQUESTS] = (struct bucket_rate){.per_sec = 1000, .burst = 20};
	/* What was used at the old rate counts as the deepest debt at most. */
	ck_assert_uint_le(take("ann", REQUESTS, 1), 2 * SEC / 50);
	rates[REQUESTS] = (struct bucket_rate){0};
	ck_assert_uint_eq(take("ann", REQUESTS, 1), 0);
}
END_TEST

START_TEST(extreme_rates_keep_their_pace)
{
	rates[BYTES] = (struct bucket_rate){.per_sec = UINT64_C(1) << 34, .burst = 1 << 20};
	ck_assert_uint_eq(take("ann", BYTES, 1 << 20), 0);
	ck_assert_uint_gt(take("ann", BYTES, 1 << 20), 0);
	now_usec += 64;
	ck_assert_uint_eq(take("ann", BYTES, 1 << 20), 0);
	rates[BYTES] = (struct bucket_rate){.per_sec = 1, .burst = UINT64_C(1) << 40};
	ck_assert_uint_eq(take("bob", BYTES, UINT64_C(1) << 40), 0);
	now_usec += HOUR;
	ck_assert_uint_gt(take("bob", BYTES, 3700), 0);
	ck_assert_uint_le(take("bob", BYTES, 3700), 100 * SEC + 1);
}
END_TEST

START_TEST(a_mark_is_known_until_others_push_it_out)
{
	const struct bucket_owner ann = owner_of("ann"), bob = owner_of("bob");
	buckets_mark(buckets, &ann, 77);
	ck_assert(!buckets_has_mark(buckets, &ann, 77)); /* nothing is kept of who used nothing */
	charge("ann", ACTIONS, 1);
	charge("bob", ACTIONS, 1);
	ck_assert(!buckets_has_mark(buckets, &ann, 0));
	for (uint32_t mark = 1; mark <= 2 * BUCKET_MARKS; mark++) {
		buckets_mark(buckets, &ann, mark);
		buckets_mark(buckets, &ann, mark);
		ck_assert_int_eq(buckets_has_mark(buckets, &ann, BUCKET_MARKS),
				 mark >= BUCKET_MARKS && mark < 2 * BUCKET_MARKS);
	}
	for (uint32_t mark = BUCKET_MARKS + 1; mark <= 2 * BUCKET_MARKS; mark++)
		ck_assert(buckets_has_mark(buckets, &ann, mark));
	ck_assert(!buckets_has_mark(buckets, &bob, 2 * BUCKET_MARKS));
}
END_TEST

static uint64_t
many_take(unsigned count)
{
	uint64_t refused = 0;
	char name[32];
	for (unsigned i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "address-%u", i);
		refused += take(name, REQUESTS, 1) > 0;
	}
	return refused;
}

START_TEST(a_debt_outlives_a_crowd_of_names)
{
	for (unsigned i = 0; i < 20; i++) {
		char name[32];
		snprintf(name, sizeof(name), "flooder-%u", i);
		charge(name, ACTIONS, 1500);
	}
	ck_assert_uint_eq(many_take(20000), 0);
	/* Room for 1024: unless nine of the twenty share a set, each is still there. */
	for (unsigned i = 0; i < 20; i++) {
		char name[32];
		snprintf(name, sizeof(name), "flooder-%u", i);
		ck_assert_uint_gt(take(name, ACTIONS, 0), 4 * SEC);
	}
}
END_TEST

static size_t
resident_pages(void)
{
	char line[128];
	FILE *file = fopen("/proc/self/statm", "r");
	ck_assert_ptr_nonnull(file);
	ck_assert_ptr_nonnull(fgets(line, sizeof(line), file));
	fclose(file);
	const char *second = strchr(line, ' ');
	ck_assert_ptr_nonnull(second);
	return strtoul(second, NULL, 10);
}

/* 192 MiB for four million, were they there. */
START_TEST(owners_that_are_not_there_take_no_memory)
{
	const uint64_t amounts[BUCKET_KINDS] = {[REQUESTS] = 1};
	const size_t before = resident_pages();
	buckets_free(buckets);
	buckets = buckets_new((size_t)1 << 22);
	ck_assert_ptr_nonnull(buckets);
	const struct bucket_owner owner = owner_of("one");
	buckets_charge(buckets, &owner, amounts);
	ck_assert_uint_lt(resident_pages(), before + 8192);
}
END_TEST

START_TEST(a_crowd_of_names_takes_no_memory)
{
	many_take(100);
	const struct mallinfo2 before = mallinfo2();
	many_take(20000);
	const struct mallinfo2 after = mallinfo2();
	ck_assert_uint_eq(after.uordblks, before.uordblks);
}
END_TEST

START_TEST(a_table_of_one_set_still_tells_eight_apart)
{
	struct buckets *large = buckets;
	buckets = buckets_new(1);
	for (char name[2] = "a"; name[0] < 'a' + BUCKETS_WAYS; name[0]++)
		ck_assert_uint_eq(let_through(name, REQUESTS), 20);
	for (char name[2] = "a"; name[0] < 'a' + BUCKETS_WAYS; name[0]++)
		ck_assert_uint_eq(let_through(name, REQUESTS), 0);
	buckets_free(buckets);
	buckets = large;
}
END_TEST

/* --- many threads --- */

#define THREADS 4

static void *
take_many(void *cookie)
{
	unsigned *count = cookie;
	char other[32];
	for (unsigned i = 0; i < 5000; i++) {
		*count += take("ann", ACTIONS, 1) == 0;
		snprintf(other, sizeof(other), "other-%u", i);
		(void)take(other, ACTIONS, 1);
	}
	return NULL;
}

START_TEST(threads_together_get_no_more_than_the_burst)
{
	pthread_t threads[THREADS];
	unsigned counts[THREADS] = {0}, sum = 0;
	buckets_free(buckets);
	buckets = buckets_new(1 << 16);
	for (unsigned i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, take_many, &counts[i]), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
		sum += counts[i];
	}
	ck_assert_uint_eq(sum, 1000);
}
END_TEST

/* --- what it costs --- */

static double
cpu_sec(void)
{
	struct timespec time;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* A key, a take and a charge, as a request has them, of owners who come in turn. */
static double
nsec_of_request(unsigned owners)
{
	enum { ROUNDS = 400000 };
	static char names[65536][24];
	for (unsigned i = 0; i < owners; i++)
		snprintf(names[i], sizeof(names[i]), "subject-%010u", i);
	const double began = cpu_sec();
	for (unsigned i = 0; i < ROUNDS; i++) {
		const uint64_t request[BUCKET_KINDS] = {1, BUCKET_ANY, 0};
		const uint64_t use[BUCKET_KINDS] = {0, 10, 0};
		unsigned kind;
		now_usec += 10;
		const struct bucket_owner owner = owner_of(names[i * 7919 % owners]);
		(void)buckets_take(buckets, &owner, request, &kind);
		buckets_charge(buckets, &owner, use);
	}
	return (cpu_sec() - began) * 1e9 / ROUNDS;
}

START_TEST(a_request_costs_little)
{
	buckets_free(buckets);
	buckets = buckets_new(65536);
	printf("# a key, a take and a charge: %.0f ns of CPU with 10 owners, %.0f ns with 65536\n",
	       nsec_of_request(10), nsec_of_request(65536));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("base/buckets");
	TCase *tests = tcase_create("buckets");
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, who_comes_first_has_a_burst_and_then_the_rate);
	tcase_add_test(tests, one_owner_is_not_refused_for_another);
	tcase_add_test(tests, who_waits_as_long_as_told_is_let_through_and_not_before);
	tcase_add_test(tests, all_is_taken_or_nothing);
	tcase_add_test(tests, what_is_charged_afterwards_may_leave_a_debt_that_time_pays);
	tcase_add_test(tests, a_debt_ends_at_a_burst);
	tcase_add_test(tests, what_has_no_rate_has_no_limit);
	tcase_add_test(tests, more_than_a_burst_is_asked_as_a_burst);
	tcase_add_test(tests, a_new_rate_holds_at_once);
	tcase_add_test(tests, extreme_rates_keep_their_pace);
	tcase_add_test(tests, a_mark_is_known_until_others_push_it_out);
	tcase_add_test(tests, a_debt_outlives_a_crowd_of_names);
	tcase_add_test(tests, owners_that_are_not_there_take_no_memory);
	tcase_add_test(tests, a_crowd_of_names_takes_no_memory);
	tcase_add_test(tests, a_table_of_one_set_still_tells_eight_apart);
	tcase_add_test(tests, threads_together_get_no_more_than_the_burst);
	tcase_add_test(tests, a_request_costs_little);
	suite_add_tcase(suite, tests);
	return runner_run(srunner_create(suite));
}
