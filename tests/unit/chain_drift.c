/*
 * drift: what is kept of reports, and who disagrees.
 */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chain/drift.h"
#include "support/runner.h"

static const struct drift_limits few = {.positions = 3, .devices = 3};

static struct hash
link_of(unsigned history, uint64_t seq)
{
	struct hash hash = {{0}};
	hash.bytes[0] = (uint8_t)history;
	hash.bytes[1] = (uint8_t)seq;
	return hash;
}

/* A report of history 0 on a log that ends at 100. */
static struct drift_finding
take_of(struct drift_log *log, const char *writer, const char *device, uint64_t seq,
	const char *digest)
{
	const struct drift_report report = {
		.device = text_of(device),
		.writer = text_of(writer),
		.link = link_of(0, seq),
		.state = {.seq = seq, .digest = text_of(digest), .app = TEXT("1")}};
	struct drift_finding finding;
	ck_assert(drift_take(log, &few, &report, 100, &finding));
	return finding;
}

static struct drift_finding
take(struct drift_log *log, const char *device, uint64_t seq, const char *digest)
{
	return take_of(log, "", device, seq, digest);
}

static void
has_positions(const struct drift_log *log, const char *wanted)
{
	char found[64] = "";
	for (size_t i = 0; i < log->count; i++)
		snprintf(found + strlen(found), sizeof(found) - strlen(found), "%" PRIu64 "x%zu ",
			 log->positions[i].at.seq, log->positions[i].count);
	ck_assert_str_eq(found, wanted);
}

static void
drifts(const struct drift_finding *finding, size_t agree, size_t differ, bool is_news)
{
	ck_assert_uint_eq(finding->drift.agree, agree);
	ck_assert_uint_eq(finding->drift.differ, differ);
	ck_assert_int_eq(finding->is_news, is_news);
}

START_TEST(devices_that_say_the_same_agree_and_others_differ)
{
	struct drift_log log = {.count = 0};
	struct drift_finding finding = take(&log, "a", 5, "11");
	drifts(&finding, 1, 0, false);
	finding = take(&log, "b", 5, "11");
	drifts(&finding, 2, 0, false);
	finding = take(&log, "c", 5, "22");
	drifts(&finding, 1, 2, true);
	ck_assert(finding.is_first && text_equal(finding.other->device, TEXT("a")));
	finding = take(&log, "a", 5, "11");
	drifts(&finding, 2, 1, false); /* known already */
	ck_assert(!finding.kept);
	drift_release(&log);
	ck_assert_uint_eq(log.bytes, 0);
}
END_TEST

START_TEST(a_device_that_reports_again_replaces_its_report)
{
	struct drift_log log = {.count = 0};
	(void)take(&log, "a", 5, "11");
	struct drift_finding finding = take(&log, "b", 5, "22");
	drifts(&finding, 1, 1, true);
	finding = take(&log, "b", 5, "11");
	drifts(&finding, 2, 0, false);
	finding = take(&log, "a", 5, "33");
	drifts(&finding, 1, 1, true);
	ck_assert(finding.is_first);
	has_positions(&log, "5x2 ");
	drift_release(&log);
}
END_TEST

START_TEST(the_newest_positions_are_kept)
{
	struct drift_log log = {.count = 0};
	(void)take(&log, "a", 5, "11");
	(void)take(&log, "a", 9, "11");
	(void)take(&log, "a", 7, "11");
	has_positions(&log, "5x1 7x1 9x1 ");
	struct drift_finding finding = take(&log, "b", 4, "22");
	ck_assert(finding.position == NULL && !finding.kept);
	drifts(&finding, 1, 0, false);
	finding = take(&log, "a", 8, "11");
	ck_assert(finding.kept && finding.below == 7);
	has_positions(&log, "7x1 8x1 9x1 ");
	/* As many as the limit says now. */
	const struct drift_limits one = {.positions = 1, .devices = 1};
	const struct drift_report report = {
		.device = TEXT("a"), .link = link_of(0, 8), .state = {8, TEXT("11"), TEXT("1")}};
	ck_assert(drift_take(&log, &one, &report, 100, &finding));
	const struct drift_report newer = {
		.device = TEXT("a"), .link = link_of(0, 10), .state = {10, TEXT("11"), TEXT("1")}};
	ck_assert(drift_take(&log, &one, &newer, 100, &finding));
	ck_assert_uint_eq(finding.below, 10);
	has_positions(&log, "10x1 ");
	drift_release(&log);
}
END_TEST

START_TEST(beyond_so_many_devices_a_report_is_compared_and_not_kept)
{
	struct drift_log log = {.count = 0};
	(void)take(&log, "a", 5, "11");
	(void)take(&log, "b", 5, "11");
	(void)take(&log, "c", 5, "11");
	for (int i = 0; i < 2; i++) {
		struct drift_finding finding = take(&log, "d", 5, "22");
		drifts(&finding, 1, 3, true);
		ck_assert(!finding.kept);
	}
	has_positions(&log, "5x3 ");
	drift_release(&log);
}
END_TEST

static void
displaces(const struct drift_finding *finding, const char *device)
{
	ck_assert(text_equal((struct text){finding->displaced, finding->displaced_size},
			     text_of(device)));
}

START_TEST(who_has_fewer_takes_a_place_of_who_has_most)
{
	struct drift_log log = {.count = 0};
	(void)take_of(&log, "mallory", "a", 5, "11");
	(void)take_of(&log, "mallory", "b", 5, "11");
	(void)take_of(&log, "mallory", "c", 5, "11");
	struct drift_finding finding = take_of(&log, "anna", "d", 5, "22");
	drifts(&finding, 1, 2, true);
	displaces(&finding, "c");
	ck_assert(finding.kept && finding.is_first);
	finding = take_of(&log, "mallory", "c", 5, "11"); /* a third again */
	ck_assert(!finding.kept && finding.displaced_size == 0);
	finding = take_of(&log, "anna", "e", 5, "22"); /* as many then as who has most */
	drifts(&finding, 2, 2, true);
	ck_assert(!finding.kept && finding.displaced_size == 0);
	finding = take_of(&log, "bert", "f", 5, "33");
	drifts(&finding, 1, 2, true);
	displaces(&finding, "b");
	finding = take_of(&log, "carl", "g", 5, "22");
	drifts(&finding, 2, 2, true);
	ck_assert(!finding.kept);
	has_positions(&log, "5x3 ");
	drift_release(&log);
	ck_assert_uint_eq(log.bytes, 0);
}
END_TEST

START_TEST(a_report_is_of_who_said_it_last)
{
	struct drift_log log = {.count = 0};
	(void)take_of(&log, "anna", "a", 5, "11");
	(void)take_of(&log, "anna", "b", 5, "11");
	(void)take_of(&log, "bert", "c", 5, "11");
	(void)take_of(&log, "bert", "a", 5, "22");
	struct drift_finding finding = take_of(&log, "carl", "d", 5, "11");
	drifts(&finding, 3, 0, false); /* of bert's two the last is gone */
	displaces(&finding, "a");
	finding = take_of(&log, "anna", "e", 5, "11");
	displaces(&finding, "");
	drift_release(&log);
}
END_TEST

START_TEST(what_is_of_another_history_is_dropped)
{
	struct drift_log log = {.count = 0};
	struct drift_finding finding;
	(void)take(&log, "a", 5, "11");
	(void)take(&log, "a", 6, "11");
	(void)take(&log, "a", 7, "11");
	/* The log was cut at 5, and went on otherwise. */
	const struct drift_report other = {
		.device = TEXT("b"), .link = link_of(1, 6), .state = {6, TEXT("22"), TEXT("1")}};
	ck_assert(drift_take(&log, &few, &other, 100, &finding));
	drifts(&finding, 1, 0, false);
	ck_assert_uint_eq(finding.from, 6);
	has_positions(&log, "5x1 6x1 ");
	/* And was cut again. */
	const struct drift_report same = {
		.device = TEXT("b"), .link = link_of(0, 5), .state = {5, TEXT("22"), TEXT("1")}};
	ck_assert(drift_take(&log, &few, &same, 5, &finding));
	drifts(&finding, 1, 1, true);
	has_positions(&log, "5x2 ");
	drift_release(&log);
}
END_TEST

START_TEST(the_empty_log_has_no_state_to_differ_in)
{
	struct drift_log log = {.count = 0};
	(void)take(&log, "a", 0, "11");
	const struct drift_finding finding = take(&log, "b", 0, "22");
	drifts(&finding, 1, 0, false);
	has_positions(&log, "");
	drift_release(&log);
}
END_TEST

START_TEST(what_is_counted_as_memory_is_bounded_by_the_limits)
{
	struct drift_log log = {.count = 0};
	size_t most = 0;
	for (uint64_t seq = 1; seq < 100; seq++) {
		(void)take(&log, "a", seq, "11");
		(void)take(&log, "b", seq, "11");
		(void)take(&log, "b", seq, "12");
		if (seq == 10)
			most = log.bytes;
	}
	ck_assert_uint_eq(log.bytes, most);
	drift_release(&log);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("chain_drift");
	TCase *tests = tcase_create("reports");

	tcase_add_test(tests, devices_that_say_the_same_agree_and_others_differ);
	tcase_add_test(tests, a_device_that_reports_again_replaces_its_report);
	tcase_add_test(tests, the_newest_positions_are_kept);
	tcase_add_test(tests, beyond_so_many_devices_a_report_is_compared_and_not_kept);
	tcase_add_test(tests, who_has_fewer_takes_a_place_of_who_has_most);
	tcase_add_test(tests, a_report_is_of_who_said_it_last);
	tcase_add_test(tests, what_is_of_another_history_is_dropped);
	tcase_add_test(tests, the_empty_log_has_no_state_to_differ_in);
	tcase_add_test(tests, what_is_counted_as_memory_is_bounded_by_the_limits);
	suite_add_tcase(suite, tests);
	return runner_run(srunner_create(suite));
}
