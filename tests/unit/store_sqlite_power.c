/* The power goes at every moment of a shard's life in turn: what was acknowledged is there, of the
 * group under way a beginning, and the shard goes on. */
#include <dlfcn.h>

#include "support/power_world.h"
#include "support/runner.h"
#include "support/sanitizer.h"
#include "support/soak.h"

/* So many states of the disk are looked at, after lives and while others are recovered. */
#define STATES BY_SANITIZER(2000, 600, 150)
#define RECOVERIES BY_SANITIZER(1000, 300, 100)
#define STRIDE BY_SANITIZER(4, 8, 40)
#define CONTROL_LIVES 20
#define LONG_STATES 80000
#define LONG_RECOVERIES 25000
#define LONG_SEC 7200

/* What becomes of "PRAGMA synchronous = FULL"; NULL: it is run. */
static const char *synchronous;

int
sqlite3_exec(sqlite3 *db, const char *sql, int (*callback)(void *, int, char **, char **),
	     void *cookie, char **errmsg)
{
	int (*real)(sqlite3 *, const char *, int (*)(void *, int, char **, char **), void *,
		    char **);
	*(void **)&real = dlsym(RTLD_NEXT, "sqlite3_exec");
	if (synchronous != NULL && strcmp(sql, "PRAGMA synchronous = FULL") == 0)
		sql = synchronous;
	return real(db, sql, callback, cookie, errmsg);
}

/* A life under cuts, and then the recoveries of some of what they left. */
static void
live_and_recover(struct world *world, unsigned stride)
{
	ck_assert(start(world, true));
	world->ways = 2;
	world->keep_stride = 29;
	set_stride(world, stride);
	ck_assert(live(world));
	stop(world);
	set_stride(world, 0);
	world->keep_stride = 0;
}

START_TEST(a_power_cut_at_any_moment_loses_nothing_acknowledged)
{
	const unsigned states = soak_is_long() ? LONG_STATES : STATES;
	const unsigned recoveries = soak_is_long() ? LONG_RECOVERIES : RECOVERIES;
	const uint64_t seed = soak_seed();
	unsigned lives = 0, count = 0, again = 0, recovered = 0;
	for (; count < states || again < recoveries; lives++) {
		struct world world;
		world_init(&world, lives % 2 == 0 ? SECTOR : PAGE, seed + lives);
		live_and_recover(&world, lives % 3 == 0 ? 1 + STRIDE / 8 : STRIDE);
		count += world.count;
		world.count = 0;
		while (world.kept != NULL) {
			struct cut *cut = world.kept;
			world.kept = cut->next;
			if (again + world.count < recoveries) {
				recover_under_cuts(&world, cut);
				recovered++;
			}
			forget_cut(cut);
		}
		again += world.count;
		ck_assert_msg(world.losses == 0, "seed %ju, life %u: %u of %u: %s", (uintmax_t)seed,
			      lives, world.losses, world.count, world.what);
		world_release(&world);
	}
	printf("# power cuts: seed %ju, %u lives, %u states of the disk, and %u more while %u of "
	       "them were recovered: nothing acknowledged lost\n",
	       (uintmax_t)seed, lives, count, again, recovered);
	fflush(stdout);
}
END_TEST

/* Whatever of SQLite's syncs fails while a file is new. */
START_TEST(a_first_start_is_on_the_disk_or_refused)
{
	unsigned refused = 0;
	bool failed = true;
	for (unsigned nth = 1; failed; nth++) {
		struct world world;
		world_init(&world, PAGE, nth);
		disk.failing_sync = disk.syncs + nth;
		const bool started = start(&world, true);
		failed = disk.syncs >= disk.failing_sync;
		ck_assert_int_eq(started, !failed);
		disk.failing_sync = 0;
		refused += !started;
		for (int way = 0; way < POWER_CUTS && started; way++) {
			disk_lock();
			take_cut(&world, way);
			disk_unlock(0);
		}
		stop(&world);
		ck_assert_msg(world.losses == 0, "sync %u: %s", nth, world.what);
		world_release(&world);
	}
	ck_assert_uint_ge(refused, 5);
}
END_TEST

/* In as many lives as it takes for one to lose something, within reason: it is up to what the threads happen to do. */
static unsigned
count_losses(const char *liar, const char *instead)
{
	unsigned losses = 0, count = 0, lives = 0;
	for (; losses == 0 && lives < CONTROL_LIVES; lives++) {
		struct world world;
		world_init(&world, PAGE, 1 + lives);
		synchronous = instead;
		disk.liar = liar;
		ck_assert(start(&world, true));
		world.ways = 2;
		set_stride(&world, STRIDE);
		ck_assert(live(&world));
		stop(&world);
		synchronous = NULL;
		losses += world.losses;
		count += world.count;
		world_release(&world);
	}
	printf("# control, %s: %u of %u states in %u lives lost something\n",
	       liar == NULL ? instead : liar, losses, count, lives);
	fflush(stdout);
	return losses;
}

/* Syncs of a file, or of the folder, do nothing: that must be seen, or these tests show nothing. */
START_TEST(a_disk_that_lies_is_caught)
{
	static const char *const liars[] = {".journal-0", ".journal-1", ".db-wal", ".db", "/"};
	ck_assert_uint_gt(count_losses(liars[_i], NULL), 0);
}
END_TEST

/* Nor is it enough that SQLite leaves the order of its writes to the disk. */
START_TEST(commits_that_are_not_synced_are_caught)
{
	static const char *const instead[] = {"PRAGMA synchronous = NORMAL",
					      "PRAGMA synchronous = OFF"};
	ck_assert_uint_gt(count_losses(NULL, instead[_i]), 0);
}
END_TEST

/* The daemon starts again, or in it the shard while the engine that failed is still there for readers. */
static void
start_again(struct world *world, bool is_retired)
{
	struct engine *failed = is_retired ? world->fixture.engine : NULL;
	if (failed == NULL) {
		stop(world);
	} else {
		failed->ops->retire(failed);
		look(world);
	}
	ck_assert(start(world, false));
	if (failed != NULL)
		failed->ops->close(failed);
}

/* A sync fails, and after the next start, of the one or the other kind, the power goes. */
START_TEST(a_sync_that_fails_loses_nothing_acknowledged)
{
	unsigned faults = 0;
	for (bool failed = true; failed; faults += failed) {
		struct world world;
		world_init(&world, faults % 2 == 0 ? SECTOR : PAGE, 1);
		ck_assert(start(&world, true));
		disk.failing_sync = disk.syncs + 1 + faults;
		const bool lived = live(&world);
		/* One that fails while the engine is being closed is nobody's to see. */
		failed = disk.syncs >= disk.failing_sync;
		ck_assert(lived || failed);
		disk.failing_sync = 0;
		world.moments = faults;
		set_stride(&world, 3 * STRIDE);
		start_again(&world, (faults / 2 + (unsigned)_i) % 2 == 0);
		ck_assert(write_groups(&world, 2) && settle_down(&world));
		stop(&world);
		ck_assert_msg(world.losses == 0, "sync %u, %u of %u: %s", faults, world.losses,
			      world.count, world.what);
		world_release(&world);
	}
	ck_assert_uint_gt(faults, 30);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store_sqlite_power");
	TCase *tests = tcase_create("sqlite_power");
	tcase_set_timeout(tests, soak_is_long() ? LONG_SEC : 60);
	tcase_add_test(tests, a_power_cut_at_any_moment_loses_nothing_acknowledged);
	tcase_add_test(tests, a_first_start_is_on_the_disk_or_refused);
	tcase_add_loop_test(tests, a_disk_that_lies_is_caught, 0, 5);
	tcase_add_loop_test(tests, commits_that_are_not_synced_are_caught, 0, 2);
	tcase_add_loop_test(tests, a_sync_that_fails_loses_nothing_acknowledged, 0,
			    soak_is_long() ? 2 : 1);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
