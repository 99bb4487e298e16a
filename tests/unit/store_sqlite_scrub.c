/* The walk through what is in place, for rot: no id, and no write meanwhile, makes it pass over a log. */
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support/rot_fixture.h"
#include "support/runner.h"

static off64_t unreadable = -1; /* a place in files that the disk cannot read */

/* In the place of the library's, whose names for the parameters are reserved. */
ssize_t
pread64(int fd, void *bytes, size_t size, // NOLINT(readability-inconsistent-*)
	off64_t at)
{
	if (at != unreadable)
		return syscall(SYS_pread64, fd, bytes, size, at);
	errno = ENODEV;
	return -1;
}

static struct walked
walk_all(struct world *world, uint64_t rows)
{
	struct engine *engine = world->fixture.engine;
	struct walk walk = {0};
	struct walked total = {0}, walked = {0};
	for (int steps = 0; !walked.ended; steps++) {
		ck_assert_int_lt(steps, 10000);
		ck_assert_int_eq(engine->ops->scrub(engine, &walk, rows, &walked), STATUS_OK);
		total.logs += walked.logs;
		total.damaged += walked.damaged;
	}
	return total;
}

/* A row of each log has rotted, and is so in the files from now on. */
static void
rot_everywhere(struct world *world)
{
	fixture_sql(&world->fixture, "UPDATE actions SET payload = 'x' || payload WHERE seq = 7");
	fixture_open(&world->fixture, false);
	ck_assert_int_eq(world->fixture.engine->ops->settle_down(world->fixture.engine), STATUS_OK);
	fixture_crash(&world->fixture);
	for (unsigned i = 0; i < 4; i++)
		free(world->files[i]);
	read_files(world);
}

/* The entry of an action in the index of stamps leads to another seq. */
static void
hide_stamp(struct world *world, int index, uint64_t seq)
{
	const struct model_action *action = &world->logs[index].actions[seq - 1];
	uint8_t entry[16];
	const size_t size = strlen(action->device), end = world->sizes[0] - sizeof(entry);
	memcpy(entry, action->device, size);
	for (size_t i = 0; i < 3; i++)
		entry[size + i] = (uint8_t)(action->ts >> (16 - 8 * i));
	entry[size + 3] = (uint8_t)seq;
	size_t at = 0;
	while (at < end && memcmp(world->files[0] + at, entry, size + 4) != 0)
		at++;
	ck_assert_uint_lt(at, end);
	entry[size + 3] ^= 32;
	put_file(world, at + size + 3, entry + size + 3, 1);
}

/* Where the row of a log is in the file: its cell is the payload's size, the id, the header. */
static size_t
id_of_log(struct world *world, int index)
{
	const uint8_t *bytes = world->files[0];
	const char *name = world->logs[index].name;
	const size_t from = (root_of(world, "logs") - 1) * world->page_size;
	for (size_t at = from; at < from + world->page_size; at++) {
		if (memcmp(bytes + at, name, strlen(name)) != 0)
			continue;
		for (size_t before = 6; before < 12; before++) {
			if (bytes[at - before] == index + 1 && bytes[at - before + 2] == 0)
				return at - before;
		}
	}
	ck_abort_msg("%s is not in its table", name);
}

/* A search for the ids behind such a one passes over some. */
START_TEST(an_id_that_rotted_hides_no_other_log_from_the_walk)
{
	struct world world;
	world_init(&world);
	rot_everywhere(&world);
	for (int index = 0; index < LOGS; index++) {
		for (int bit = 0; bit < 7; bit++) {
			const size_t at = id_of_log(&world, index);
			const uint8_t rotten = world.files[0][at] ^ (uint8_t)(1 << bit);
			put_file(&world, at, &rotten, 1);
			fixture_open(&world.fixture, false);
			const struct walked total = walk_all(&world, 100);
			ck_assert_uint_ge(total.damaged, LOGS);
			ck_assert_uint_le(total.damaged, LOGS + 1);
			fixture_crash(&world.fixture);
		}
	}
	world_release(&world);
}
END_TEST

START_TEST(actions_of_a_log_that_is_not_there_are_found)
{
	struct world world;
	world_init(&world);
	fixture_sql(&world.fixture, "DELETE FROM logs WHERE id IN (1, 5, 11, 12)");
	fixture_open(&world.fixture, false);
	for (uint64_t rows = 1; rows <= 1000; rows *= 10) {
		const struct walked total = walk_all(&world, rows);
		ck_assert_uint_eq(total.logs, LOGS);
		ck_assert_uint_eq(total.damaged, 4);
	}
	world_release(&world);
}
END_TEST

static bool
count_down(void *cookie)
{
	int *left = cookie;
	return *left > 0 && --*left > 0;
}

START_TEST(a_step_ends_when_it_is_told_and_the_walk_sees_all_in_the_end)
{
	struct world world;
	world_init(&world);
	fixture_sql(&world.fixture, "UPDATE actions SET ts = ts + 1 WHERE log = 3 AND seq = 20");
	fixture_sql(&world.fixture, "DELETE FROM logs WHERE id = 5");
	for (int asked = 0; asked < 12; asked += 5) {
		int left;
		struct walk walk = {.goes_on = count_down, .cookie = &left};
		struct walked walked = {0};
		uint64_t actions = 0, logs = 0, damaged = 0;
		fixture_open(&world.fixture, false);
		struct engine *engine = world.fixture.engine;
		for (int steps = 0; !walked.ended; steps++) {
			ck_assert_int_lt(steps, 10000);
			left = asked;
			ck_assert_int_eq(engine->ops->scrub(engine, &walk, 1000, &walked),
					 STATUS_OK);
			ck_assert_uint_le(walked.actions + walked.logs, (unsigned)asked + 2);
			actions += walked.actions;
			logs += walked.logs;
			damaged += walked.damaged;
		}
		ck_assert_uint_eq(logs, LOGS);
		ck_assert_uint_eq(damaged, 2);
		ck_assert_uint_eq(actions, (LOGS - 2) * ROUNDS * PER_ROUND + 19);
		fixture_crash(&world.fixture);
	}
	world_release(&world);
}
END_TEST

struct meanwhile {
	struct world *world;
	int index;
};

/* What is acknowledged while the walk looks at a log is in place before it has looked. */
static bool
write_meanwhile(void *cookie)
{
	struct meanwhile *meanwhile = cookie;
	struct engine *engine = meanwhile->world->fixture.engine;
	struct model_log *log = &meanwhile->world->logs[meanwhile->index];
	struct head head;
	if (engine->ops->head(engine, text_of(log->name), &log->genesis, &head) != STATUS_OK)
		return true; /* it takes no more */
	ck_assert_int_eq(write_own(meanwhile->world, meanwhile->index, 1), STATUS_OK);
	ck_assert_int_eq(engine->ops->settle_down(engine), STATUS_OK);
	return true;
}

START_TEST(a_log_whose_index_rotted_is_good_up_to_what_was_acknowledged_last)
{
	struct world world;
	struct meanwhile meanwhile = {&world, 2};
	struct walk walk = {.goes_on = write_meanwhile, .cookie = &meanwhile};
	struct walked walked = {0};
	world_init(&world);
	hide_stamp(&world, 2, 20);
	fixture_open(&world.fixture, false);
	struct engine *engine = world.fixture.engine;
	while (!walked.ended)
		ck_assert_int_eq(engine->ops->scrub(engine, &walk, 1000, &walked), STATUS_OK);
	struct head head;
	ck_assert_int_eq(engine->ops->head(engine, TEXT("log-c"), &world.logs[2].genesis, &head),
			 STATUS_LOG_DAMAGED);
	ck_assert_uint_gt(world.logs[2].count, ROUNDS * PER_ROUND);
	ck_assert_uint_eq(head.position.seq, world.logs[2].count);
	world_release(&world);
}
END_TEST

/* In the last few rows of a log, which have been read when the index is asked. */
START_TEST(an_index_that_cannot_be_read_is_a_fault_and_not_fine)
{
	struct world world;
	struct walked walked;
	world_init(&world);
	const uint64_t from = ROUNDS * PER_ROUND - 4;
	struct walk walk = {
		.log = 1, .inside = true, .at = {from, world.logs[0].actions[from - 1].link}};
	const uint64_t root = root_of(&world, "actions_stamp");
	fixture_open(&world.fixture, false);
	struct engine *engine = world.fixture.engine;
	unreadable = (off64_t)((root - 1) * world.page_size);
	ck_assert_int_eq(engine->ops->scrub(engine, &walk, 4, &walked), STATUS_STORAGE_UNAVAILABLE);
	unreadable = -1;
	ck_assert_uint_eq(walk_all(&world, 1000).damaged, 0);
	world_release(&world);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store_sqlite_scrub");
	TCase *tests = tcase_create("sqlite_scrub");
	tcase_set_timeout(tests, 120);
	tcase_add_test(tests, an_id_that_rotted_hides_no_other_log_from_the_walk);
	tcase_add_test(tests, actions_of_a_log_that_is_not_there_are_found);
	tcase_add_test(tests, a_step_ends_when_it_is_told_and_the_walk_sees_all_in_the_end);
	tcase_add_test(tests, a_log_whose_index_rotted_is_good_up_to_what_was_acknowledged_last);
	tcase_add_test(tests, an_index_that_cannot_be_read_is_a_fault_and_not_fine);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
