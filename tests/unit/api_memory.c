/* The n-th allocation of a sync and of two replays fails, for every n, in the room that reads requests, in
 * libmicrohttpd, in the store and in SQLite: the client gets an answer that tells it to try again, or
 * none; nothing is acknowledged that is not stored, nothing leaks, and the next try works. */
#include <dirent.h>

#include "api/api.h"
#include "support/http_harness.h"
#include "support/memory.h"
#include "support/store_client.h"
#include "support/sanitizer.h"
#include "support/sweep.h"

#define BATCH ((size_t)3)
#define CONTROL_POINTS 40
#define ANSWER_SIZE ((size_t)256 * 1024)

#define WORKERS BY_SANITIZER(12, 2, 2)
#define SWEEP_STEP BY_SANITIZER(1, 7, 7)

static struct scene {
	char dir[512];
	struct api *api;
	struct client client; /* what the log must hold */
	char request[32 * 1024], answer[ANSWER_SIZE];
	size_t size; /* of the answer */
} scene;

/* What a daemon would do that keeps its word no longer. */
static enum control { HONEST, ACKNOWLEDGES_ALL, LEAKS } control;
static void *volatile leaked;

static const struct api_limits limits = {.payload_bytes = 16384,
					 .batch_actions = 100,
					 .body_bytes = (size_t)1 << 20,
					 .page_actions = 1000,
					 .page_bytes = (size_t)1 << 20,
					 .page_text_bytes = (size_t)32 << 20,
					 .wait_sec = 30,
					 .waiters = 10,
					 .sync_msec = 1000,
					 .auth_mode = "none"};

static void
scene_open(void)
{
	const char *tmp = getenv("TMPDIR"), *problem = NULL;
	snprintf(scene.dir, sizeof(scene.dir) - 8, "%s/api.XXXXXX", tmp == NULL ? "/tmp" : tmp);
	client_check(mkdtemp(scene.dir) != NULL, "mkdtemp");
	const struct store_options store = {.dir = scene.dir,
					    .shards = 1,
					    .queue_jobs = 16,
					    .tail_bytes = 64 * 1024,
					    .group_jobs = 16,
					    .slice_actions = 7,
					    .cache_logs = 16,
					    .readers = 1};
	struct listener_options options = harness_options();
	options.arena_bytes = api_arena_bytes(&limits);
	options.threads = 1;
	client_init(&scene.client, "anna");
	scene.api = api_new(&limits);
	client_check(scene.api != NULL, "api");
	client_check(client_open_store(&store, &scene.client.store, &problem) == STATUS_OK, "%s",
		     problem);
	api_set_store(scene.api, scene.client.store);
	const struct app app = api_app(scene.api);
	client_check(listener_start(&options, &app, &harness.listener, &problem) == STATUS_OK, "%s",
		     problem);
}

static void
scene_close(void)
{
	listener_stop(harness.listener);
	(void)store_stop(scene.client.store); /* a shard that is down does not come to rest */
	store_close(scene.client.store);
	api_free(scene.api);
	client_release(&scene.client);
	DIR *entries = opendir(scene.dir);
	client_check(entries != NULL, "opendir");
	for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
		if (entry->d_name[0] != '.')
			(void)unlinkat(dirfd(entries), entry->d_name, 0);
	}
	closedir(entries);
	client_check(rmdir(scene.dir) == 0, "rmdir");
}

/* --- requests, each on a connection of its own --- */

/* Whether the answer is there to its end. */
static bool
is_complete(void)
{
	const char *body = strstr(scene.answer, "\r\n\r\n");
	const char *length = strcasestr(scene.answer, "\r\nContent-Length: ");
	if (body == NULL)
		return false;
	const size_t size = scene.size - (size_t)(body + 4 - scene.answer);
	if (length != NULL && length < body)
		return size == strtoul(length + 18, NULL, 10);
	return size >= 5 && memcmp(scene.answer + scene.size - 5, "0\r\n\r\n", 5) == 0;
}

/* The status, or 0 when there was no whole answer. */
static unsigned
exchange(void)
{
	const int fd = dial();
	scene.size = 0;
	if (send_bytes(fd, scene.request, strlen(scene.request))) {
		ssize_t got = 1;
		while (got > 0 && scene.size < ANSWER_SIZE - 1) {
			got = recv(fd, scene.answer + scene.size, ANSWER_SIZE - 1 - scene.size, 0);
			scene.size += got > 0 ? (size_t)got : 0;
		}
	}
	scene.answer[scene.size] = '\0';
	close(fd);
	return is_complete() ? (unsigned)strtoul(scene.answer + 9, NULL, 10) : 0;
}

/* "name":"the link's hex digits" is in the answer. */
static bool
has_link(const char *name, size_t seq)
{
	char text[HASH_TEXT_SIZE + 1] = "", member[128];
	hash_to_text(&scene.client.links[seq], text);
	snprintf(member, sizeof(member), "\"%s\":\"%s\"", name, text);
	return strstr(scene.answer, member) != NULL;
}

static unsigned
get(const char *accept)
{
	snprintf(scene.request, sizeof(scene.request),
		 "GET /v1/logs/anna/actions HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
		 "Accept: %s\r\n\r\n",
		 accept);
	return exchange();
}

static unsigned
sync_batch(void)
{
	const size_t from = scene.client.acknowledged;
	char prev[HASH_TEXT_SIZE + 1] = "", last[HASH_TEXT_SIZE + 1] = "";
	static char body[16 * 1024];
	hash_to_text(&scene.client.links[from], prev);
	hash_to_text(&scene.client.links[from + BATCH], last);
	int size = snprintf(body, sizeof(body),
			    "{\"device\":\"phone\",\"seq\":%zu,\"prevHash\":\"%s\","
			    "\"stateHash\":\"%s\",\"actions\":[",
			    from, prev, last);
	for (size_t seq = from + 1; seq <= from + BATCH; seq++) {
		const struct action action = client_action(&scene.client, seq);
		size += snprintf(body + size, sizeof(body) - (size_t)size,
				 "%s{\"ts\":%ju,\"type\":\"%.*s\",\"payload\":\"%.*s\"}",
				 seq == from + 1 ? "" : ",", (uintmax_t)action.ts,
				 (int)action.type.size, action.type.data, (int)action.payload.size,
				 action.payload.data);
	}
	size += snprintf(body + size, sizeof(body) - (size_t)size, "]}");
	snprintf(scene.request, sizeof(scene.request),
		 "POST /v1/logs/anna/sync HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
		 "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		 size, body);
	const unsigned status = exchange();
	client_check(status != 200 || has_link("stateHash", from + BATCH), "%s", scene.answer);
	scene.client.acknowledged += status == 200 ? BATCH : 0;
	return status;
}

/* What may be said while memory is out: that it worked, or to come again; in words, where there is
 * memory for them. */
static void
check_status(unsigned status, bool for_good, const char *what)
{
	client_check(status == 0 || status == 200 || status == 429 || status == 500 ||
			     status == 503,
		     "%s: %s", what, scene.answer);
	client_check(status == 0 || status == 200 || for_good ||
			     strstr(scene.answer, "\"code\":\"") != NULL,
		     "%s without a code: %s", what, scene.answer);
}

/* Whether a request was not answered with 200. */
static bool
run(unsigned nth, bool for_good, unsigned *fired)
{
	scene_open();
	client_check(sync_batch() == 200, "%s", scene.answer);
	memory_fail(nth, for_good);
	const unsigned synced = sync_batch();
	check_status(synced, for_good, "sync");
	if (synced != 200 && control == ACKNOWLEDGES_ALL)
		scene.client.acknowledged += BATCH;
	if (synced != 200 && control == LEAKS)
		leaked = sqlite3_malloc(100);
	const unsigned page = get("application/json");
	check_status(page, for_good, "a page");
	const unsigned stream = get("application/x-ndjson");
	check_status(stream, for_good, "a stream");
	*fired = memory.fired;
	memory_release();
	const bool noticed = synced != 200 || page != 200 || stream != 200;
	client_check(*fired > 0 || !noticed, "without a fault: %u, %u, %u", synced, page, stream);

	const uint64_t begun = clock_monotonic_msec();
	while (scene.client.acknowledged < 2 * BATCH && sync_batch() != 200) {
		client_check(clock_monotonic_msec() - begun < CLIENT_PATIENCE_MSEC, "in vain: %s",
			     scene.answer);
		usleep(5000);
	}
	client_check(get("application/json") == 200 && has_link("stateHash", 2 * BATCH), "%s",
		     scene.answer);
	scene_close();
	return noticed;
}

static bool
fail_at(const void *cookie, unsigned nth, struct sweep_counts *counts)
{
	static bool is_warm;
	unsigned fired;
	long left = 1;
	bool noticed = false;
	const bool *for_good = cookie;
	memory_is_ours = true;
	for (int i = 0; i < 2 && !is_warm; i++) /* what is made once is there then */
		(void)run(0, false, &fired);
	is_warm = true;
	for (int i = 0; i < MEMORY_RUNS && left > 0; i++) {
		const long before = memory.live;
		noticed = run(nth, *for_good, &fired);
		left = memory.live - before;
	}
	client_check(left <= 0, "allocation %u: %ld were not freed", nth, left);
	counts->noticed += noticed;
	return fired > 0;
}

START_TEST(memory_that_runs_out_anywhere_is_said_and_survived)
{
	const bool for_good = _i == 1;
	const struct sweep sweep = {.name = for_good
						    ? "memory, a sync and two replays, out for good"
						    : "memory, a sync and two replays",
				    .point = fail_at,
				    .cookie = &for_good,
				    .workers = WORKERS,
				    .stride = SWEEP_STEP};
	memory_init();
	log_configure(LOG_ERROR + 1, LOG_LOGFMT);
	const struct sweep_counts counts = sweep_run(&sweep);
	/* What is small does without SQLite. */
	ck_assert(counts.points > 0 || MEMORY_IS_SQLITES);
	ck_assert(counts.noticed > 0 || MEMORY_IS_SQLITES);
}
END_TEST

/* Whether a process of its own finds something wrong in the first points. */
static bool
is_caught(enum control kind)
{
	const bool for_good = false;
	struct sweep_counts counts = {0};
	int result = 0;
	const pid_t child = fork();
	ck_assert_int_ne(child, -1);
	if (child == 0) {
		control = kind;
		for (unsigned nth = 1; nth <= CONTROL_POINTS; nth++)
			(void)fail_at(&for_good, nth, &counts);
		_exit(EXIT_SUCCESS);
	}
	ck_assert_int_eq(waitpid(child, &result, 0), child);
	ck_assert(WIFEXITED(result));
	return WEXITSTATUS(result) != EXIT_SUCCESS;
}

START_TEST(what_is_acknowledged_and_not_stored_is_caught)
{
	memory_init();
	log_configure(LOG_ERROR + 1, LOG_LOGFMT);
	fflush(stdout);
	ck_assert(!is_caught(HONEST));
	/* What is small does without SQLite, and then nothing fails. */
	ck_assert(is_caught(ACKNOWLEDGES_ALL) || MEMORY_IS_SQLITES);
	ck_assert(is_caught(LEAKS) || MEMORY_IS_SQLITES);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("api_memory");
	TCase *tests = tcase_create("memory");
	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, memory_that_runs_out_anywhere_is_said_and_survived, 0, 2);
	tcase_add_test(tests, what_is_acknowledged_and_not_stored_is_caught);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
