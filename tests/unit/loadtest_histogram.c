/* loadtest/histogram: what it says of values against the values themselves, sorted. */
#include "loadtest/histogram.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "loadtest/random.h"
#include "support/runner.h"

#define VALUES_MAX 20000

static const double percents[] = {0, 0.1, 1, 25, 50, 75, 90, 99, 99.9, 99.99, 99.999, 100};
#define PERCENTS (sizeof(percents) / sizeof(percents[0]))

static int
by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static uint64_t
exact_percentile(const uint64_t *sorted, size_t count, double percent)
{
	double rank = ceil(percent / 100 * (double)count);
	return sorted[rank < 1 ? 0 : (size_t)rank - 1];
}

/* At most a thousandth too high, never too low, never above the maximum. */
static void
assert_close(uint64_t found, uint64_t exact, uint64_t max)
{
	ck_assert_uint_ge(found, exact);
	ck_assert_uint_le(found, max);
	if (exact <= HISTOGRAM_VALUE_MAX)
		ck_assert_uint_le(found - exact, exact / 1000);
}

static void
assert_percentiles(const struct histogram *histogram, uint64_t *values, size_t count)
{
	double sum = 0;
	qsort(values, count, sizeof(*values), by_value);
	for (size_t i = 0; i < PERCENTS; i++)
		assert_close(histogram_percentile(histogram, percents[i]),
			     exact_percentile(values, count, percents[i]), values[count - 1]);
	for (size_t i = 0; i < count; i++)
		sum += (double)values[i];
	ck_assert_double_eq_tol(histogram_mean(histogram), sum / (double)count,
				sum / (double)count / 1e9);
	ck_assert_uint_eq(histogram->min, values[0]);
	ck_assert_uint_eq(histogram->max, values[count - 1]);
	ck_assert_uint_eq(histogram->total, count);
}

/* Of all magnitudes alike: as many bits as the die says. */
static uint64_t
draw(struct random *random, unsigned bits_max)
{
	uint64_t bits = random_below(random, bits_max + 1);
	return bits == 0 ? 0 : random_next(random) >> (64 - bits);
}

START_TEST(percentiles_are_those_of_the_sorted_values)
{
	static uint64_t values[VALUES_MAX];
	struct histogram histogram;
	struct random random;
	random_init(&random, 20261122, (uint64_t)_i);
	size_t count = 1 + (size_t)random_below(&random, VALUES_MAX);
	ck_assert_int_eq(histogram_init(&histogram), STATUS_OK);
	for (size_t i = 0; i < count; i++) {
		values[i] = draw(&random, HISTOGRAM_VALUE_BITS);
		histogram_record(&histogram, values[i]);
	}
	assert_percentiles(&histogram, values, count);
	histogram_release(&histogram);
}
END_TEST

START_TEST(each_value_alone_is_found_at_the_edges_of_every_bucket_size)
{
	for (unsigned bits = 0; bits <= HISTOGRAM_VALUE_BITS; bits++) {
		for (uint64_t around = 0; around < 5; around++) {
			struct histogram histogram;
			uint64_t value = (UINT64_C(1) << bits) + around - 2;
			if (value > HISTOGRAM_VALUE_MAX)
				continue;
			ck_assert_int_eq(histogram_init(&histogram), STATUS_OK);
			histogram_record(&histogram, value);
			ck_assert_uint_eq(histogram_percentile(&histogram, 50), value);
			/* Beside a larger one it is what its bucket says. */
			histogram_record(&histogram, HISTOGRAM_VALUE_MAX);
			assert_close(histogram_percentile(&histogram, 50), value,
				     HISTOGRAM_VALUE_MAX);
			histogram_release(&histogram);
		}
	}
}
END_TEST

START_TEST(values_beyond_the_range_keep_the_maximum_exact)
{
	struct histogram histogram;
	ck_assert_int_eq(histogram_init(&histogram), STATUS_OK);
	histogram_record(&histogram, 7);
	histogram_record(&histogram, HISTOGRAM_VALUE_MAX + 1);
	histogram_record(&histogram, UINT64_MAX);
	ck_assert_uint_eq(histogram_percentile(&histogram, 30), 7);
	ck_assert_uint_eq(histogram_percentile(&histogram, 99), UINT64_MAX);
	ck_assert_uint_eq(histogram.max, UINT64_MAX);
	histogram_release(&histogram);
}
END_TEST

START_TEST(an_empty_one_says_nothing)
{
	struct histogram histogram;
	struct histogram_step step = {0};
	ck_assert_int_eq(histogram_init(&histogram), STATUS_OK);
	ck_assert_uint_eq(histogram_percentile(&histogram, 0), 0);
	ck_assert_uint_eq(histogram_percentile(&histogram, 100), 0);
	ck_assert_double_eq(histogram_mean(&histogram), 0);
	ck_assert(!histogram_next(&histogram, &step));
	histogram_release(&histogram);
	histogram_release(NULL);
}
END_TEST

START_TEST(a_walk_passes_each_value_once_and_in_order)
{
	struct histogram histogram;
	struct histogram_step step = {0};
	struct random random;
	uint64_t last = 0;
	uint64_t seen = 0;
	random_init(&random, 3, 4);
	ck_assert_int_eq(histogram_init(&histogram), STATUS_OK);
	for (size_t i = 0; i < VALUES_MAX; i++)
		histogram_record(&histogram, draw(&random, 40));
	while (histogram_next(&histogram, &step)) {
		ck_assert(seen == 0 || step.value > last);
		last = step.value;
		seen += step.count;
		ck_assert_uint_eq(step.up_to, seen);
	}
	ck_assert_uint_eq(seen, VALUES_MAX);
	ck_assert_uint_eq(last, histogram.max);
	histogram_release(&histogram);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("loadtest_histogram");
	TCase *tests = tcase_create("histogram");
	tcase_add_loop_test(tests, percentiles_are_those_of_the_sorted_values, 0, 50);
	tcase_add_test(tests, each_value_alone_is_found_at_the_edges_of_every_bucket_size);
	tcase_add_test(tests, values_beyond_the_range_keep_the_maximum_exact);
	tcase_add_test(tests, an_empty_one_says_nothing);
	tcase_add_test(tests, a_walk_passes_each_value_once_and_in_order);
	suite_add_tcase(suite, tests);
	return runner_run(srunner_create(suite));
}
