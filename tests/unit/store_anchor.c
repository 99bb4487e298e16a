/* A shard's anchor: what was written last is what counts, whatever a crash or rot does to a slot. */
#include "base/log.h"
#include "store/sqlite/anchor.h"
#include "support/power.h"
#include "support/engine_fixture.h"
#include "support/runner.h"

#define ID (const uint8_t *)"0123456789abcdef"
#define FILE_SIZE (4096 + 64)
#define SLOT_SIZE 64
#define MOMENTS 40

struct world {
	struct fixture fixture; /* its folder */
	char path[1100];
	struct anchor anchor;
};

static void
open_anchor(struct world *world)
{
	const char *problem = "";
	ck_assert_msg(anchor_open(&world->anchor, world->path, ID, true, &problem) == STATUS_OK,
		      "%s", problem);
}

static void
world_init(struct world *world)
{
	const char *problem;
	memset(world, 0, sizeof(*world));
	log_configure(LOG_ERROR, LOG_LOGFMT);
	fixture_init(&world->fixture);
	snprintf(world->path, sizeof(world->path), "%s/shard-00.anchor", world->fixture.dir);
	ck_assert_int_eq(anchor_create(world->path, ID, 0, &problem), STATUS_OK);
	open_anchor(world);
}

static void
world_release(struct world *world)
{
	anchor_close(&world->anchor);
	fixture_remove(&world->fixture);
}

static void
write_anchor(struct world *world, uint64_t last)
{
	anchor_synced(&world->anchor, last);
	anchor_filed(&world->anchor, 2 * last, 8192 * last);
	ck_assert_int_eq(anchor_write(&world->anchor), STATUS_OK);
}

static void
get_bytes(struct world *world, uint8_t bytes[FILE_SIZE])
{
	const int fd = open(world->path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(read(fd, bytes, FILE_SIZE), FILE_SIZE);
	close(fd);
}

static void
set_bytes(struct world *world, const uint8_t *bytes, size_t size)
{
	const int fd = open(world->path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	ck_assert_int_eq(write(fd, bytes, size), (ssize_t)size);
	close(fd);
}

/* What an anchor with these bytes says; or UINT64_MAX when it is refused, with words. */
static uint64_t
last_of(struct world *world, const uint8_t *bytes, size_t size, const char *words)
{
	struct anchor anchor;
	const char *problem = "";
	set_bytes(world, bytes, size);
	const enum status status = anchor_open(&anchor, world->path, ID, false, &problem);
	if (status == STATUS_OK) {
		const uint64_t last = anchor.last;
		ck_assert_uint_eq(anchor.filed, 2 * last);
		ck_assert_uint_eq(anchor.size, 8192 * last);
		anchor_close(&anchor);
		return last;
	}
	ck_assert_int_eq(status, STATUS_LOG_DAMAGED);
	ck_assert_msg(strstr(problem, words) != NULL, "%s", problem);
	ck_assert_msg(strstr(problem, world->path) != NULL, "%s", problem);
	return UINT64_MAX;
}

START_TEST(what_was_written_last_counts)
{
	struct world world;
	world_init(&world);
	ck_assert_uint_eq(world.anchor.last, 0);
	for (uint64_t last = 1; last < 20; last++) {
		write_anchor(&world, last * last);
		if (last % 3 == 0) {
			anchor_close(&world.anchor);
			open_anchor(&world);
		}
		ck_assert_uint_eq(world.anchor.last, last * last);
		ck_assert_uint_eq(world.anchor.filed, 2 * last * last);
	}
	world_release(&world);
}
END_TEST

/* Of the slot's bytes only the first so many came; or only the others. */
START_TEST(a_write_that_is_torn_anywhere_leaves_the_one_before)
{
	struct world world;
	uint8_t before[FILE_SIZE], after[FILE_SIZE], torn[FILE_SIZE];
	world_init(&world);
	for (uint64_t last = 5; last <= 6; last++) {
		get_bytes(&world, before);
		const uint64_t old = world.anchor.last;
		write_anchor(&world, last);
		get_bytes(&world, after);
		const size_t slot = memcmp(before, after, SLOT_SIZE) == 0 ? 4096 : 0;
		for (size_t size = 0; size <= SLOT_SIZE; size++) {
			memcpy(torn, before, FILE_SIZE);
			memcpy(torn + slot, after + slot, size);
			const bool whole = memcmp(torn, after, FILE_SIZE) == 0;
			ck_assert_uint_eq(last_of(&world, torn, FILE_SIZE, ""), whole ? last : old);
			memcpy(torn, after, FILE_SIZE);
			memcpy(torn + slot, before + slot, size);
			const bool none = memcmp(torn, before, FILE_SIZE) == 0;
			const bool all = memcmp(torn, after, FILE_SIZE) == 0;
			ck_assert(none || all || last_of(&world, torn, FILE_SIZE, "") == old);
		}
		set_bytes(&world, after, FILE_SIZE);
	}
	world_release(&world);
}
END_TEST

START_TEST(a_rotten_slot_is_not_believed_and_two_are_refused)
{
	struct world world;
	uint8_t bytes[FILE_SIZE];
	world_init(&world);
	write_anchor(&world, 7);
	write_anchor(&world, 9);
	get_bytes(&world, bytes);
	const size_t newer = world.anchor.turn % 2 == 0 ? 4096 : 0, older = 4096 - newer;
	for (size_t bit = 0; bit < (size_t)8 * SLOT_SIZE; bit++) {
		const uint8_t mask = (uint8_t)(1 << bit % 8);
		bytes[newer + bit / 8] ^= mask;
		ck_assert_uint_eq(last_of(&world, bytes, FILE_SIZE, ""), 7);
		bytes[older + 40] ^= 1;
		ck_assert_uint_eq(last_of(&world, bytes, FILE_SIZE, "both of its slots"),
				  UINT64_MAX);
		bytes[older + 40] ^= 1;
		bytes[newer + bit / 8] ^= mask;
		bytes[older + bit / 8] ^= mask;
		ck_assert_uint_eq(last_of(&world, bytes, FILE_SIZE, ""), 9);
		bytes[older + bit / 8] ^= mask;
	}
	world_release(&world);
}
END_TEST

START_TEST(a_missing_a_foreign_and_an_emptied_anchor_are_refused)
{
	struct world world;
	struct anchor other;
	uint8_t bytes[FILE_SIZE];
	const char *problem = "";
	world_init(&world);
	write_anchor(&world, 7);
	get_bytes(&world, bytes);
	for (size_t size = 0; size < SLOT_SIZE; size++)
		ck_assert_uint_eq(last_of(&world, bytes, size, "no anchor"), UINT64_MAX);
	set_bytes(&world, bytes, FILE_SIZE);
	ck_assert_int_eq(anchor_open(&other, world.path, (const uint8_t *)"another shard's!", false,
				     &problem),
			 STATUS_LOG_DAMAGED);
	ck_assert_ptr_nonnull(strstr(problem, "is not the anchor"));
	ck_assert_int_eq(anchor_create(world.path, ID, 0, &problem), STATUS_STORAGE_UNAVAILABLE);
	ck_assert_int_eq(unlink(world.path), 0);
	ck_assert_int_eq(anchor_open(&other, world.path, ID, false, &problem), STATUS_LOG_DAMAGED);
	ck_assert_ptr_nonnull(strstr(problem, "No such file"));
	world_release(&world);
}
END_TEST

/* What a power cut left at each moment, and what was known to be synced then. */
struct cuts {
	struct power_image images[MOMENTS * POWER_CUTS];
	uint64_t synced[MOMENTS * POWER_CUTS], attempted[MOMENTS * POWER_CUTS];
	uint64_t now_synced, now_attempted;
	unsigned count;
};

static void
on_moment(void *cookie)
{
	struct cuts *cuts = cookie;
	CHECK(cuts->count < MOMENTS * POWER_CUTS);
	for (int way = 0; way < POWER_CUTS; way++) {
		power_cut(&cuts->images[cuts->count], way, cuts->count);
		cuts->synced[cuts->count] = cuts->now_synced;
		cuts->attempted[cuts->count++] = cuts->now_attempted;
	}
}

START_TEST(a_power_cut_leaves_what_was_synced_or_what_was_on_its_way)
{
	static struct cuts cuts;
	struct world world;
	world_init(&world);
	power_watch(world.fixture.dir, _i == 0 ? 512 : 8);
	disk.moment = on_moment;
	disk.cookie = &cuts;
	for (uint64_t last = 1; last <= 20; last++) {
		cuts.now_attempted = last;
		write_anchor(&world, last);
		cuts.now_synced = last;
	}
	disk.moment = NULL;
	ck_assert_uint_eq(cuts.count, MOMENTS * POWER_CUTS);
	power_unwatch();
	for (unsigned i = 0; i < cuts.count; i++) {
		struct anchor anchor;
		const char *problem = "";
		power_lay_out(&cuts.images[i], world.fixture.dir);
		ck_assert_msg(anchor_open(&anchor, world.path, ID, false, &problem) == STATUS_OK,
			      "%s", problem);
		ck_assert(anchor.last == cuts.synced[i] || anchor.last == cuts.attempted[i]);
		anchor_close(&anchor);
		power_forget(&cuts.images[i]);
	}
	world_release(&world);
}
END_TEST

START_TEST(a_write_or_sync_that_fails_is_told)
{
	struct world world;
	world_init(&world);
	disk.failing_sync = disk.syncs + 1;
	anchor_synced(&world.anchor, 3);
	ck_assert_int_eq(anchor_write(&world.anchor), STATUS_STORAGE_UNAVAILABLE);
	disk.failing_sync = 0;
	world_release(&world);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store_anchor");
	TCase *tests = tcase_create("anchor");
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, what_was_written_last_counts);
	tcase_add_test(tests, a_write_that_is_torn_anywhere_leaves_the_one_before);
	tcase_add_test(tests, a_rotten_slot_is_not_believed_and_two_are_refused);
	tcase_add_test(tests, a_missing_a_foreign_and_an_emptied_anchor_are_refused);
	tcase_add_loop_test(tests, a_power_cut_leaves_what_was_synced_or_what_was_on_its_way, 0, 2);
	tcase_add_test(tests, a_write_or_sync_that_fails_is_told);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
