/* What a power cut or rot left in the journal, and what a start makes of it. */
#include "base/log.h"
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
	log->head = (struct head){.position = {count, log->actions[count - 1].link},
				  .received_at = log->actions[count - 1].received_at};
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
	tcase_add_test(tests, a_reader_in_the_way_costs_nothing);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
