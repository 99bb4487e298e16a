/*
 * New limits while the listener runs. The batch that is sent does not chain: 422 says that it was
 * read whole.
 */
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
				   .wait_sec = 30,
				   .waiters = 10,
				   .auth_mode = "none"};
}

static void
post_batch(int fd)
{
	struct hash genesis;
	char link[HASH_TEXT_SIZE + 1] = "";
	struct buffer body;
	chain_genesis(TEXT("a"), &genesis);
	hash_to_text(&genesis, link);
	buffer_init(&body, (size_t)1 << 20);
	buffer_printf(&body,
		      "{\"device\":\"p\",\"seq\":0,\"prevHash\":\"%s\",\"stateHash\":\"%s\","
		      "\"actions\":[",
		      link, link);
	for (size_t i = 1; i <= ACTIONS; i++)
		buffer_printf(&body, "%s{\"ts\":%zu,\"type\":\"t\",\"payload\":\"\"}",
			      i == 1 ? "" : ",", i);
	buffer_append_text(&body, TEXT("]}"));
	ck_assert(!body.failed);
	send_format(fd,
		    "POST /v1/logs/a/sync HTTP/1.1\r\nHost: a\r\nContent-Type: "
		    "application/json\r\nContent-Length: %zu\r\n\r\n",
		    body.size);
	ck_assert(send_bytes(fd, body.data, body.size));
	buffer_release(&body);
}

static void
expect_status(int fd, unsigned status)
{
	post_batch(fd);
	struct answer answer = read_answer(fd);
	ck_assert_uint_eq(answer.status, status);
	answer_release(&answer);
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
	return store;
}

START_TEST(a_raised_limit_holds_for_the_next_request)
{
	const struct api_limits few = limits_with(ACTIONS / 10), many = limits_with(ACTIONS);
	struct listener_options options = harness_options();
	const char *problem = NULL;
	struct api *api = api_new(&few);
	ck_assert_ptr_nonnull(api);
	char dir[] = "/tmp/api.XXXXXX", command[64];
	struct store *store = open_store(dir);
	api_set_store(api, store);
	const struct app app = api_app(api);
	options.arena_bytes = api_arena_bytes(&few);
	log_configure(LOG_ERROR, LOG_LOGFMT);
	ck_assert_int_eq(listener_start(&options, &app, &harness.listener, &problem), STATUS_OK);
	int fd = dial();
	expect_status(fd, 413);
	ck_assert(api_set_limits(api, &many));
	expect_status(fd, 422);
	ck_assert(api_set_limits(api, &few));
	expect_status(fd, 413);
	close(fd);
	listener_stop(harness.listener);
	ck_assert(store_stop(store));
	store_close(store);
	api_free(api);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	ck_assert_int_eq(system(command), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("api/reload");
	TCase *tests = tcase_create("reload");
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, a_raised_limit_holds_for_the_next_request);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
