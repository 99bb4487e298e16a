/* The n-th write, sync, read, truncation or opening of a shard's files fails, once or until the fault
 * is over, for every n: nothing acknowledged is lost, nothing is there twice, the shard rises by
 * itself, and the other shard serves meanwhile. */
#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>

#include "base/log.h"
#include "store/audit.h"
#include "store/directory.h"
#include "support/fault.h"
#include "support/runner.h"
#include "support/sanitizer.h"
#include "support/store_client.h"
#include "support/sweep.h"

#define SHARDS 2
#define ROUNDS 6
#define BATCH 4

/* Which wait for shards to start again, most of the time. */
#define WORKERS BY_SANITIZER(32, 4, 4)
#define SWEEP_STEP BY_SANITIZER(1, 23, 23)

/* The store, and the two who write to it: "near" is in the shard whose files fail. */
struct scene {
	char dir[512];
	struct store_options options;
	struct store *store;
	struct client near, far;
};

static void
scene_init(struct scene *scene)
{
	const char *tmp = getenv("TMPDIR");
	snprintf(scene->dir, sizeof(scene->dir) - 8, "%s/store.XXXXXX", tmp == NULL ? "/tmp" : tmp);
	client_check(mkdtemp(scene->dir) != NULL, "mkdtemp");
	scene->options = (struct store_options){.dir = scene->dir,
						.shards = SHARDS,
						.queue_jobs = 16,
						.tail_bytes = 16 * 1024,
						.group_jobs = 16,
						.slice_actions = 7,
						.cache_logs = 16,
						.states = {.positions = 3, .devices = 2},
						.states_bytes = 65536,
						.readers = 2};
	scene->store = NULL;
	client_init_in(&scene->near, "near", false);
	client_init_in(&scene->far, "far", true);
	scene->near.must_not_acknowledge = fault_has_failed_journal;
}

/* The fault is near's: whatever it is, the other shard serves. */
static void
scene_open(struct scene *scene)
{
	const char *problem = "";
	client_check(client_open_store(&scene->options, &scene->store, &problem) == STATUS_OK, "%s",
		     problem);
	scene->near.store = scene->far.store = scene->store;
}

static bool
scene_close(struct scene *scene)
{
	const bool at_rest = store_stop(scene->store);
	store_close(scene->store);
	scene->store = NULL;
	return at_rest;
}

static void
scene_remove(struct scene *scene)
{
	DIR *entries = opendir(scene->dir);
	client_check(entries != NULL, "opendir");
	for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
		if (entry->d_name[0] != '.')
			(void)unlinkat(dirfd(entries), entry->d_name, 0);
	}
	closedir(entries);
	client_check(rmdir(scene->dir) == 0, "rmdir");
	client_release(&scene->near);
	client_release(&scene->far);
}

static void
say_finding(void *cookie, const struct audit_finding *finding)
{
	(void)cookie;
	fprintf(stderr, "%s: %.*s %ju: %s\n", finding->path, (int)finding->log.size,
		finding->log.data, (uintmax_t)finding->seq, finding->what);
}

static void
audit(const struct scene *scene)
{
	struct directory directory;
	const char *problem = "";
	struct audit_totals totals = {0};
	const struct audit_observer observer = {.finding = say_finding};
	client_check(directory_open_existing(&directory, scene->dir, &problem) == STATUS_OK, "%s",
		     problem);
	for (unsigned shard = 0; shard < SHARDS; shard++) {
		char *path = directory_shard_path(&directory, shard);
		const struct audit_target target = {
			.path = path, .shard = shard, .shards = SHARDS, .id = directory.ids[shard]};
		client_check(audit_shard(&target, &observer, &totals) == STATUS_OK, "audit");
		free(path);
	}
	directory_close(&directory);
	client_check(totals.findings == 0, "the audit found something");
}

/* All that was acknowledged, and nothing else. */
static void
compare(const struct client *client)
{
	size_t count = 0;
	const enum status status = client_read(client, &count);
	client_check(status == STATUS_OK && count == client->acknowledged,
		     "%s: status %d, %zu actions, %zu acknowledged", client->name, (int)status,
		     count, client->acknowledged);
}

/* While near fails: who reads needs nothing but reads, and a shard that has been open. */
static void
read_while_it_fails(const struct client *client)
{
	size_t count = 0;
	const enum status status = client_read(client, &count);
	const bool may_fail = fault.plan.kind == FAULT_READ || fault.plan.kind == FAULT_OPEN ||
			      store_down(client->store) > 0;
	client_check((may_fail && status == STATUS_STORAGE_UNAVAILABLE) ||
			     (status == STATUS_OK && count >= client->acknowledged),
		     "%s: status %d, %zu actions, %zu acknowledged", client->name, (int)status,
		     count, client->acknowledged);
}

/* One of the two is told of it, or it was not noticed. */
static bool
run_rounds(struct scene *scene)
{
	bool noticed = false;
	for (int round = 0; round < ROUNDS; round++) {
		const enum status status = client_send(&scene->near, BATCH);
		client_check(client_send(&scene->far, BATCH) == STATUS_OK, "the other shard");
		compare(&scene->far);
		read_while_it_fails(&scene->near);
		if (status == STATUS_OK)
			continue;
		client_check(status == STATUS_STORAGE_UNAVAILABLE, "status %d", (int)status);
		noticed = true;
		fault_release();
		client_insist(&scene->near, BATCH);
	}
	return noticed;
}

/* A store that was killed: rows in place, and more in both journals. */
static void
make_past(struct scene *scene)
{
	const pid_t child = fork();
	int result = 0;
	client_check(child != -1, "fork");
	if (child == 0) {
		scene_open(scene);
		for (int round = 0; round < ROUNDS; round++) {
			client_insist(&scene->near, BATCH);
			client_insist(&scene->far, BATCH);
		}
		(void)kill(getpid(), SIGKILL);
	}
	client_check(waitpid(child, &result, 0) == child && WIFSIGNALED(result), "the past");
	scene->near.acknowledged = scene->far.acknowledged = (size_t)ROUNDS * BATCH;
}

static bool
fail_at(const void *cookie, unsigned nth, struct sweep_counts *counts)
{
	static struct scene scene;
	scene_init(&scene);
	make_past(&scene);
	fault_set(cookie, nth);
	scene_open(&scene);
	const bool was_down = store_down(scene.store) > 0;
	const bool noticed = run_rounds(&scene) || was_down;
	const bool at_rest = scene_close(&scene);
	const bool fired = fault.fired > 0;
	client_check(at_rest || fired, "not at rest without a fault");
	client_check(fired || !noticed, "unavailable without a fault");
	fault_release();
	audit(&scene);
	scene_open(&scene);
	compare(&scene.near);
	compare(&scene.far);
	client_check(scene_close(&scene), "not at rest");
	audit(&scene);
	scene_remove(&scene);
	counts->noticed += noticed || !at_rest;
	return fired;
}

static const struct {
	const char *name;
	struct fault_plan plan;
} plans[] = {
	{"write, EIO once", {.kind = FAULT_WRITE, .error = EIO}},
	{"write, EIO until it is over", {FAULT_WRITE, EIO, true, false, false, ""}},
	{"write, ENOSPC once", {FAULT_WRITE, ENOSPC, false, true, false, ""}},
	{"write, ENOSPC until it is over", {FAULT_WRITE, ENOSPC, true, true, false, ""}},
	{"sync, EIO once", {FAULT_SYNC, EIO, false, false, false, ""}},
	{"sync, EIO until it is over", {FAULT_SYNC, EIO, true, false, false, ""}},
	{"read, EIO once", {FAULT_READ, EIO, false, false, false, ""}},
	{"read, EIO until it is over", {FAULT_READ, EIO, true, false, false, ""}},
	{"truncate, EIO once", {FAULT_TRUNCATE, EIO, false, false, false, ""}},
	{"truncate, EIO until it is over", {FAULT_TRUNCATE, EIO, true, false, false, ""}},
	{"open, EIO once", {FAULT_OPEN, EIO, false, false, false, ""}},
	{"open, EIO until it is over", {FAULT_OPEN, EIO, true, false, false, ""}},
};

#define PLANS ((int)(sizeof(plans) / sizeof(plans[0])))

START_TEST(what_fails_at_any_point_loses_nothing_acknowledged)
{
	struct fault_plan plan = plans[_i].plan;
	plan.files = "/shard-00.";
	const struct sweep sweep = {.name = plans[_i].name,
				    .point = fail_at,
				    .cookie = &plan,
				    .workers = WORKERS,
				    .stride = SWEEP_STEP};
	log_configure(LOG_ERROR + 1, LOG_LOGFMT);
	const struct sweep_counts counts = sweep_run(&sweep);
	ck_assert_uint_gt(counts.points, 0);
	ck_assert_uint_gt(counts.noticed, 0);
}
END_TEST

/* Whether a disk that loses what is written to the journals loses what was acknowledged. Where the rows
 * were in place by then it does not. */
static bool
lies_lose(size_t *left)
{
	static struct scene scene;
	const struct fault_plan plan = {.kind = FAULT_WRITE,
					.until_released = true,
					.lies = true,
					.files = "/shard-00.journal-"};
	scene_init(&scene);
	scene.options.tail_bytes = 256 * 1024; /* nothing is put in place because it is full */
	fault_set(&plan, 8);
	make_past(&scene);
	fault_release();
	*left = 0;
	scene_open(&scene);
	const bool good =
		client_read(&scene.near, left) == STATUS_OK && *left == scene.near.acknowledged;
	(void)scene_close(&scene);
	scene_remove(&scene);
	return !good;
}

START_TEST(a_disk_that_lies_is_caught)
{
	size_t left = 0;
	bool lost = false;
	log_configure(LOG_ERROR + 1, LOG_LOGFMT);
	for (int attempt = 0; attempt < 20 && !lost; attempt++)
		lost = lies_lose(&left);
	printf("# control, a disk that loses writes: %zu of %d actions left\n", left,
	       ROUNDS * BATCH);
	fflush(stdout);
	ck_assert(lost);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store_io_errors");
	TCase *tests = tcase_create("io_errors");
	tcase_set_timeout(tests, soak_is_long() ? 3600 : 60);
	tcase_add_loop_test(tests, what_fails_at_any_point_loses_nothing_acknowledged, 0, PLANS);
	tcase_add_test(tests, a_disk_that_lies_is_caught);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
