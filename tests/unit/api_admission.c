/* api/admission: how many are let in, by a clock that the test keeps. */
#include "api/admission.h"

#include <check.h>
#include <pthread.h>

#include "support/runner.h"

#define TARGET_USEC UINT64_C(50000)
#define FAST_USEC (TARGET_USEC / 2)
#define SLOW_USEC (TARGET_USEC + 1)

static struct admission admission;
static uint64_t now_usec;

static bool
is_let_in(void)
{
	if (admission_is_full(&admission))
		return false;
	admission_enter(&admission);
	return true;
}

static void
set_up(void)
{
	now_usec = 1000000;
	admission_init(&admission, TARGET_USEC);
}

/* How many more are let in; they leave again. */
static uint32_t
room(void)
{
	uint32_t count = 0;
	while (count < 10 * ADMISSION_START && is_let_in())
		count++;
	for (uint32_t i = 0; i < count; i++)
		admission_leave(&admission);
	return count;
}

/* One that begins now and takes so long. */
static void
sync_takes(uint64_t usec)
{
	const uint64_t began_usec = now_usec;
	now_usec += usec;
	admission_record(&admission, began_usec, now_usec);
}

/* So many of them one after the other, each of which ends a round: none is shorter. */
static void
rounds(uint32_t count, uint64_t usec)
{
	for (uint32_t i = 0; i < count; i++) {
		sync_takes(usec);
		now_usec += TARGET_USEC;
		sync_takes(usec);
	}
}

START_TEST(a_crowd_that_comes_to_an_idle_server_is_let_in)
{
	ck_assert_uint_eq(room(), ADMISSION_START);
	ck_assert_uint_eq(room(), ADMISSION_START);
}
END_TEST

START_TEST(a_place_that_was_left_is_there_for_the_next)
{
	for (uint32_t i = 0; i < ADMISSION_START; i++)
		ck_assert(is_let_in());
	ck_assert(!is_let_in());
	admission_leave(&admission);
	ck_assert(is_let_in());
	ck_assert(!is_let_in());
}
END_TEST

START_TEST(without_a_target_everybody_is_let_in)
{
	rounds(20, SLOW_USEC);
	admission_set_target(&admission, 0);
	ck_assert_uint_eq(room(), 10 * ADMISSION_START);
	admission_set_target(&admission, TARGET_USEC);
	ck_assert_uint_eq(room(), ADMISSION_MIN);
}
END_TEST

START_TEST(slow_syncs_halve_the_limit_down_to_the_least)
{
	sync_takes(SLOW_USEC);
	ck_assert_uint_eq(room(), ADMISSION_START / 2);
	sync_takes(SLOW_USEC);
	ck_assert_uint_eq(room(), ADMISSION_START / 4);
	rounds(20, SLOW_USEC);
	ck_assert_uint_eq(room(), ADMISSION_MIN);
}
END_TEST

START_TEST(those_that_began_before_a_halving_do_not_halve_again)
{
	const uint64_t began_usec = now_usec;
	sync_takes(10 * TARGET_USEC);
	for (uint32_t i = 0; i < 100; i++)
		admission_record(&admission, began_usec, now_usec + i * TARGET_USEC);
	ck_assert_uint_eq(room(), ADMISSION_START / 2);
}
END_TEST

START_TEST(some_slow_ones_among_many_change_nothing)
{
	const uint64_t began_usec = now_usec;
	for (uint32_t i = 0; i < 5; i++) {
		admission_record(&admission, began_usec, began_usec + FAST_USEC);
		admission_record(&admission, began_usec, began_usec + FAST_USEC);
	}
	for (uint32_t i = 0; i < 4; i++)
		admission_record(&admission, began_usec, began_usec + SLOW_USEC);
	ck_assert_uint_eq(room(), ADMISSION_START);
}
END_TEST

START_TEST(fast_syncs_bring_the_limit_back_to_where_it_was)
{
	uint32_t before = ADMISSION_MIN;
	rounds(20, SLOW_USEC);
	for (uint32_t i = 0; i < 100 && before < ADMISSION_START; i++) {
		rounds(1, FAST_USEC);
		const uint32_t after = room();
		ck_assert_uint_gt(after, before);
		ck_assert_uint_lt(after, 2 * before);
		before = after;
	}
	ck_assert_uint_ge(before, ADMISSION_START);
}
END_TEST

START_TEST(it_grows_beyond_its_start_only_when_it_is_reached)
{
	rounds(100, FAST_USEC);
	ck_assert_uint_eq(room(), ADMISSION_START);
	/* The last look had one refused. */
	sync_takes(FAST_USEC);
	now_usec += TARGET_USEC;
	sync_takes(FAST_USEC);
	ck_assert_uint_gt(room(), ADMISSION_START);
}
END_TEST

START_TEST(clients_are_asked_to_wait_while_it_is_reached)
{
	rounds(20, SLOW_USEC);
	ck_assert_uint_eq(admission_backoff_msec(&admission), 0);
	for (uint32_t i = 0; i < ADMISSION_MIN; i++)
		ck_assert(is_let_in());
	ck_assert_uint_eq(admission_backoff_msec(&admission), TARGET_USEC / 1000);
	admission_leave(&admission);
	ck_assert_uint_eq(admission_backoff_msec(&admission), 0);
}
END_TEST

static void *
come_and_go(void *cookie)
{
	(void)cookie;
	for (uint32_t i = 0; i < 20000; i++) {
		if (!is_let_in())
			continue;
		admission_record(&admission, 2 * i * TARGET_USEC,
				 2 * i * TARGET_USEC + (i % 3 == 0 ? FAST_USEC : SLOW_USEC));
		admission_leave(&admission);
	}
	return NULL;
}

START_TEST(no_place_is_lost_among_threads)
{
	pthread_t threads[4];
	for (size_t i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, come_and_go, NULL), 0);
	for (size_t i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	now_usec = 1000000 * TARGET_USEC;
	rounds(20, SLOW_USEC);
	ck_assert_uint_eq(room(), ADMISSION_MIN);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("api/admission");
	TCase *tests = tcase_create("admission");
	tcase_add_checked_fixture(tests, set_up, NULL);
	tcase_add_test(tests, a_crowd_that_comes_to_an_idle_server_is_let_in);
	tcase_add_test(tests, a_place_that_was_left_is_there_for_the_next);
	tcase_add_test(tests, without_a_target_everybody_is_let_in);
	tcase_add_test(tests, slow_syncs_halve_the_limit_down_to_the_least);
	tcase_add_test(tests, those_that_began_before_a_halving_do_not_halve_again);
	tcase_add_test(tests, some_slow_ones_among_many_change_nothing);
	tcase_add_test(tests, fast_syncs_bring_the_limit_back_to_where_it_was);
	tcase_add_test(tests, it_grows_beyond_its_start_only_when_it_is_reached);
	tcase_add_test(tests, clients_are_asked_to_wait_while_it_is_reached);
	tcase_add_test(tests, no_place_is_lost_among_threads);
	suite_add_tcase(suite, tests);
	return runner_run(srunner_create(suite));
}
