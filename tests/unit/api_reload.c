/*
 * New limits while the listener runs. The batch that is sent does not chain: 422 says that it was
 * read whole.
 */
#include <malloc.h>
#include <stdio.h>

#include "api/api.h"
#include "store/store.h"
#include "support/http_harness.h"

#define ACTIONS ((size_t)5000)

static struct api_limits
limits_with(size_t batch_actions)
{
	return (struct api_limits){.payload_bytes = 16384,
				   .batch_actions = batch_actions,
				   .body_bytes = (size_t)1 << 20,
				   .page_actions = 1000,
				   .page_bytes = (size_t)1 << 20,
				   .page_text_bytes = (size_t)32 << 20,
				   .wait_sec = 30,
				   .waiters = 10,
				   .subject_waiters = 10,
				   .auth_mode = "none"};
}

/* The batch is the same each time. */
static void
make_body(struct buffer *body)
{
	struct hash genesis;
	char link[HASH_TEXT_SIZE + 1] = "";
	chain_genesis(TEXT("a"), &genesis);
	hash_to_text(&genesis, link);
	buffer_init(body, (size_t)1 << 20);
	buffer_printf(body,
		      "{\"device\":\"p\",\"seq\":0,\"prevHash\":\"%s\",\"stateHash\":\"%s\","
		      "\"actions\":[",
		      link, link);
	for (size_t i = 1; i <= ACTIONS; i++)
		buffer_printf(body, "%s{\"ts\":%zu,\"type\":\"t\",\"payload\":\"\"}",
			      i == 1 ? "" : ",", i);
	buffer_append_text(body, TEXT("]}"));
	ck_assert(!body->failed);
}

static void
send_head(int fd, const char *more)
{
	struct buffer body;
	make_body(&body);
	send_format(fd,
		    "POST /v1/logs/a/sync HTTP/1.1\r\nHost: a\r\nContent-Type: "
		    "application/json\r\nContent-Length: %zu\r\n%s\r\n",
		    body.size, more);
	buffer_release(&body);
}

static void
send_body(int fd)
{
	struct buffer body;
	make_body(&body);
	ck_assert(send_bytes(fd, body.data, body.size));
	buffer_release(&body);
}

static void
expect_answered(int fd, unsigned status)
{
	struct answer answer = read_answer(fd);
	ck_assert_uint_eq(answer.status, status);
	answer_release(&answer);
}

static void
expect_status(int fd, unsigned status)
{
	send_head(fd, "");
	send_body(fd);
	expect_answered(fd, status);
}

static struct store *
open_store(char dir[])
{
	const struct store_options options = {.dir = mkdtemp(dir),
					      .shards = 1,
					      .queue_jobs = 1,
					      .tail_bytes = 1 << 20,
					      .group_jobs = 1,
					      .slice_actions = 1,
					      .cache_logs = 16,
					      .readers = 1};
	const char *problem = NULL;
	struct store *store = NULL;
	ck_assert_msg(store_open(&options, &store, &problem) == STATUS_OK, "%s", problem);
	ck_assert_msg(store_start(store, &problem) == STATUS_OK, "%s", problem);
	return store;
}

struct scene {
	char dir[32];
	struct api *api;
	struct store *store;
};

static void
scene_open(struct scene *scene, const struct api_limits *limits)
{
	struct listener_options options = harness_options();
	const char *problem = NULL;
	*scene = (struct scene){.dir = "/tmp/api.XXXXXX", .api = api_new(limits)};
	ck_assert_ptr_nonnull(scene->api);
	scene->store = open_store(scene->dir);
	api_set_store(scene->api, scene->store);
	const struct app app = api_app(scene->api);
	options.arena_bytes = api_arena_bytes(limits);
	log_configure(LOG_ERROR, LOG_LOGFMT);
	ck_assert_int_eq(listener_start(&options, &app, &harness.listener, &problem), STATUS_OK);
}

static void
scene_close(struct scene *scene)
{
	char command[64];
	listener_stop(harness.listener);
	ck_assert(store_stop(scene->store));
	store_close(scene->store);
	api_free(scene->api);
	snprintf(command, sizeof(command), "rm -r %s", scene->dir);
	ck_assert_int_eq(system(command), 0);
}

START_TEST(a_raised_limit_holds_for_the_next_request)
{
	const struct api_limits few = limits_with(ACTIONS / 10), many = limits_with(ACTIONS);
	struct scene scene;
	scene_open(&scene, &few);
	int fd = dial();
	expect_status(fd, 413);
	ck_assert(api_set_limits(scene.api, &many));
	expect_status(fd, 422);
	ck_assert(api_set_limits(scene.api, &few));
	expect_status(fd, 413);
	close(fd);
	scene_close(&scene);
}
END_TEST

/* The answer to a batch whose headers were there before others' limits came. */
START_TEST(a_request_keeps_the_limits_that_it_began_under)
{
	char interim[64] = "";
	const struct api_limits few = limits_with(ACTIONS / 10), many = limits_with(ACTIONS);
	struct scene scene;
	scene_open(&scene, &many);
	int fd = dial();
	send_head(fd, "Expect: 100-continue\r\n");
	ck_assert_int_gt(recv(fd, interim, sizeof(interim) - 1, 0), 0);
	ck_assert_ptr_nonnull(strstr(interim, " 100 "));
	for (int i = 0; i < 3; i++)
		ck_assert(api_set_limits(scene.api, &few));
	send_body(fd);
	expect_answered(fd, 422);
	expect_status(fd, 413);
	close(fd);
	scene_close(&scene);
}
END_TEST

#define RELOADS 2000
#define GROWTH_MAX ((size_t)64 * 1024)

/* A sanitizer's allocator counts nothing here. */
START_TEST(limits_that_no_request_has_any_more_take_no_memory)
{
	const struct api_limits limits = limits_with(ACTIONS);
	struct api *api = api_new(&limits);
	ck_assert_ptr_nonnull(api);
	const size_t before = mallinfo2().uordblks;
	for (int i = 0; i < RELOADS; i++)
		ck_assert(api_set_limits(api, &limits));
	ck_assert_uint_le(mallinfo2().uordblks, before + GROWTH_MAX);
	api_free(api);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("api/reload");
	TCase *tests = tcase_create("reload");
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, a_request_keeps_the_limits_that_it_began_under);
	tcase_add_test(tests, limits_that_no_request_has_any_more_take_no_memory);
	tcase_add_test(tests, a_raised_limit_holds_for_the_next_request);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
