/* A log is put right as far as stored links prove it; kept journal records are a copy, too. */
#include "base/log.h"
#include "store/repair.h"
#include "store/sqlite/journal.h"
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

START_TEST(a_log_whose_bytes_have_rotted_is_counted_again)
{
	struct world world;
	world_init(&world);
	fixture_crash(&world.fixture);
	fixture_sql(&world.fixture, "UPDATE logs SET bytes = bytes + 7 WHERE name = 'log'");
	struct repair *repair = open_repair(&world);
	ck_assert(repair_state(repair)->head_differs);
	ck_assert_uint_eq(repair_state(repair)->bad, 0);
	ck_assert_int_eq(repair_refill(repair), STATUS_OK);
	finish(&world, repair);
	world_release(&world);
}
END_TEST

/* A batch's row whose entry in that index has rotted can be changed all the same. */
START_TEST(the_index_of_who_began_a_log_is_made_anew)
{
	struct world world;
	world_init(&world);
	fixture_crash(&world.fixture);
	fixture_sql(&world.fixture, "PRAGMA writable_schema = 1;"
				    "CREATE TABLE kept (sql TEXT, page INTEGER);"
				    "INSERT INTO kept SELECT sql, rootpage FROM sqlite_schema"
				    " WHERE name = 'batches_first';"
				    "DELETE FROM sqlite_schema WHERE name = 'batches_first';");
	fixture_sql(&world.fixture, "UPDATE batches SET writer = 'thief', received_at = 99999999"
				    " WHERE seq = 1 AND log = (SELECT id FROM logs"
				    " WHERE name = 'log')");
	fixture_sql(&world.fixture,
		    "PRAGMA writable_schema = 1; INSERT INTO sqlite_schema"
		    " SELECT 'index', 'batches_first', 'batches', page, sql FROM kept;"
		    "DROP TABLE kept");
	ck_assert_uint_ge(fixture_number(&world.fixture,
					 "SELECT count(*) FROM pragma_integrity_check"
					 " WHERE integrity_check LIKE '%batches_first%'"),
			  1);
	struct repair *repair = open_repair(&world);
	ck_assert(repair_state(repair)->batches_differ);
	ck_assert_int_eq(repair_refill(repair), STATUS_OK);
	ck_assert_int_eq(repair_end(repair, true), STATUS_OK);
	repair_close(repair);
	fixture_check_clean(&world.fixture);
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
	world.log.head = model_head_at(&world.log, 21);
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

/* A kept record of five positions, whole by itself, that does not connect: another history. */
static void
keep_another_history(struct world *world)
{
	struct model_log twin;
	struct model_append append;
	model_init(&twin, "log");
	world->fixture.random = 99;
	model_add_random(&world->fixture, &twin, 9, 60);
	const struct head expected = {.position = {4, twin.actions[3].link},
				      .received_at = twin.actions[3].received_at};
	model_append_init(&append, &twin, 5, &expected);
	const size_t size = journal_size(&append.append);
	uint8_t *record = malloc(size);
	char *sql = malloc(2 * size + 100);
	ck_assert(record != NULL && sql != NULL);
	journal_encode(&append.append, record, size);
	size_t end = (size_t)snprintf(sql, 100, "INSERT INTO journal VALUES (1, x'");
	for (size_t i = 0; i < size; i++)
		end += (size_t)snprintf(sql + end, 3, "%02x", record[i]);
	(void)snprintf(sql + end, 3, "')");
	fixture_sql(&world->fixture, sql);
	free(record);
	free(sql);
	model_append_release(&append);
	model_free(&twin);
}

START_TEST(a_record_that_does_not_connect_is_not_in_a_copys_way)
{
	struct world world;
	struct kept kept = {0};
	world_init(&world);
	fixture_crash(&world.fixture);
	fixture_sql(&world.fixture, "DELETE FROM actions WHERE seq = 7 AND log ="
				    " (SELECT id FROM logs WHERE name = 'log')");
	keep_another_history(&world);
	struct repair *repair = open_repair(&world);
	ck_assert_uint_eq(repair_state(repair)->records, 1);
	const struct action action = model_action(&world.log.actions[6]);
	ck_assert_int_eq(repair_offer(repair, 7, &action), STATUS_OK);
	ck_assert_int_eq(repair_refill(repair), STATUS_OK);
	ck_assert_uint_eq(repair_state(repair)->refilled, 1);
	ck_assert_uint_eq(repair_state(repair)->bad, 0);
	ck_assert_int_eq(repair_truncate(repair, keep, &kept), STATUS_OK);
	/* The record's five actions. */
	ck_assert_uint_eq(kept.rows, 5);
	ck_assert_uint_eq(repair_state(repair)->removed, 5);
	finish(&world, repair);
	world_release(&world);
}
END_TEST

START_TEST(a_log_is_covered_by_batches_again)
{
	static const char *const harms[] = {
		"DELETE FROM batches WHERE log = 1",
		"DELETE FROM batches WHERE log = 1 AND seq = 6",
		"UPDATE batches SET last = 90 WHERE log = 1 AND seq = 6",
		"UPDATE batches SET received_at = 1 WHERE log = 1 AND seq = 11",
		"UPDATE batches SET seq = 77 WHERE log = 1 AND seq = 16",
		"UPDATE logs SET received_at = 5 WHERE id = 1",
	};
	for (size_t i = 0; i < sizeof(harms) / sizeof(harms[0]); i++) {
		struct world world;
		struct findings findings;
		struct audit_totals totals;
		world_init(&world);
		fixture_crash(&world.fixture);
		fixture_sql(&world.fixture, harms[i]);
		findings = fixture_audit(&world.fixture, &totals);
		ck_assert_uint_ge(findings.count, 1);
		struct repair *repair = open_repair(&world);
		ck_assert(repair_state(repair)->batches_differ);
		ck_assert_int_eq(repair_refill(repair), STATUS_OK);
		ck_assert_int_eq(repair_end(repair, true), STATUS_OK);
		repair_close(repair);
		fixture_check_clean(&world.fixture);
		world_release(&world);
	}
}
END_TEST

/* Rows behind a key that misleads are found by no range: such a file is not repaired in place. */
START_TEST(a_table_out_of_order_is_not_well_formed)
{
	struct world world;
	struct fixture *fixture = &world.fixture;
	const char *problem = "";
	bool is_whole = false;
	size_t size;
	world_init(&world);
	fixture_crash(fixture);
	ck_assert_int_eq(repair_check(&world.target, &is_whole, &problem), STATUS_OK);
	ck_assert(is_whole);
	uint8_t *bytes = fixture_file(fixture, ".db", &size);
	uint8_t *link = memmem(bytes, size, world.log.actions[9].link.bytes, HASH_SIZE);
	ck_assert_ptr_nonnull(link);
	/* log 1, seq 10, device, ts, link */
	uint8_t *seq = link;
	while (memcmp(seq, "device-", 7) != 0)
		seq--;
	ck_assert_uint_eq(seq[-1], 10);
	seq[-1] ^= 64;
	fixture_set_file(fixture, ".db", bytes, size);
	free(bytes);
	ck_assert_int_eq(repair_check(&world.target, &is_whole, &problem), STATUS_OK);
	ck_assert(!is_whole);
	world_release(&world);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store_repair");
	TCase *tests = tcase_create("repair");
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, kept_records_take_the_place_of_what_stands_in_their_way);
	tcase_add_test(tests, a_log_whose_bytes_have_rotted_is_counted_again);
	tcase_add_test(tests, the_index_of_who_began_a_log_is_made_anew);
	tcase_add_test(tests, a_record_that_has_rotted_is_given_away_as_it_is);
	tcase_add_test(tests, what_is_not_committed_changes_nothing);
	tcase_add_test(tests, any_two_rows_come_back_from_a_copy);
	tcase_add_test(tests, a_record_that_does_not_connect_is_not_in_a_copys_way);
	tcase_add_test(tests, a_log_is_covered_by_batches_again);
	tcase_add_test(tests, a_table_out_of_order_is_not_well_formed);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
