/* What no link covers: indexes, malformed pages, the walk for rot. Rot there hides nothing and costs no
 * log that it did not touch. */
#include "support/rot_fixture.h"
#include "support/runner.h"

static bool
is_refused(enum status status)
{
	return status == STATUS_LOG_DAMAGED || status == STATUS_INDEX_DAMAGED;
}

/* Writes to every log what it takes. How many took it. */
static int
write_all(struct world *world)
{
	struct engine *engine = world->fixture.engine;
	int taken = 0;
	for (int i = 0; i < LOGS; i++) {
		struct model_log *log = &world->logs[i];
		struct lookup lookup =
			fixture_ask(&world->fixture, log, (struct lookup){.kind = LOOKUP_HEAD});
		if (is_refused(lookup.status))
			continue;
		const struct head before = log->head;
		const enum status status = fixture_write(&world->fixture, log, 2, 60);
		ck_assert_msg(status == STATUS_OK || is_refused(status), "status %d", status);
		taken += status == STATUS_OK;
		if (status == STATUS_OK)
			continue;
		model_truncate(log, log->count - 2);
		log->head = before;
	}
	ck_assert_int_eq(engine->ops->settle_down(engine), STATUS_OK);
	return taken;
}

/* Who received a row, and when, is covered by nothing. */
static bool
check_link(void *cookie, const struct row *row)
{
	struct reading_check *check = cookie;
	ck_assert_uint_eq(row->seq, check->next);
	const struct model_action *expected = &check->log->actions[check->next++ - 1];
	ck_assert(hash_equal(&row->link, &expected->link));
	ck_assert(hash_equal(&row->digest, &expected->digest));
	return true;
}

/* Every log is whole, or damaged and good so far. How many are whole. */
static int
read_logs(struct world *world)
{
	struct engine *engine = world->fixture.engine;
	int whole = 0;
	for (int i = 0; i < LOGS; i++) {
		struct model_log *log = &world->logs[i];
		const struct range range = {.upto = log->count, .rows_max = 1000};
		struct reading_check check = {log, 1};
		struct position start, end;
		struct head head;
		const struct text name = text_of(log->name);
		(void)engine->ops->head(engine, name, &log->genesis, &head);
		const enum status status = engine->ops->read(engine, name, &log->genesis, &range,
							     check_link, &check, &start, &end);
		ck_assert(status == STATUS_OK || is_refused(status));
		ck_assert(is_refused(status) || end.seq == log->count);
		whole += status == STATUS_OK;
	}
	return whole;
}

/* --- indexes --- */

/* Every log is there and no other in its place, or its head is refused. */
static void
look_for_logs(struct world *world)
{
	for (int i = 0; i < LOGS; i++) {
		const struct model_log *log = &world->logs[i];
		const struct hash *newest = &log->head.position.link;
		const struct lookup lookup =
			fixture_ask(&world->fixture, log, (struct lookup){.kind = LOOKUP_HEAD});
		ck_assert(is_refused(lookup.status) ||
			  hash_equal(&lookup.head.position.link, newest));
		struct head head;
		struct engine *engine = world->fixture.engine;
		const enum status status =
			engine->ops->head(engine, text_of(log->name), &log->genesis, &head);
		ck_assert(is_refused(status) ||
			  (status == STATUS_OK && hash_equal(&head.position.link, newest)));
	}
}

/* So is every stamp, and each device's newest. */
static void
look_for_stamps(struct world *world)
{
	for (int i = 0; i < LOGS; i++) {
		struct model_log *log = &world->logs[i];
		for (size_t n = (size_t)i % 3; n < log->count; n += 3) {
			const struct model_action *action = &log->actions[n];
			struct lookup lookup = {.kind = LOOKUP_TAKEN,
						.device = text_of(action->device),
						.ts = action->ts};
			lookup = fixture_ask(&world->fixture, log, lookup);
			ck_assert(is_refused(lookup.status) ||
				  (lookup.taken.found && lookup.taken.seq == n + 1));
			lookup = (struct lookup){.kind = LOOKUP_NEWEST,
						 .device = text_of(action->device)};
			lookup = fixture_ask(&world->fixture, log, lookup);
			ck_assert(is_refused(lookup.status) || lookup.newest >= action->ts);
		}
	}
}

/* A whole walk, in steps of so many rows. */
static struct walked
walk_all(struct world *world, uint64_t rows)
{
	struct engine *engine = world->fixture.engine;
	struct walk walk = {0};
	struct walked total = {0}, walked = {0};
	for (int steps = 0; !walked.ended; steps++) {
		ck_assert_int_lt(steps, 10000);
		ck_assert_int_eq(engine->ops->scrub(engine, &walk, rows, &walked), STATUS_OK);
		ck_assert_uint_le(walked.actions, rows);
		total.logs += walked.logs;
		total.actions += walked.actions;
		total.damaged += walked.damaged;
	}
	return total;
}

static void
walk_and_look(struct world *world)
{
	(void)walk_all(world, 100);
	look_for_stamps(world);
}

/* One bit after the other of a page is flipped; what an index then hides is not taken for absent. */
static void
sweep_page(struct world *world, uint64_t page, size_t stride, void (*look)(struct world *))
{
	const size_t from = (page - 1) * world->page_size;
	size_t trials = 0, refused = 0;
	for (size_t at = from; at < from + world->page_size; at += stride) {
		const uint8_t rotten = world->files[0][at] ^ (uint8_t)(1 << at % 8);
		const char *problem;
		if (world->files[0][at] == 0 && at > from + 200 && at % 64 != 0)
			continue; /* most of it is free */
		/* The log's number or ts becomes NULL (serial types 0, 10, 11): see absent.h. */
		if (look != walk_and_look &&
		    (world->files[0][at - 1] == 5 ||
		     world->files[0][at - 1] == DEVICE_SERIAL_TYPE) &&
		    (rotten == 0 || rotten == 10 || rotten == 11))
			continue;
		put_file(world, at, &rotten, 1);
		trials++;
		if (fixture_try_open(&world->fixture, false, &problem) != STATUS_OK) {
			refused++;
			continue;
		}
		look(world);
		fixture_crash(&world->fixture);
	}
	ck_assert_uint_gt(trials, 20);
	printf("# page %lu: %zu flipped bits, %zu refused\n", page, trials, refused);
}

START_TEST(a_log_that_the_index_of_names_hides_is_not_empty)
{
	struct world world;
	world_init(&world);
	sweep_page(&world, root_of(&world, "sqlite_autoindex_logs_1"), 3, look_for_logs);
	world_release(&world);
}
END_TEST

START_TEST(an_action_that_the_index_of_stamps_hides_is_not_new)
{
	struct world world;
	world_init(&world);
	sweep_page(&world, root_of(&world, "actions_stamp"), 29, look_for_stamps);
	world_release(&world);
}
END_TEST

/* Some bits of the index hide a stamp from everybody but the walk. */
START_TEST(the_walk_finds_each_rotten_entry_of_the_index_of_stamps)
{
	struct world world;
	world_init(&world);
	sweep_page(&world, root_of(&world, "actions_stamp"), 31, walk_and_look);
	world_release(&world);
}
END_TEST

static void
walk_only(struct world *world)
{
	(void)walk_all(world, 3);
}

START_TEST(the_walk_ends_whatever_has_rotted)
{
	struct world world;
	world_init(&world);
	sweep_page(&world, root_of(&world, "logs"), 3, walk_only);
	put_file(&world, 0, world.files[0], 1);
	fixture_sql(&world.fixture, "UPDATE logs SET id = 1 << 60 WHERE id = 5");
	fixture_sql(&world.fixture, "UPDATE logs SET id = -7 WHERE id = 6");
	fixture_open(&world.fixture, false);
	ck_assert_uint_ge(walk_all(&world, 100).damaged, 1);
	fixture_crash(&world.fixture);
	sweep_page(&world, root_of(&world, "actions"), 43, walk_only);
	world_release(&world);
}
END_TEST

START_TEST(the_walk_of_a_healthy_store_sees_all_of_it_and_finds_nothing)
{
	static const uint64_t steps[] = {1, 7, 1000};
	struct world world;
	world_init(&world);
	fixture_open(&world.fixture, false);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		const struct walked total = walk_all(&world, steps[i]);
		ck_assert_uint_eq(total.logs, LOGS);
		ck_assert_uint_eq(total.actions, LOGS * ROUNDS * PER_ROUND);
		ck_assert_uint_eq(total.damaged, 0);
	}
	ck_assert_int_eq(write_own(&world, 0, 3), STATUS_OK);
	ck_assert_uint_eq(walk_all(&world, 1000).damaged, 0);
	world_release(&world);
}
END_TEST

START_TEST(the_walk_marks_the_log_that_has_rotted_and_goes_on)
{
	static const struct {
		const char *sql;
		uint64_t good;
	} cases[] = {
		{"UPDATE actions SET payload = payload || 'x' WHERE log = 3 AND seq = 20", 19},
		{"UPDATE actions SET link = zeroblob(32) WHERE log = 3 AND seq = 1", 0},
		{"DELETE FROM actions WHERE log = 3 AND seq = 32", 31},
		{"UPDATE logs SET link = zeroblob(32) WHERE id = 3", 32},
		{"INSERT INTO actions VALUES (3, 33, 'd', 1, zeroblob(32), 't', '')", 32},
		{"UPDATE logs SET seq = 31 WHERE id = 3", 31},
	};
	struct world world;
	world_init(&world);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		put_file(&world, 0, world.files[0], 1);
		fixture_sql(&world.fixture, cases[i].sql);
		fixture_open(&world.fixture, false);
		const struct walked total = walk_all(&world, 5);
		ck_assert_uint_eq(total.damaged, 1);
		ck_assert_uint_eq(total.logs, LOGS);
		struct head head;
		struct engine *engine = world.fixture.engine;
		ck_assert_int_eq(
			engine->ops->head(engine, TEXT("log-c"), &world.logs[2].genesis, &head),
			STATUS_LOG_DAMAGED);
		ck_assert_uint_eq(head.position.seq, cases[i].good);
		ck_assert_uint_eq(walk_all(&world, 5).damaged, 1);
		ck_assert_int_eq(read_logs(&world),
				 cases[i].good == ROUNDS * PER_ROUND ? LOGS : LOGS - 1);
		fixture_crash(&world.fixture);
	}
	world_release(&world);
}
END_TEST

/* --- malformed pages --- */

static bool
is_needed(struct world *world, uint64_t page)
{
	return page == 1 || page == root_of(world, "shard") || page == root_of(world, "in_place") ||
	       page == root_of(world, "journal");
}

START_TEST(a_malformed_page_costs_the_logs_that_are_on_it_and_no_other)
{
	struct world world;
	world_init(&world);
	const uint64_t pages = world.sizes[0] / world.page_size;
	int whole_max = 0;
	for (uint64_t page = 1; page <= pages; page++) {
		const size_t at = (page - 1) * world.page_size;
		const uint8_t rotten[8] = {0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee};
		const char *problem = "";
		put_file(&world, 0, world.files[0], 1);
		if (is_needed(&world, page))
			continue;
		put_file(&world, at, rotten, sizeof(rotten));
		ck_assert_msg(fixture_try_open(&world.fixture, false, &problem) == STATUS_OK,
			      "page %lu: %s", page, problem);
		const int taken = write_all(&world);
		const int whole = read_logs(&world);
		ck_assert_int_le(whole, taken);
		fixture_crash(&world.fixture);
		/* It rises again, and what was acknowledged is in place or kept. */
		fixture_open(&world.fixture, false);
		const int again = read_logs(&world);
		ck_assert_int_eq(again, whole);
		fixture_crash(&world.fixture);
		printf("# page %lu: %d logs take actions, %d are whole\n", page, taken, whole);
		whole_max = whole > whole_max ? whole : whole_max;
		for (int i = 0; i < LOGS; i++) {
			struct model_log *log = &world.logs[i];
			model_truncate(log, ROUNDS * PER_ROUND);
			log->head = model_head_at(log, log->count);
		}
	}
	ck_assert_int_gt(whole_max, LOGS / 2);
	world_release(&world);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store_sqlite_rot");
	TCase *tests = tcase_create("sqlite_rot");
	tcase_set_timeout(tests, 120);
	tcase_add_test(tests, a_log_that_the_index_of_names_hides_is_not_empty);
	tcase_add_test(tests, an_action_that_the_index_of_stamps_hides_is_not_new);
	tcase_add_test(tests, the_walk_finds_each_rotten_entry_of_the_index_of_stamps);
	tcase_add_test(tests, the_walk_ends_whatever_has_rotted);
	tcase_add_test(tests, the_walk_of_a_healthy_store_sees_all_of_it_and_finds_nothing);
	tcase_add_test(tests, the_walk_marks_the_log_that_has_rotted_and_goes_on);
	tcase_add_test(tests, a_malformed_page_costs_the_logs_that_are_on_it_and_no_other);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
