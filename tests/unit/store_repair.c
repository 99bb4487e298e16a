/* A log is put right as far as stored links prove it; kept journal records are a copy, too. */
#include "base/log.h"
#include "store/repair.h"
#include "support/runner.h"
#include "support/store_fixture.h"

struct world {
	struct fixture fixture;
	struct model_log log, other;
	struct repair_target target;
};

static void
world_init(struct world *world)
{
	memset(world, 0, sizeof(*world));
	log_configure(LOG_ERROR + 1, LOG_LOGFMT);
	fixture_init(&world->fixture);
	model_init(&world->log, "log");
	model_init(&world->other, "other");
	fixture_open(&world->fixture, true);
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(fixture_write(&world->fixture, &world->log, 5, 60), STATUS_OK);
		ck_assert_int_eq(fixture_write(&world->fixture, &world->other, 5, 60), STATUS_OK);
	}
	struct engine *engine = world->fixture.engine;
	ck_assert_int_eq(engine->ops->settle_down(engine), STATUS_OK);
	world->target = (struct repair_target){
		.path = world->fixture.path, .shards = 1, .id = world->fixture.options.id};
}

static void
world_release(struct world *world)
{
	model_free(&world->log);
	model_free(&world->other);
	fixture_remove(&world->fixture);
}

static struct repair *
open_repair(struct world *world)
{
	struct repair *repair;
	const char *problem = "";
	ck_assert_msg(repair_recover(&world->target, &problem) == STATUS_OK, "%s", problem);
	ck_assert_msg(repair_open(&world->target, TEXT("log"), &repair, &problem) == STATUS_OK,
		      "%s", problem);
	return repair;
}

static void
finish(struct world *world, struct repair *repair)
{
	ck_assert_int_eq(repair_end(repair, true), STATUS_OK);
	repair_close(repair);
	fixture_open(&world->fixture, false);
	fixture_check_log(&world->fixture, &world->log);
	fixture_check_facts(&world->fixture, &world->log);
	fixture_check_log(&world->fixture, &world->other);
	fixture_crash(&world->fixture);
	fixture_check_clean(&world->fixture);
}

/* Batches that wait in the journal meet a row that somebody else has put there. */
static void
write_beside_a_thief(struct world *world)
{
	struct engine *engine = world->fixture.engine;
	ck_assert_int_eq(fixture_write(&world->fixture, &world->log, 3, 60), STATUS_OK);
	ck_assert_int_eq(fixture_write(&world->fixture, &world->log, 2, 60), STATUS_OK);
	fixture_sql(&world->fixture,
		    "INSERT INTO actions SELECT id, 22, 'thief', 1, zeroblob(32), 't', ''"
		    " FROM logs WHERE name = 'log'");
	ck_assert_int_eq(engine->ops->settle_down(engine), STATUS_OK);
	fixture_crash(&world->fixture);
	ck_assert_uint_eq(fixture_number(&world->fixture, "SELECT count(*) FROM journal"), 2);
}

START_TEST(kept_records_take_the_place_of_what_stands_in_their_way)
{
	struct world world;
	world_init(&world);
	write_beside_a_thief(&world);
	struct repair *repair = open_repair(&world);
	ck_assert_uint_eq(repair_state(repair)->good.seq, 21);
	ck_assert_uint_eq(repair_state(repair)->bad, 1);
	ck_assert_uint_eq(repair_state(repair)->records, 2);
	ck_assert_int_eq(repair_refill(repair), STATUS_OK);
	ck_assert_uint_eq(repair_state(repair)->refilled, 1);
	finish(&world, repair);
	world_release(&world);
}
END_TEST

struct kept {
	size_t rows, records;
};

static enum status
keep(void *cookie, const struct removed *removed)
{
	struct kept *kept = cookie;
	if (removed->record_size > 0)
		kept->records++;
	else
		kept->rows++;
	return STATUS_OK;
}

START_TEST(a_record_that_has_rotted_is_given_away_as_it_is)
{
	struct world world;
	struct kept kept = {0};
	world_init(&world);
	write_beside_a_thief(&world);
	fixture_sql(&world.fixture, "UPDATE journal SET record = CAST(substr(record, 1,"
				    " length(record) - 1) || x'99' AS BLOB) WHERE id ="
				    " (SELECT min(id) FROM journal)");
	struct repair *repair = open_repair(&world);
	ck_assert_uint_eq(repair_state(repair)->records, 2);
	ck_assert_int_eq(repair_refill(repair), STATUS_OK);
	ck_assert_uint_eq(repair_state(repair)->good.seq, 21);
	ck_assert_int_eq(repair_truncate(repair, keep, &kept), STATUS_OK);
	/* The thief, and the two actions of the second record. */
	ck_assert_uint_eq(kept.rows, 3);
	ck_assert_uint_eq(kept.records, 1);
	model_truncate(&world.log, 21);
	world.log.head = (struct head){.position = {21, world.log.actions[20].link},
				       .received_at = world.log.actions[20].received_at};
	finish(&world, repair);
	world_release(&world);
}
END_TEST

START_TEST(what_is_not_committed_changes_nothing)
{
	struct world world;
	struct kept kept = {0};
	world_init(&world);
	fixture_crash(&world.fixture);
	fixture_sql(&world.fixture, "UPDATE actions SET payload = 'x' WHERE seq = 7 AND log ="
				    " (SELECT id FROM logs WHERE name = 'log')");
	const uint64_t before =
		fixture_number(&world.fixture, "SELECT count(*) + sum(seq) FROM actions");
	struct repair *repair = open_repair(&world);
	ck_assert_int_eq(repair_refill(repair), STATUS_OK);
	ck_assert_int_eq(repair_truncate(repair, keep, &kept), STATUS_OK);
	ck_assert_uint_eq(kept.rows, 20 - 6);
	ck_assert_int_eq(repair_end(repair, false), STATUS_OK);
	repair_close(repair);
	ck_assert_uint_eq(fixture_number(&world.fixture, "SELECT count(*) + sum(seq) FROM actions"),
			  before);
	/* And then it is refilled. */
	repair = open_repair(&world);
	for (uint64_t seq = 1; seq <= 20; seq++) {
		const struct action action = model_action(&world.log.actions[seq - 1]);
		ck_assert_int_eq(repair_offer(repair, seq, &action), STATUS_OK);
	}
	ck_assert_int_eq(repair_refill(repair), STATUS_OK);
	ck_assert_uint_eq(repair_state(repair)->refilled, 1);
	finish(&world, repair);
	world_release(&world);
}
END_TEST

/* Whatever one row, or two, are like: with a copy all comes back, and nothing else is put there. */
START_TEST(any_two_rows_come_back_from_a_copy)
{
	static const char *const harms[] = {
		"UPDATE actions SET payload = payload || ' '",
		"UPDATE actions SET device = 'other', ts = seq",
		"UPDATE actions SET link = zeroblob(32)",
		"UPDATE actions SET link = x'', type = ''",
		"DELETE FROM actions",
	};
	for (unsigned trial = 0; trial < 50; trial++) {
		struct world world;
		char sql[300];
		world_init(&world);
		fixture_crash(&world.fixture);
		for (unsigned i = 0; i < 2; i++) {
			world.fixture.random = trial * 7 + i;
			snprintf(sql, sizeof(sql),
				 "%s WHERE log = (SELECT id FROM logs WHERE name = 'log')"
				 " AND seq = %d",
				 harms[(trial + i * (1 + trial / 5)) % 5],
				 (int)(1 + fixture_random(&world.fixture, 20)));
			fixture_sql(&world.fixture, sql);
		}
		struct repair *repair = open_repair(&world);
		for (uint64_t seq = 1; seq <= 20; seq++) {
			const struct action action = model_action(&world.log.actions[seq - 1]);
			ck_assert_int_eq(repair_offer(repair, seq, &action), STATUS_OK);
		}
		ck_assert_int_eq(repair_refill(repair), STATUS_OK);
		ck_assert_uint_eq(repair_state(repair)->bad, 0);
		finish(&world, repair);
		world_release(&world);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store_repair");
	TCase *tests = tcase_create("repair");
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, kept_records_take_the_place_of_what_stands_in_their_way);
	tcase_add_test(tests, a_record_that_has_rotted_is_given_away_as_it_is);
	tcase_add_test(tests, what_is_not_committed_changes_nothing);
	tcase_add_test(tests, any_two_rows_come_back_from_a_copy);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
