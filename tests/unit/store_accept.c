/* A loss is refused, accepted, and then the shard serves what there is; a crash of the tool at any write
 * leaves one that can be accepted again. */
#include <sys/wait.h>

#include "base/log.h"
#include "store/accept.h"
#include "store/sqlite/anchor.h"
#include "support/disk.h"
#include "support/runner.h"
#include "support/sanitizer.h"
#include "support/store_fixture.h"

#define LOGS 2
#define EARLY 3	  /* groups before the copy */
#define LATE 4	  /* and after it, in place */
#define ACTIONS 3 /* of each log in a group */

struct world {
	struct fixture fixture;
	struct model_log logs[LOGS];
	char copy[600]; /* of the folder after the early groups */
	char said[16384];
};

static void
shell(const char *format, const char *first, const char *second)
{
	char command[4096];
	snprintf(command, sizeof(command), format, first, second);
	ck_assert_int_eq(system(command), 0);
}

static void
write_groups(struct world *world, int groups)
{
	struct engine *engine = world->fixture.engine;
	for (int i = 0; i < groups; i++)
		ck_assert_int_eq(
			fixture_write_group(&world->fixture, world->logs, LOGS, ACTIONS, 300),
			STATUS_OK);
	ck_assert_int_eq(engine->ops->settle_down(engine), STATUS_OK);
}

static void
world_init(struct world *world)
{
	memset(world, 0, sizeof(*world));
	log_configure(LOG_ERROR, LOG_LOGFMT);
	fixture_init(&world->fixture);
	model_init(&world->logs[0], "anna");
	model_init(&world->logs[1], "bert");
	fixture_open(&world->fixture, true);
	write_groups(world, EARLY);
	snprintf(world->copy, sizeof(world->copy), "%s.copy", world->fixture.dir);
	shell("cp -r '%s' '%s'", world->fixture.dir, world->copy);
	write_groups(world, LATE);
	fixture_crash(&world->fixture);
}

static void
world_release(struct world *world)
{
	if (world->fixture.engine != NULL)
		fixture_crash(&world->fixture);
	for (size_t i = 0; i < LOGS; i++)
		model_free(&world->logs[i]);
	shell("rm -r '%s' '%s'", world->fixture.dir, world->copy);
}

/* What is lost: a command in the folder, in which %s is the copy. groups: what is left of each log. */
static const struct loss_case {
	const char *command;
	const char *words;
	int groups;
} losses[] = {
	{"cd '%s' && (cd '%s' && tar c --exclude=*.anchor .) | tar x", "older than it was", EARLY},
	{"cd '%s' && rm shard-00.db", "shard-00.db is missing", 0},
	{"cd '%s' && : > shard-00.db", "shard-00.db is empty", 0},
	{"cd '%s' && echo rubbish > shard-00.db", "shard-00.db", 0},
	{"cd '%s' && rm shard-00.journal-1", "journal-1: No such file", EARLY + LATE},
	{"cd '%s' && : > shard-00.journal-0", "journal-0 is cut off", EARLY + LATE},
	{"cd '%s' && rm shard-00.anchor", "anchor: No such file", EARLY + LATE},
	{"cd '%s' && rm shard-00.anchor shard-00.db shard-00.journal-?", "is missing", 0},
};

#define LOSSES ((int)(sizeof(losses) / sizeof(losses[0])))

static void
lose(struct world *world, const struct loss_case *loss)
{
	shell(loss->command, world->fixture.dir, world->copy);
}

static void
remember_sentence(void *cookie, const char *sentence)
{
	struct world *world = cookie;
	const size_t used = strlen(world->said);
	snprintf(world->said + used, sizeof(world->said) - used, "%s\n", sentence);
}

static struct acceptance
try_accept(struct world *world, const char *stamp, bool dry_run)
{
	const char *problem = "";
	struct acceptance acceptance = {.path = world->fixture.path,
					.shards = 1,
					.id = world->fixture.options.id,
					.stamp = stamp,
					.dry_run = dry_run,
					.say = remember_sentence,
					.cookie = world};
	ck_assert_msg(accept_loss(&acceptance, &problem) == STATUS_OK, "%s", problem);
	return acceptance;
}

/* The log as it was after so many groups. */
static void
check_logs(struct world *world, int groups)
{
	for (size_t i = 0; i < LOGS; i++) {
		struct model_log view = world->logs[i];
		view.count = (size_t)groups * ACTIONS;
		view.head = model_head_at(&view, view.count);
		fixture_check_log(&world->fixture, &view);
		fixture_check_facts(&world->fixture, &view);
	}
}

START_TEST(a_loss_is_refused_until_it_is_accepted)
{
	const struct loss_case *loss = &losses[_i];
	struct world world;
	const char *problem = "";
	world_init(&world);
	lose(&world, loss);
	for (int again = 0; again < 2; again++) {
		ck_assert_int_eq(fixture_try_open(&world.fixture, false, &problem),
				 STATUS_LOG_DAMAGED);
		ck_assert_msg(strstr(problem, "shard-00") != NULL, "%s", problem);
		ck_assert(try_accept(&world, "dry", true).lost);
	}
	ck_assert_msg(strstr(world.said, loss->words) != NULL, "%s", world.said);
	const struct acceptance done = try_accept(&world, "1", false);
	ck_assert(done.lost);
	ck_assert_uint_eq(done.logs, loss->groups == 0 ? 0 : LOGS);
	ck_assert(!try_accept(&world, "2", false).lost);
	fixture_check_clean(&world.fixture);
	fixture_open(&world.fixture, false);
	check_logs(&world, loss->groups);
	/* It goes on, and keeps what comes. */
	struct model_log other;
	model_init(&other, "carl");
	ck_assert_int_eq(fixture_write(&world.fixture, &other, 3, 100), STATUS_OK);
	fixture_crash(&world.fixture);
	fixture_open(&world.fixture, false);
	fixture_check_log(&world.fixture, &other);
	model_free(&other);
	world_release(&world);
}
END_TEST

/* Behind what is in place: a record of anna's, one of bert's, one of anna's; and the anchor has seen
 * them. The first rots so that nobody knows whose it was. The good bytes, from malloc. */
static uint8_t *
rot_a_name(struct world *world, size_t *size)
{
	struct anchor anchor;
	const char *problem = "";
	size_t record_size;
	fixture_open(&world->fixture, false);
	for (size_t i = 0; i < 3; i++)
		ck_assert_int_eq(fixture_write(&world->fixture, &world->logs[i % 2], ACTIONS, 100),
				 STATUS_OK);
	fixture_crash(&world->fixture);
	char *path = anchor_path(world->fixture.path);
	ck_assert_int_eq(anchor_open(&anchor, path, world->fixture.options.id, true, &problem),
			 STATUS_OK);
	anchor_synced(&anchor, anchor.last + 3);
	ck_assert_int_eq(anchor_write(&anchor), STATUS_OK);
	anchor_close(&anchor);
	free(path);
	uint8_t *good = fixture_journal(&world->fixture, 0, size);
	uint8_t *bytes = fixture_journal(&world->fixture, 0, size);
	memcpy(bytes + fixture_frame(bytes, 0, &record_size) + FRAME_SIZE + 19, "otto", 4);
	fixture_set_journal(&world->fixture, 0, bytes, *size);
	free(bytes);
	return good;
}

START_TEST(a_record_that_nobody_knows_whose_it_was_is_a_loss)
{
	struct world world;
	size_t size;
	const char *problem = "";
	world_init(&world);
	uint8_t *good = rot_a_name(&world, &size);
	for (int again = 0; again < 2; again++) {
		ck_assert_int_eq(fixture_try_open(&world.fixture, false, &problem),
				 STATUS_LOG_DAMAGED);
		ck_assert_msg(strstr(problem, "1 records have rotted") != NULL, "%s", problem);
	}
	if (_i == 0) { /* the file is put back */
		fixture_set_journal(&world.fixture, 0, good, size);
		fixture_open(&world.fixture, false);
		fixture_check_log(&world.fixture, &world.logs[0]);
		fixture_check_log(&world.fixture, &world.logs[1]);
	} else {
		ck_assert(try_accept(&world, "1", false).lost);
		fixture_check_clean(&world.fixture);
		fixture_open(&world.fixture, false);
		fixture_check_log(&world.fixture, &world.logs[1]);
		struct head head;
		ck_assert_int_eq(world.fixture.engine->ops->head(world.fixture.engine, TEXT("anna"),
								 &world.logs[0].genesis, &head),
				 STATUS_OK);
		ck_assert_uint_eq(head.position.seq, (EARLY + LATE) * ACTIONS);
	}
	free(good);
	world_release(&world);
}
END_TEST

START_TEST(nothing_is_accepted_where_nothing_is_lost)
{
	struct world world;
	world_init(&world);
	ck_assert(!try_accept(&world, "1", false).lost);
	ck_assert_str_eq(world.said, "");
	fixture_open(&world.fixture, false);
	check_logs(&world, EARLY + LATE);
	world_release(&world);
}
END_TEST

static void
accept_and_die(struct world *world, unsigned nth)
{
	disk.fatal_write = disk.writes + nth;
	(void)try_accept(world, "first", false);
	_exit(EXIT_SUCCESS);
}

#define STRIDE BY_SANITIZER(1, 1, 10)

/* One of each kind: the files are older, the shard begins anew, a journal file is made, and the anchor. */
static const size_t deadly[] = {0, 1, 5, 6};

START_TEST(the_tool_may_die_at_any_write)
{
	const struct loss_case *loss = &losses[deadly[_i]];
	unsigned deaths = 0;
	bool died = true;
	for (unsigned nth = 1; died; nth += STRIDE) {
		struct world world;
		int result = 0;
		world_init(&world);
		lose(&world, loss);
		const pid_t child = fork();
		ck_assert_int_ne(child, -1);
		if (child == 0)
			accept_and_die(&world, nth);
		ck_assert_int_eq(waitpid(child, &result, 0), child);
		died = WIFEXITED(result) && WEXITSTATUS(result) == DISK_DEATH;
		ck_assert(died || result == EXIT_SUCCESS);
		deaths += died;
		(void)try_accept(&world, "second", false);
		fixture_check_clean(&world.fixture);
		fixture_open(&world.fixture, false);
		check_logs(&world, loss->groups);
		world_release(&world);
	}
	ck_assert_uint_ge(deaths, 8 / STRIDE);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store_accept");
	TCase *tests = tcase_create("accept");
	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, a_loss_is_refused_until_it_is_accepted, 0, LOSSES);
	tcase_add_loop_test(tests, a_record_that_nobody_knows_whose_it_was_is_a_loss, 0, 2);
	tcase_add_test(tests, nothing_is_accepted_where_nothing_is_lost);
	tcase_add_loop_test(tests, the_tool_may_die_at_any_write, 0,
			    (int)(sizeof(deadly) / sizeof(deadly[0])));
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
