/* loadtest/daemon: what a process has used, with a child that works for a while and then sleeps. */
#include "loadtest/daemon.h"

#include <check.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "support/runner.h"

#define WORK_USEC UINT64_C(400000)
#define MEMORY_SIZE ((size_t)32 << 20)

/* A child that holds memory, works, and sleeps until it is killed. */
static pid_t
start_child(void)
{
	pid_t pid = fork();
	ck_assert_int_ne(pid, -1);
	if (pid != 0)
		return pid;
	volatile char *memory = malloc(MEMORY_SIZE);
	for (size_t i = 0; memory != NULL && i < MEMORY_SIZE; i += 4096)
		memory[i] = 1;
	uint64_t end = clock_monotonic_usec() + WORK_USEC;
	while (clock_monotonic_usec() < end)
		continue;
	for (;;)
		pause();
}

static void
end_child(pid_t pid)
{
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

START_TEST(it_waits_for_what_is_done_behind_the_answers)
{
	struct daemon_usage before, after, used;
	double rested_sec = 0;
	pid_t pid = start_child();
	ck_assert(daemon_sample(pid, &before));
	ck_assert(daemon_rest(pid, 60, &after, &rested_sec));
	daemon_difference(&before, &after, &used);
	ck_assert_double_ge(rested_sec, 0.2);
	ck_assert_double_gt(used.cpu_sec, 0.01);
	ck_assert_double_le(used.cpu_sec, 60);
	ck_assert_double_eq_tol(used.cpu_sec, used.user_sec + used.system_sec, 0.05);
	ck_assert_uint_ge(used.peak_memory_bytes, MEMORY_SIZE);
	ck_assert_uint_ge(used.voluntary_switches, 1);
	end_child(pid);
}
END_TEST

START_TEST(it_does_not_wait_longer_than_it_may)
{
	struct daemon_usage used;
	double rested_sec = 0;
	pid_t pid = start_child();
	uint64_t begin = clock_monotonic_msec();
	ck_assert(daemon_rest(pid, 0, &used, &rested_sec));
	ck_assert_uint_lt(clock_monotonic_msec() - begin, WORK_USEC / 1000);
	ck_assert_double_eq(rested_sec, 0);
	end_child(pid);
}
END_TEST

START_TEST(a_process_that_is_not_there_is_said_so)
{
	struct daemon_usage used;
	double rested_sec;
	pid_t pid = start_child();
	end_child(pid);
	ck_assert(!daemon_sample(pid, &used));
	ck_assert(!daemon_rest(pid, 1, &used, &rested_sec));
}
END_TEST

START_TEST(counts_that_fall_are_no_huge_difference)
{
	const struct daemon_usage before = {.voluntary_switches = 10, .write_bytes = 5};
	const struct daemon_usage after = {.voluntary_switches = 4, .write_bytes = 7};
	struct daemon_usage used;
	daemon_difference(&before, &after, &used);
	ck_assert_uint_eq(used.voluntary_switches, 0);
	ck_assert_uint_eq(used.write_bytes, 2);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("daemon");
	TCase *tcase = tcase_create("daemon");
	tcase_set_timeout(tcase, 120);
	suite_add_tcase(suite, tcase);
	tcase_add_test(tcase, it_waits_for_what_is_done_behind_the_answers);
	tcase_add_test(tcase, it_does_not_wait_longer_than_it_may);
	tcase_add_test(tcase, a_process_that_is_not_there_is_said_so);
	tcase_add_test(tcase, counts_that_fall_are_no_huge_difference);
	return runner_run(srunner_create(suite));
}
