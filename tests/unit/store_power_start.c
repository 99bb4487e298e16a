/* The power goes at every moment of a store's first start and of its first batches: the next start makes
 * what was not finished anew, and never refuses a folder that nobody but the daemon has touched. */
#include "base/log.h"
#include "support/power.h"
#include "support/runner.h"
#include "support/sanitizer.h"
#include "support/soak.h"
#include "support/store_client.h"

#define SHARDS 2
#define ROUNDS 3
#define BATCH 5
#define SECTOR 512

/* The power goes at each so manieth moment. */
#define STRIDE BY_SANITIZER(5, 19, 19)

struct cut {
	struct cut *next;
	struct power_image image;
	bool was_open;
	size_t acknowledged, attempted;
};

static struct world {
	char dir[512], after[512];
	struct client client;

	/* Guarded by the disk's lock. */
	struct cut known; /* now */
	struct cut *cuts;
	uint64_t seed;
	unsigned moments, count;

	unsigned losses, made_anew;
	char what[700];
} world;

static void
on_moment(void *cookie)
{
	(void)cookie;
	if (world.moments++ % (soak_is_long() ? 1 : STRIDE) != 0)
		return;
	for (int way = 0; way < POWER_CUTS; way++) {
		struct cut *cut = malloc(sizeof(*cut));
		CHECK(cut != NULL);
		*cut = world.known;
		power_cut(&cut->image, way, world.seed++);
		cut->next = world.cuts;
		world.cuts = cut;
		world.count++;
	}
}

static struct store_options
options_in(const char *dir)
{
	return (struct store_options){.dir = dir,
				      .shards = SHARDS,
				      .queue_jobs = 4,
				      .tail_bytes = 16 * 1024,
				      .group_jobs = 4,
				      .slice_actions = 7,
				      .cache_logs = 16,
				      .readers = 1};
}

/* NULL, or what is wrong. */
static const char *
judge(const struct cut *cut)
{
	static struct client client;
	const struct store_options options = options_in(world.after);
	const char *problem = "";
	size_t count = 0;
	power_lay_out(&cut->image, world.after);
	client = world.client;
	if (client_open_store(&options, &client.store, &problem) != STATUS_OK)
		return problem;
	problem = "";
	if (client_read(&client, &count) != STATUS_OK)
		problem = "the log cannot be read";
	else if (count < cut->acknowledged)
		problem = "acknowledged actions are lost";
	else if (count != cut->acknowledged && count != cut->attempted)
		problem = "a batch is there in part";
	(void)store_stop(client.store);
	store_close(client.store);
	world.made_anew += !cut->was_open && count == 0;
	return problem[0] == '\0' ? NULL : problem;
}

static void
look(void)
{
	disk_lock();
	struct cut *cuts = world.cuts;
	world.cuts = NULL;
	disk_unlock(0);
	while (cuts != NULL) {
		struct cut *cut = cuts;
		cuts = cut->next;
		const char *wrong = judge(cut);
		if (wrong != NULL && world.losses++ == 0)
			snprintf(world.what, sizeof(world.what), "%s", wrong);
		power_forget(&cut->image);
		free(cut);
	}
}

static void
know(bool is_open, size_t attempted)
{
	disk_lock();
	world.known.was_open = is_open;
	world.known.acknowledged = world.client.acknowledged;
	world.known.attempted = attempted;
	disk_unlock(0);
}

static void
make_folder(char dir[512])
{
	const char *tmp = getenv("TMPDIR");
	snprintf(dir, 512 - 8, "%s/start.XXXXXX", tmp == NULL ? "/tmp" : tmp);
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void
remove_folder(const char *dir)
{
	power_unwatch();
	power_clear_folder(dir);
	ck_assert_int_eq(rmdir(dir), 0);
}

/* Starts a store in an empty folder, has some batches acknowledged, and stops it. */
static void
live(const char *liar)
{
	const struct store_options options = options_in(world.dir);
	const char *problem = "";
	memset(&world, 0, sizeof(world));
	world.seed = soak_seed();
	log_configure(LOG_ERROR + 1, LOG_LOGFMT);
	make_folder(world.dir);
	make_folder(world.after);
	client_init(&world.client, "anna");
	disk.moment = on_moment;
	disk.liar = liar;
	power_watch(world.dir, SECTOR);
	ck_assert_int_eq(client_open_store(&options, &world.client.store, &problem), STATUS_OK);
	know(true, 0);
	look();
	for (int round = 0; round < ROUNDS; round++) {
		know(true, world.client.acknowledged + BATCH);
		client_check(client_send(&world.client, BATCH) == STATUS_OK, "a batch");
		know(true, world.client.acknowledged);
		look();
	}
	ck_assert(store_stop(world.client.store));
	store_close(world.client.store);
	look();
	disk.moment = NULL;
	disk.liar = NULL;
	remove_folder(world.dir);
	remove_folder(world.after);
	client_release(&world.client);
}

START_TEST(a_start_that_is_cut_off_is_made_anew)
{
	live(NULL);
	printf("# power cuts of a first start: seed %ju, %u states of the disk, %u of them of a "
	       "store "
	       "that was not finished\n",
	       (uintmax_t)soak_seed(), world.count, world.made_anew);
	fflush(stdout);
	ck_assert_msg(world.losses == 0, "%u of %u: %s", world.losses, world.count, world.what);
	ck_assert_uint_gt(world.made_anew, 0);
}
END_TEST

/* The folder's syncs do nothing, or the manifest's: that must be seen. */
START_TEST(a_disk_that_lies_is_caught)
{
	static const char *const liars[] = {"/", "/manifest.new"};
	live(liars[_i]);
	printf("# control, %s: %u of %u states lost something: %s\n", liars[_i], world.losses,
	       world.count, world.what);
	fflush(stdout);
	ck_assert_uint_gt(world.losses, 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store_power_start");
	TCase *tests = tcase_create("power_start");
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, a_start_that_is_cut_off_is_made_anew);
	tcase_add_loop_test(tests, a_disk_that_lies_is_caught, 0, 2);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
