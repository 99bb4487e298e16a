/* How a phone stamps what it queues, and steps over stamps that are taken. */
#include "support/phone_fixture.h"
#include "support/runner.h"

START_TEST(stamps_rise_and_avoid_what_is_taken)
{
	uint64_t now = clock_wall_msec();
	uint64_t first;
	uint64_t ahead = now + 100000;
	uint64_t far = now + 10000000;

	enqueue(0, "a");
	first = queue().ts;
	ck_assert_uint_ge(first, now);
	enqueue(0, "b");
	ck_assert_uint_gt(queue().ts, first);
	confirm(ahead, "c");
	enqueue(0, "d");
	ck_assert_uint_eq(queue().ts, ahead + 1);
	confirm(far, "e");
	enqueue(0, "f");
	ck_assert_uint_lt(queue().ts, ahead);
	ck_assert_uint_gt(queue().ts, first);
}
END_TEST

START_TEST(a_stamp_that_is_taken_steps_over_what_the_log_has)
{
	struct queued queued = {.kept.action = action_of(5, "mine")};

	confirm(5, "x");
	confirm(6, "y");
	confirm(8, "z");
	enqueue(5, "mine");
	queued.place = queue().place;
	ck_assert_int_eq(phone_store_begin(store), STATUS_OK);
	ck_assert_int_eq(phone_store_step_stamp(store, &queued), STATUS_OK);
	ck_assert_int_eq(phone_store_commit(store), STATUS_OK);
	ck_assert_str_eq(queue().text, "mine@7 ");
}
END_TEST

START_TEST(only_what_was_never_confirmed_steps_over_the_queue)
{
	struct queued queued = {.kept.action = action_of(5, "mine")};

	enqueue(6, "other");
	enqueue(5, "mine");
	queued.place = queue().place;
	ck_assert_int_eq(phone_store_begin(store), STATUS_OK);
	ck_assert_int_eq(phone_store_step_stamp(store, &queued), STATUS_OK);
	ck_assert_int_eq(phone_store_commit(store), STATUS_OK);
	ck_assert_str_eq(queue().text, "other@6 mine@7 ");
	queued.confirmed_once = true;
	ck_assert_int_eq(phone_store_begin(store), STATUS_OK);
	ck_assert_int_eq(phone_store_step_stamp(store, &queued), STATUS_OK);
	ck_assert_int_eq(phone_store_commit(store), STATUS_OK);
	ck_assert_str_eq(queue().text, "other@6 mine@6 ");
}
END_TEST

START_TEST(a_stamp_stops_at_the_same_action)
{
	struct queued queued = {.kept.action = action_of(5, "mine")};

	confirm(6, "mine");
	enqueue(5, "mine");
	queued.place = queue().place;
	ck_assert_int_eq(phone_store_begin(store), STATUS_OK);
	ck_assert_int_eq(phone_store_step_stamp(store, &queued), STATUS_OK);
	ck_assert_int_eq(phone_store_commit(store), STATUS_OK);
	ck_assert_str_eq(queue().text, "mine@6 ");
}
END_TEST

START_TEST(many_stamps_at_once_do_not_walk_over_those_before)
{
	struct action action = action_of(0, "n");
	uint64_t now = clock_wall_msec();
	uint64_t last = 0;
	uint64_t ts = 0;

	ck_assert_int_eq(phone_store_begin(store), STATUS_OK);
	for (action.ts = now; action.ts < now + 50000; action.ts++)
		ck_assert_int_eq(phone_store_enqueue(store, &action), STATUS_OK);
	action.ts = now + 2 * STAMP_AHEAD_MSEC_MAX;
	ck_assert_int_eq(phone_store_enqueue(store, &action), STATUS_OK);
	action.ts = 0;
	for (int i = 0; i < 2000; i++) {
		ck_assert_int_eq(phone_store_stamp(store, PLACE_END, 0, &ts), STATUS_OK);
		ck_assert_uint_gt(ts, last);
		last = ts;
		ck_assert_int_eq(phone_store_enqueue(store, &action), STATUS_OK);
	}
	ck_assert_uint_eq(ts, now + 50000 + 1999);
	/* One in the middle becomes free: places count from 1. */
	ck_assert_int_eq(phone_store_drop(store, 40001), STATUS_OK);
	ck_assert_int_eq(phone_store_stamp(store, PLACE_END, 0, &ts), STATUS_OK);
	ck_assert_uint_eq(ts, now + 40000);
	phone_store_abort(store);
	ck_assert_int_eq(phone_store_stamp(store, PLACE_END, 0, &ts), STATUS_OK);
	ck_assert_uint_lt(ts, now + 50000);
}
END_TEST

START_TEST(a_stamp_inside_the_queue_follows_only_what_is_in_front)
{
	uint64_t now = clock_wall_msec();
	uint64_t ts = 0;

	enqueue(5, "front");
	enqueue(now + 150000, "behind");
	ck_assert_int_eq(phone_store_stamp(store, queue().place, 0, &ts), STATUS_OK);
	ck_assert_uint_lt(ts, now + 100000);
	ck_assert_int_eq(phone_store_stamp(store, PLACE_END, 0, &ts), STATUS_OK);
	ck_assert_uint_eq(ts, now + 150001);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("cli_store_stamps");
	TCase *cases = tcase_create("all");
	SRunner *runner;

	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, stamps_rise_and_avoid_what_is_taken);
	tcase_add_test(cases, a_stamp_that_is_taken_steps_over_what_the_log_has);
	tcase_add_test(cases, only_what_was_never_confirmed_steps_over_the_queue);
	tcase_add_test(cases, a_stamp_stops_at_the_same_action);
	tcase_add_test(cases, many_stamps_at_once_do_not_walk_over_those_before);
	tcase_add_test(cases, a_stamp_inside_the_queue_follows_only_what_is_in_front);
	suite_add_tcase(suite, cases);
	runner = srunner_create(suite);
	return runner_run(runner);
}
