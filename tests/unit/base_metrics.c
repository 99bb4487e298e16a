/* base/metrics: what threads count adds up, wherever and whenever they do; and what it costs. */
#include "base/clock.h"
#include "base/metrics.h"

#include <check.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "support/runner.h"

#define THREADS 8
#define ADDITIONS 10000
#define ROUNDS 1000000

static struct metrics before, after;

static void *
count_a_lot(void *cookie)
{
	for (unsigned i = 0; i < ADDITIONS; i++) {
		counter_add(COUNTER_COMMITS, 2);
		request_count(TRAFFIC_HEAD, ENDING_NOT_MODIFIED);
		histogram_add(HISTOGRAM_GROUP, i % 3);
	}
	return cookie;
}

START_TEST(what_threads_count_adds_up_also_after_their_end)
{
	metrics_read(&before);
	for (unsigned generation = 1; generation <= 3; generation++) {
		pthread_t threads[THREADS];
		for (unsigned i = 0; i < THREADS; i++)
			ck_assert_int_eq(pthread_create(&threads[i], NULL, count_a_lot, NULL), 0);
		for (unsigned i = 0; i < THREADS; i++)
			ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
		metrics_read(&after);
		const uint64_t times = (uint64_t)generation * THREADS * ADDITIONS;
		ck_assert_uint_eq(after.counters[COUNTER_COMMITS] -
					  before.counters[COUNTER_COMMITS],
				  2 * times);
		ck_assert_uint_eq(after.requests[TRAFFIC_HEAD][ENDING_NOT_MODIFIED] -
					  before.requests[TRAFFIC_HEAD][ENDING_NOT_MODIFIED],
				  times);
	}
	for (unsigned i = 0; i < COUNTER_COUNT; i++) {
		if (i != COUNTER_COMMITS)
			ck_assert_uint_eq(after.counters[i], before.counters[i]);
	}
}
END_TEST

/* Which bucket a value falls into. */
static unsigned
bucket_of(enum histogram histogram, uint64_t value)
{
	unsigned found = BUCKETS;
	metrics_read(&before);
	histogram_add(histogram, value);
	metrics_read(&after);
	ck_assert_uint_eq(after.histograms[histogram].sum,
			  before.histograms[histogram].sum + value);
	for (unsigned i = 0; i < BUCKETS; i++) {
		if (after.histograms[histogram].buckets[i] ==
		    before.histograms[histogram].buckets[i])
			continue;
		ck_assert_uint_eq(found, BUCKETS);
		found = i;
	}
	return found;
}

START_TEST(a_bucket_holds_what_is_at_most_its_bound)
{
	static const struct {
		uint64_t usec;
		const char *bound;
	} cases[] = {{0, "1e-05"},	 {10, "1e-05"},	     {11, "2e-05"},
		     {1000, "0.001"},	 {1001, "0.002"},    {999999, "1.0"},
		     {10000000, "10.0"}, {10000001, "+Inf"}, {UINT64_C(1) << 60, "+Inf"}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_str_eq(
			bucket_bound(MEASURE_TIME, bucket_of(HISTOGRAM_SYNC, cases[i].usec)),
			cases[i].bound);
	ck_assert_str_eq(bucket_bound(MEASURE_COUNT, bucket_of(HISTOGRAM_GROUP, 1)), "1.0");
	ck_assert_str_eq(bucket_bound(MEASURE_COUNT, bucket_of(HISTOGRAM_GROUP, 256)), "500.0");
}
END_TEST

/* Rows of a family stand together, the first with its help, and differ in their labels. */
static void
check_rows(const struct metric_row *(*row)(unsigned), unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		const struct metric_row *this = row(i);
		if (this->family == NULL)
			continue;
		const struct metric_row *last = i == 0 ? NULL : row(i - 1);
		const bool goes_on = last != NULL && last->family != NULL &&
				     strcmp(last->family, this->family) == 0;
		ck_assert_msg(goes_on || this->help != NULL, "%s has no help", this->family);
		for (unsigned other = 0; other < i; other++) {
			const char *family = row(other)->family;
			if (family == NULL || strcmp(family, this->family) != 0)
				continue;
			ck_assert_msg(goes_on, "%s stands in two places", family);
			ck_assert_str_ne(row(other)->labels, this->labels);
		}
	}
}

static const struct metric_row *
counter_at(unsigned i)
{
	return counter_row((enum counter)i);
}

static const struct metric_row *
histogram_at(unsigned i)
{
	return histogram_row((enum histogram)i);
}

START_TEST(the_tables_are_in_order)
{
	check_rows(counter_at, COUNTER_COUNT);
	check_rows(histogram_at, HISTOGRAM_COUNT);
	ck_assert_uint_eq(ending_http(STATUS_BACKPRESSURE), 429);
	ck_assert_uint_eq(ending_http(ENDING_NOT_MODIFIED), 304);
	ck_assert_str_eq(ending_code(ENDING_NO_CONTENT), "OK");
	ck_assert_uint_eq(ending_http(ENDING_UNANSWERED), 0);
}
END_TEST

/* All that one sync adds: seven additions and five histograms, and the one reading of the clock that is
 * made for them alone. */
static void
count_a_sync(uint64_t i)
{
	counter_add(COUNTER_REQUESTS, 1);
	request_count(TRAFFIC_SYNC, STATUS_OK);
	counter_add(COUNTER_APPLIED, 1);
	const uint64_t usec = i % 512;
	histogram_add(HISTOGRAM_SYNC, usec);
	histogram_add(HISTOGRAM_DECODE, usec / 8);
	histogram_add(HISTOGRAM_QUEUE, usec / 2);
	histogram_add(HISTOGRAM_COMMIT, usec);
	histogram_add(HISTOGRAM_ANSWER, usec / 4);
}

/* Of this thread: others may want the processor, too. */
static uint64_t
cpu_usec(void)
{
	struct timespec time;
	ck_assert_int_eq(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time), 0);
	return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

static void *
count_syncs(void *cookie)
{
	uint64_t *usec = cookie, began = cpu_usec();
	for (uint64_t i = 0; i < ROUNDS; i++)
		count_a_sync(i);
	*usec = cpu_usec() - began;
	return NULL;
}

/* For who reads the output: no time decides a test. */
START_TEST(what_a_sync_costs_is_shown)
{
	pthread_t threads[2];
	uint64_t usec[2], sum = 0;
	for (unsigned i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, count_syncs, &usec[i]), 0);
	for (unsigned i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	uint64_t began = cpu_usec();
	for (unsigned i = 0; i < ROUNDS; i++)
		sum += clock_monotonic_usec();
	uint64_t clock = cpu_usec() - began;
	ck_assert_uint_gt(sum, 0);
	metrics_read(&after);
	ck_assert_uint_ge(after.counters[COUNTER_REQUESTS], 2 * ROUNDS);
	printf("# counting a sync: %ju ns and %ju ns on two threads at once; the clock: %ju ns\n",
	       (uintmax_t)(1000 * usec[0] / ROUNDS), (uintmax_t)(1000 * usec[1] / ROUNDS),
	       (uintmax_t)(1000 * clock / ROUNDS));
	fflush(stdout);
}
END_TEST

int
main(void)
{
	TCase *tests = tcase_create("metrics");
	tcase_add_test(tests, what_threads_count_adds_up_also_after_their_end);
	tcase_add_test(tests, a_bucket_holds_what_is_at_most_its_bound);
	tcase_add_test(tests, the_tables_are_in_order);
	tcase_add_test(tests, what_a_sync_costs_is_shown);
	Suite *suite = suite_create("base/metrics");
	suite_add_tcase(suite, tests);
	return runner_run(srunner_create(suite));
}
