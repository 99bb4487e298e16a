/* What an index does not lead to is taken for absent only where that is proven; and what has rotted costs
 * no log but its own. */
#include "base/metrics.h"
#include "support/rot_fixture.h"
#include "support/runner.h"

/* Bytes of the index of names, wherever they stand in it, become others while the shard is open. */
static void
rot_names(struct world *world, const char *from, const char *to)
{
	const size_t page = (size_t)(root_of(world, "sqlite_autoindex_logs_1") - 1);
	const size_t begin = page * world->page_size, size = strlen(from);
	const int fd = open(world->fixture.path, O_WRONLY);
	for (size_t at = begin; at < begin + world->page_size - size; at++) {
		if (memcmp(world->files[0] + at, from, size) == 0)
			ck_assert_int_eq(pwrite(fd, to, size, (off_t)at), (ssize_t)size);
	}
	close(fd);
	/* A commit makes connections forget the pages that they have in memory. */
	fixture_sql(&world->fixture, "UPDATE in_place SET generation = generation + 1;"
				     " UPDATE in_place SET generation = generation - 1");
}

START_TEST(an_action_of_a_log_in_the_tail_is_found_whatever_the_index_of_names_says)
{
	struct world world;
	world_init(&world);
	struct model_log *log = &world.logs[2];
	fixture_open(&world.fixture, false);
	ck_assert_int_eq(write_own(&world, 2, 3), STATUS_OK);
	rot_names(&world, "log-c", "lof-c");
	for (uint64_t seq = 1; seq <= log->count; seq++) {
		const struct text device = text_of(log->actions[seq - 1].device);
		struct lookup lookup = {
			.kind = LOOKUP_TAKEN, .device = device, .ts = log->actions[seq - 1].ts};
		lookup = fixture_ask(&world.fixture, log, lookup);
		ck_assert_int_eq(lookup.status, STATUS_OK);
		ck_assert(lookup.taken.found && lookup.taken.seq == seq);
		lookup = (struct lookup){.kind = LOOKUP_LINK, .seq = seq};
		lookup = fixture_ask(&world.fixture, log, lookup);
		ck_assert(lookup.status == STATUS_OK && lookup.found);
	}
	world_release(&world);
}
END_TEST

/* --- neighbours --- */

struct asked {
	unsigned marked;  /* logs */
	unsigned doubted; /* logs with an answer that was refused without a mark */
};

static bool
is_in_doubt(struct world *world, const struct model_log *log)
{
	static const char *const devices[] = {"aaa", "device-0", "device-1", "zzz"};
	bool in_doubt = false;
	for (size_t n = 0; n < log->count; n += 5) {
		const struct model_action *action = &log->actions[n];
		struct lookup lookup = {
			.kind = LOOKUP_TAKEN, .device = text_of(action->device), .ts = action->ts};
		lookup = fixture_ask(&world->fixture, log, lookup);
		ck_assert(lookup.status != STATUS_OK ||
			  (lookup.taken.found && lookup.taken.seq == n + 1));
		in_doubt = in_doubt || lookup.status == STATUS_INDEX_DAMAGED;
	}
	for (size_t n = 0; n < sizeof(devices) / sizeof(devices[0]); n++) {
		struct lookup lookup = {.kind = LOOKUP_NEWEST, .device = text_of(devices[n])};
		lookup = fixture_ask(&world->fixture, log, lookup);
		in_doubt = in_doubt || lookup.status == STATUS_INDEX_DAMAGED;
	}
	return in_doubt;
}

/* Asks each log for what is there, and for what is not at both its ends and in its middle. */
static struct asked
ask_all(struct world *world)
{
	struct asked asked = {0};
	for (int i = 0; i < LOGS; i++) {
		const struct model_log *log = &world->logs[i];
		asked.doubted += is_in_doubt(world, log);
		const struct lookup lookup =
			fixture_ask(&world->fixture, log, (struct lookup){.kind = LOOKUP_HEAD});
		asked.marked += lookup.status == STATUS_LOG_DAMAGED;
	}
	return asked;
}

/* Before the link stands the last byte of the stamp, and before that and the device the log's number. */
static struct asked
ask_with_rotten_first_action(struct world *world, int index, int offset)
{
	const struct hash *link = &world->logs[index].actions[0].link;
	const uint8_t *at = memmem(world->files[0], world->sizes[0], link, sizeof(*link));
	ck_assert_ptr_nonnull(at);
	const uint8_t rotten = at[offset] ^ 64;
	put_file(world, (size_t)(at + offset - world->files[0]), &rotten, 1);
	fixture_open(&world->fixture, false);
	const struct asked asked = ask_all(world);
	fixture_crash(&world->fixture);
	return asked;
}

START_TEST(a_rotten_first_action_costs_no_log_but_its_own)
{
	struct world world;
	world_init(&world);
	for (int i = 1; i < LOGS; i++) {
		const struct asked changed = ask_with_rotten_first_action(&world, i, -1);
		ck_assert_uint_le(changed.marked, 1);
		ck_assert_uint_eq(changed.doubted, 0);
		const struct asked lost = ask_with_rotten_first_action(&world, i, -12);
		/* A search for the next log's on that page may end at the key that is out of order. */
		ck_assert_uint_le(lost.marked, 2);
		ck_assert_uint_eq(lost.doubted, 0);
	}
	world_release(&world);
}
END_TEST

/* Whatever byte of whatever entry it is: its log, the device, the stamp or the seq. Answers in doubt are its
 * log's and a neighbour's; more only where the search itself goes astray. */
START_TEST(a_rotten_entry_of_the_index_of_stamps_condemns_no_log)
{
	struct world world;
	world_init(&world);
	const size_t begin = (size_t)(root_of(&world, "actions_stamp") - 1) * world.page_size;
	unsigned trials = 0, doubted = 0, astray = 0, nth = 0;
	for (size_t at = begin; at < begin + world.page_size - 12; at++) {
		if (memcmp(world.files[0] + at, "device-", 7) != 0 || nth++ % 11 != 0)
			continue;
		for (size_t byte = at - 1; byte < at + 12; byte++) {
			const uint8_t rotten =
				world.files[0][byte] ^ (uint8_t)(1 << (byte + trials) % 8);
			put_file(&world, byte, &rotten, 1);
			fixture_open(&world.fixture, false);
			const struct asked asked = ask_all(&world);
			ck_assert_msg(asked.marked == 0, "byte %zu of entry %u: %u logs", byte - at,
				      nth, asked.marked);
			doubted += asked.doubted > 0;
			astray += asked.doubted > 2;
			trials++;
			fixture_crash(&world.fixture);
		}
	}
	printf("# %u rotten entries, %u with answers in doubt, %u with those of several logs\n",
	       trials, doubted, astray);
	ck_assert_uint_lt(astray, trials / 50);
	ck_assert_uint_gt(trials, 200);
	world_release(&world);
}
END_TEST

/* --- names --- */

/* The number behind a name in the index is another log's. */
START_TEST(a_name_leads_to_no_other_log)
{
	struct world world;
	unsigned trials = 0;
	world_init(&world);
	const size_t begin =
		(size_t)(root_of(&world, "sqlite_autoindex_logs_1") - 1) * world.page_size;
	for (size_t at = begin; at < begin + world.page_size - 6; at++) {
		if (memcmp(world.files[0] + at, "log-", 4) != 0)
			continue;
		for (unsigned bit = 0; bit < 8; bit++) {
			const uint8_t rotten = world.files[0][at + 5] ^ (uint8_t)(1 << bit);
			put_file(&world, at + 5, &rotten, 1);
			fixture_open(&world.fixture, false);
			const uint64_t marked = counter_value(COUNTER_DAMAGED);
			for (int i = 0; i < LOGS; i++) {
				const struct model_log *log = &world.logs[i];
				struct head head;
				const enum status status = world.fixture.engine->ops->head(
					world.fixture.engine, text_of(log->name), &log->genesis,
					&head);
				ck_assert(status == STATUS_INDEX_DAMAGED ||
					  (status == STATUS_OK &&
					   hash_equal(&head.position.link,
						      &log->head.position.link)));
			}
			trials++;
			ck_assert_uint_eq(counter_value(COUNTER_DAMAGED), marked);
			fixture_crash(&world.fixture);
		}
	}
	printf("# %u rotten numbers\n", trials);
	ck_assert_uint_gt(trials, 80);
	world_release(&world);
}
END_TEST

/* --- names that nobody has --- */

/* One byte of a name has rotted, in its row or in the index. */
static unsigned
ask_for_nobody(struct world *world)
{
	static const char *const names[] = {"a",      "log-",  "log-a1", "log-b",  "log-c1",
					    "log-d1", "log-l", "log-l1", "log-zz", "m"};
	const struct engine_ops *ops = world->fixture.engine->ops;
	unsigned refused = 0;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct model_log log;
		struct head head;
		model_init(&log, names[i]);
		const struct lookup lookup =
			fixture_ask(&world->fixture, &log, (struct lookup){.kind = LOOKUP_HEAD});
		const enum status status =
			ops->head(world->fixture.engine, text_of(names[i]), &log.genesis, &head);
		ck_assert_int_eq(status, lookup.status);
		ck_assert(status == STATUS_OK || status == STATUS_INDEX_DAMAGED);
		refused += status != STATUS_OK;
		model_free(&log);
	}
	return refused;
}

START_TEST(a_name_that_nobody_has_is_no_damaged_log)
{
	struct world world;
	unsigned refused = 0, trials = 0;
	world_init(&world);
	for (size_t at = 0; at < world.sizes[0] - 5; at++) {
		if (memcmp(world.files[0] + at, "log-c", 5) != 0 &&
		    memcmp(world.files[0] + at, "log-d", 5) != 0)
			continue;
		for (unsigned bit = 0; bit < 8; bit++) {
			const uint8_t rotten = world.files[0][at + 4] ^ (uint8_t)(1 << bit);
			put_file(&world, at + 4, &rotten, 1);
			fixture_open(&world.fixture, false);
			const uint64_t marked = counter_value(COUNTER_DAMAGED);
			refused += ask_for_nobody(&world);
			trials += 10;
			ck_assert_uint_eq(counter_value(COUNTER_DAMAGED), marked);
			fixture_crash(&world.fixture);
		}
	}
	printf("# %u names, %u refused\n", trials, refused);
	ck_assert_uint_lt(refused, trials / 5);
	world_release(&world);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store_sqlite_absent");
	TCase *tests = tcase_create("sqlite_absent");
	tcase_set_timeout(tests, 120);
	tcase_add_test(tests,
		       an_action_of_a_log_in_the_tail_is_found_whatever_the_index_of_names_says);
	tcase_add_test(tests, a_rotten_first_action_costs_no_log_but_its_own);
	tcase_add_test(tests, a_rotten_entry_of_the_index_of_stamps_condemns_no_log);
	tcase_add_test(tests, a_name_leads_to_no_other_log);
	tcase_add_test(tests, a_name_that_nobody_has_is_no_damaged_log);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
