/*
 * Requests that wait: each is woken exactly once, by a commit to its log, by its deadline or by the
 * drain, and no commit is missed.
 */
#include <check.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "api/waiters.h"
#include "base/clock.h"
#include "support/runner.h"

#define FAR_MSEC 3600000 /* a deadline that no test reaches */

/* A waiter that counts how often it was woken. */
struct sleeper {
	struct waiter waiter;
	atomic_int woken;
	sem_t up;
};

static struct waiters *waiters;

static void
set_up(void)
{
	waiters = waiters_new();
	ck_assert_ptr_nonnull(waiters);
}

static void
tear_down(void)
{
	waiters_free(waiters);
}

static void
wake(struct waiter *waiter, bool more)
{
	(void)more;
	struct sleeper *sleeper = (struct sleeper *)waiter; /* its first member */
	atomic_fetch_add(&sleeper->woken, 1);
	sem_post(&sleeper->up);
}

static struct hash
log_number(uint8_t number)
{
	struct hash genesis = {{0}};
	genesis.bytes[HASH_SIZE - 1] = number;
	return genesis;
}

static enum waiters_outcome
add(struct sleeper *sleeper, uint8_t log, uint64_t wait_msec)
{
	memset(&sleeper->waiter, 0, sizeof(sleeper->waiter));
	atomic_init(&sleeper->woken, 0);
	sem_init(&sleeper->up, 0, 0);
	sleeper->waiter.genesis = log_number(log);
	sleeper->waiter.deadline_msec = clock_monotonic_msec() + wait_msec;
	sleeper->waiter.wake = wake;
	return waiters_add(waiters, &sleeper->waiter);
}

static void
wake_log(uint8_t number)
{
	struct hash genesis = log_number(number);
	waiters_wake(waiters, &genesis);
}

START_TEST(a_commit_wakes_all_who_wait_for_its_log_and_nobody_else)
{
	struct sleeper first, second, other;
	ck_assert_int_eq(add(&first, 1, FAR_MSEC), WAITERS_ADDED);
	ck_assert_int_eq(add(&second, 1, FAR_MSEC), WAITERS_ADDED);
	ck_assert_int_eq(add(&other, 2, FAR_MSEC), WAITERS_ADDED);
	wake_log(3);
	ck_assert_int_eq(atomic_load(&first.woken), 0);
	wake_log(1);
	wake_log(1);
	ck_assert_int_eq(atomic_load(&first.woken), 1);
	ck_assert_int_eq(atomic_load(&second.woken), 1);
	ck_assert_int_eq(atomic_load(&other.woken), 0);
	wake_log(2);
	ck_assert_int_eq(atomic_load(&other.woken), 1);
}
END_TEST

START_TEST(whoever_was_woken_may_wait_again)
{
	struct sleeper sleeper;
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(add(&sleeper, 1, FAR_MSEC), WAITERS_ADDED);
		wake_log(1);
		ck_assert_int_eq(atomic_load(&sleeper.woken), 1);
	}
}
END_TEST

START_TEST(a_deadline_wakes)
{
	static const uint64_t waits_msec[] = {0, 10, 60, 120};
	struct sleeper sleepers[4], later;
	ck_assert_int_eq(add(&later, 1, FAR_MSEC), WAITERS_ADDED);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(add(&sleepers[i], 1, waits_msec[i]), WAITERS_ADDED);
	for (int i = 0; i < 4; i++) {
		sem_wait(&sleepers[i].up);
		ck_assert(clock_monotonic_msec() >= sleepers[i].waiter.deadline_msec);
	}
	ck_assert_int_eq(atomic_load(&later.woken), 0);
	wake_log(1);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(atomic_load(&sleepers[i].woken), 1);
	ck_assert_int_eq(atomic_load(&later.woken), 1);
}
END_TEST

START_TEST(one_that_is_cancelled_is_woken_and_nobody_else)
{
	struct sleeper first, second;
	ck_assert_int_eq(add(&first, 1, FAR_MSEC), WAITERS_ADDED);
	ck_assert_int_eq(add(&second, 1, FAR_MSEC), WAITERS_ADDED);
	waiters_cancel(waiters, &first.waiter);
	waiters_cancel(waiters, &first.waiter);
	ck_assert_int_eq(atomic_load(&first.woken), 1);
	ck_assert_int_eq(atomic_load(&second.woken), 0);
	wake_log(1);
	ck_assert_int_eq(atomic_load(&first.woken), 1);
	ck_assert_int_eq(atomic_load(&second.woken), 1);
	waiters_cancel(waiters, &second.waiter);
	ck_assert_int_eq(atomic_load(&second.woken), 1);
}
END_TEST

START_TEST(a_drain_wakes_everybody_and_lets_nobody_wait)
{
	struct sleeper sleepers[50], late;
	for (int i = 0; i < 50; i++)
		ck_assert_int_eq(add(&sleepers[i], (uint8_t)(i % 7), FAR_MSEC), WAITERS_ADDED);
	waiters_drain(waiters);
	for (int i = 0; i < 50; i++)
		ck_assert_int_eq(atomic_load(&sleepers[i].woken), 1);
	ck_assert_int_eq(add(&late, 1, FAR_MSEC), WAITERS_CLOSED);
	ck_assert_int_eq(atomic_load(&late.woken), 0);
}
END_TEST

/*
 * The race: writers move the heads of two logs and wake; readers wait for the next head as api/call
 * does it: look, add, look again. A reader whose commit was missed would sleep for ever, one that
 * is woken twice shows in its count.
 */
#define READERS 4
#define WRITERS 2
#define ROUNDS 3000

static atomic_ulong heads[WRITERS];
static atomic_bool readers_done;

static void *
run_writer(void *cookie)
{
	const uint8_t log = *(const uint8_t *)cookie;
	while (!atomic_load(&readers_done)) {
		atomic_fetch_add(&heads[log], 1);
		wake_log(log);
	}
	return NULL;
}

static void *
run_reader(void *cookie)
{
	const uint8_t log = *(const uint8_t *)cookie;
	unsigned long *faults = calloc(1, sizeof(*faults));
	for (unsigned i = 0; faults && i < ROUNDS; i++) {
		struct sleeper sleeper;
		uint64_t commits = waiters_commits(waiters);
		unsigned long seen = atomic_load(&heads[log]);
		/* A deadline now and then, so that the timer takes part. */
		if (add(&sleeper, log, i % 3 == 0 ? 0 : FAR_MSEC) != WAITERS_ADDED)
			++*faults;
		if (waiters_commits(waiters) != commits && atomic_load(&heads[log]) != seen)
			waiters_cancel(waiters, &sleeper.waiter);
		sem_wait(&sleeper.up);
		*faults += (unsigned long)(atomic_load(&sleeper.woken) != 1);
		sem_destroy(&sleeper.up);
	}
	return faults;
}

START_TEST(no_commit_is_missed_and_nobody_is_woken_twice_under_races)
{
	static uint8_t logs[WRITERS] = {0, 1};
	pthread_t readers[READERS], writers[WRITERS];
	for (size_t i = 0; i < WRITERS; i++)
		ck_assert_int_eq(pthread_create(&writers[i], NULL, run_writer, &logs[i]), 0);
	for (size_t i = 0; i < READERS; i++)
		ck_assert_int_eq(pthread_create(&readers[i], NULL, run_reader, &logs[i % WRITERS]),
				 0);
	for (size_t i = 0; i < READERS; i++) {
		void *faults;
		pthread_join(readers[i], &faults);
		ck_assert_ptr_nonnull(faults);
		ck_assert_uint_eq(*(unsigned long *)faults, 0);
		free(faults);
	}
	atomic_store(&readers_done, true);
	for (size_t i = 0; i < WRITERS; i++)
		pthread_join(writers[i], NULL);
}
END_TEST

/* Drain while others add: each is woken by the drain, or told that it is closed. */
static void *
run_adder(void *cookie)
{
	(void)cookie;
	for (;;) {
		struct sleeper sleeper;
		enum waiters_outcome outcome = add(&sleeper, 9, FAR_MSEC);
		if (outcome == WAITERS_CLOSED)
			return NULL;
		sem_wait(&sleeper.up);
		sem_destroy(&sleeper.up);
	}
}

START_TEST(a_drain_leaves_nobody_asleep_under_races)
{
	pthread_t adders[READERS];
	for (size_t i = 0; i < READERS; i++)
		ck_assert_int_eq(pthread_create(&adders[i], NULL, run_adder, NULL), 0);
	for (int i = 0; i < 1000; i++)
		wake_log(9);
	waiters_drain(waiters);
	for (size_t i = 0; i < READERS; i++)
		pthread_join(adders[i], NULL);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("api_waiters");
	TCase *tests = tcase_create("waiters");
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, a_commit_wakes_all_who_wait_for_its_log_and_nobody_else);
	tcase_add_test(tests, whoever_was_woken_may_wait_again);
	tcase_add_test(tests, a_deadline_wakes);
	tcase_add_test(tests, one_that_is_cancelled_is_woken_and_nobody_else);
	tcase_add_test(tests, a_drain_wakes_everybody_and_lets_nobody_wait);
	tcase_add_test(tests, no_commit_is_missed_and_nobody_is_woken_twice_under_races);
	tcase_add_test(tests, a_drain_leaves_nobody_asleep_under_races);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
