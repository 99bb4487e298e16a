/* base/status, metrics, map, check: the tables and the small ones. */
#include "base/check.h"
#include "base/map.h"
#include "base/metrics.h"
#include "base/status.h"

#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "support/runner.h"

#define ADDERS 4
#define ADDITIONS 10000
#define MEMBERS 10000

START_TEST(every_status_has_a_row_of_its_own)
{
	for (unsigned i = 0; i < STATUS_COUNT; i++) {
		const struct status_info *info = status_info((enum status)i);
		ck_assert_uint_ge(info->http, i == STATUS_OK ? 200 : 400);
		ck_assert_uint_lt(info->http, 600);
		ck_assert_uint_gt(strlen(info->title), 0);
		for (unsigned other = 0; other < i; other++)
			ck_assert_str_ne(info->title, status_info((enum status)other)->title);
	}
	ck_assert_str_eq(status_info(STATUS_CHAIN_BROKEN)->code, "CHAIN_BROKEN");
	ck_assert_uint_eq(status_info(STATUS_CHAIN_BROKEN)->http, 422);
	ck_assert_int_eq(status_info(STATUS_BACKPRESSURE)->retry, RETRY_AFTER);
}
END_TEST

START_TEST(advice_has_the_protocols_words)
{
	ck_assert_str_eq(retry_word(RETRY_NEVER), "never");
	ck_assert_str_eq(retry_word(RETRY_AFTER), "after");
	ck_assert_str_eq(retry_word(RETRY_AUTH), "auth");
	ck_assert_str_eq(retry_word(RETRY_SPLIT), "split");
	ck_assert_str_eq(retry_word(RETRY_REBASE), "rebase");
	ck_assert_str_eq(retry_word(RETRY_RESTAMP), "restamp");
	ck_assert_str_eq(retry_word(RETRY_SNAPSHOT), "snapshot");
}
END_TEST

static void *
add(void *cookie)
{
	for (int i = 0; i < ADDITIONS; i++)
		counter_add(COUNTER_APPLIED, 3);
	return cookie;
}

START_TEST(counters_lose_nothing_between_threads)
{
	pthread_t threads[ADDERS];
	uint64_t before = counter_value(COUNTER_APPLIED);
	uint64_t others = counter_value(COUNTER_REFUSED);
	for (int i = 0; i < ADDERS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, add, NULL), 0);
	for (int i = 0; i < ADDERS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ck_assert_uint_eq(counter_value(COUNTER_APPLIED) - before,
			  (uint64_t)3 * ADDERS * ADDITIONS);
	ck_assert_uint_eq(counter_value(COUNTER_REFUSED), others);
	ck_assert_str_eq(counter_name(COUNTER_APPLIED), "actions_applied");
	ck_assert_str_eq(counter_name(COUNTER_STORAGE_FAULTS), "storage_faults");
}
END_TEST

struct member {
	uint64_t key;
	UT_hash_handle hh;
};

START_TEST(a_map_finds_what_it_holds_and_spreads_it)
{
	static struct member members[MEMBERS];
	struct member *map = NULL;
	struct member *found;
	unsigned sixteenths[16] = {0};
	for (uint64_t i = 0; i < MEMBERS; i++) {
		members[i].key = i * 65536;
		HASH_ADD(hh, map, key, sizeof(uint64_t), &members[i]);
		ck_assert_ptr_nonnull(members[i].hh.tbl);
		sixteenths[map_hash(&members[i].key, sizeof(uint64_t)) >> 28]++;
	}
	for (uint64_t i = 0; i < MEMBERS; i++) {
		uint64_t key = i * 65536;
		HASH_FIND(hh, map, &key, sizeof(key), found);
		ck_assert_ptr_eq(found, &members[i]);
		key++;
		HASH_FIND(hh, map, &key, sizeof(key), found);
		ck_assert_ptr_null(found);
	}
	/* 625 expected, a deviation of 24: ten of those would be no hash. */
	for (int i = 0; i < 16; i++)
		ck_assert_int_lt(abs((int)sixteenths[i] - MEMBERS / 16), 240);
	HASH_CLEAR(hh, map);
}
END_TEST

START_TEST(the_hash_is_steady_and_sees_every_byte)
{
	char key[64] = {0};
	unsigned hash = map_hash(key, sizeof(key));
	ck_assert_uint_eq(map_hash(key, sizeof(key)), hash);
	ck_assert_uint_eq(map_hash(NULL, 0), map_hash(key, 0));
	unsigned changed = 0;
	for (size_t i = 0; i < sizeof(key); i++) {
		key[i] = 1;
		changed += map_hash(key, sizeof(key)) != hash;
		key[i] = 0;
	}
	ck_assert_uint_ge(changed, 63);
}
END_TEST

START_TEST(a_failed_check_aborts)
{
	CHECK(1 + 1 == 2);
	CHECK(_i == 4242);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("tables");
	TCase *tcase = tcase_create("tables");
	SRunner *runner = srunner_create(suite);
	suite_add_tcase(suite, tcase);
	tcase_add_test(tcase, every_status_has_a_row_of_its_own);
	tcase_add_test(tcase, advice_has_the_protocols_words);
	tcase_add_test(tcase, counters_lose_nothing_between_threads);
	tcase_add_test(tcase, a_map_finds_what_it_holds_and_spreads_it);
	tcase_add_test(tcase, the_hash_is_steady_and_sees_every_byte);
	if (srunner_fork_status(runner) == CK_FORK)
		tcase_add_test_raise_signal(tcase, a_failed_check_aborts, SIGABRT);
	return runner_run(runner);
}
