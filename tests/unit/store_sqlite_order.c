/* The order of the rows, looked at in steps: whatever has rotted, they say what one look at all says. */
#include "store/sqlite/order.h"
#include "support/runner.h"
#include "support/store_fixture.h"

#define LOGS 3
#define ACTIONS 300
#define PAYLOAD_MAX 20
#define PAGE_SIZE ((size_t)8192)

struct world {
	struct fixture fixture;
	struct model_log logs[LOGS];
	uint8_t *bytes; /* of the file */
	size_t size;
	uint64_t kept, broken; /* how often */
};

static void
world_init(struct world *world)
{
	*world = (struct world){.kept = 0};
	fixture_init(&world->fixture);
	fixture_open(&world->fixture, true);
	for (int i = 0; i < LOGS; i++) {
		char name[32];
		snprintf(name, sizeof(name), "log-%d", i);
		model_init(&world->logs[i], name);
		fixture_write(&world->fixture, &world->logs[i], ACTIONS, PAYLOAD_MAX);
	}
	ck_assert_int_eq(world->fixture.engine->ops->settle_down(world->fixture.engine), STATUS_OK);
	fixture_crash(&world->fixture);
	world->bytes = fixture_file(&world->fixture, ".db", &world->size);
}

static void
world_release(struct world *world)
{
	for (int i = 0; i < LOGS; i++)
		model_free(&world->logs[i]);
	free(world->bytes);
	fixture_remove(&world->fixture);
}

static enum status
look_in_steps(struct db *db, uint64_t step)
{
	struct order order;
	struct ordering ordering = {0};
	enum status status = order_prepare(&order, db);
	ck_assert_int_eq(status, STATUS_OK);
	for (size_t i = 0; status == STATUS_OK && !ordering.ended; i++) {
		uint64_t rows = step;
		ck_assert_int_eq(db_begin(db, false), STATUS_OK);
		status = order_step(&order, &ordering, &rows);
		db_rollback(db);
		ck_assert_uint_le(i, LOGS * ACTIONS);
	}
	return status;
}

/* As the file is now. */
static void
compare(struct world *world)
{
	static const uint64_t steps[] = {1, 14, 200, UINT64_MAX};
	struct db *db;
	const char *problem;
	bool is_kept;
	uint64_t rows;
	if (db_open(world->fixture.path, DB_READ, &db, &problem) != STATUS_OK)
		return;
	if (order_check(db, ORDER_OF_ACTIONS, &is_kept) != STATUS_OK ||
	    db_query_u64(db, "SELECT count(*) FROM actions NOT INDEXED", &rows) != STATUS_OK) {
		db_close(db);
		return;
	}
	*(is_kept ? &world->kept : &world->broken) += 1;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		const enum status status = look_in_steps(db, steps[i]);
		/* What another table's page has for keys may be none that a search finds again. */
		if (is_kept && rows < LOGS * ACTIONS && status == STATUS_LOG_DAMAGED)
			continue;
		ck_assert_int_eq(status, is_kept ? STATUS_OK : STATUS_LOG_DAMAGED);
	}
	db_close(db);
}

START_TEST(rows_in_order_are_said_to_be)
{
	struct world world;
	world_init(&world);
	compare(&world);
	ck_assert_uint_eq(world.kept, 1);
	world_release(&world);
}
END_TEST

/* The body of a record begins with log and seq; the device is behind them. What a split has left of it where
 * nothing stands any more rots as well. */
static size_t
rot_key(const struct world *world, uint8_t *bytes, const struct model_action *action, uint64_t seq,
	int kind)
{
	const size_t seq_size = seq < 128 ? 1 : 2;
	const uint8_t *end = bytes + world->size;
	uint8_t *link = memmem(bytes, world->size, action->link.bytes, HASH_SIZE);
	size_t count = 0;
	while (link != NULL) {
		uint8_t *device = link;
		while (device > bytes + 3 && memcmp(device, "device-", 7) != 0)
			device--;
		uint8_t *log = device - seq_size - 1;
		const bool is_key = *log == 2 && device[-1] == (uint8_t)seq;
		if (is_key && kind < 2)
			*log = kind == 0 ? 0 : 3; /* another log, before or behind it */
		else if (is_key)
			device[-1] ^= kind == 2 ? 0x10 : 1;
		count += is_key;
		link = memmem(link + 1, (size_t)(end - link - 1), action->link.bytes, HASH_SIZE);
	}
	return count;
}

START_TEST(a_rotten_key_is_met_wherever_a_step_ends)
{
	struct world world;
	world_init(&world);
	uint8_t *bytes = malloc(world.size);
	ck_assert_ptr_nonnull(bytes);
	/* The seq 1 takes no byte. */
	for (size_t i = 1; i < ACTIONS; i++) {
		memcpy(bytes, world.bytes, world.size);
		ck_assert_uint_gt(rot_key(&world, bytes, &world.logs[1].actions[i], i + 1, _i), 0);
		fixture_set_file(&world.fixture, ".db", bytes, world.size);
		compare(&world);
	}
	ck_assert_uint_gt(world.broken, ACTIONS / 2);
	free(bytes);
	world_release(&world);
}
END_TEST

/* A page that was written to another's place, or two that were swapped. */
START_TEST(a_page_in_anothers_place_is_met_wherever_a_step_ends)
{
	struct world world;
	world_init(&world);
	uint8_t *bytes = malloc(world.size);
	ck_assert_ptr_nonnull(bytes);
	const size_t pages = world.size / PAGE_SIZE;
	for (size_t from = 1; from < pages; from++) {
		for (size_t to = 1; to < pages; to++) {
			memcpy(bytes, world.bytes, world.size);
			memcpy(bytes + to * PAGE_SIZE, world.bytes + from * PAGE_SIZE, PAGE_SIZE);
			if (_i == 1)
				memcpy(bytes + from * PAGE_SIZE, world.bytes + to * PAGE_SIZE,
				       PAGE_SIZE);
			fixture_set_file(&world.fixture, ".db", bytes, world.size);
			compare(&world);
		}
	}
	ck_assert_uint_gt(world.broken, pages);
	ck_assert_uint_ge(world.kept, pages - 1);
	free(bytes);
	world_release(&world);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store_sqlite_order");
	TCase *tests = tcase_create("order");
	tcase_set_timeout(tests, 120);
	tcase_add_test(tests, rows_in_order_are_said_to_be);
	tcase_add_loop_test(tests, a_rotten_key_is_met_wherever_a_step_ends, 0, 4);
	tcase_add_loop_test(tests, a_page_in_anothers_place_is_met_wherever_a_step_ends, 0, 2);
	suite_add_tcase(suite, tests);
	return runner_run(srunner_create(suite));
}
