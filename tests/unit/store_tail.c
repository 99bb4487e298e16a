#include "store/sqlite/tail.h"
#include "support/runner.h"
#include "support/store_fixture.h"

/* The last actions of a log, staged and published as one batch. */
static void
publish(struct tail *tail, struct model_log *log, uint64_t id, size_t count,
	const struct head *expected)
{
	struct model_append append;
	model_append_init(&append, log, count, expected);
	struct tail_batch *batch = tail_batch_encode(&append.append);
	ck_assert_ptr_nonnull(batch);
	static uint64_t journal_id;
	batch->journal_id = ++journal_id;
	ck_assert(tail_stage(tail, batch, &log->genesis, id, false));
	tail_publish(tail, batch);
	model_append_release(&append);
}

static void
add(struct fixture *fixture, struct tail *tail, struct model_log *log, uint64_t id, size_t count)
{
	struct head expected = log->head;
	model_add_random(fixture, log, count, 30);
	publish(tail, log, id, count, &expected);
}

START_TEST(a_pin_outlives_what_it_pinned)
{
	struct fixture fixture = {.random = 1};
	struct model_log log;
	struct tail *tail = tail_new(1 << 20);
	struct tail_pin pin;
	struct head head;
	model_init(&log, "alice");
	for (int i = 0; i < 5; i++)
		add(&fixture, tail, &log, 1, 4);
	struct range range = {.after = 6, .upto = 13, .rows_max = 100};
	ck_assert(tail_pin(tail, &log.genesis, &range, &pin));
	ck_assert(pin.present && pin.count == 3 && pin.first_seq == 1);
	ck_assert_uint_eq(pin.head.position.seq, 20);
	tail_freeze(tail);
	tail_leave(tail, 5);
	tail_finish(tail);
	ck_assert(!tail_head(tail, &log.genesis, &head));
	ck_assert_uint_eq(tail_bytes(tail), 0);
	for (size_t i = 0; i < pin.count; i++) {
		struct action action, expected = model_action(&log.actions[4 * (i + 1)]);
		size_t device;
		ck_assert_uint_eq(pin.batches[i]->first_seq, 4 * (i + 1) + 1);
		tail_batch_action(pin.batches[i], 0, &action, &device);
		ck_assert(text_equal(action.payload, expected.payload));
	}
	tail_unpin(tail, &pin);
	tail_free(tail);
	model_free(&log);
}
END_TEST

START_TEST(a_pin_takes_no_more_batches_than_rows_are_wanted)
{
	struct fixture fixture = {.random = 1};
	struct model_log log;
	struct tail *tail = tail_new(1 << 20);
	struct tail_pin pin;
	model_init(&log, "alice");
	for (int i = 0; i < 50; i++)
		add(&fixture, tail, &log, 1, 1);
	struct range range = {.after = 10, .upto = 50, .rows_max = 7};
	ck_assert(tail_pin(tail, &log.genesis, &range, &pin));
	ck_assert_uint_eq(pin.count, 7);
	ck_assert_uint_eq(pin.batches[0]->first_seq, 11);
	tail_unpin(tail, &pin);
	tail_free(tail);
	model_free(&log);
}
END_TEST

START_TEST(what_is_applied_is_sorted_and_what_comes_meanwhile_waits)
{
	struct fixture fixture = {.random = 1};
	struct model_log logs[3];
	struct tail *tail = tail_new(1 << 20);
	size_t count;
	for (size_t i = 0; i < 3; i++)
		model_init(&logs[i], i == 0 ? "a" : i == 1 ? "b" : "c");
	for (size_t i = 0; i < 12; i++)
		add(&fixture, tail, &logs[i % 3], 3 - i % 3, 2);
	tail_freeze(tail);
	add(&fixture, tail, &logs[0], 3, 2);
	struct tail_batch **items = tail_applying(tail, &count);
	ck_assert_uint_eq(count, 12);
	for (size_t i = 1; i < count; i++) {
		uint64_t before = items[i - 1]->log->id, here = items[i]->log->id;
		ck_assert(before < here ||
			  (before == here && items[i - 1]->first_seq < items[i]->first_seq));
	}
	/* Two of the first log have left; the rest still answers. */
	tail_leave(tail, 2);
	const struct tail_log *log = tail_find(tail, &logs[2].genesis);
	ck_assert_ptr_nonnull(log);
	ck_assert_ptr_null(tail_batch_at(log, 4));
	ck_assert_ptr_nonnull(tail_batch_at(log, 5));
	tail_leave(tail, 12);
	tail_finish(tail);
	ck_assert(tail_is_filling(tail) && !tail_is_applying(tail));
	ck_assert_ptr_null(tail_find(tail, &logs[1].genesis));
	ck_assert_ptr_nonnull(tail_find(tail, &logs[0].genesis));
	tail_free(tail);
	for (size_t i = 0; i < 3; i++)
		model_free(&logs[i]);
}
END_TEST

START_TEST(stamps_are_found_while_they_are_in_the_tail_and_not_after)
{
	struct fixture fixture = {.random = 1};
	struct model_log log;
	struct tail *tail = tail_new(1 << 20);
	const struct tail_stamps *stamps = tail_stamps(tail);
	model_init(&log, "alice");
	for (int i = 0; i < 40; i++)
		add(&fixture, tail, &log, 1, 5);
	const struct tail_log *in_tail = tail_find(tail, &log.genesis);
	for (size_t i = 0; i < log.count; i++) {
		struct text device = text_of(log.actions[i].device);
		const struct tail_action *at =
			tail_stamps_find(stamps, in_tail, device, log.actions[i].ts);
		ck_assert_ptr_nonnull(at);
		ck_assert(hash_equal(&at->link, &log.actions[i].link));
		ck_assert_uint_ge(tail_stamps_newest(stamps, in_tail, device), log.actions[i].ts);
	}
	ck_assert_ptr_null(tail_stamps_find(stamps, in_tail, TEXT("nobody"), 1));
	ck_assert_uint_eq(tail_stamps_newest(stamps, in_tail, TEXT("nobody")), 0);
	tail_freeze(tail);
	tail_leave(tail, 39);
	ck_assert_ptr_null(tail_stamps_find(stamps, in_tail, text_of(log.actions[0].device),
					    log.actions[0].ts));
	ck_assert_ptr_nonnull(tail_stamps_find(stamps, in_tail, text_of(log.actions[199].device),
					       log.actions[199].ts));
	tail_free(tail);
	model_free(&log);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store_tail");
	TCase *tests = tcase_create("tail");
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, a_pin_outlives_what_it_pinned);
	tcase_add_test(tests, a_pin_takes_no_more_batches_than_rows_are_wanted);
	tcase_add_test(tests, what_is_applied_is_sorted_and_what_comes_meanwhile_waits);
	tcase_add_test(tests, stamps_are_found_while_they_are_in_the_tail_and_not_after);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
