/* The phone's own chaining: locators, the order of missed actions and own results, stamps, waits.
 */
#include <check.h>
#include <stdlib.h>

#include "cli/backoff.h"
#include "cli/lines.h"
#include "cli/phone_chain.h"
#include "cli/phone_clock.h"
#include "support/runner.h"

#define MINUTE UINT64_C(60000)

START_TEST(a_locator_has_growing_gaps_and_ends_at_genesis)
{
	uint64_t seqs[LOCATOR_PAIRS_MAX];

	ck_assert_uint_eq(chain_locator(0, seqs), 0);
	ck_assert_uint_eq(chain_locator(1, seqs), 1);
	ck_assert_uint_eq(seqs[0], 0);
	ck_assert_uint_eq(chain_locator(41, seqs), 6);
	ck_assert_uint_eq(seqs[0], 40);
	ck_assert_uint_eq(seqs[1], 38);
	ck_assert_uint_eq(seqs[2], 34);
	ck_assert_uint_eq(seqs[3], 26);
	ck_assert_uint_eq(seqs[4], 10);
	ck_assert_uint_eq(seqs[5], 0);
}
END_TEST

START_TEST(a_locator_of_any_base_fits_and_falls_to_zero)
{
	for (unsigned bits = 0; bits <= 53; bits++) {
		uint64_t base = ((UINT64_C(1) << bits) - 1) | 1;
		uint64_t seqs[LOCATOR_PAIRS_MAX];
		size_t count = chain_locator(base, seqs);

		ck_assert_uint_ge(count, 1);
		ck_assert_uint_le(count, LOCATOR_PAIRS_MAX);
		ck_assert_uint_eq(seqs[count - 1], 0);
		for (size_t i = 0; i < count; i++)
			ck_assert_uint_lt(seqs[i], i == 0 ? base : seqs[i - 1]);
	}
}
END_TEST

START_TEST(missed_and_own_actions_are_ordered_by_seq)
{
	const struct logged missed[] = {{.seq = 42}, {.seq = 43}, {.seq = 46}};
	const struct phone_result results[] = {
		{.seq = 40, .duplicate = true}, {.refused = true}, {.seq = 45}, {.seq = 44}};
	const struct merge merge = {41, missed, 3, results, 4};
	struct ordered order[7];
	size_t contiguous = 0;

	ck_assert_uint_eq(chain_order(&merge, order, &contiguous), 5);
	ck_assert_uint_eq(contiguous, 5);
	for (size_t i = 0; i < 5; i++)
		ck_assert_uint_eq(order[i].seq, 42 + i);
	ck_assert(!order[0].own && order[0].index == 0);
	ck_assert(order[2].own && order[2].index == 3);
	ck_assert(order[3].own && order[3].index == 2);
	ck_assert(!order[4].own && order[4].index == 2);
}
END_TEST

START_TEST(only_what_follows_the_base_without_a_gap_is_contiguous)
{
	const struct logged missed[] = {{.seq = 11}, {.seq = 12}};
	const struct phone_result results[] = {{.seq = 15}, {.seq = 16}};
	const struct merge with_gap = {10, missed, 2, results, 2};
	const struct merge without_first = {10, missed + 1, 1, NULL, 0};
	const struct merge nothing = {10, NULL, 0, NULL, 0};
	struct ordered order[4];
	size_t contiguous = 99;

	ck_assert_uint_eq(chain_order(&with_gap, order, &contiguous), 4);
	ck_assert_uint_eq(contiguous, 2);
	ck_assert_uint_eq(chain_order(&without_first, order, &contiguous), 1);
	ck_assert_uint_eq(contiguous, 0);
	ck_assert_uint_eq(chain_order(&nothing, order, &contiguous), 0);
	ck_assert_uint_eq(contiguous, 0);
}
END_TEST

START_TEST(an_action_repeated_inside_a_batch_counts_once)
{
	const struct phone_result results[] = {{.seq = 11}, {.seq = 11, .duplicate = true}};
	const struct merge merge = {10, NULL, 0, results, 2};
	struct ordered order[2];
	size_t contiguous = 0;

	ck_assert_uint_eq(chain_order(&merge, order, &contiguous), 1);
	ck_assert_uint_eq(contiguous, 1);
	ck_assert_uint_eq(order[0].index, 0);
}
END_TEST

static struct logged
action_at(uint64_t seq, const char *payload)
{
	struct logged logged = {.seq = seq,
				.kept.action = {.device = TEXT("phone"),
						.ts = 1000 + seq,
						.type = TEXT("t"),
						.payload = text_of(payload)}};

	phone_action_digest(&logged.kept);
	return logged;
}

START_TEST(chaining_commits_to_every_action_and_its_place)
{
	struct logged actions[] = {action_at(1, "a"), action_at(2, "b")};
	struct position whole = {0};
	struct position changed = {0};
	struct position one = {0};

	chain_genesis(TEXT("log"), &whole.link);
	changed = one = whole;
	ck_assert(chain_actions(&whole, actions, 2));
	ck_assert_uint_eq(whole.seq, 2);
	ck_assert(chain_actions(&one, actions, 1));
	ck_assert(chain_actions(&one, actions + 1, 1));
	ck_assert(position_equal(&whole, &one));
	actions[0] = action_at(1, "A");
	ck_assert(chain_actions(&changed, actions, 2));
	ck_assert(!position_equal(&whole, &changed));
}
END_TEST

START_TEST(a_seq_that_is_not_the_next_does_not_chain)
{
	struct logged actions[] = {action_at(1, "a"), action_at(3, "b")};
	struct position position = {0};

	ck_assert(!chain_actions(&position, actions, 2));
}
END_TEST

START_TEST(a_redacted_action_is_chained_by_its_digest)
{
	struct logged whole = action_at(1, "secret");
	struct logged redacted = {.seq = 1,
				  .kept = {.digest = whole.kept.digest, .redacted = true}};
	struct position left = {0};
	struct position right = {0};

	phone_action_digest(&redacted.kept);
	ck_assert(chain_actions(&left, &whole, 1));
	ck_assert(chain_actions(&right, &redacted, 1));
	ck_assert(position_equal(&left, &right));
}
END_TEST

START_TEST(stamps_follow_the_rule)
{
	static const struct {
		uint64_t newest, now, stamp;
	} TABLE[] = {
		{0, 1000, 1000},			      /* a new device: the server's time */
		{999, 1000, 1000},			      /* time went on */
		{1000, 1000, 1001},			      /* within one millisecond */
		{5000, 1000, 5001},			      /* the clock was set back a little */
		{1000 + 5 * MINUTE, 1000, 1001 + 5 * MINUTE}, /* five minutes: still followed */
		{1001 + 5 * MINUTE, 1000, 1000},	      /* more: not followed */
		{TS_MAX, 1000, 1000},
	};

	for (size_t i = 0; i < sizeof(TABLE) / sizeof(TABLE[0]); i++)
		ck_assert_uint_eq(stamp_first(TABLE[i].newest, TABLE[i].now), TABLE[i].stamp);
}
END_TEST

START_TEST(the_offset_is_taken_from_the_midpoint)
{
	struct clock_sample sample = {10000, 10200, 500, 700};
	int64_t offset = 0;

	ck_assert(clock_offset(&sample, 13100, &offset));
	ck_assert_int_eq(offset, 3000);
	ck_assert_uint_eq(clock_apply(10000, offset), 13000);
	ck_assert(clock_offset(&sample, 100, &offset));
	ck_assert_int_eq(offset, -10000);
	ck_assert_uint_eq(clock_apply(5000, offset), 1);
	ck_assert_uint_eq(clock_apply(TS_MAX, 5000), TS_MAX);
}
END_TEST

START_TEST(a_sample_is_discarded_when_the_clock_was_set_meanwhile)
{
	struct clock_sample forward = {10000, 20200, 500, 700};
	struct clock_sample back = {10000, 9000, 500, 700};
	int64_t offset = 77;

	ck_assert(!clock_offset(&forward, 13100, &offset));
	ck_assert(!clock_offset(&back, 13100, &offset));
	ck_assert_int_eq(offset, 77);
}
END_TEST

START_TEST(random_waits_double_up_to_half_a_minute)
{
	ck_assert_uint_eq(backoff_random_max(0), 100);
	ck_assert_uint_eq(backoff_random_max(1), 200);
	ck_assert_uint_eq(backoff_random_max(8), 25600);
	ck_assert_uint_eq(backoff_random_max(9), 30000);
	ck_assert_uint_eq(backoff_random_max(4000000000U), 30000);
}
END_TEST

START_TEST(giving_up_does_not_wait_for_what_comes_too_late)
{
	struct backoff backoff;

	backoff_start(&backoff, 0);
	ck_assert(!backoff_wait(&backoff, 0));
	backoff_start(&backoff, 3600000);
	ck_assert(!backoff_wait(&backoff, 7200000));
}
END_TEST

struct seen {
	struct buffer text;
};

static enum status
see_line(void *cookie, struct text line)
{
	struct seen *seen = cookie;

	buffer_printf(&seen->text, "<%.*s>", (int)line.size, line.data);
	return text_equal(line, TEXT("stop")) ? STATUS_CONFLICT : STATUS_OK;
}

START_TEST(lines_come_out_whole_whatever_pieces_they_arrive_in)
{
	static const char INPUT[] = "one\n\ntwo words\nlast";

	for (size_t piece = 1; piece < sizeof(INPUT); piece++) {
		struct seen seen;
		struct lines lines;

		buffer_init(&seen.text, 1000);
		lines_init(&lines, see_line, &seen);
		for (size_t at = 0; at < sizeof(INPUT) - 1; at += piece) {
			size_t left = sizeof(INPUT) - 1 - at;

			ck_assert_int_eq(
				lines_feed(&lines, INPUT + at, left < piece ? left : piece),
				STATUS_OK);
		}
		ck_assert_int_eq(lines_finish(&lines), STATUS_OK);
		buffer_append(&seen.text, "", 1);
		ck_assert_str_eq(seen.text.data, "<one><><two words><last>");
		lines_release(&lines);
		buffer_release(&seen.text);
	}
}
END_TEST

START_TEST(a_line_can_end_the_feeding)
{
	struct seen seen;
	struct lines lines;

	buffer_init(&seen.text, 1000);
	lines_init(&lines, see_line, &seen);
	ck_assert_int_eq(lines_feed(&lines, "go\nstop\nno\n", 11), STATUS_CONFLICT);
	buffer_append(&seen.text, "", 1);
	ck_assert_str_eq(seen.text.data, "<go><stop>");
	lines_release(&lines);
	buffer_release(&seen.text);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("cli_chain");
	TCase *cases = tcase_create("all");
	SRunner *runner;

	tcase_add_test(cases, a_locator_has_growing_gaps_and_ends_at_genesis);
	tcase_add_test(cases, a_locator_of_any_base_fits_and_falls_to_zero);
	tcase_add_test(cases, missed_and_own_actions_are_ordered_by_seq);
	tcase_add_test(cases, only_what_follows_the_base_without_a_gap_is_contiguous);
	tcase_add_test(cases, an_action_repeated_inside_a_batch_counts_once);
	tcase_add_test(cases, chaining_commits_to_every_action_and_its_place);
	tcase_add_test(cases, a_seq_that_is_not_the_next_does_not_chain);
	tcase_add_test(cases, a_redacted_action_is_chained_by_its_digest);
	tcase_add_test(cases, stamps_follow_the_rule);
	tcase_add_test(cases, the_offset_is_taken_from_the_midpoint);
	tcase_add_test(cases, a_sample_is_discarded_when_the_clock_was_set_meanwhile);
	tcase_add_test(cases, random_waits_double_up_to_half_a_minute);
	tcase_add_test(cases, giving_up_does_not_wait_for_what_comes_too_late);
	tcase_add_test(cases, lines_come_out_whole_whatever_pieces_they_arrive_in);
	tcase_add_test(cases, a_line_can_end_the_feeding);
	suite_add_tcase(suite, cases);
	runner = srunner_create(suite);
	return runner_run(runner);
}
