/* base/clock, with a wall clock that the tests set. */
#include "base/clock.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "support/runner.h"

#define READERS 4
#define READINGS 20000

static atomic_bool wall_is_set;
static _Atomic uint64_t wall_msec;

/* Takes the place of the library's: libbase.a reads its clocks here. */
int
clock_gettime(clockid_t clock, struct timespec *time) // NOLINT(readability-inconsistent-*)
{
	if (clock == CLOCK_REALTIME && atomic_load(&wall_is_set)) {
		uint64_t msec = atomic_load(&wall_msec);
		time->tv_sec = (time_t)(msec / 1000);
		time->tv_nsec = (long)(msec % 1000) * 1000000;
		return 0;
	}
	return (int)syscall(SYS_clock_gettime, clock, time);
}

static void
set_wall(uint64_t msec)
{
	atomic_store(&wall_msec, msec);
	atomic_store(&wall_is_set, true);
}

START_TEST(the_rule_hides_small_steps_back_and_follows_large_ones)
{
	static const struct {
		uint64_t last, now, shown;
		int stepped;
	} cases[] = {
		{0, 0, 0, 0},
		{0, 5, 5, 0},
		{1000000, 1000000, 1000000, 0},
		{1000000, 1000001, 1000001, 0},
		{1000000, 999999, 1000000, 0},
		{1000000, 940000, 1000000, 0}, /* a minute exactly */
		{1000000, 939999, 939999, 1},
		{1000000, 0, 0, 1},
		{1000000, 1060001, 1060001, 0},
		{0, UINT64_MAX, UINT64_MAX, 0},
		{UINT64_MAX, 0, 0, 1},
		{UINT64_MAX, UINT64_MAX - 60000, UINT64_MAX, 0},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int stepped = 42;
		ck_assert_uint_eq(clock_smooth(cases[i].last, cases[i].now, &stepped),
				  cases[i].shown);
		ck_assert_int_eq(stepped, cases[i].stepped);
	}
}
END_TEST

START_TEST(dates_are_written_as_rfc_3339)
{
	static const struct {
		uint64_t msec;
		const char *text;
	} cases[] = {
		{0, "1970-01-01T00:00:00.000Z"},
		{999, "1970-01-01T00:00:00.999Z"},
		{951782400000, "2000-02-29T00:00:00.000Z"},
		{1790000000123, "2026-09-21T14:13:20.123Z"},
		{4107542399999, "2100-02-28T23:59:59.999Z"},
		{4107542400000, "2100-03-01T00:00:00.000Z"},
		{253402300799999, "9999-12-31T23:59:59.999Z"},
		{253402300800000, "9999-12-31T23:59:59.999Z"},
		{UINT64_MAX, "9999-12-31T23:59:59.999Z"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[CLOCK_TEXT_SIZE];
		clock_format(cases[i].msec, text);
		ck_assert_str_eq(text, cases[i].text);
	}
}
END_TEST

/* Runs with stderr in a file and returns what was written there. */
static void
capture(void (*run)(void), char *text, size_t size)
{
	FILE *file = tmpfile();
	int saved = dup(STDERR_FILENO);
	ck_assert_ptr_nonnull(file);
	ck_assert_int_ne(dup2(fileno(file), STDERR_FILENO), -1);
	run();
	ck_assert_int_ne(dup2(saved, STDERR_FILENO), -1);
	close(saved);
	rewind(file);
	text[fread(text, 1, size - 1, file)] = '\0';
	fclose(file);
}

static size_t
lines_with(const char *text, const char *words)
{
	size_t count = 0;
	for (const char *at = strstr(text, words); at != NULL; at = strstr(at + 1, words))
		count++;
	return count;
}

static void
run_small_steps(void)
{
	const uint64_t start = 1790000000000;
	set_wall(start);
	ck_assert_uint_eq(clock_server_msec(), start);
	set_wall(start - 60000);
	ck_assert_uint_eq(clock_server_msec(), start);
	set_wall(start - 1);
	ck_assert_uint_eq(clock_server_msec(), start);
	set_wall(start + 1);
	ck_assert_uint_eq(clock_server_msec(), start + 1);
}

START_TEST(small_steps_back_are_not_seen)
{
	char text[4096];
	capture(run_small_steps, text, sizeof(text));
	ck_assert_str_eq(text, "");
}
END_TEST

static void
run_large_steps(void)
{
	const uint64_t start = 1790000000000;
	set_wall(start);
	ck_assert_uint_eq(clock_server_msec(), start);
	set_wall(start - 60001);
	for (int i = 0; i < 3; i++)
		ck_assert_uint_eq(clock_server_msec(), start - 60001);
	set_wall(start + 3600000);
	for (int i = 0; i < 3; i++)
		ck_assert_uint_eq(clock_server_msec(), start + 3600000);
	set_wall(start);
	ck_assert_uint_eq(clock_server_msec(), start);
}

START_TEST(large_steps_are_followed_and_logged_once_each)
{
	char text[8192];
	capture(run_large_steps, text, sizeof(text));
	ck_assert_uint_eq(lines_with(text, "event=\"the wall clock stepped back\" ms=60001\n"), 1);
	ck_assert_uint_eq(lines_with(text, "event=\"the wall clock stepped back\" ms=3600000\n"),
			  1);
	ck_assert_uint_eq(lines_with(text, "event=\"the wall clock stepped forward\""), 1);
	ck_assert_uint_eq(lines_with(text, "\n"), 3);
}
END_TEST

static void *
read_clock(void *cookie)
{
	uint64_t last = 0;
	for (int i = 0; i < READINGS; i++) {
		uint64_t now = clock_server_msec();
		/* The wall jitters below; nobody may see it. */
		atomic_fetch_add(&wall_msec, i % 3 == 0 ? UINT64_MAX - 4 : 3);
		if (now < last)
			return cookie;
		last = now;
	}
	return NULL;
}

START_TEST(no_thread_sees_it_go_backwards)
{
	pthread_t threads[READERS];
	int backwards;
	set_wall(1790000000000);
	for (int i = 0; i < READERS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, read_clock, &backwards), 0);
	for (int i = 0; i < READERS; i++) {
		void *result = &backwards;
		ck_assert_int_eq(pthread_join(threads[i], &result), 0);
		ck_assert_ptr_null(result);
	}
}
END_TEST

START_TEST(the_monotonic_clock_counts_the_same_in_both_units)
{
	uint64_t usec = clock_monotonic_usec();
	uint64_t msec = clock_monotonic_msec();
	uint64_t later = clock_monotonic_usec();
	ck_assert_uint_le(usec / 1000, msec);
	ck_assert_uint_le(msec, later / 1000);
	ck_assert_uint_gt(usec, 0);
}
END_TEST

#define HOUR UINT64_C(3600000)
#define BOOT UINT64_C(50000000)

static struct clock_belief belief;

/* What is believed so long after the first look, when the wall clock is off by so much. */
static int64_t
believed_off(uint64_t after, int64_t off)
{
	const uint64_t now = 1790000000000 + after;
	return (int64_t)(clock_believe(&belief, (uint64_t)((int64_t)now + off), BOOT + after) -
			 now);
}

START_TEST(a_step_forward_is_believed_once_it_has_lasted)
{
	const int64_t day = 24 * HOUR;
	belief = (struct clock_belief){.begun = false};
	ck_assert_int_eq(believed_off(0, 0), 0);
	ck_assert_int_eq(believed_off(HOUR, 60000), 60000); /* drift */
	ck_assert_int_eq(believed_off(2 * HOUR, day), 60000);
	ck_assert_int_eq(believed_off(3 * HOUR - 1, day + 1000), 60000);
	ck_assert_int_eq(believed_off(3 * HOUR, day), day);
	/* Another step begins anew, and one that has gone is forgotten. */
	ck_assert_int_eq(believed_off(4 * HOUR, 9 * day), day);
	ck_assert_int_eq(believed_off(5 * HOUR - 1, 8 * day), day);
	ck_assert_int_eq(believed_off(6 * HOUR, day), day);
	ck_assert_int_eq(believed_off(7 * HOUR, 8 * day), day);
	/* Back is believed at once. */
	ck_assert_int_eq(believed_off(8 * HOUR - 1, -day), -day);
	ck_assert_int_eq(believed_off(8 * HOUR, 0), -day);
	ck_assert_int_eq(believed_off(9 * HOUR, 0), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("clock");
	TCase *tcase = tcase_create("clock");
	SRunner *runner = srunner_create(suite);
	suite_add_tcase(suite, tcase);
	tcase_add_test(tcase, the_rule_hides_small_steps_back_and_follows_large_ones);
	tcase_add_test(tcase, dates_are_written_as_rfc_3339);
	tcase_add_test(tcase, a_step_forward_is_believed_once_it_has_lasted);
	tcase_add_test(tcase, the_monotonic_clock_counts_the_same_in_both_units);
	/* The clock remembers: each of these wants a process of its own. */
	if (srunner_fork_status(runner) == CK_FORK) {
		tcase_add_test(tcase, small_steps_back_are_not_seen);
		tcase_add_test(tcase, large_steps_are_followed_and_logged_once_each);
		tcase_add_test(tcase, no_thread_sees_it_go_backwards);
	}
	return runner_run(runner);
}
