/* What an engine keeps of reports on states, and what a shard's writer remembers of them. */
#include "base/log.h"
#include "store/sqlite/state_rows.h"
#include "store/states.h"
#include "support/runner.h"
#include "support/store_fixture.h"

#define LOGS 2

static struct fixture fixture;
static struct model_log logs[LOGS];

static void
set_up(void)
{
	log_configure(LOG_ERROR + 1, LOG_LOGFMT);
	fixture_init(&fixture);
	fixture_open(&fixture, true);
	model_init(&logs[0], "anna");
	model_init(&logs[1], "bert");
	ck_assert_int_eq(fixture_write_group(&fixture, logs, LOGS, 10, 20), STATUS_OK);
}

static void
tear_down(void)
{
	fixture_remove(&fixture);
	for (int i = 0; i < LOGS; i++)
		model_free(&logs[i]);
}

static void
keep_instead(const struct model_log *log, uint64_t seq, const char *device,
	     const struct kept_state *gone)
{
	const struct drift_report report = {
		.device = text_of(device),
		.writer = TEXT("anna"),
		.link = log->actions[seq - 1].link,
		.state = {.seq = seq, .digest = TEXT("0a"), .app = TEXT("1")}};
	struct kept_state kept = *gone;
	kept.report = &report;
	fixture.engine->ops->keep_state(fixture.engine, text_of(log->name), &kept);
}

static void
keep(const struct model_log *log, uint64_t seq, const char *device, uint64_t below, uint64_t from)
{
	keep_instead(log, seq, device, &(struct kept_state){.below = below, .from = from});
}

static void
write_down(void *cookie, const struct drift_report *report)
{
	char *found = cookie;
	snprintf(found + strlen(found), 64, "%ju:%.*s ", (uintmax_t)report->state.seq,
		 (int)report->device.size, report->device.data);
}

static void
has(const struct model_log *log, const char *wanted)
{
	char found[4096] = "";
	fixture.engine->ops->load_states(fixture.engine, text_of(log->name), write_down, found);
	ck_assert_str_eq(found, wanted);
}

static void
settle_down(void)
{
	ck_assert_int_eq(fixture.engine->ops->settle_down(fixture.engine), STATUS_OK);
}

START_TEST(reports_are_there_after_a_stop_each_device_once)
{
	keep(&logs[0], 3, "a", 0, UINT64_MAX);
	keep(&logs[0], 3, "b", 0, UINT64_MAX);
	keep(&logs[0], 4, "a", 0, UINT64_MAX);
	keep(&logs[0], 3, "a", 0, UINT64_MAX);
	settle_down();
	fixture_crash(&fixture);
	fixture_open(&fixture, false);
	has(&logs[0], "3:a 3:b 4:a ");
	has(&logs[1], "");
}
END_TEST

START_TEST(what_left_the_log_leaves_the_table)
{
	for (uint64_t seq = 1; seq <= 6; seq++)
		keep(&logs[0], seq, "a", 0, UINT64_MAX);
	keep(&logs[1], 9, "a", 0, UINT64_MAX);
	keep(&logs[0], 7, "a", 3, UINT64_MAX);
	settle_down();
	has(&logs[0], "3:a 4:a 5:a 6:a 7:a ");
	keep(&logs[0], 5, "b", 0, 5);
	settle_down();
	has(&logs[0], "3:a 4:a 5:b ");
	has(&logs[1], "9:a ");
}
END_TEST

START_TEST(who_is_displaced_leaves_the_table)
{
	keep(&logs[0], 3, "a", 0, UINT64_MAX);
	keep(&logs[0], 3, "b", 0, UINT64_MAX);
	keep(&logs[0], 4, "a", 0, UINT64_MAX);
	keep_instead(&logs[0], 3, "c",
		     &(struct kept_state){.from = UINT64_MAX, .displaced = TEXT("a")});
	settle_down();
	has(&logs[0], "3:b 3:c 4:a ");
}
END_TEST

START_TEST(a_crash_costs_reports_and_nothing_else)
{
	keep(&logs[0], 3, "a", 0, UINT64_MAX);
	fixture_crash(&fixture);
	fixture_open(&fixture, false);
	has(&logs[0], "");
	for (int i = 0; i < LOGS; i++)
		fixture_check_log(&fixture, &logs[i]);
}
END_TEST

/* More than are held until they are written. */
START_TEST(of_too_many_at_once_some_are_lost)
{
	char device[16];
	for (int i = 0; i < 40000; i++) {
		snprintf(device, sizeof(device), "d%d", i);
		keep(&logs[i % LOGS], 3, device, 0, UINT64_MAX);
	}
	settle_down();
	fixture_crash(&fixture);
	const uint64_t count = fixture_number(&fixture, "SELECT count(*) FROM states");
	ck_assert_uint_gt(count, 1000);
	ck_assert_uint_lt(count, 40000);
	fixture_open(&fixture, false);
	ck_assert_int_eq(fixture_write_group(&fixture, logs, LOGS, 1, 20), STATUS_OK);
}
END_TEST

START_TEST(a_log_of_which_content_was_removed_has_none)
{
	struct removal erase = {.kind = REMOVE_ALL,
				.log = text_of(logs[0].name),
				.genesis = &logs[0].genesis,
				.now_msec = 1};
	uint64_t kept;
	keep(&logs[0], 3, "a", 0, UINT64_MAX);
	keep(&logs[1], 3, "a", 0, UINT64_MAX);
	ck_assert_int_eq(fixture.engine->ops->remove(fixture.engine, &erase, 1, false, &kept),
			 STATUS_OK);
	ck_assert_int_eq(erase.status, STATUS_OK);
	fixture_crash(&fixture);
	ck_assert_uint_eq(fixture_number(&fixture, "SELECT count(*) FROM states"), 1);
	ck_assert_uint_eq(fixture_number(&fixture,
					 "SELECT count(*) FROM states JOIN logs ON logs.id = log"
					 " WHERE name = 'bert'"),
			  1);
}
END_TEST

/* The verdict on a report of a device on the first log, by what is remembered. */
static struct drift
judge_of(struct states *states, const char *writer, const char *device, const char *digest)
{
	struct batch batch = {.log = text_of(logs[0].name),
			      .genesis = logs[0].genesis,
			      .base = {3, logs[0].actions[2].link},
			      .device = text_of(device),
			      .state = {3, text_of(digest), TEXT("1")}};
	struct job job = {.batch = &batch,
			  .writer = text_of(writer),
			  .verdict = {.head = logs[0].head, .state_holds = true}};
	struct job *jobs[] = {&job};
	states_judge(states, fixture.engine, jobs, 1);
	return job.drift;
}

static struct drift
judge(struct states *states, const char *device, const char *digest)
{
	return judge_of(states, "", device, digest);
}

START_TEST(what_is_forgotten_comes_back_as_the_engine_has_it)
{
	const struct drift_limits limits = {.positions = 4, .devices = 4};
	struct states states;
	states_init(&states, &limits, 1 << 20);
	(void)judge(&states, "a", "11");
	ck_assert_uint_eq(judge(&states, "b", "22").differ, 1);
	ck_assert_uint_gt(states.bytes, 0);
	settle_down();
	states_forget_log(&states, &logs[0].genesis);
	ck_assert(states.bytes == 0 && states.logs == NULL);
	ck_assert_uint_eq(judge(&states, "c", "33").differ, 2);
	fixture_crash(&fixture);
	fixture_sql(&fixture, "DELETE FROM states");
	fixture_open(&fixture, false);
	ck_assert_uint_eq(judge(&states, "d", "44").differ, 3); /* remembered */
	states_forget_log(&states, &logs[0].genesis);
	ck_assert_uint_eq(judge(&states, "d", "44").differ, 0);
	states_forget(&states);
}
END_TEST

/* Whether the writer remembers, or has to ask the engine each time. */
START_TEST(no_subject_has_all_places_of_a_position)
{
	const struct drift_limits limits = {.positions = 4, .devices = 4};
	for (size_t bytes_max = 0; bytes_max <= 1 << 20; bytes_max += 1 << 20) {
		struct states states;
		states_init(&states, &limits, bytes_max);
		for (char name[] = "0"; name[0] < '8'; name[0]++) {
			(void)judge_of(&states, "mallory", name, "0bad");
			settle_down();
		}
		ck_assert_uint_eq(judge_of(&states, "anna", "a", "11").differ, 3);
		settle_down();
		ck_assert_uint_eq(judge_of(&states, "bert", "b", "22").differ, 3);
		settle_down();
		const struct drift drift = judge_of(&states, "carl", "c", "11");
		ck_assert(drift.agree == 2 && drift.differ == 2);
		settle_down();
		has(&logs[0], "3:0 3:a 3:b 3:c ");
		states_forget(&states);
		fixture_crash(&fixture);
		fixture_sql(&fixture, "DELETE FROM states");
		fixture_open(&fixture, false);
	}
}
END_TEST

START_TEST(memory_is_bounded_by_forgetting)
{
	const struct drift_limits limits = {.positions = 4, .devices = 4};
	struct states states;
	states_init(&states, &limits, 0);
	(void)judge(&states, "a", "11");
	ck_assert(states.bytes == 0 && states.logs == NULL);
	settle_down();
	ck_assert_uint_eq(judge(&states, "b", "22").differ, 1);
	ck_assert(states.bytes == 0 && states.logs == NULL);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store_states");
	TCase *tests = tcase_create("states");
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, reports_are_there_after_a_stop_each_device_once);
	tcase_add_test(tests, what_left_the_log_leaves_the_table);
	tcase_add_test(tests, who_is_displaced_leaves_the_table);
	tcase_add_test(tests, a_crash_costs_reports_and_nothing_else);
	tcase_add_test(tests, of_too_many_at_once_some_are_lost);
	tcase_add_test(tests, a_log_of_which_content_was_removed_has_none);
	tcase_add_test(tests, what_is_forgotten_comes_back_as_the_engine_has_it);
	tcase_add_test(tests, no_subject_has_all_places_of_a_position);
	tcase_add_test(tests, memory_is_bounded_by_forgetting);
	suite_add_tcase(suite, tests);
	return runner_run(srunner_create(suite));
}
