/* What becomes of an action that the log did not take. */
#include "cli/phone_refusal.h"
#include "support/phone_fixture.h"
#include "support/runner.h"

#define LIMIT_MSEC 60000
#define AHEAD_MSEC 150000

static struct phone_sync sync_of;
static struct queued items[8];
static size_t item_count;

static void
setup_sync(void)
{
	setup();
	phone_sync_init(&sync_of);
	sync_of.store = store;
	sync_of.push = true;
	sync_of.limits_known = true;
	sync_of.limits.max_skew_msec = LIMIT_MSEC;
	item_count = 0;
}

static void
teardown_sync(void)
{
	phone_sync_release(&sync_of);
	teardown();
}

static bool
take_item(void *cookie, const struct queued *queued)
{
	size_t count = *(const size_t *)cookie;
	struct action *action = &items[item_count].kept.action;

	items[item_count] = *queued;
	action->device = arena_copy(&sync_of.arena, action->device);
	action->type = arena_copy(&sync_of.arena, action->type);
	action->payload = arena_copy(&sync_of.arena, action->payload);
	if (sync_of.sent_upto < queued->place)
		sync_of.sent_upto = queued->place;
	item_count++;
	return item_count < count;
}

/* Sends the queue's first count actions, and each is refused as too far ahead. */
static void
refuse_front(size_t count, uint64_t ahead_ms)
{
	struct phone_result results[8];
	struct phone_batch batch = {.items = items};
	uint64_t set_aside = 0;

	ck_assert_int_eq(phone_store_queue(store, take_item, &count), STATUS_OK);
	batch.count = item_count;
	for (size_t i = 0; i < count; i++)
		results[i] = (struct phone_result){
			.refused = true, .code = TEXT("CLOCK_SKEW"), .ahead_ms = ahead_ms};
	ck_assert_int_eq(phone_store_begin(store), STATUS_OK);
	ck_assert_int_eq(phone_refusal_apply(&sync_of, &batch, results, &set_aside), STATUS_OK);
	ck_assert_int_eq(phone_store_commit(store), STATUS_OK);
	ck_assert_uint_eq(set_aside, 0);
}

/* The stamps of the queue, in its order. */
static bool
take_stamp(void *cookie, const struct queued *queued)
{
	uint64_t **next = cookie;

	*(*next)++ = queued->kept.action.ts;
	return true;
}

static void
read_stamps(uint64_t stamps[8])
{
	uint64_t *next = stamps;

	ck_assert_int_eq(phone_store_queue(store, take_stamp, &next), STATUS_OK);
}

START_TEST(what_is_far_ahead_is_stamped_again_with_all_that_is_behind)
{
	uint64_t now = clock_wall_msec();
	uint64_t stamps[8];

	for (uint64_t i = 0; i < 3; i++)
		enqueue(now + AHEAD_MSEC + i, "x");
	refuse_front(1, AHEAD_MSEC);
	read_stamps(stamps);
	ck_assert_uint_lt(stamps[0], now + LIMIT_MSEC);
	ck_assert_uint_eq(stamps[1], stamps[0] + 1);
	ck_assert_uint_eq(stamps[2], stamps[0] + 2);
}
END_TEST

START_TEST(what_may_have_been_sent_keeps_its_stamp)
{
	uint64_t now = clock_wall_msec();
	uint64_t stamps[8];

	enqueue(now + AHEAD_MSEC, "x");
	enqueue(now + AHEAD_MSEC + 1, "y");
	ck_assert_int_eq(phone_store_last_place(store, &sync_of.sent_upto), STATUS_OK);
	refuse_front(1, AHEAD_MSEC);
	read_stamps(stamps);
	ck_assert_uint_lt(stamps[0], now + LIMIT_MSEC);
	ck_assert_uint_eq(stamps[1], now + AHEAD_MSEC + 1);
}
END_TEST

START_TEST(nothing_is_stamped_again_while_the_limit_is_not_known)
{
	uint64_t now = clock_wall_msec();
	uint64_t stamps[8];

	sync_of.limits_known = false;
	sync_of.limits.max_skew_msec = 0;
	enqueue(now + AHEAD_MSEC, "x");
	refuse_front(1, AHEAD_MSEC);
	read_stamps(stamps);
	ck_assert_uint_eq(stamps[0], now + AHEAD_MSEC);
	ck_assert(sync_of.limits_wanted);
}
END_TEST

START_TEST(a_limit_that_is_not_the_one_refused_by_is_asked_for_again)
{
	enqueue(clock_wall_msec() + LIMIT_MSEC / 2, "x");
	refuse_front(1, LIMIT_MSEC / 2);
	ck_assert(sync_of.limits_wanted);
	ck_assert_uint_ge(sync_of.wait_msec, 1000);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("cli_refusal");
	TCase *cases = tcase_create("all");
	SRunner *runner;

	tcase_add_checked_fixture(cases, setup_sync, teardown_sync);
	tcase_add_test(cases, what_is_far_ahead_is_stamped_again_with_all_that_is_behind);
	tcase_add_test(cases, what_may_have_been_sent_keeps_its_stamp);
	tcase_add_test(cases, nothing_is_stamped_again_while_the_limit_is_not_known);
	tcase_add_test(cases, a_limit_that_is_not_the_one_refused_by_is_asked_for_again);
	suite_add_tcase(suite, cases);
	runner = srunner_create(suite);
	return runner_run(runner);
}
