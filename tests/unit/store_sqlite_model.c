/* The engine against a plain model, with a tail and slices so small that everything interleaves. */
#include <poll.h>

#include "support/runner.h"
#include "support/sanitizer.h"
#include "support/store_fixture.h"

#define LOGS 5

struct world {
	struct fixture fixture;
	struct model_log logs[LOGS];
};

static void
world_init(struct world *world, uint64_t seed)
{
	fixture_init(&world->fixture);
	world->fixture.random = seed;
	for (size_t i = 0; i < LOGS; i++) {
		char name[32];
		snprintf(name, sizeof(name), "user-%zu", i);
		model_init(&world->logs[i], name);
	}
	fixture_open(&world->fixture, true);
}

static void
world_release(struct world *world)
{
	for (size_t i = 0; i < LOGS; i++)
		model_free(&world->logs[i]);
	fixture_remove(&world->fixture);
}

static void
world_check(struct world *world)
{
	for (size_t i = 0; i < LOGS; i++) {
		fixture_check_log(&world->fixture, &world->logs[i]);
		fixture_check_facts(&world->fixture, &world->logs[i]);
	}
}

/* A group of appends, several of them perhaps to one log. */
static void
write_group(struct world *world, size_t actions_max, size_t payload_max)
{
	struct model_append appends[8];
	struct append bare[8];
	size_t count = 1 + fixture_random(&world->fixture, 8);
	world->fixture.now++;
	for (size_t i = 0; i < count; i++) {
		struct model_log *log = &world->logs[fixture_random(&world->fixture, LOGS)];
		struct head expected = log->head;
		size_t actions = 1 + fixture_random(&world->fixture, actions_max);
		model_add_random(&world->fixture, log, actions, payload_max);
		model_append_init(&appends[i], log, actions, &expected);
		bare[i] = appends[i].append;
	}
	struct engine *engine = world->fixture.engine;
	ck_assert_int_eq(engine->ops->write(engine, bare, count), STATUS_OK);
	for (size_t i = 0; i < count; i++)
		model_append_release(&appends[i]);
}

static void
tend(struct world *world)
{
	uint64_t wait_msec;
	struct engine *engine = world->fixture.engine;
	bool idle = fixture_random(&world->fixture, 2) == 0;
	ck_assert_int_eq(engine->ops->tend(engine, idle, &wait_msec), STATUS_OK);
}

START_TEST(random_writes_are_read_back_as_a_plain_model_has_them)
{
	struct world world;
	world_init(&world, (uint64_t)_i + 1);
	for (int step = 0; step < BY_SANITIZER(120, 60, 60); step++) {
		write_group(&world, 12, 200);
		tend(&world);
		if (step % 5 == 0)
			world_check(&world);
	}
	struct engine *engine = world.fixture.engine;
	ck_assert_int_eq(engine->ops->settle_down(engine), STATUS_OK);
	world_check(&world);
	fixture_crash(&world.fixture);
	fixture_check_clean(&world.fixture);
	world_release(&world);
}
END_TEST

START_TEST(a_crash_after_any_step_loses_nothing_acknowledged)
{
	struct world world;
	world_init(&world, (uint64_t)_i + 100);
	world.fixture.options.slice_actions = 3;
	for (int step = 0; step < BY_SANITIZER(40, 20, 20); step++) {
		if (fixture_random(&world.fixture, 3) == 0)
			tend(&world);
		else
			write_group(&world, 6, 700);
		fixture_crash(&world.fixture);
		fixture_check_clean(&world.fixture);
		fixture_open(&world.fixture, false);
		world_check(&world);
		/* Some of the way goes on without a crash, so that the tail fills. */
		for (size_t more = fixture_random(&world.fixture, 12); more > 0; more--)
			write_group(&world, 6, 700);
		world_check(&world);
	}
	world_release(&world);
}
END_TEST

START_TEST(a_clean_stop_leaves_no_journal_and_no_wal)
{
	struct world world;
	world_init(&world, 3);
	/* The applier takes its time. */
	for (int i = 0; i < 20 || (i < 1000 && fixture_wal_size(&world.fixture) == 0); i++)
		write_group(&world, 6, 100);
	struct engine *engine = world.fixture.engine;
	ck_assert_int_gt(fixture_wal_size(&world.fixture), 0);
	ck_assert_int_eq(engine->ops->settle_down(engine), STATUS_OK);
	fixture_crash(&world.fixture);
	ck_assert_int_eq(fixture_wal_size(&world.fixture), 0);
	ck_assert_uint_eq(fixture_number(&world.fixture, "SELECT count(*) FROM journal"), 0);
	fixture_open(&world.fixture, false);
	world_check(&world);
	world_release(&world);
}
END_TEST

START_TEST(without_traffic_the_journal_empties_and_the_wal_goes_by_itself)
{
	struct world world;
	world_init(&world, 4);
	for (int i = 0; i < 10; i++)
		write_group(&world, 6, 100);
	struct engine *engine = world.fixture.engine;
	for (int i = 0; i < 1000; i++) {
		uint64_t wait_msec;
		ck_assert_int_eq(engine->ops->tend(engine, true, &wait_msec), STATUS_OK);
		if (wait_msec > 10000)
			break;
		ck_assert_int_eq(poll(NULL, 0, (int)wait_msec), 0);
	}
	ck_assert_int_eq(fixture_wal_size(&world.fixture), 0);
	ck_assert_uint_eq(fixture_number(&world.fixture, "SELECT count(*) FROM journal"), 0);
	world_check(&world);
	world_release(&world);
}
END_TEST

START_TEST(a_batch_larger_than_the_tail_is_taken)
{
	struct world world;
	world_init(&world, 5);
	struct model_log *log = &world.logs[0];
	for (int i = 0; i < 5; i++) {
		ck_assert_int_eq(fixture_write(&world.fixture, log, 300, 600), STATUS_OK);
		fixture_check_log(&world.fixture, log);
	}
	fixture_crash(&world.fixture);
	fixture_open(&world.fixture, false);
	world_check(&world);
	world_release(&world);
}
END_TEST

/* Several short rows are verified at once, a long one alone. */
START_TEST(long_rows_come_in_their_place_among_short_ones)
{
	struct world world;
	world_init(&world, 7);
	struct model_log *log = &world.logs[0];
	struct engine *engine = world.fixture.engine;
	for (int i = 0; i < 40; i++) {
		ck_assert_int_eq(fixture_write(&world.fixture, log, 7, i % 4 == 0 ? 3000 : 900),
				 STATUS_OK);
		fixture_check_log(&world.fixture, log);
		if (i == 20)
			ck_assert_int_eq(engine->ops->settle_down(engine), STATUS_OK);
	}
	for (int in_place = 0; in_place < 2; in_place++) {
		for (int i = 0; i < 100; i++)
			fixture_check_log(&world.fixture, log);
		ck_assert_int_eq(engine->ops->settle_down(engine), STATUS_OK);
	}
	world_release(&world);
}
END_TEST

START_TEST(a_link_is_found_wherever_it_is)
{
	struct world world;
	world_init(&world, 6);
	struct model_log *log = &world.logs[1];
	for (int i = 0; i < 60; i++)
		ck_assert_int_eq(fixture_write(&world.fixture, log, 5, 300), STATUS_OK);
	struct engine *engine = world.fixture.engine;
	for (uint64_t seq = 0; seq <= log->count; seq += 7) {
		const struct hash *link = seq == 0 ? &log->genesis : &log->actions[seq - 1].link;
		bool found = false;
		uint64_t at = log->count;
		for (int steps = 0; steps < 1000 && !found && (at > 0 || steps == 0); steps++)
			ck_assert_int_eq(engine->ops->seek(engine, text_of(log->name),
							   &log->genesis, link, at, 9, &found, &at),
					 STATUS_OK);
		ck_assert(found);
		ck_assert_uint_eq(at, seq);
	}
	bool found = false;
	uint64_t at = 0;
	struct hash none = {{1}};
	ck_assert_int_eq(engine->ops->seek(engine, text_of(log->name), &log->genesis, &none,
					   log->count, 100000, &found, &at),
			 STATUS_OK);
	ck_assert(!found && at == 0);
	world_release(&world);
}
END_TEST

static bool
stop_at_third(void *cookie, const struct row *row)
{
	(void)cookie;
	return row->seq % 1000 != 3;
}

START_TEST(a_visitor_that_stops_has_not_read_the_row)
{
	struct world world;
	world_init(&world, 8);
	struct model_log *log = &world.logs[2];
	struct engine *engine = world.fixture.engine;
	struct range range = {.after = 0, .upto = 10, .rows_max = 100};
	struct position start, end;
	ck_assert_int_eq(fixture_write(&world.fixture, log, 10, 10), STATUS_OK);
	for (int in_place = 0; in_place < 2; in_place++) {
		ck_assert_int_eq(engine->ops->read(engine, text_of(log->name), &log->genesis,
						   &range, stop_at_third, NULL, &start, &end),
				 STATUS_OK);
		ck_assert_uint_eq(end.seq, 2);
		ck_assert(hash_equal(&end.link, &log->actions[1].link));
		ck_assert_int_eq(engine->ops->settle_down(engine), STATUS_OK);
	}
	range.after = 11;
	ck_assert_int_eq(engine->ops->read(engine, text_of(log->name), &log->genesis, &range,
					   stop_at_third, NULL, &start, &end),
			 STATUS_SERVER_BEHIND);
	world_release(&world);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store_sqlite_model");
	TCase *tests = tcase_create("model");
	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, random_writes_are_read_back_as_a_plain_model_has_them, 0, 2);
	tcase_add_loop_test(tests, a_crash_after_any_step_loses_nothing_acknowledged, 0, 2);
	tcase_add_test(tests, a_clean_stop_leaves_no_journal_and_no_wal);
	tcase_add_test(tests, without_traffic_the_journal_empties_and_the_wal_goes_by_itself);
	tcase_add_test(tests, a_batch_larger_than_the_tail_is_taken);
	tcase_add_test(tests, long_rows_come_in_their_place_among_short_ones);
	tcase_add_test(tests, a_link_is_found_wherever_it_is);
	tcase_add_test(tests, a_visitor_that_stops_has_not_read_the_row);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
