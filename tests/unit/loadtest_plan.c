/* loadtest/plan and loadtest/spread: what the command line may say, and what is drawn from it. */
#include "loadtest/plan.h"

#include <check.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "support/runner.h"

#define DRAWS 100000

START_TEST(a_spread_draws_each_number_as_often_as_it_says)
{
	struct spread spread;
	struct random random;
	unsigned counts[101] = {0};
	random_init(&random, 7, 0);
	ck_assert(spread_parse(TEXT("1:70,10..14:25,100:5"), 1, 1000, &spread));
	ck_assert_uint_eq(spread_max(&spread), 100);
	for (unsigned i = 0; i < DRAWS; i++) {
		uint64_t drawn = spread_draw(&spread, &random);
		ck_assert_uint_le(drawn, 100);
		counts[drawn]++;
	}
	/* Ten deviations on either side would be no chance. */
	ck_assert_int_lt(abs((int)counts[1] - 70000), 1450);
	ck_assert_int_lt(abs((int)counts[100] - 5000), 690);
	for (unsigned i = 10; i <= 14; i++)
		ck_assert_int_lt(abs((int)counts[i] - 5000), 690);
	ck_assert_uint_eq(counts[1] + counts[10] + counts[11] + counts[12] + counts[13] +
				  counts[14] + counts[100],
			  DRAWS);
}
END_TEST

START_TEST(a_range_has_both_its_ends)
{
	struct spread spread;
	struct random random;
	unsigned counts[4] = {0};
	random_init(&random, 8, 0);
	ck_assert(spread_parse(TEXT("1..3"), 0, 3, &spread));
	for (unsigned i = 0; i < 1000; i++)
		counts[spread_draw(&spread, &random)]++;
	ck_assert_uint_eq(counts[0], 0);
	ck_assert(counts[1] > 200 && counts[2] > 200 && counts[3] > 200);
}
END_TEST

START_TEST(what_is_no_spread_is_refused)
{
	static const char *const texts[] = {"",	  "x",	   "1..", "..1",   "3..1",   "1:0",
					    "1,", "1..4,", "0",	  "101",   "1..101", "1:1:1",
					    "-1", "1.5",   "1:",  "1...3", "01"};
	struct spread spread;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		ck_assert_msg(!spread_parse(text_of(texts[i]), 1, 100, &spread), "taken: %s",
			      texts[i]);
}
END_TEST

static enum status
read_plan(struct plan *plan, struct plan_values *values, const char *flag)
{
	char *argv[] = {(char *)"edgereplay-load", (char *)flag, NULL};
	FILE *errors = fopen("/dev/null", "we");
	ck_assert_ptr_nonnull(errors);
	enum status status = plan_read(plan, values, argv, errors);
	(void)fclose(errors);
	return status;
}

START_TEST(a_url_says_where_and_the_host_header_repeats_it)
{
	struct plan plan;
	struct plan_values values;
	const struct sockaddr_in *in = (const struct sockaddr_in *)&plan.address;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&plan.address;
	ck_assert_int_eq(read_plan(&plan, &values, "--url=http://127.0.0.1:4711/"), STATUS_OK);
	ck_assert_int_eq(in->sin_family, AF_INET);
	ck_assert_uint_eq(ntohs(in->sin_port), 4711);
	ck_assert_str_eq(plan.host, "127.0.0.1:4711");
	ck_assert_int_eq(read_plan(&plan, &values, "--url=http://[::1]:4712"), STATUS_OK);
	ck_assert_int_eq(in6->sin6_family, AF_INET6);
	ck_assert_uint_eq(ntohs(in6->sin6_port), 4712);
	ck_assert_int_eq(read_plan(&plan, &values, "--url=http://127.0.0.1"), STATUS_OK);
	ck_assert_uint_eq(ntohs(in->sin_port), 80);
	ck_assert_int_eq(read_plan(&plan, &values, "--url=https://127.0.0.1"), STATUS_MALFORMED);
}
END_TEST

START_TEST(the_values_are_those_of_the_run_but_the_token)
{
	struct plan plan;
	struct plan_values values;
	ck_assert_int_eq(read_plan(&plan, &values, "--token=secret"), STATUS_OK);
	ck_assert_str_eq(plan.token, "secret");
	ck_assert_uint_eq(plan.connections, 64);
	for (size_t i = 0; i < values.count; i++) {
		const struct plan_value *value = &values.items[i];
		ck_assert_str_ne(value->value, "secret");
		if (strcmp(value->name, "token") == 0)
			ck_assert_str_eq(value->value, "***");
		if (strcmp(value->name, "connections") == 0)
			ck_assert_str_eq(value->value, "64");
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("loadtest_plan");
	TCase *tests = tcase_create("plan");
	tcase_add_test(tests, a_spread_draws_each_number_as_often_as_it_says);
	tcase_add_test(tests, a_range_has_both_its_ends);
	tcase_add_test(tests, what_is_no_spread_is_refused);
	tcase_add_test(tests, a_url_says_where_and_the_host_header_repeats_it);
	tcase_add_test(tests, the_values_are_those_of_the_run_but_the_token);
	suite_add_tcase(suite, tests);
	return runner_run(srunner_create(suite));
}
