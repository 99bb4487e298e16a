/* api/rate: what a subject is let through, by a clock that the test keeps. */
#include "api/rate.h"

#include <check.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "support/runner.h"

#define SEC UINT64_C(1000000)

static struct rate *rate;
static struct rate_policy policy;
static struct rate_options options;
static struct rate_refusal refusal;
static uint64_t now_usec;

static void
set_up(void)
{
	ck_assert_int_ne(sodium_init(), -1);
	options = (struct rate_options){.requests = 10,
					.requests_burst = 50,
					.actions = 100,
					.actions_burst = 1000,
					.bytes = 1000,
					.bytes_burst = 100000,
					.failures = 1,
					.failures_burst = 5};
	rate_policy_make(&policy, &options);
	rate = rate_new(1024);
	now_usec = 1000 * SEC;
}

static void
tear_down(void)
{
	rate_free(rate);
}

static struct rate_payer
payer(const char *subject)
{
	return rate_payer_of(rate, &policy, text_of(subject));
}

static bool
is_admitted(const char *subject, bool is_sync)
{
	const struct rate_payer who = payer(subject);
	return rate_admit(&who, is_sync, now_usec, &refusal);
}

/* A batch's state hash, by a number. */
static struct hash
state(unsigned number)
{
	struct hash hash;
	memset(hash.bytes, (int)number, sizeof(hash.bytes));
	return hash;
}

static bool
is_let_in(const char *subject, unsigned batch)
{
	const struct rate_payer who = payer(subject);
	const struct hash hash = state(batch);
	return rate_admit_batch(&who, &hash, now_usec, &refusal);
}

/* An answer to a batch: so many were applied, so many were not. */
static void
charge(const char *subject, unsigned number, uint64_t applied, uint64_t others)
{
	const struct rate_payer who = payer(subject);
	const struct hash hash = state(number);
	const struct rate_batch batch = {.state = &hash, .applied = applied, .others = others};
	rate_charge_batch(&who, &batch, now_usec);
}

static const char *
header(const char *subject)
{
	static char text[256];
	const struct rate_payer who = payer(subject);
	struct buffer out;
	buffer_init(&out, sizeof(text));
	rate_write_state(&who, now_usec, &out);
	snprintf(text, sizeof(text), "%.*s", (int)out.size, out.data);
	buffer_release(&out);
	return text;
}

START_TEST(who_floods_is_refused_while_another_is_served)
{
	for (unsigned i = 0; i < 50; i++)
		ck_assert(is_admitted("flooder", true));
	ck_assert(!is_admitted("flooder", true));
	ck_assert_int_eq(refusal.kind, RATE_REQUESTS);
	const uint64_t wait_msec = refusal.wait_msec;
	ck_assert_uint_le(wait_msec, 101);
	ck_assert(is_admitted("phone", true));
	now_usec += wait_msec * 1000;
	ck_assert(is_admitted("flooder", true));
	ck_assert(!is_admitted("flooder", true));
}
END_TEST

START_TEST(a_week_offline_is_let_in_and_its_debt_is_not_its_retrys)
{
	ck_assert(is_let_in("phone", 1));
	charge("phone", 1, 1500, 0);
	ck_assert(is_let_in("phone", 1));
	charge("phone", 1, 0, 1500);
	ck_assert(is_let_in("phone", 1));
	ck_assert(!is_let_in("phone", 2));
	ck_assert_int_eq(refusal.kind, RATE_ACTIONS);
	/* 1500 for the first copy and 150 for the second are 650 more than the burst. */
	ck_assert_uint_ge(refusal.wait_msec, 6500);
	ck_assert_uint_le(refusal.wait_msec, 6502);
	now_usec += refusal.wait_msec * 1000;
	ck_assert(is_let_in("phone", 2));
}
END_TEST

START_TEST(duplicates_and_refused_actions_cost_a_tenth)
{
	charge("phone", 1, 0, 10);
	ck_assert_str_eq(header("phone"),
			 "\"requests\";r=50;t=0, \"actions\";r=999;t=1, \"bytes\";r=100000;t=0");
	charge("phone", 2, 10, 1);
	ck_assert_str_eq(header("phone"),
			 "\"requests\";r=50;t=0, \"actions\";r=988;t=1, \"bytes\";r=100000;t=0");
}
END_TEST

START_TEST(a_batch_that_nobody_was_charged_for_is_no_retry)
{
	charge("phone", 1, 2000, 0);
	ck_assert(!is_let_in("phone", 9));
	charge("other", 9, 1, 0);
	ck_assert(!is_let_in("phone", 9));
}
END_TEST

START_TEST(a_pull_is_not_refused_for_actions)
{
	const struct rate_payer phone = payer("phone");
	charge("phone", 1, 2000, 0);
	ck_assert(rate_admit_batch(&phone, NULL, now_usec, &refusal));
	ck_assert(is_admitted("phone", false));
}
END_TEST

START_TEST(who_has_read_much_waits_before_reading_more)
{
	const struct rate_payer phone = payer("phone");
	ck_assert(rate_charge_bytes(&phone, 150000, now_usec, &refusal));
	ck_assert(!is_admitted("phone", false));
	ck_assert_int_eq(refusal.kind, RATE_BYTES);
	ck_assert_uint_ge(refusal.wait_msec, 50000);
	/* A sync may be a retry. */
	ck_assert(is_admitted("phone", true));
	ck_assert(!rate_admit_batch(&phone, NULL, now_usec, &refusal));
	charge("phone", 1, 1, 0);
	ck_assert(is_let_in("phone", 1));
	ck_assert(!is_let_in("phone", 2));
}
END_TEST

START_TEST(a_stream_is_broken_off_when_a_whole_burst_is_owed)
{
	const struct rate_payer phone = payer("phone");
	unsigned pieces = 0;
	while (pieces < 1000 && rate_charge_bytes(&phone, 10000, now_usec, &refusal))
		pieces++;
	ck_assert_uint_eq(pieces, 19);
	ck_assert_int_eq(refusal.kind, RATE_BYTES);
	ck_assert_uint_ge(refusal.wait_msec, 100000);
	ck_assert_uint_le(refusal.wait_msec, 100001);
}
END_TEST

START_TEST(guessing_costs_the_address_and_nobody_else)
{
	const struct text address = TEXT("9.9.9.9"), other = TEXT("1.1.1.1");
	for (unsigned i = 0; i < 5; i++)
		ck_assert(rate_fail(rate, &policy, address, now_usec, &refusal));
	ck_assert(!rate_fail(rate, &policy, address, now_usec, &refusal));
	ck_assert_uint_le(refusal.wait_msec, 1001);
	ck_assert(rate_fail(rate, &policy, other, now_usec, &refusal));
	ck_assert(is_admitted("9.9.9.9", true));
}
END_TEST

START_TEST(the_policy_and_the_state_are_told)
{
	struct buffer out;
	ck_assert_str_eq(policy.text,
			 "\"requests\";q=50;w=5, \"actions\";q=1000;w=10;qu=\"actions\", "
			 "\"bytes\";q=100000;w=100;qu=\"content-bytes\"");
	ck_assert(is_admitted("phone", true));
	ck_assert_str_eq(header("phone"),
			 "\"requests\";r=49;t=1, \"actions\";r=1000;t=0, \"bytes\";r=100000;t=0");
	buffer_init(&out, 100);
	rate_write_refusal(&(struct rate_refusal){.kind = RATE_BYTES, .wait_msec = 2001}, &out);
	ck_assert_uint_eq(out.size, strlen("\"bytes\";r=0;t=3"));
	ck_assert_mem_eq(out.data, "\"bytes\";r=0;t=3", out.size);
	buffer_release(&out);
}
END_TEST

START_TEST(the_longest_policy_fits)
{
	const uint64_t most = UINT64_C(1) << 40;
	rate_policy_make(&policy, &(struct rate_options){
					  .requests = 1,
					  .requests_burst = most,
					  .actions = 1,
					  .actions_burst = most,
					  .bytes = 1,
					  .bytes_burst = most,
				  });
	ck_assert_ptr_nonnull(strstr(policy.text, "content-bytes\""));
}
END_TEST

START_TEST(what_is_off_is_neither_limited_nor_told)
{
	options.actions = 0;
	options.bytes = 0;
	rate_policy_make(&policy, &options);
	charge("phone", 1, UINT64_C(1) << 30, 0);
	ck_assert(is_let_in("phone", 2));
	ck_assert_str_eq(header("phone"), "\"requests\";r=50;t=0");
	ck_assert_str_eq(policy.text, "\"requests\";q=50;w=5");
	options = (struct rate_options){0};
	rate_policy_make(&policy, &options);
	for (unsigned i = 0; i < 1000; i++)
		ck_assert(is_admitted("phone", false));
	ck_assert_ptr_null(payer("phone").rate);
	for (unsigned i = 0; i < 1000; i++)
		ck_assert(rate_fail(rate, &policy, TEXT("9.9.9.9"), now_usec, &refusal));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("api/rate");
	TCase *tests = tcase_create("rate");
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, who_floods_is_refused_while_another_is_served);
	tcase_add_test(tests, a_week_offline_is_let_in_and_its_debt_is_not_its_retrys);
	tcase_add_test(tests, duplicates_and_refused_actions_cost_a_tenth);
	tcase_add_test(tests, a_batch_that_nobody_was_charged_for_is_no_retry);
	tcase_add_test(tests, a_pull_is_not_refused_for_actions);
	tcase_add_test(tests, who_has_read_much_waits_before_reading_more);
	tcase_add_test(tests, a_stream_is_broken_off_when_a_whole_burst_is_owed);
	tcase_add_test(tests, guessing_costs_the_address_and_nobody_else);
	tcase_add_test(tests, the_policy_and_the_state_are_told);
	tcase_add_test(tests, the_longest_policy_fits);
	tcase_add_test(tests, what_is_off_is_neither_limited_nor_told);
	suite_add_tcase(suite, tests);
	return runner_run(srunner_create(suite));
}
