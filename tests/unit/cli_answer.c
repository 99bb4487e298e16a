/* What the client makes of answers: what it understands, and that everything else is "unknown". */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/action_line.h"
#include "cli/phone_answer.h"
#include "support/runner.h"

#define LINK "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\""

static struct arena arena;
static struct answer answer;

static void
setup(void)
{
	arena_init(&arena, 1 << 20);
	answer = (struct answer){0};
}

static void
teardown(void)
{
	answer_release(&answer);
	arena_release(&arena);
}

static struct http_answer
http_of(long status, const char *media_type, const char *body)
{
	struct http_answer http;

	http_answer_init(&http);
	http.arrived = true;
	http.http = status;
	snprintf(http.media_type, sizeof(http.media_type), "%s", media_type);
	buffer_append(&http.body, body, strlen(body));
	return http;
}

static enum answer_kind
read_sync(long status, const char *media_type, const char *body)
{
	struct http_answer http = http_of(status, media_type, body);

	answer_release(&answer);
	answer_read_sync(&http, &arena, &answer);
	http_answer_release(&http);
	return answer.kind;
}

static enum answer_kind
read_page(const char *body)
{
	struct http_answer http = http_of(200, "application/json", body);

	answer_release(&answer);
	answer_read_page(&http, &arena, &answer);
	http_answer_release(&http);
	return answer.kind;
}

#define FAST                                                                                       \
	"{\"seq\":42,\"stateHash\":" LINK ",\"serverTimestamp\":1790000000200,\"applied\":1,"      \
	"\"duplicates\":0,\"refused\":0,\"fastForward\":true,\"backoffMs\":7"

START_TEST(a_fast_forward_is_read)
{
	ck_assert_int_eq(read_sync(200, "application/json", FAST "}"), ANSWER_SUCCESS);
	ck_assert_uint_eq(answer.head.seq, 42);
	ck_assert(answer.fast_forward && answer.has_time);
	ck_assert_uint_eq(answer.server_msec, UINT64_C(1790000000200));
	ck_assert_uint_eq(answer.applied, 1);
	ck_assert_uint_eq(answer.backoff_msec, 7);
}
END_TEST

START_TEST(members_that_are_not_known_are_ignored)
{
	ck_assert_int_eq(read_sync(200, "application/json", FAST ",\"new\":{\"a\":[1.5]}}"),
			 ANSWER_SUCCESS);
}
END_TEST

#define MERGED(results, missed)                                                                    \
	"{\"seq\":44,\"stateHash\":" LINK ",\"serverTimestamp\":1,\"applied\":1,\"duplicates\":1," \
	"\"refused\":1,\"fastForward\":false,\"results\":" results ",\"missed\":" missed           \
	",\"hasMore\":false,\"backoffMs\":0}"

START_TEST(results_and_missed_actions_are_read)
{
	static const char BODY[] = MERGED(
		"[{\"seq\":40,\"duplicate\":true},{\"refused\":\"CLOCK_SKEW\",\"aheadMs\":9},"
		"{\"seq\":44}]",
		"[{\"seq\":42,\"device\":\"tablet\",\"ts\":5,\"type\":\"t\",\"payload\":"
		"\"a\\u0000b\"},{\"seq\":43,\"device\":\"tablet\",\"ts\":6,\"redacted\":true,"
		"\"digest\":" LINK "}]");

	ck_assert_int_eq(read_sync(200, "application/json", BODY), ANSWER_SUCCESS);
	ck_assert_uint_eq(answer.result_count, 3);
	ck_assert(answer.results[0].duplicate && answer.results[0].seq == 40);
	ck_assert(answer.results[1].refused && answer.results[1].ahead_ms == 9);
	ck_assert(text_equal(answer.results[1].code, TEXT("CLOCK_SKEW")));
	ck_assert_uint_eq(answer.missed_count, 2);
	ck_assert_uint_eq(answer.missed[0].kept.action.payload.size, 3);
	ck_assert(answer.missed[1].kept.redacted);
}
END_TEST

START_TEST(what_is_not_as_the_protocol_says_is_unknown)
{
	static const char *const BODIES[] = {
		"",
		"[]",
		"<html>Sign in to the network</html>",
		FAST,
		FAST ",\"seq\":43}",
		"{\"stateHash\":" LINK ",\"applied\":0,\"duplicates\":0,\"refused\":0,"
		"\"fastForward\":true}",
		"{\"seq\":-1,\"stateHash\":" LINK ",\"applied\":0,\"duplicates\":0,\"refused\":0,"
		"\"fastForward\":true}",
		"{\"seq\":1.0,\"stateHash\":" LINK ",\"applied\":0,\"duplicates\":0,\"refused\":0,"
		"\"fastForward\":true}",
		"{\"seq\":1,\"stateHash\":\"ABC\",\"applied\":0,\"duplicates\":0,\"refused\":0,"
		"\"fastForward\":true}",
		"{\"seq\":1,\"stateHash\":" LINK ",\"applied\":0,\"duplicates\":0,\"refused\":0,"
		"\"fastForward\":\"yes\"}",
		MERGED("{}", "[]"),
		MERGED("[{\"seq\":0}]", "[]"),
		MERGED("[{\"duplicate\":true}]", "[]"),
		MERGED("[{\"refused\":true}]", "[]"),
		MERGED("[]", "null"),
		MERGED("[]", "[{\"seq\":42,\"device\":\"tab let\",\"ts\":5,\"type\":\"t\","
			     "\"payload\":\"\"}]"),
		MERGED("[]", "[{\"seq\":42,\"device\":\"tablet\",\"ts\":0,\"type\":\"t\","
			     "\"payload\":\"\"}]"),
		MERGED("[]", "[{\"seq\":42,\"device\":\"tablet\",\"ts\":5,\"type\":\"\","
			     "\"payload\":\"\"}]"),
		MERGED("[]", "[{\"seq\":42,\"device\":\"tablet\",\"ts\":5,\"type\":\"t\"}]"),
		MERGED("[]", "[{\"seq\":42,\"device\":\"tablet\",\"ts\":5,\"redacted\":true}]"),
	};

	for (size_t i = 0; i < sizeof(BODIES) / sizeof(BODIES[0]); i++)
		ck_assert_msg(read_sync(200, "application/json", BODIES[i]) == ANSWER_NONE, "%zu",
			      i);
}
END_TEST

START_TEST(a_page_is_read)
{
	ck_assert_int_eq(read_page("{\"after\":41,\"prevHash\":" LINK ",\"actions\":[],\"seq\":41,"
				   "\"stateHash\":" LINK ",\"hasMore\":false}"),
			 ANSWER_SUCCESS);
	ck_assert_uint_eq(answer.before.seq, 41);
	ck_assert_int_eq(read_page("{\"after\":41,\"actions\":[],\"seq\":41,\"stateHash\":" LINK
				   ",\"hasMore\":false}"),
			 ANSWER_NONE);
}
END_TEST

static const char PROBLEM[] = "application/problem+json";

START_TEST(problems_are_read_with_what_their_code_adds)
{
	ck_assert_int_eq(read_sync(409, PROBLEM,
				   "{\"code\":\"SERVER_BEHIND\",\"retry\":\"rebase\",\"head\":"
				   "{\"seq\":7,\"stateHash\":" LINK "},\"ancestor\":{\"seq\":5,"
				   "\"stateHash\":" LINK "},\"serverTimestamp\":9}"),
			 ANSWER_PROBLEM);
	ck_assert_int_eq(answer.retry, RETRY_REBASE);
	ck_assert(answer.has_head && answer.head.seq == 7);
	ck_assert(answer.has_ancestor && answer.ancestor.seq == 5);
	ck_assert_int_eq(read_sync(413, PROBLEM,
				   "{\"code\":\"PAYLOAD_TOO_LARGE\",\"retry\":\"never\","
				   "\"index\":3}"),
			 ANSWER_PROBLEM);
	ck_assert(answer.has_index && answer.index == 3);
	ck_assert_int_eq(read_sync(429, PROBLEM,
				   "{\"code\":\"BACKPRESSURE\",\"retry\":\"after\","
				   "\"retryAfterMs\":250}"),
			 ANSWER_PROBLEM);
	ck_assert_uint_eq(answer.retry_after_msec, 250);
}
END_TEST

START_TEST(a_conflict_carries_what_was_missed)
{
	ck_assert_int_eq(
		read_sync(409, PROBLEM,
			  "{\"code\":\"CONFLICT\",\"retry\":\"rebase\",\"head\":{\"seq\":1,"
			  "\"stateHash\":" LINK "},\"missed\":[{\"seq\":1,\"device\":\"d\","
			  "\"ts\":1,\"type\":\"t\",\"payload\":\"\"}],\"hasMore\":false,"
			  "\"duplicates\":[{\"index\":2,\"seq\":1}]}"),
		ANSWER_PROBLEM);
	ck_assert_uint_eq(answer.missed_count, 1);
	ck_assert_uint_eq(answer.known_count, 1);
	ck_assert_uint_eq(answer.known[0].index, 2);
	ck_assert_int_eq(read_sync(409, PROBLEM, "{\"code\":\"CONFLICT\",\"retry\":\"rebase\"}"),
			 ANSWER_NONE);
}
END_TEST

START_TEST(an_advice_that_is_not_known_means_stop)
{
	ck_assert_int_eq(read_sync(410, PROBLEM, "{\"code\":\"PRUNED\",\"retry\":\"snapshot\"}"),
			 ANSWER_PROBLEM);
	ck_assert_int_eq(answer.retry, RETRY_SNAPSHOT);
	ck_assert_int_eq(read_sync(410, PROBLEM, "{\"code\":\"GONE\",\"retry\":\"elsewhere\"}"),
			 ANSWER_PROBLEM);
	ck_assert_int_eq(answer.retry, RETRY_NEVER);
}
END_TEST

START_TEST(what_a_proxy_says_is_no_problem_document)
{
	static const char BODY[] = "{\"code\":\"MALFORMED\",\"retry\":\"never\"}";

	ck_assert_int_eq(read_sync(400, "application/json", BODY), ANSWER_NONE);
	ck_assert_int_eq(read_sync(502, PROBLEM, BODY), ANSWER_NONE);
	ck_assert_int_eq(read_sync(504, PROBLEM, BODY), ANSWER_NONE);
	ck_assert_int_eq(read_sync(503, "text/html", "<html>busy</html>"), ANSWER_NONE);
	ck_assert_int_eq(read_sync(400, PROBLEM, "{\"retry\":\"never\"}"), ANSWER_NONE);
	ck_assert_int_eq(read_sync(400, PROBLEM, BODY), ANSWER_PROBLEM);
}
END_TEST

START_TEST(input_lines_are_read_strictly)
{
	static const char *const BAD[] = {
		"x",
		"[]",
		"{\"type\":\"t\"}",
		"{\"payload\":\"p\"}",
		"{\"type\":\"t\",\"payload\":{}}",
		"{\"type\":\"\",\"payload\":\"p\"}",
		"{\"type\":\"a\\nb\",\"payload\":\"p\"}",
		"{\"type\":\"t\",\"payload\":\"p\",\"ts\":0}",
		"{\"type\":\"t\",\"payload\":\"p\",\"ts\":1.0}",
		"{\"type\":\"t\",\"payload\":\"p\",\"ts\":281474976710656}",
		"{\"type\":\"t\",\"payload\":\"p\",\"payload\":\"q\"}",
		"{\"type\":\"t\",\"payload\":\"p\",\"tz\":1}",
		"{\"type\":\"t\",\"payload\":\"\\ud800\"}",
	};
	struct action_line line;
	char problem[200];

	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
		ck_assert_msg(!action_line_read(text_of(BAD[i]), &line, problem, sizeof(problem)),
			      "%zu", i);
		ck_assert_uint_gt(strlen(problem), 0);
		action_line_release(&line);
	}
	ck_assert(action_line_read(TEXT("{\"type\":\"t\",\"payload\":\"a\\u0000b\",\"ts\":5}"),
				   &line, problem, sizeof(problem)));
	ck_assert_uint_eq(line.action.ts, 5);
	ck_assert_uint_eq(line.action.payload.size, 3);
	action_line_release(&line);
}
END_TEST

START_TEST(an_action_is_printed_so_that_it_reads_back)
{
	struct logged logged = {.seq = 7,
				.kept.action = {.device = TEXT("phone"),
						.ts = 9,
						.type = TEXT("t"),
						.payload = TEXT("\"\\\n\x01\0\xc3\xa9")}};
	struct logged back;
	struct buffer out;
	json_t *root;

	phone_action_digest(&logged.kept);
	buffer_init(&out, 1000);
	action_line_write(&out, &logged);
	ck_assert_int_eq(out.data[out.size - 1], '\n');
	root = json_loadb(out.data, out.size, JSON_ALLOW_NUL, NULL);
	ck_assert(json_read_logged(root, &back));
	ck_assert_uint_eq(back.seq, 7);
	ck_assert(hash_equal(&back.kept.digest, &logged.kept.digest));
	json_decref(root);
	buffer_release(&out);
}
END_TEST

START_TEST(limits_are_read_as_far_as_they_are_told)
{
	struct http_answer http =
		http_of(200, "application/json",
			"{\"limits\":{\"batchActions\":10},\"clock\":{\"maxSkewMs\":"
			"60000}}");
	struct server_limits limits = {.batch_actions = 1000, .body_bytes = 4096};

	ck_assert(answer_read_limits(&http, &limits));
	ck_assert_uint_eq(limits.batch_actions, 10);
	ck_assert_uint_eq(limits.body_bytes, 4096);
	ck_assert_uint_eq(limits.max_skew_msec, 60000);
	http_answer_release(&http);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("cli_answer");
	TCase *cases = tcase_create("all");
	SRunner *runner;

	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, a_fast_forward_is_read);
	tcase_add_test(cases, members_that_are_not_known_are_ignored);
	tcase_add_test(cases, results_and_missed_actions_are_read);
	tcase_add_test(cases, what_is_not_as_the_protocol_says_is_unknown);
	tcase_add_test(cases, a_page_is_read);
	tcase_add_test(cases, problems_are_read_with_what_their_code_adds);
	tcase_add_test(cases, a_conflict_carries_what_was_missed);
	tcase_add_test(cases, an_advice_that_is_not_known_means_stop);
	tcase_add_test(cases, what_a_proxy_says_is_no_problem_document);
	tcase_add_test(cases, input_lines_are_read_strictly);
	tcase_add_test(cases, an_action_is_printed_so_that_it_reads_back);
	tcase_add_test(cases, limits_are_read_as_far_as_they_are_told);
	suite_add_tcase(suite, cases);
	runner = srunner_create(suite);
	return runner_run(runner);
}
