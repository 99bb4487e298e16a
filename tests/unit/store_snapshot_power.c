/* The power goes at every moment while snapshots are stored: what was acknowledged is there and whole, and
 * nothing is listed that is not whole. */
#include "support/power.h"
#include "support/snapshot_fixture.h"
#include "support/runner.h"

#define LOG_ACTIONS 60
#define PUTS 9
#define UNIT 512

/* What a cut left, and what had been acknowledged by then. */
struct cut {
	struct cut *next;
	struct power_image image;
	uint64_t acknowledged; /* the newest seq; 0: none */
	unsigned version;      /* of it, at least */
};

static struct scene {
	struct snapshot_world world;
	struct cut *cuts;
	uint64_t acknowledged, seed;
	unsigned version, count, losses;
	char after[300]; /* a data directory for what was left */
	char folder[400], what[200];
} scene;

/* With the disk's lock. */
static void
take_cut(void *cookie)
{
	(void)cookie;
	for (int way = 0; way < POWER_CUTS; way++) {
		struct cut *cut = calloc(1, sizeof(*cut));
		CHECK(cut != NULL);
		cut->acknowledged = scene.acknowledged;
		cut->version = scene.version;
		power_cut(&cut->image, (enum power_cut)way, scene.seed++);
		cut->next = scene.cuts;
		scene.cuts = cut;
	}
}

static void
set_moment(void (*moment)(void *))
{
	disk_lock();
	disk.moment = moment;
	disk_unlock(0);
}

static void
lose(const char *what, uint64_t seq)
{
	scene.losses++;
	snprintf(scene.what, sizeof(scene.what), "%s, seq %ju", what, (uintmax_t)seq);
}

/* As a start and a reader find it. */
static void
judge(const struct cut *cut)
{
	const struct hash *genesis = snapshot_genesis(&scene.world);
	struct snapshots snapshots;
	struct snapshot_list list;
	int version = -1;
	power_lay_out(&cut->image, scene.folder);
	ck_assert(snapshots_open(&snapshots, scene.after));
	ck_assert_int_eq(snapshots_clean(&snapshots), STATUS_OK);
	ck_assert_int_eq(snapshots_list(&snapshots, genesis, &list), STATUS_OK);
	for (size_t i = 0; i < list.count; i++) {
		struct snapshot_source source;
		const uint64_t seq = list.seqs[i];
		int found = -1;
		if (snapshots_read(&snapshots, genesis, seq, &source) == STATUS_OK) {
			found = snapshot_version(&source);
			snapshot_source_close(&source);
		}
		if (found == -1)
			lose("one is listed that is not whole", seq);
		if (seq == cut->acknowledged)
			version = found;
	}
	if (cut->acknowledged > 0 && version < (int)cut->version)
		lose("an acknowledged one is not there", cut->acknowledged);
	snapshots_close(&snapshots);
	scene.count++;
}

static void
begin(const char *liar)
{
	char digits[3] = {0};
	memset(&scene, 0, sizeof(scene));
	snapshot_world_open(&scene.world, LOG_ACTIONS, 2);
	hex_encode(snapshot_genesis(&scene.world)->bytes, 1, digits);
	snprintf(scene.after, sizeof(scene.after), "%s/after", scene.world.dir);
	snprintf(scene.folder, sizeof(scene.folder), "%s/snapshots", scene.after);
	ck_assert(mkdir(scene.after, 0700) == 0 && mkdir(scene.folder, 0700) == 0);
	snprintf(scene.folder, sizeof(scene.folder), "%s/snapshots/%s", scene.after, digits);
	ck_assert_int_eq(mkdir(scene.folder, 0700), 0);
	/* The first makes the folder that is watched from then on. */
	ck_assert_int_eq(snapshot_put(&scene.world, 1, 1), STATUS_OK);
	char watched[400];
	snprintf(watched, sizeof(watched), "%s/snapshots/%s", scene.world.dir, digits);
	power_watch(watched, UNIT);
	disk.liar = liar;
	set_moment(take_cut);
}

static void
put(uint64_t seq, unsigned version)
{
	ck_assert_int_eq(snapshot_put(&scene.world, seq, version), STATUS_OK);
	disk_lock();
	scene.acknowledged = seq;
	scene.version = version;
	take_cut(NULL);
	disk_unlock(0);
}

/* New ones, one of which takes another's place, and older ones that go. */
static void
run(const char *liar)
{
	begin(liar);
	for (unsigned n = 1; n <= PUTS; n++)
		put(n % 3 == 0 ? 5 * (n - 1) : 5 * n, n);
	set_moment(NULL);
	disk.liar = NULL;
	power_unwatch();
	while (scene.cuts != NULL) {
		struct cut *cut = scene.cuts;
		scene.cuts = cut->next;
		judge(cut);
		power_forget(&cut->image);
		free(cut);
	}
	snapshot_world_close(&scene.world);
}

START_TEST(a_power_cut_at_any_moment_loses_nothing_acknowledged_and_leaves_nothing_half)
{
	run(NULL);
	ck_assert_msg(scene.losses == 0, "%u of %u: %s", scene.losses, scene.count, scene.what);
	ck_assert_uint_gt(scene.count, 500);
	printf("# power cuts while snapshots are stored: %u states of the disk, nothing lost\n",
	       scene.count);
	fflush(stdout);
}
END_TEST

START_TEST(a_disk_that_syncs_nothing_and_says_it_did_is_noticed)
{
	run(".new");
	ck_assert_uint_gt(scene.losses, 0);
	run("/");
	ck_assert_uint_gt(scene.losses, 0);
}
END_TEST

START_TEST(a_sync_that_fails_is_no_success)
{
	unsigned failed = 0;
	begin(NULL);
	set_moment(NULL);
	for (unsigned nth = 1; nth <= 2; nth++) {
		/* The shard may sync as well. */
		enum status status = STATUS_OK;
		for (unsigned try = 0; try < 100 && status == STATUS_OK; try++) {
			disk.failing_sync = disk.syncs + nth;
			status = snapshot_put(&scene.world, 10 + nth, try);
		}
		disk.failing_sync = 0;
		failed += status == STATUS_STORAGE_UNAVAILABLE;
		ck_assert_int_eq(snapshot_put(&scene.world, 10 + nth, 0), STATUS_OK);
	}
	ck_assert_uint_eq(failed, 2);
	power_unwatch();
	snapshot_world_close(&scene.world);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store/snapshot_power");
	TCase *tests = tcase_create("power");
	tcase_set_timeout(tests, 120);
	tcase_add_test(
		tests,
		a_power_cut_at_any_moment_loses_nothing_acknowledged_and_leaves_nothing_half);
	tcase_add_test(tests, a_disk_that_syncs_nothing_and_says_it_did_is_noticed);
	tcase_add_test(tests, a_sync_that_fails_is_no_success);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
