#include <malloc.h>

#include "store/sqlite/tail.h"
#include "store/sqlite/tail_stamps.h"
#include "support/memory.h"
#include "support/runner.h"
#include "support/store_fixture.h"

#define STAMPS 4000 /* few, so that devices share them */

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
		ck_assert_uint_eq(pin.batches[i]->first_seq, 4 * (i + 1) + 1);
		tail_batch_action(pin.batches[i], 0, &action);
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
	tail_sort(tail);
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

/* The newest stamp that a device has among a model's seqs in (after, upto]; 0 if none. */
static uint64_t
model_newest(const struct model_log *model, struct text device, uint64_t after, uint64_t upto)
{
	uint64_t newest = 0;
	for (size_t i = (size_t)after; i < upto; i++) {
		if (text_equal(text_of(model->actions[i].device), device) &&
		    model->actions[i].ts > newest)
			newest = model->actions[i].ts;
	}
	return newest;
}

static uint64_t
model_find(const struct model_log *model, struct text device, uint64_t ts)
{
	for (size_t i = 0; i < model->count; i++) {
		if (model->actions[i].ts == ts &&
		    text_equal(text_of(model->actions[i].device), device))
			return i + 1;
	}
	return 0;
}

/* What a look-up in the tail must say, by reading all that was ever published. */
static void
check_stamp(struct tail_log *log, const struct model_log *model, struct text device, uint64_t ts)
{
	const uint64_t left = log->items[log->first]->first_seq - 1;
	const uint64_t seq = model_find(model, device, ts);
	ck_assert_uint_eq(tail_stamps_find(log, device, ts), seq > left ? seq : 0);

	/* The rows have what has left, and the newer of both counts. */
	const uint64_t in_rows = model_newest(model, device, 0, left);
	const uint64_t newest = tail_stamps_newest(log, device);
	ck_assert_uint_eq(newest > in_rows ? newest : in_rows,
			  model_newest(model, device, 0, model->count));
}

static void
check_stamps(struct fixture *fixture, struct tail *tail, const struct model_log *model)
{
	struct tail_log *log = tail_find(tail, &model->genesis);
	if (log == NULL)
		return;
	const struct model_action *there = &model->actions[fixture_random(fixture, model->count)];
	const struct model_action *other = &model->actions[fixture_random(fixture, model->count)];
	check_stamp(log, model, text_of(there->device), there->ts);
	check_stamp(log, model, text_of(there->device), other->ts);
	check_stamp(log, model, text_of(there->device), 1 + fixture_random(fixture, STAMPS));
	check_stamp(log, model, TEXT("nobody"), there->ts);
}

/* Adds actions whose devices share their stamps, old and new ones in any order. */
static void
add_mixed(struct fixture *fixture, struct tail *tail, struct model_log *model, uint64_t id)
{
	const struct head expected = model->head;
	const size_t count = 1 + fixture_random(fixture, 40);
	while (model->count < expected.position.seq + count) {
		char device[16];
		const uint64_t ts = 1 + fixture_random(fixture, STAMPS);
		snprintf(device, sizeof(device), "device-%d", (int)fixture_random(fixture, 7));
		if (model_find(model, text_of(device), ts) == 0)
			model_add(fixture, model, device, ts, 3);
	}
	publish(tail, model, id, count, &expected);
}

/* The tail goes on: a generation ends, or some of one leave. */
static void
move_on(struct fixture *fixture, struct tail *tail)
{
	size_t count;
	(void)tail_applying(tail, &count);
	if (count > 0) {
		const size_t upto = fixture_random(fixture, count + 4);
		tail_leave(tail, upto < count ? upto : count);
		if (upto >= count)
			tail_finish(tail);
	} else if (tail_is_filling(tail)) {
		tail_freeze(tail);
	}
}

START_TEST(a_stamp_is_found_just_while_its_action_is_in_the_tail)
{
	struct fixture fixture = {.random = (uint64_t)_i + 1};
	struct model_log logs[3];
	struct tail *tail = tail_new(1 << 20);
	size_t tables = 0;
	for (size_t i = 0; i < 3; i++)
		model_init(&logs[i], i == 0 ? "a" : i == 1 ? "b" : "c");
	for (int step = 0; step < 300; step++) {
		/* One log is rarely written, so that it has few actions. */
		const size_t at = fixture_random(&fixture, 12) * 2 / 11;
		add_mixed(&fixture, tail, &logs[at], at + 1);
		if (fixture_random(&fixture, 3) == 0)
			move_on(&fixture, tail);
		for (size_t i = fixture_random(&fixture, 9); i < 3; i++) {
			const struct tail_log *log = tail_find(tail, &logs[i].genesis);
			check_stamps(&fixture, tail, &logs[i]);
			tables += log != NULL && log->stamps != NULL;
		}
	}
	ck_assert_uint_gt(tables, 20);
	tail_free(tail);
	for (size_t i = 0; i < 3; i++)
		model_free(&logs[i]);
}
END_TEST

START_TEST(a_log_that_nobody_asks_about_has_no_table)
{
	struct fixture fixture = {.random = 1};
	struct model_log large, small;
	struct tail *tail = tail_new(1 << 20);
	model_init(&large, "large");
	model_init(&small, "small");
	for (int i = 0; i < 200; i++)
		add(&fixture, tail, &large, 1, 1);
	add(&fixture, tail, &small, 2, 20);
	struct tail_log *log = tail_find(tail, &large.genesis);
	ck_assert_ptr_null(log->stamps);
	check_stamps(&fixture, tail, &small);
	ck_assert_ptr_null(tail_find(tail, &small.genesis)->stamps);
	check_stamps(&fixture, tail, &large);
	ck_assert_ptr_nonnull(log->stamps);

	/* Nor has one whose table knows nothing of what is in the tail now. */
	tail_freeze(tail);
	add(&fixture, tail, &large, 1, 100);
	tail_leave(tail, 199);
	ck_assert_ptr_nonnull(log->stamps);
	tail_leave(tail, 201);
	ck_assert_ptr_null(log->stamps);
	check_stamps(&fixture, tail, &large);
	ck_assert_ptr_nonnull(log->stamps);
	tail_free(tail);
	model_free(&large);
	model_free(&small);
}
END_TEST

START_TEST(the_table_of_a_log_that_never_leaves_the_tail_stays_small)
{
	struct fixture fixture = {.random = 1};
	struct model_log model;
	struct tail *tail = tail_new(1 << 20);
	size_t batches = 0;
	model_init(&model, "alice");
	add(&fixture, tail, &model, 1, 100);
	for (int generation = 0; generation < 150; generation++) {
		tail_freeze(tail);
		(void)tail_applying(tail, &batches);
		for (int i = 0; i < 60; i++) {
			add(&fixture, tail, &model, 1, 2);
			if (i % 10 == 0)
				check_stamps(&fixture, tail, &model);
		}
		tail_leave(tail, batches);
		tail_finish(tail);
		/* At most 240 actions at once, in 120 batches of at most 2 devices. */
		const struct tail_log *log = tail_find(tail, &model.genesis);
		ck_assert_uint_le(malloc_usable_size(log->stamps), 4 * (240 + 240) * 8 + 64);
	}
	tail_free(tail);
	model_free(&model);
}
END_TEST

START_TEST(stamps_are_found_when_there_is_no_memory_for_a_table)
{
	struct fixture fixture = {.random = 1};
	struct model_log model;
	struct tail *tail = tail_new(1 << 20);
	model_init(&model, "alice");
	add(&fixture, tail, &model, 1, MODEL_ACTIONS_MAX - 10);
	struct tail_log *log = tail_find(tail, &model.genesis);
	for (size_t i = 0; i < model.count; i++) {
		const struct model_action *action = &model.actions[i];
		memory_fail(1, true);
		const uint64_t seq = tail_stamps_find(log, text_of(action->device), action->ts);
		const uint64_t newest = tail_stamps_newest(log, text_of(action->device));
		memory_release();
		ck_assert_uint_eq(seq, i + 1);
		ck_assert_uint_ge(newest, action->ts);
	}
	ck_assert_uint_gt(memory.fired, 0);
	ck_assert_ptr_null(log->stamps);
	check_stamps(&fixture, tail, &model);
	ck_assert_ptr_nonnull(log->stamps);
	tail_free(tail);
	model_free(&model);
}
END_TEST

int
main(void)
{
	memory_init();
	Suite *suite = suite_create("store_tail");
	TCase *tests = tcase_create("tail");
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, a_pin_outlives_what_it_pinned);
	tcase_add_test(tests, a_pin_takes_no_more_batches_than_rows_are_wanted);
	tcase_add_test(tests, what_is_applied_is_sorted_and_what_comes_meanwhile_waits);
	tcase_add_loop_test(tests, a_stamp_is_found_just_while_its_action_is_in_the_tail, 0, 10);
	tcase_add_test(tests, a_log_that_nobody_asks_about_has_no_table);
	tcase_add_test(tests, the_table_of_a_log_that_never_leaves_the_tail_stays_small);
	if (!SANITIZED) /* which need the allocator for themselves */
		tcase_add_test(tests, stamps_are_found_when_there_is_no_memory_for_a_table);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
