/* What a power cut or rot left in the journal, and what a start makes of it. */
#include "base/log.h"
#include "support/disk.h"
#include "support/runner.h"
#include "support/store_fixture.h"

#define LOGS 4

struct world {
	struct fixture fixture;
	struct model_log logs[LOGS];
};

static void
world_init(struct world *world)
{
	static const char *const names[LOGS] = {"anna", "bert", "carl", "dora"};
	log_configure(LOG_ERROR, LOG_LOGFMT);
	fixture_init(&world->fixture);
	/* Room for all: nothing is put in place before a test says so. */
	world->fixture.options.tail_bytes = 1024 * 1024;
	fixture_open(&world->fixture, true);
	for (size_t i = 0; i < LOGS; i++)
		model_init(&world->logs[i], names[i]);
}

static void
world_release(struct world *world)
{
	for (size_t i = 0; i < LOGS; i++)
		model_free(&world->logs[i]);
	fixture_remove(&world->fixture);
}

static void
write_log(struct world *world, size_t n, size_t count, size_t payload_max)
{
	ck_assert_int_eq(fixture_write(&world->fixture, &world->logs[n], count, payload_max),
			 STATUS_OK);
}

/* What is acknowledged so far is put in place. The next group begins a generation. */
static void
end_generation(struct world *world)
{
	struct engine *engine = world->fixture.engine;
	enum status status = STATUS_OK;
	uint64_t wait_msec = 0;
	/* Idle for a while, handed over, in place: the WAL is of no interest after that. */
	for (int i = 0; i < 1000 && status == STATUS_OK && wait_msec < 1000; i++) {
		usleep((useconds_t)(1000 * wait_msec));
		status = engine->ops->tend(engine, true, &wait_msec);
	}
	ck_assert_int_eq(status, STATUS_OK);
	ck_assert_uint_ge(wait_msec, 1000);
}

static void
expect_head(struct world *world, size_t n, enum status status, uint64_t seq)
{
	const struct model_log *log = &world->logs[n];
	struct engine *engine = world->fixture.engine;
	struct head head;
	ck_assert_int_eq(engine->ops->head(engine, text_of(log->name), &log->genesis, &head),
			 status);
	ck_assert_uint_eq(head.position.seq, seq);
}

static void
shorten(struct model_log *log, size_t count)
{
	model_truncate(log, count);
	log->head = model_head_at(log, count);
}

/* A page of the newest group never reached the disk: it was not acknowledged. */
START_TEST(a_torn_newest_group_is_as_if_it_had_not_been)
{
	struct world world;
	size_t size;
	world_init(&world);
	write_log(&world, 0, 3, 50);
	ck_assert_int_eq(fixture_write_group(&world.fixture, world.logs, 2, 30, 900), STATUS_OK);
	fixture_crash(&world.fixture);
	uint8_t *bytes = fixture_journal(&world.fixture, 0, &size);
	ck_assert_uint_gt(size, 3 * 4096);
	memset(bytes + 4096, 0, 4096);
	fixture_set_journal(&world.fixture, 0, bytes, size);
	free(bytes);
	fixture_check_clean(&world.fixture);
	shorten(&world.logs[0], 3);
	for (int again = 0; again < 3; again++) {
		fixture_open(&world.fixture, false);
		fixture_check_log(&world.fixture, &world.logs[0]);
		expect_head(&world, 1, STATUS_OK, 0);
		fixture_crash(&world.fixture);
		ck_assert_uint_eq(fixture_number(&world.fixture, "SELECT count(*) FROM journal"),
				  0);
	}
	/* It comes again. */
	fixture_open(&world.fixture, false);
	write_log(&world, 0, 30, 900);
	fixture_check_log(&world.fixture, &world.logs[0]);
	world_release(&world);
}
END_TEST

/* The first group of a generation came without the sector in which the generation's head stands. */
START_TEST(a_head_that_never_came_costs_what_was_not_acknowledged)
{
	struct world world;
	size_t old_size, size;
	world_init(&world);
	for (int i = 0; i < 20; i++)
		write_log(&world, 0, 1, 20);
	end_generation(&world);
	uint8_t *old = fixture_journal(&world.fixture, 0, &old_size);
	write_log(&world, 1, 1, 20);
	end_generation(&world);
	write_log(&world, 0, 20, 50);
	fixture_crash(&world.fixture);
	uint8_t *bytes = fixture_journal(&world.fixture, 0, &size);
	ck_assert_mem_ne(bytes, old, 64);
	memcpy(bytes, old, 512);
	fixture_set_journal(&world.fixture, 0, bytes, size);
	free(old);
	free(bytes);
	fixture_check_clean(&world.fixture);
	shorten(&world.logs[0], 20);
	fixture_open(&world.fixture, false);
	fixture_check_log(&world.fixture, &world.logs[0]);
	fixture_check_log(&world.fixture, &world.logs[1]);
	write_log(&world, 0, 20, 50);
	fixture_check_log(&world.fixture, &world.logs[0]);
	fixture_crash(&world.fixture);
	ck_assert_uint_eq(fixture_number(&world.fixture, "SELECT count(*) FROM journal"), 0);
	world_release(&world);
}
END_TEST

/* Two acknowledged groups side by side. */
START_TEST(rotten_records_in_a_row_mark_each_its_log)
{
	struct world world;
	size_t size, record_size;
	world_init(&world);
	for (size_t i = 0; i < LOGS; i++)
		write_log(&world, i, 2, 20);
	fixture_crash(&world.fixture);
	uint8_t *bytes = fixture_journal(&world.fixture, 0, &size);
	for (size_t n = 1; n <= 2; n++) {
		const size_t at = fixture_frame(bytes, n, &record_size);
		bytes[at + FRAME_SIZE + record_size - 1] ^= 1;
	}
	fixture_set_journal(&world.fixture, 0, bytes, size);
	free(bytes);
	for (int again = 0; again < 2; again++) {
		fixture_open(&world.fixture, false);
		fixture_check_log(&world.fixture, &world.logs[0]);
		expect_head(&world, 1, STATUS_LOG_DAMAGED, 0);
		expect_head(&world, 2, STATUS_LOG_DAMAGED, 0);
		fixture_check_log(&world.fixture, &world.logs[3]);
		fixture_crash(&world.fixture);
		ck_assert_uint_eq(fixture_number(&world.fixture, "SELECT count(*) FROM journal"),
				  2);
	}
	world_release(&world);
}
END_TEST

START_TEST(a_rotten_frame_costs_nothing_when_its_record_is_good)
{
	struct world world;
	size_t size, record_size;
	world_init(&world);
	for (size_t i = 0; i < LOGS; i++)
		write_log(&world, i, 2, 20);
	fixture_crash(&world.fixture);
	uint8_t *bytes = fixture_journal(&world.fixture, 0, &size);
	for (size_t n = 1; n <= 2; n++)
		bytes[fixture_frame(bytes, n, &record_size) + FRAME_SIZE - 1] ^= 1;
	fixture_set_journal(&world.fixture, 0, bytes, size);
	free(bytes);
	fixture_open(&world.fixture, false);
	for (size_t i = 0; i < LOGS; i++)
		fixture_check_log(&world.fixture, &world.logs[i]);
	fixture_crash(&world.fixture);
	ck_assert_uint_eq(fixture_number(&world.fixture, "SELECT count(*) FROM journal"), 0);
	world_release(&world);
}
END_TEST

/* The slices were in place when the daemon died, and that they are was not yet recorded: rows that have
 * rotted since must not cost the record, which is the only good copy. */
START_TEST(a_record_whose_rows_have_rotted_is_kept)
{
	struct world world;
	world_init(&world);
	write_log(&world, 0, 3, 50);
	write_log(&world, 1, 3, 50);
	end_generation(&world);
	fixture_crash(&world.fixture);
	fixture_sql(&world.fixture, "UPDATE in_place SET generation = generation - 1;"
				    "UPDATE actions SET payload = 'x' || payload WHERE seq = 2"
				    " AND log = (SELECT id FROM logs WHERE name = 'anna')");
	fixture_open(&world.fixture, false);
	expect_head(&world, 0, STATUS_LOG_DAMAGED, 3);
	fixture_check_log(&world.fixture, &world.logs[1]);
	fixture_crash(&world.fixture);
	ck_assert_uint_eq(fixture_number(&world.fixture, "SELECT count(*) FROM journal"), 1);
	world_release(&world);
}
END_TEST

static void
take_journal(struct world *world, unsigned which, struct world *from)
{
	size_t size;
	uint8_t *bytes = fixture_journal(&from->fixture, which, &size);
	fixture_set_journal(&world->fixture, which, bytes, size);
	free(bytes);
}

/* The journal beside the file is from another restore: its records begin where the log ends, and after
 * another action. */
START_TEST(a_record_of_another_history_is_kept_and_not_taken)
{
	struct world world, other;
	world_init(&world);
	world_init(&other);
	other.fixture.random = 2;
	write_log(&world, 0, 3, 50);
	write_log(&other, 0, 3, 50);
	end_generation(&world);
	end_generation(&other);
	write_log(&other, 0, 2, 50);
	fixture_crash(&world.fixture);
	fixture_crash(&other.fixture);
	take_journal(&world, 0, &other);
	take_journal(&world, 1, &other);
	fixture_open(&world.fixture, false);
	expect_head(&world, 0, STATUS_LOG_DAMAGED, 3);
	fixture_crash(&world.fixture);
	ck_assert_uint_eq(fixture_number(&world.fixture, "SELECT count(*) FROM journal"), 1);
	ck_assert_uint_eq(fixture_number(&world.fixture, "SELECT max(seq) FROM actions"), 3);
	world_release(&world);
	world_release(&other);
}
END_TEST

/* The record of a log's newest actions, as it stands in the older file; from malloc. */
static uint8_t *
copy_record(struct world *world, size_t *record_size)
{
	size_t size;
	uint8_t *bytes = fixture_journal(&world->fixture, 0, &size);
	const size_t at = fixture_frame(bytes, 0, record_size);
	memmove(bytes, bytes + at + FRAME_SIZE, *record_size);
	return bytes;
}

/* An earlier start kept a copy that had rotted: the log is marked before the good one is met. */
START_TEST(nothing_is_added_to_a_log_that_is_marked)
{
	struct world world;
	size_t size;
	world_init(&world);
	write_log(&world, 1, 2, 20);
	end_generation(&world);
	write_log(&world, 0, 2, 20);
	end_generation(&world);
	write_log(&world, 0, 2, 20);
	write_log(&world, 1, 2, 20);
	fixture_crash(&world.fixture);
	uint8_t *record = copy_record(&world, &size);
	record[size - 1] ^= 1;
	sqlite3 *db = fixture_sqlite(&world.fixture);
	sqlite3_stmt *keep;
	ck_assert_int_eq(
		sqlite3_prepare_v2(db, "INSERT INTO journal VALUES (1, ?1)", -1, &keep, NULL),
		SQLITE_OK);
	ck_assert_int_eq(sqlite3_bind_blob(keep, 1, record, (int)size, SQLITE_STATIC), SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(keep), SQLITE_DONE);
	ck_assert_int_eq(sqlite3_finalize(keep), SQLITE_OK);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
	free(record);
	for (int again = 0; again < 2; again++) {
		fixture_open(&world.fixture, false);
		expect_head(&world, 0, STATUS_LOG_DAMAGED, 2);
		fixture_check_log(&world.fixture, &world.logs[1]);
		fixture_crash(&world.fixture);
		ck_assert_uint_eq(fixture_number(&world.fixture, "SELECT count(*) FROM journal"),
				  2);
		ck_assert_uint_eq(fixture_number(&world.fixture, "SELECT count(*) FROM actions"),
				  2 + 4);
	}
	world_release(&world);
}
END_TEST

static unsigned
syncs_of_a_start(struct world *world)
{
	const unsigned before = disk.syncs;
	fixture_open(&world->fixture, false);
	const unsigned syncs = disk.syncs - before;
	for (size_t i = 0; i < LOGS; i++)
		fixture_check_log(&world->fixture, &world->logs[i]);
	return syncs;
}

/* Slices, and each batch once one of them met a row that was there, are commits of their own. */
START_TEST(a_start_syncs_as_often_however_much_there_is_to_put_in_place)
{
	struct world world;
	unsigned syncs[3];
	static const size_t rounds[3] = {1, 40, 200};
	for (size_t i = 0; i < 3; i++) {
		world_init(&world);
		for (size_t round = 0; round < rounds[i]; round++)
			write_log(&world, round % LOGS, 3, 20);
		fixture_crash(&world.fixture);
		syncs[i] = syncs_of_a_start(&world);
		world_release(&world);
	}
	printf("# %u, %u and %u syncs\n", syncs[0], syncs[1], syncs[2]);
	ck_assert_uint_eq(syncs[1], syncs[0]);
	ck_assert_uint_eq(syncs[2], syncs[0]);
}
END_TEST

/* The walk of ids begins anew behind the greatest one. */
START_TEST(a_rotten_id_leaves_room_for_new_logs)
{
	static const char *const ids[] = {"9223372036854775807", "-7", "9007199254740993"};
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		struct world world;
		char sql[100];
		world_init(&world);
		write_log(&world, 0, 3, 20);
		write_log(&world, 1, 3, 20);
		ck_assert_int_eq(world.fixture.engine->ops->settle_down(world.fixture.engine),
				 STATUS_OK);
		fixture_crash(&world.fixture);
		snprintf(sql, sizeof(sql), "UPDATE logs SET id = %s WHERE id = 2", ids[i]);
		fixture_sql(&world.fixture, sql);
		for (size_t n = 2; n < LOGS; n++) {
			fixture_open(&world.fixture, false);
			write_log(&world, n, 3, 20);
			ck_assert_int_eq(
				world.fixture.engine->ops->settle_down(world.fixture.engine),
				STATUS_OK);
			fixture_check_log(&world.fixture, &world.logs[0]);
			fixture_check_log(&world.fixture, &world.logs[n]);
			fixture_crash(&world.fixture);
		}
		world_release(&world);
	}
}
END_TEST

/* A reader of another process keeps the WAL from going into the file: the engine waits for it and
 * goes on, a start too. */
START_TEST(a_reader_in_the_way_costs_nothing)
{
	struct world world;
	sqlite3_stmt *statement;
	uint64_t wait_msec;
	world_init(&world);
	write_log(&world, 0, 3, 50);
	end_generation(&world);
	sqlite3 *db = fixture_sqlite(&world.fixture);
	ck_assert_int_eq(sqlite3_prepare_v2(db, "SELECT * FROM actions", -1, &statement, NULL),
			 SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(statement), SQLITE_ROW);
	write_log(&world, 0, 3, 50);
	struct engine *engine = world.fixture.engine;
	ck_assert_int_eq(engine->ops->settle_down(engine), STATUS_OK);
	ck_assert_int_eq(engine->ops->tend(engine, true, &wait_msec), STATUS_OK);
	write_log(&world, 1, 3, 50);
	fixture_check_log(&world.fixture, &world.logs[0]);
	fixture_check_log(&world.fixture, &world.logs[1]);
	fixture_crash(&world.fixture);
	/* Nor does it keep the shard down. */
	fixture_open(&world.fixture, false);
	write_log(&world, 1, 3, 50);
	fixture_check_log(&world.fixture, &world.logs[0]);
	fixture_check_log(&world.fixture, &world.logs[1]);
	fixture_crash(&world.fixture);
	ck_assert_int_eq(sqlite3_finalize(statement), SQLITE_OK);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
	fixture_open(&world.fixture, false);
	fixture_check_log(&world.fixture, &world.logs[0]);
	fixture_check_log(&world.fixture, &world.logs[1]);
	world_release(&world);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store_sqlite_recover");
	TCase *tests = tcase_create("sqlite_recover");
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, a_torn_newest_group_is_as_if_it_had_not_been);
	tcase_add_test(tests, a_head_that_never_came_costs_what_was_not_acknowledged);
	tcase_add_test(tests, rotten_records_in_a_row_mark_each_its_log);
	tcase_add_test(tests, a_rotten_frame_costs_nothing_when_its_record_is_good);
	tcase_add_test(tests, a_record_whose_rows_have_rotted_is_kept);
	tcase_add_test(tests, a_record_of_another_history_is_kept_and_not_taken);
	tcase_add_test(tests, nothing_is_added_to_a_log_that_is_marked);
	tcase_add_test(tests, a_start_syncs_as_often_however_much_there_is_to_put_in_place);
	tcase_add_test(tests, a_rotten_id_leaves_room_for_new_logs);
	tcase_add_test(tests, a_reader_in_the_way_costs_nothing);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
