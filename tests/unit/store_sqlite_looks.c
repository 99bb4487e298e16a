/* Removals that have much to look at: in steps, between which a shard's other work goes on, and with the end that
 * one look at all would have come to. */
#include "support/runner.h"
#include "support/store_fixture.h"

#define ACTIONS 30
#define PAYLOAD_MAX 20
#define ROWS 250000
#define ROWS_TEXT "250000"
#define STEP_ROWS 100000 /* that a step may look at */

struct world {
	struct fixture fixture;
	struct model_log log, other, large; /* numbers 1 to 3 */
	uint64_t calls;
};

static void
world_init(struct world *world)
{
	*world = (struct world){.calls = 0};
	fixture_init(&world->fixture);
	fixture_open(&world->fixture, true);
	model_init(&world->log, "notes");
	model_init(&world->other, "other");
	model_init(&world->large, "large");
	fixture_write(&world->fixture, &world->log, ACTIONS, PAYLOAD_MAX);
	fixture_write(&world->fixture, &world->other, ACTIONS, PAYLOAD_MAX);
	fixture_write(&world->fixture, &world->large, ACTIONS, PAYLOAD_MAX);
	ck_assert_int_eq(world->fixture.engine->ops->settle_down(world->fixture.engine), STATUS_OK);
	fixture_crash(&world->fixture);
	/* What of the large one is behind its first actions was removed long ago. */
	fixture_sql(&world->fixture,
		    "WITH RECURSIVE row(seq) AS (SELECT 31 UNION ALL SELECT seq + 1 FROM row"
		    " WHERE seq < " ROWS_TEXT ") INSERT INTO actions (log, seq, device, ts, link,"
		    " type, payload) SELECT 3, seq, 'device-z', seq, randomblob(32), '',"
		    " printf('%064d', seq) FROM row;"
		    "UPDATE logs SET seq = " ROWS_TEXT " WHERE id = 3");
}

/* The newest row verifies, and is the head. */
static void
seal_large(struct world *world)
{
	struct hash before, digest, link;
	char text[HASH_TEXT_SIZE + 1], sql[300];
	sqlite3 *db = fixture_sqlite(&world->fixture);
	sqlite3_stmt *statement;
	ck_assert_int_eq(sqlite3_prepare_v2(db,
					    "SELECT link FROM actions WHERE log = 3"
					    " AND seq = " ROWS_TEXT " - 1",
					    -1, &statement, NULL),
			 SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(statement), SQLITE_ROW);
	memcpy(before.bytes, sqlite3_column_blob(statement, 0), HASH_SIZE);
	sqlite3_finalize(statement);
	sqlite3_close(db);
	snprintf(text, sizeof(text), "%064d", ROWS);
	ck_assert(hash_from_text(text_of(text), &digest));
	chain_link(&before, &digest, &link);
	hash_to_text(&link, text);
	text[HASH_TEXT_SIZE] = '\0';
	snprintf(sql, sizeof(sql),
		 "UPDATE actions SET link = x'%s' WHERE log = 3 AND seq = %d;"
		 "UPDATE logs SET link = x'%s' WHERE id = 3",
		 text, ROWS, text);
	fixture_sql(&world->fixture, sql);
}

static void
world_release(struct world *world)
{
	model_free(&world->log);
	model_free(&world->other);
	model_free(&world->large);
	fixture_remove(&world->fixture);
}

/* To its end. Between two steps another log is written. */
static enum status
take(struct world *world, const struct model_log *log, struct removal *removal)
{
	struct engine *engine = world->fixture.engine;
	uint64_t kept;
	enum status status;
	removal->log = text_of(log->name);
	removal->genesis = &log->genesis;
	do {
		fixture_write(&world->fixture, &world->other, 1, PAYLOAD_MAX);
		const uint64_t at = removal->at;
		status = engine->ops->remove(engine, removal, 1, false, &kept);
		ck_assert_uint_le(removal->at, at + STEP_ROWS + ACTIONS);
		world->calls++;
	} while (status == STATUS_OK && removal->status == STATUS_OK && removal->more);
	fixture_check_log(&world->fixture, &world->other);
	return status == STATUS_OK ? removal->status : status;
}

static uint64_t
content(struct world *world, int log)
{
	char sql[100];
	snprintf(sql, sizeof(sql), "SELECT count(*) FROM actions WHERE log = %d AND type <> ''",
		 log);
	return fixture_number(&world->fixture, sql);
}

START_TEST(what_was_removed_before_is_passed_over_in_steps)
{
	struct world world;
	struct removal erase = {.kind = REMOVE_ALL, .now_msec = 77};
	struct removal reopen = {.kind = REMOVE_NOTHING};
	world_init(&world);
	seal_large(&world);
	fixture_open(&world.fixture, false);
	ck_assert_int_eq(take(&world, &world.large, &erase), STATUS_OK);
	ck_assert_uint_eq(world.calls, ROWS / STEP_ROWS + 1);
	ck_assert_uint_eq(erase.removed, ACTIONS);
	ck_assert_uint_eq(erase.gone_before, ROWS - ACTIONS);
	ck_assert_uint_eq(erase.head.gone.erased_at, 77);
	ck_assert_uint_eq(erase.head.gone.cleared, ROWS);
	fixture_crash(&world.fixture);
	ck_assert_uint_eq(content(&world, 3), 0);
	/* Opened again it is looked through once more. */
	fixture_open(&world.fixture, false);
	world.calls = 0;
	ck_assert_int_eq(take(&world, &world.large, &reopen), STATUS_OK);
	ck_assert(reopen.reopened);
	ck_assert_uint_eq(world.calls, ROWS / STEP_ROWS + 1);
	world_release(&world);
}
END_TEST

START_TEST(where_a_row_is_missing_all_others_are_looked_at_in_steps)
{
	struct world world;
	struct removal erase = {.kind = REMOVE_ALL, .now_msec = 77};
	world_init(&world);
	fixture_sql(&world.fixture, "DELETE FROM actions WHERE log = 1 AND seq = 12");
	fixture_open(&world.fixture, false);
	ck_assert_int_eq(take(&world, &world.log, &erase), STATUS_OK);
	ck_assert_uint_ge(world.calls, ROWS / STEP_ROWS + 1);
	ck_assert_uint_eq(erase.removed, ACTIONS - 1);
	ck_assert_uint_eq(erase.gone_before, 1);
	ck_assert_uint_eq(erase.head.gone.erased_at, 77);
	fixture_crash(&world.fixture);
	ck_assert_uint_eq(content(&world, 1), 0);
	ck_assert_uint_eq(content(&world, 3), ACTIONS);
	world_release(&world);
}
END_TEST

/* The number of the log in the record of one of its rows far behind: seq takes three bytes there. */
static void
rot_far_key(struct world *world)
{
	size_t size;
	struct hash link;
	sqlite3 *db = fixture_sqlite(&world->fixture);
	sqlite3_stmt *statement;
	ck_assert_int_eq(sqlite3_prepare_v2(db,
					    "SELECT link FROM actions WHERE log = 3"
					    " AND seq = 220000",
					    -1, &statement, NULL),
			 SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(statement), SQLITE_ROW);
	memcpy(link.bytes, sqlite3_column_blob(statement, 0), HASH_SIZE);
	sqlite3_finalize(statement);
	sqlite3_close(db);
	uint8_t *bytes = fixture_file(&world->fixture, ".db", &size);
	uint8_t *at = memmem(bytes, size, link.bytes, HASH_SIZE);
	ck_assert_ptr_nonnull(at);
	while (memcmp(at, "device-", 7) != 0)
		at--;
	ck_assert_uint_eq(at[-4], 3);
	at[-4] = 2;
	fixture_set_file(&world->fixture, ".db", bytes, size);
	free(bytes);
}

START_TEST(rows_out_of_order_far_behind_end_it_and_nothing_is_gone_or_said)
{
	struct world world;
	struct removal erase = {.kind = REMOVE_ALL, .now_msec = 77};
	world_init(&world);
	fixture_sql(&world.fixture, "DELETE FROM actions WHERE log = 1 AND seq = 12");
	rot_far_key(&world);
	fixture_open(&world.fixture, false);
	ck_assert_int_eq(take(&world, &world.log, &erase), STATUS_LOG_DAMAGED);
	ck_assert_uint_gt(world.calls, 1);
	ck_assert_uint_eq(erase.removed, 0);
	fixture_crash(&world.fixture);
	ck_assert_uint_eq(content(&world, 1), ACTIONS - 1);
	ck_assert_uint_eq(fixture_number(&world.fixture, "SELECT count(*) FROM gone"), 0);
	world_release(&world);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store_sqlite_looks");
	TCase *tests = tcase_create("looks");
	tcase_set_timeout(tests, 120);
	tcase_add_test(tests, what_was_removed_before_is_passed_over_in_steps);
	tcase_add_test(tests, where_a_row_is_missing_all_others_are_looked_at_in_steps);
	tcase_add_test(tests, rows_out_of_order_far_behind_end_it_and_nothing_is_gone_or_said);
	suite_add_tcase(suite, tests);
	return runner_run(srunner_create(suite));
}
