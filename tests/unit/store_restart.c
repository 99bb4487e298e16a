/* A shard starts again after a fault, while it is read: no reader sees less than it or anybody has seen,
 * nobody is told what is not kept, and nothing is left over of the engine that failed. */
#include <dirent.h>

#include "base/log.h"
#include "support/fault.h"
#include "support/runner.h"
#include "support/soak.h"
#include "support/store_client.h"
#include "support/store_fixture.h"

#define READERS 3
#define BATCH 4
#define RESTARTS 6
#define STARTS 80
#define RESTARTS_MAX (CLIENT_ACTIONS_MAX / BATCH / 3 - 1)

/* --- under readers --- */

static struct scene {
	struct fixture fixture; /* for its folder */
	struct client client;
	atomic_size_t acknowledged;
	atomic_bool stop;
} scene;

struct reader {
	pthread_t thread;
	size_t newest, reads;
	const char *failure;
};

static const char *
read_all(struct reader *reader)
{
	const struct client *client = &scene.client;
	const size_t acknowledged = scene.acknowledged;
	struct head head;
	size_t count = 0;
	if (store_head(client->store, text_of(client->name), &client->links[0], &head) != STATUS_OK)
		return "the head cannot be read";
	if (head.position.seq < reader->newest)
		return "the head is older than one that was seen";
	if (head.position.seq < acknowledged)
		return "the head is older than what was acknowledged";
	if (!hash_equal(&head.position.link, &client->links[head.position.seq]))
		return "the head is another one";
	if (client_read(client, &count) != STATUS_OK)
		return "the log cannot be read";
	if (count < head.position.seq)
		return "there is less than the head says";
	reader->newest = count;
	reader->reads++;
	return NULL;
}

static void *
reader_main(void *cookie)
{
	struct reader *reader = cookie;
	while (!scene.stop && reader->failure == NULL)
		reader->failure = read_all(reader);
	return NULL;
}

static void
send_batch(void)
{
	client_insist(&scene.client, BATCH);
	scene.acknowledged = scene.client.acknowledged;
}

static const struct fault_plan plans[] = {
	{FAULT_SYNC, EIO, false, false, false, "/shard-00."},
	{FAULT_WRITE, ENOSPC, true, true, false, "/shard-00."},
	{FAULT_SYNC, EIO, true, false, false, "/shard-00.journal-"},
	{FAULT_WRITE, EIO, false, false, false, "/shard-00."},
};

#define PLANS (sizeof(plans) / sizeof(plans[0]))

/* Until the shard is down, and once more, so that a start has been tried in vain if it lasts. */
static void
make_fault(const struct fault_plan *plan)
{
	unsigned failed = 0;
	fault_set(plan, 1);
	while (failed < (plan->until_released ? 2 : 1)) {
		if (client_send(&scene.client, BATCH) != STATUS_OK)
			failed++;
		scene.acknowledged = scene.client.acknowledged;
	}
	fault_release();
}

static void
remove_folder(const char *dir)
{
	DIR *entries = opendir(dir);
	ck_assert_ptr_nonnull(entries);
	for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
		if (entry->d_type == DT_REG)
			ck_assert_int_eq(unlinkat(dirfd(entries), entry->d_name, 0), 0);
	}
	closedir(entries);
	ck_assert_int_eq(rmdir(dir), 0);
}

START_TEST(readers_of_a_shard_that_starts_again_see_no_less_than_before)
{
	const unsigned restarts = soak_is_long() ? RESTARTS_MAX : RESTARTS;
	size_t reads = 0;
	fixture_init(&scene.fixture);
	client_init(&scene.client, "anna");
	log_configure(LOG_ERROR + 1, LOG_LOGFMT);
	const struct store_options options = {.dir = scene.fixture.dir,
					      .shards = 1,
					      .queue_jobs = 4,
					      .tail_bytes = 16 * 1024,
					      .group_jobs = 4,
					      .slice_actions = 7,
					      .cache_logs = 4,
					      .readers = 2};
	struct reader readers[READERS] = {0};
	const char *problem = "";
	ck_assert_msg(client_open_store(&options, &scene.client.store, &problem) == STATUS_OK, "%s",
		      problem);
	send_batch();
	for (size_t i = 0; i < READERS; i++)
		ck_assert_int_eq(pthread_create(&readers[i].thread, NULL, reader_main, &readers[i]),
				 0);
	for (unsigned i = 0; i < restarts; i++) {
		make_fault(&plans[i % PLANS]);
		send_batch();
		send_batch();
	}
	scene.stop = true;
	for (size_t i = 0; i < READERS; i++) {
		ck_assert_int_eq(pthread_join(readers[i].thread, NULL), 0);
		ck_assert_msg(readers[i].failure == NULL, "%s", readers[i].failure);
		reads += readers[i].reads;
	}
	ck_assert(store_stop(scene.client.store));
	store_close(scene.client.store);
	printf("# %u starts after a fault, under %zu reads\n", restarts, reads);
	fflush(stdout);
	ck_assert_uint_gt(reads, restarts);
	client_release(&scene.client);
	remove_folder(scene.fixture.dir);
}
END_TEST

/* --- what is left over --- */

static size_t
count_descriptors(void)
{
	size_t count = 0;
	DIR *entries = opendir("/proc/self/fd");
	ck_assert_ptr_nonnull(entries);
	while (readdir(entries) != NULL)
		count++;
	closedir(entries);
	return count;
}

static void
read_log(struct fixture *fixture, struct engine *engine, const struct model_log *log)
{
	struct engine *serving = fixture->engine;
	fixture->engine = engine;
	fixture_check_log(fixture, log);
	fixture->engine = serving;
}

/* A start that fails at its n-th write, if it comes to that, and one that does not, while the engine that
 * failed is read. */
static void
start_again(struct fixture *fixture, const struct model_log *log, unsigned nth)
{
	static const struct fault_plan plan = {FAULT_WRITE, EIO, true, false, false, "/shard-00."};
	struct engine *failed = fixture->engine;
	const char *problem = "";
	failed->ops->retire(failed);
	read_log(fixture, failed, log);
	fixture->engine = NULL;
	fault_set(&plan, nth);
	const enum status status = fixture_try_open(fixture, false, &problem);
	ck_assert_int_eq(status, fault.fired > 0 ? STATUS_STORAGE_UNAVAILABLE : STATUS_OK);
	fault_release();
	read_log(fixture, failed, log);
	if (status != STATUS_OK)
		fixture_open(fixture, false);
	read_log(fixture, failed, log);
	failed->ops->close(failed);
	read_log(fixture, fixture->engine, log);
}

START_TEST(starts_leave_no_descriptors_behind)
{
	struct fixture fixture;
	struct model_log log;
	size_t early = 0;
	fixture_init(&fixture);
	fixture_open(&fixture, true);
	model_init(&log, "anna");
	log_configure(LOG_ERROR + 1, LOG_LOGFMT);
	for (unsigned i = 0; i < STARTS; i++) {
		ck_assert_int_eq(fixture_write(&fixture, &log, 2, 100), STATUS_OK);
		start_again(&fixture, &log, 1 + i % 20);
		if (i == STARTS / 4)
			early = count_descriptors();
	}
	ck_assert_uint_le(count_descriptors(), early);
	model_free(&log);
	fixture_remove(&fixture);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store_restart");
	TCase *tests = tcase_create("restart");
	tcase_set_timeout(tests, soak_is_long() ? 600 : 60);
	tcase_add_test(tests, readers_of_a_shard_that_starts_again_see_no_less_than_before);
	tcase_add_test(tests, starts_leave_no_descriptors_behind);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
