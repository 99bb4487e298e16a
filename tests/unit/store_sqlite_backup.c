/* A copy of a shard that is being written: what it has, that it needs nothing else, and that its faults are
 * nobody else's. */
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/complete.h"
#include "store/sqlite/backup.h"
#include "store/sqlite/in_place.h"
#include "support/runner.h"
#include "support/store_fixture.h"

#define LOGS 3
#define FIRST_GROUPS 100
#define FIRST_ACTIONS 10
#define ACTIONS 5
#define PATIENCE_MSEC 60000

struct world {
	struct fixture shard, copy;
	struct model_log logs[LOGS];
};

static void
make(struct world *world)
{
	fixture_init(&world->shard);
	fixture_init(&world->copy);
	for (int i = 0; i < LOGS; i++) {
		char name[16];
		snprintf(name, sizeof(name), "log-%d", i);
		model_init(&world->logs[i], name);
	}
	fixture_open(&world->shard, true);
}

static void
destroy(struct world *world)
{
	for (int i = 0; i < LOGS; i++)
		model_free(&world->logs[i]);
	fixture_remove(&world->shard);
	fixture_remove(&world->copy);
}

static void
write_some(struct world *world, size_t count)
{
	ck_assert_int_eq(fixture_write_group(&world->shard, world->logs, LOGS, count, 2000),
			 STATUS_OK);
}

static enum status
begin(struct world *world, uint64_t rate)
{
	const struct backup_order order = {.path = world->copy.path, .rate = rate};
	return world->shard.engine->ops->back_up(world->shard.engine, &order);
}

static struct backup_figures
look(struct world *world)
{
	struct backup_figures figures;
	world->shard.engine->ops->look_at_backup(world->shard.engine, &figures);
	return figures;
}

/* The writer's part: what is acknowledged goes to the applier. */
static void
tend(struct world *world)
{
	static const struct timespec moment = {.tv_nsec = 1000000};
	uint64_t wait_msec;
	ck_assert_int_eq(world->shard.engine->ops->tend(world->shard.engine, true, &wait_msec),
			 STATUS_OK);
	nanosleep(&moment, NULL);
}

static struct backup_figures
await(struct world *world)
{
	const uint64_t end = clock_monotonic_msec() + PATIENCE_MSEC;
	struct backup_figures figures = look(world);
	while (figures.state == BACKUP_RUNNING) {
		ck_assert_uint_lt(clock_monotonic_msec(), end);
		tend(world);
		figures = look(world);
	}
	return figures;
}

/* The copy alone, at a place of its own. */
static void
open_copy(struct world *world)
{
	const char *problem = "";
	ck_assert_msg(complete_shard(world->copy.path, world->copy.options.id, &problem) ==
			      STATUS_OK,
		      "%s", problem);
	fixture_check_clean(&world->copy);
	fixture_open(&world->copy, false);
}

START_TEST(it_has_what_was_acknowledged_before_it_began_and_needs_no_journal)
{
	struct world world;
	make(&world);
	for (int i = 0; i < 5; i++)
		write_some(&world, 4);
	/* Nothing of it is in place: nobody has tended. */
	ck_assert_int_eq(begin(&world, 0), STATUS_OK);
	const struct backup_figures figures = await(&world);
	ck_assert_msg(figures.state == BACKUP_DONE, "%s", figures.problem);
	ck_assert_uint_eq(figures.commits, 5 * LOGS);
	ck_assert_uint_eq(figures.bytes, figures.bytes_total);
	open_copy(&world);
	for (int i = 0; i < LOGS; i++)
		fixture_check_log(&world.copy, &world.logs[i]);
	ck_assert_int_eq(fixture_write_group(&world.copy, world.logs, LOGS, 2, 100), STATUS_OK);
	destroy(&world);
}
END_TEST

/* Groups of a record a log: so many have been copied, all of each and nothing more. */
static size_t
actions_of(uint64_t commits)
{
	const uint64_t groups = commits / LOGS;
	ck_assert_uint_eq(commits % LOGS, 0);
	return (size_t)(groups <= FIRST_GROUPS
				? groups * FIRST_ACTIONS
				: FIRST_GROUPS * FIRST_ACTIONS + (groups - FIRST_GROUPS) * ACTIONS);
}

static void
check_is_prefix(struct world *world, const struct model_log *log, size_t count)
{
	const struct engine_ops *ops = world->copy.engine->ops;
	struct head head;
	ck_assert_int_eq(ops->head(world->copy.engine, text_of(log->name), &log->genesis, &head),
			 STATUS_OK);
	ck_assert_uint_eq(head.position.seq, count);
	ck_assert(hash_equal(&head.position.link, &log->actions[count - 1].link));
}

/* Pages that the copy has are written again and again, generations begin and end, the WAL begins anew. */
START_TEST(what_is_written_meanwhile_is_in_it_in_whole_commits_or_not_at_all)
{
	struct world world;
	make(&world);
	for (int i = 0; i < FIRST_GROUPS; i++)
		write_some(&world, FIRST_ACTIONS);
	ck_assert_int_eq(begin(&world, (uint64_t)16 << 20), STATUS_OK);
	unsigned rounds = 0;
	struct backup_figures figures = look(&world);
	for (; figures.state == BACKUP_RUNNING && rounds < 400; rounds++) {
		write_some(&world, ACTIONS);
		tend(&world);
		figures = look(&world);
	}
	figures = await(&world);
	ck_assert_msg(figures.state == BACKUP_DONE, "%s", figures.problem);
	ck_assert_uint_ge(rounds, 3);
	ck_assert_uint_ge(figures.commits, FIRST_GROUPS * LOGS);
	open_copy(&world);
	for (int i = 0; i < LOGS; i++)
		check_is_prefix(&world, &world.logs[i], actions_of(figures.commits));
	destroy(&world);
}
END_TEST

#define STEPS 20

/* The state after that many steps more, each of which may end it or not. */
static enum backup_state
step(struct backup *backup, struct db *db, bool may_end, int count)
{
	struct backup_figures figures = backup->figures;
	for (int i = 0; i < count && figures.state == BACKUP_RUNNING; i++)
		backup_step(backup, db, may_end, &figures);
	backup->figures = figures;
	return figures.state;
}

/* Rows that end in the middle of a generation, or without what was acknowledged, are no copy. */
START_TEST(it_ends_only_where_it_may_and_has_what_is_wanted)
{
	struct world world;
	struct db *db = NULL;
	const char *problem = "";
	struct in_place in_place;
	struct backup backup = {.figures.state = BACKUP_NONE};
	make(&world);
	write_some(&world, 10);
	ck_assert_int_eq(world.shard.engine->ops->settle_down(world.shard.engine), STATUS_OK);
	fixture_crash(&world.shard);
	ck_assert_msg(db_open(world.shard.path, DB_WRITE, &db, &problem) == STATUS_OK, "%s",
		      problem);
	ck_assert_int_eq(in_place_read(db, &in_place), STATUS_OK);
	const struct backup_order order = {.path = world.copy.path};
	ck_assert_int_eq(backup_begin(&backup, &order, in_place.last_id), STATUS_OK);
	ck_assert_int_eq(step(&backup, db, false, STEPS), BACKUP_RUNNING);
	ck_assert_int_eq(step(&backup, db, true, STEPS), BACKUP_DONE);
	ck_assert_uint_eq(backup.figures.commits, in_place.last_id);
	ck_assert_int_eq(unlink(world.copy.path), 0);
	ck_assert_int_eq(backup_begin(&backup, &order, in_place.last_id + 1), STATUS_OK);
	ck_assert_int_eq(step(&backup, db, true, STEPS), BACKUP_RUNNING);
	backup_give_up(&backup, "the test ends", &backup.figures);
	db_close(db);
	destroy(&world);
}
END_TEST

/* It stays close behind a file that grows in the middle of a generation, for that has an end. */
START_TEST(it_goes_on_while_it_may_not_end)
{
	struct world world;
	struct db *db = NULL;
	const char *problem = "";
	uint64_t pages = 0;
	struct backup backup = {.figures.state = BACKUP_NONE};
	make(&world);
	const struct backup_order order = {.path = world.copy.path};
	ck_assert_int_eq(world.shard.engine->ops->settle_down(world.shard.engine), STATUS_OK);
	fixture_crash(&world.shard);
	ck_assert_msg(db_open(world.shard.path, DB_WRITE, &db, &problem) == STATUS_OK, "%s",
		      problem);
	ck_assert_int_eq(backup_begin(&backup, &order, 0), STATUS_OK);
	ck_assert_int_eq(step(&backup, db, false, STEPS), BACKUP_RUNNING);
	ck_assert_int_eq(db_run(db, "CREATE TABLE more AS SELECT zeroblob(1000000)"), STATUS_OK);
	ck_assert_int_eq(step(&backup, db, false, STEPS), BACKUP_RUNNING);
	ck_assert_int_eq(db_query_u64(db, "PRAGMA page_count", &pages), STATUS_OK);
	ck_assert_uint_gt(pages, 100);
	ck_assert_uint_ge(backup.figures.bytes, (pages - 40) * 8192);
	backup_give_up(&backup, "the test ends", &backup.figures);
	db_close(db);
	destroy(&world);
}
END_TEST

START_TEST(one_at_a_time_and_what_is_given_up_leaves_no_file)
{
	struct world world;
	make(&world);
	write_some(&world, 300);
	ck_assert_int_eq(look(&world).state, BACKUP_NONE);
	ck_assert_int_eq(begin(&world, 1), STATUS_OK);
	ck_assert_int_eq(begin(&world, 0), STATUS_BACKPRESSURE);
	/* The next step is due in three days. */
	while (look(&world).bytes == 0)
		tend(&world);
	ck_assert_int_eq(access(world.copy.path, F_OK), 0);
	world.shard.engine->ops->end_backup(world.shard.engine);
	const struct backup_figures figures = await(&world);
	ck_assert_int_eq(figures.state, BACKUP_FAILED);
	ck_assert_ptr_nonnull(strstr(figures.problem, "not wanted"));
	ck_assert_int_eq(access(world.copy.path, F_OK), -1);
	world.shard.engine->ops->end_backup(world.shard.engine);
	ck_assert_int_eq(look(&world).state, BACKUP_NONE);
	ck_assert_int_eq(begin(&world, 0), STATUS_OK);
	ck_assert_int_eq(await(&world).state, BACKUP_DONE);
	destroy(&world);
}
END_TEST

START_TEST(a_fault_of_the_copy_is_none_of_the_shard)
{
	struct world world;
	make(&world);
	write_some(&world, 10);
	const int fd = open(world.copy.path, O_WRONLY | O_CREAT, 0600);
	ck_assert_int_ne(fd, -1);
	close(fd);
	ck_assert_int_eq(begin(&world, 0), STATUS_OK);
	ck_assert_int_eq(await(&world).state, BACKUP_FAILED);
	/* What was there before is somebody else's. */
	ck_assert_int_eq(access(world.copy.path, F_OK), 0);
	write_some(&world, 10);
	for (int i = 0; i < LOGS; i++)
		fixture_check_log(&world.shard, &world.logs[i]);
	destroy(&world);
}
END_TEST

START_TEST(a_shard_that_stops_gives_it_up)
{
	struct world world;
	make(&world);
	write_some(&world, 300);
	ck_assert_int_eq(begin(&world, 1), STATUS_OK);
	while (access(world.copy.path, F_OK) != 0)
		tend(&world);
	const struct engine_ops *ops = world.shard.engine->ops;
	ck_assert_int_eq(ops->settle_down(world.shard.engine), STATUS_OK);
	ops->retire(world.shard.engine);
	ck_assert_int_eq(look(&world).state, BACKUP_FAILED);
	ck_assert_int_eq(access(world.copy.path, F_OK), -1);
	ck_assert_int_eq(begin(&world, 0), STATUS_STORAGE_UNAVAILABLE);
	destroy(&world);
}
END_TEST

int
main(void)
{
	log_configure(LOG_ERROR, LOG_LOGFMT);
	Suite *suite = suite_create("store_sqlite_backup");
	TCase *tests = tcase_create("sqlite_backup");
	tcase_set_timeout(tests, 120);
	tcase_add_test(tests, it_has_what_was_acknowledged_before_it_began_and_needs_no_journal);
	tcase_add_test(tests, it_ends_only_where_it_may_and_has_what_is_wanted);
	tcase_add_test(tests, it_goes_on_while_it_may_not_end);
	/* Where the copy ends is the threads' affair. */
	tcase_add_loop_test(
		tests, what_is_written_meanwhile_is_in_it_in_whole_commits_or_not_at_all, 0, 16);
	tcase_add_test(tests, one_at_a_time_and_what_is_given_up_leaves_no_file);
	tcase_add_test(tests, a_fault_of_the_copy_is_none_of_the_shard);
	tcase_add_test(tests, a_shard_that_stops_gives_it_up);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
