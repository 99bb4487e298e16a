/* The pace of the walk for rot, against an engine that says how it went. What the scrubber waits for is
 * written down, and not waited for. */
#include <errno.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "store/scrubber.h"
#include "support/runner.h"
#include "support/scripted_engine.h"

#define STEPS_MAX 16
#define RATE 1000
#define NEXT_ROUND_USEC 60000000 /* what is further away is waited for */

static struct script script = {.lock = PTHREAD_MUTEX_INITIALIZER,
			       .changed = PTHREAD_COND_INITIALIZER};

/* What a step comes to. */
struct step {
	enum status status;
	struct walked walked;
	bool is_slow; /* goes on for as long as it may */

	/* out */
	uint64_t began, ended, waited_until;
};

static struct step steps[STEPS_MAX];
static size_t step_count;
static unsigned taken, rounds;
static _Thread_local bool is_scrubber;

/* In the place of the library's. */
int
pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *time)
{
	const uint64_t until = (uint64_t)time->tv_sec * 1000000 + (uint64_t)time->tv_nsec / 1000;
	if (!is_scrubber)
		return pthread_cond_clockwait(cond, mutex, CLOCK_MONOTONIC, time);
	if (until > clock_monotonic_usec() + NEXT_ROUND_USEC) {
		pthread_mutex_lock(&script.lock);
		rounds++;
		pthread_cond_broadcast(&script.changed);
		pthread_mutex_unlock(&script.lock);
		return pthread_cond_clockwait(cond, mutex, CLOCK_MONOTONIC, time);
	}
	steps[taken - 1].waited_until = until;
	return ETIMEDOUT;
}

static enum status
take_step(struct engine *engine, struct walk *walk, uint64_t rows_max, struct walked *walked)
{
	(void)engine;
	(void)rows_max;
	is_scrubber = true;
	ck_assert_uint_lt(taken, step_count);
	struct step *step = &steps[taken++];
	step->began = clock_monotonic_usec();
	while (step->is_slow && walk->goes_on(walk->cookie))
		continue;
	*walked = step->walked;
	step->ended = clock_monotonic_usec();
	return step->status;
}

static enum status
open_engine(void *cookie, unsigned number, struct engine **opened, const char **problem)
{
	const enum status status = script_open(cookie, number, opened, problem);
	if (status == STATUS_OK)
		((struct scripted_engine *)*opened)->ops.scrub = take_step;
	return status;
}

/* A round of these steps. */
static void
run_round(const struct step *script_steps, size_t count)
{
	const struct shard_options options = {.queue_jobs = 1,
					      .group_jobs = 1,
					      .group_bytes = 1000,
					      .cache_logs = 1,
					      .open = open_engine,
					      .open_cookie = &script};
	struct shard *shard;
	struct scrubber *scrubber;
	const char *problem;
	log_configure(LOG_ERROR, LOG_LOGFMT);
	memcpy(steps, script_steps, count * sizeof(*steps));
	step_count = count;
	ck_assert_int_eq(shard_open(&options, &shard, &problem), STATUS_OK);
	ck_assert_int_eq(scrubber_start(&shard, 1, RATE, &scrubber), STATUS_OK);
	script_wait_for(&script, &rounds);
	scrubber_stop(scrubber);
	ck_assert_uint_eq(taken, count);
	shard_quiesce(shard);
	ck_assert(shard_stop(shard));
	shard_close(shard);
}

START_TEST(a_step_that_does_not_end_by_itself_is_ended_and_the_pause_is_as_long)
{
	static const struct step slow[] = {
		{.is_slow = true, .walked.actions = 1},
		{.is_slow = true, .walked.actions = 1},
		{.walked.ended = true},
	};
	run_round(slow, 3);
	for (size_t i = 0; i < 2; i++)
		ck_assert_uint_ge(steps[i].waited_until,
				  steps[i].ended + (steps[i].ended - steps[i].began));
}
END_TEST

START_TEST(the_pause_keeps_the_rate)
{
	static const struct step quick[] = {
		{.walked = {.logs = 56, .actions = 200}},
		{.walked = {.actions = 200, .ended = true}},
	};
	run_round(quick, 2);
	ck_assert_uint_ge(steps[0].waited_until, steps[0].ended + 100000);
	ck_assert_uint_eq(counter_value(COUNTER_SCRUB_ROUNDS), 1);

	ck_assert_uint_eq(scrubber_pause_usec(256, RATE, 0), 256000);
	ck_assert_uint_eq(scrubber_pause_usec(256, RATE, 6000), 250000);
	ck_assert_uint_eq(scrubber_pause_usec(256, RATE, 128000), 128000);
	ck_assert_uint_eq(scrubber_pause_usec(256, RATE, 3000000), 3000000);
	ck_assert_uint_eq(scrubber_pause_usec(0, 1, 7), 7);
}
END_TEST

/* Each costs the log that it was met in. */
START_TEST(faults_here_and_there_do_not_end_a_round)
{
	static const struct step faults[] = {
		{.status = STATUS_STORAGE_UNAVAILABLE},
		{.status = STATUS_STORAGE_UNAVAILABLE},
		{.walked.actions = 1},
		{.status = STATUS_STORAGE_UNAVAILABLE},
		{.walked.actions = 1},
		{.status = STATUS_STORAGE_UNAVAILABLE},
		{.status = STATUS_STORAGE_UNAVAILABLE},
		{.walked.ended = true},
	};
	run_round(faults, 8);
	ck_assert_uint_eq(counter_value(COUNTER_SCRUB_ROUNDS), 1);
}
END_TEST

START_TEST(a_round_in_which_a_shard_was_given_up_does_not_count)
{
	static const struct step faults[] = {
		{.walked.actions = 1},
		{.status = STATUS_STORAGE_UNAVAILABLE},
		{.status = STATUS_STORAGE_UNAVAILABLE},
		{.status = STATUS_STORAGE_UNAVAILABLE},
	};
	run_round(faults, 4);
	ck_assert_uint_eq(counter_value(COUNTER_SCRUB_ROUNDS), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store_scrubber");
	TCase *tests = tcase_create("scrubber");
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, a_step_that_does_not_end_by_itself_is_ended_and_the_pause_is_as_long);
	tcase_add_test(tests, the_pause_keeps_the_rate);
	tcase_add_test(tests, faults_here_and_there_do_not_end_a_round);
	tcase_add_test(tests, a_round_in_which_a_shard_was_given_up_does_not_count);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
