/*
 * Which endpoint a request names, what its query asks for, and what is wrong with it otherwise.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/route.h"
#include "support/runner.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LINK "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define DIGITS "1111111111111111111111111111111111111111111111111111111111111111"

static struct route_limits limits = {.wait_sec = 30};
static struct route route;
static struct route_fault fault;

/* "path?query" */
static enum status
read_as(const char *method, const char *target, const char *accept, const char *content_type)
{
	const char *mark = strchr(target, '?');
	struct route_input input = {
		.method = text_of(method),
		.path = {target, mark ? (size_t)(mark - target) : strlen(target)},
		.query = text_of(mark ? mark + 1 : ""),
	};
	if (accept)
		input.accept = text_of(accept);
	if (content_type)
		input.content_type = text_of(content_type);
	return route_read(&input, &limits, &route, &fault);
}

static enum status
get(const char *target)
{
	return read_as("GET", target, NULL, NULL);
}

START_TEST(each_path_has_its_target)
{
	ck_assert_int_eq(get("/v1/info"), STATUS_OK);
	ck_assert_int_eq(route.target, ROUTE_INFO);
	ck_assert_int_eq(get("/v1/logs/a/actions"), STATUS_OK);
	ck_assert_int_eq(route.target, ROUTE_ACTIONS);
	ck_assert_int_eq(get("/v1/logs/a/head"), STATUS_OK);
	ck_assert_int_eq(route.target, ROUTE_HEAD);
	ck_assert_int_eq(read_as("HEAD", "/v1/logs/a/head", NULL, NULL), STATUS_OK);
	ck_assert_int_eq(route.target, ROUTE_HEAD);
	ck_assert_int_eq(get("/v1/logs/a/events"), STATUS_OK);
	ck_assert_int_eq(route.target, ROUTE_EVENTS);
	ck_assert_int_eq(read_as("POST", "/v1/logs/a/sync", NULL, "application/json"), STATUS_OK);
	ck_assert_int_eq(route.target, ROUTE_SYNC);
}
END_TEST

START_TEST(a_snapshot_is_named_by_its_seq_or_as_the_latest)
{
	ck_assert_int_eq(get("/v1/logs/a/snapshots/latest"), STATUS_OK);
	ck_assert_int_eq(route.target, ROUTE_SNAPSHOT_GET);
	ck_assert_uint_eq(route.snapshot, 0);
	ck_assert_uint_eq(route.before, 0);
	ck_assert_int_eq(get("/v1/logs/a/snapshots/latest?before=17"), STATUS_OK);
	ck_assert_uint_eq(route.before, 17);
	ck_assert_int_eq(read_as("GET", "/v1/logs/a/snapshots/42", "image/png", NULL), STATUS_OK);
	ck_assert_uint_eq(route.snapshot, 42);
	ck_assert_int_eq(read_as("PUT", "/v1/logs/a/snapshots/42", NULL, "image/png"), STATUS_OK);
	ck_assert_int_eq(route.target, ROUTE_SNAPSHOT_PUT);
	ck_assert_int_eq(read_as("PUT", "/v1/logs/a/snapshots/42", "image/png", NULL),
			 STATUS_NOT_ACCEPTABLE);
	ck_assert_int_eq(read_as("OPTIONS", "/v1/logs/a/snapshots/42", NULL, NULL), STATUS_OK);
	ck_assert_str_eq(route.allow, "GET, HEAD, PUT, OPTIONS");
	ck_assert_int_eq(read_as("PUT", "/v1/logs/a/snapshots/latest", NULL, NULL),
			 STATUS_METHOD_NOT_ALLOWED);
	ck_assert_str_eq(fault.allow, "GET, HEAD, OPTIONS");
	ck_assert_int_eq(get("/v1/logs/a/snapshots/42?before=17"), STATUS_MALFORMED);
	ck_assert_int_eq(get("/v1/logs/a/snapshots/latest?before=0"), STATUS_MALFORMED);
	ck_assert_int_eq(get("/v1/logs/a/snapshots/latest?wait=1"), STATUS_MALFORMED);
}
END_TEST

START_TEST(any_other_path_is_not_found)
{
	static const char *const paths[] = {
		"",
		"/",
		"*",
		"/v1",
		"/v1/",
		"/v1/info/",
		"/v1//info",
		"/v1/Info",
		"/v2/info",
		"//v1/info",
		"/v1/logs",
		"/v1/logs/",
		"/v1/logs/a",
		"/v1/logs/a/",
		"/v1/logs//head",
		"/v1/logs/a/head/",
		"/v1/logs/a/head/x",
		"/v1/logs/a//head",
		"/v1/logs/a/b/head",
		"/v1/logs/a/event",
		"/v1/logs/a/Head",
		"/v1/%69nfo",
		"v1/info",
		"/favicon.ico",
		"/v1/logs/a/sync%20",
		"/v1/logs/a/snapshots",
		"/v1/logs/a/snapshots/",
		"/v1/logs/a/snapshots/0",
		"/v1/logs/a/snapshots/01",
		"/v1/logs/a/snapshots/9007199254740992",
		"/v1/logs/a/snapshots/Latest",
		"/v1/logs/a/snapshots/1/2",
	};
	for (size_t i = 0; i < COUNT(paths); i++) {
		ck_assert_msg(get(paths[i]) == STATUS_NOT_FOUND, "%s", paths[i]);
		ck_assert_msg(read_as("FOO", paths[i], NULL, NULL) == STATUS_NOT_FOUND, "%s",
			      paths[i]);
		ck_assert_ptr_nonnull(strstr(fault.detail, "/v1/info"));
	}
}
END_TEST

START_TEST(another_method_is_told_which_are_allowed)
{
	static const char *const methods[] = {"PUT", "DELETE", "PATCH", "get", "TRACE", "X"};
	for (size_t i = 0; i < COUNT(methods); i++) {
		ck_assert_int_eq(read_as(methods[i], "/v1/info", NULL, NULL),
				 STATUS_METHOD_NOT_ALLOWED);
		ck_assert_str_eq(fault.allow, "GET, HEAD, OPTIONS");
		ck_assert_int_eq(read_as(methods[i], "/v1/logs/a/sync", NULL, NULL),
				 STATUS_METHOD_NOT_ALLOWED);
		ck_assert_str_eq(fault.allow, "POST, OPTIONS");
	}
	ck_assert_int_eq(get("/v1/logs/a/sync"), STATUS_METHOD_NOT_ALLOWED);
	ck_assert_int_eq(read_as("POST", "/v1/logs/a/head", NULL, NULL), STATUS_METHOD_NOT_ALLOWED);
}
END_TEST

START_TEST(options_lists_the_methods_of_a_known_path_and_of_the_server)
{
	ck_assert_int_eq(read_as("OPTIONS", "*", NULL, NULL), STATUS_OK);
	ck_assert_int_eq(route.target, ROUTE_OPTIONS);
	ck_assert_str_eq(route.allow, "GET, HEAD, POST, PUT, OPTIONS");
	ck_assert_int_eq(read_as("OPTIONS", "/v1/logs/a/sync", "text/html", NULL), STATUS_OK);
	ck_assert_str_eq(route.allow, "POST, OPTIONS");
	ck_assert_int_eq(read_as("OPTIONS", "/v1/logs/a/head?wait=1", NULL, NULL), STATUS_OK);
	ck_assert_str_eq(route.allow, "GET, HEAD, OPTIONS");
	ck_assert_int_eq(read_as("OPTIONS", "/v1/nothing", NULL, NULL), STATUS_NOT_FOUND);
}
END_TEST

START_TEST(a_log_name_is_decoded_once)
{
	struct hash genesis;
	ck_assert_int_eq(get("/v1/logs/a%7Cb%2bC:d@e=f/head"), STATUS_OK);
	ck_assert(text_equal(route_log(&route), TEXT("a|b+C:d@e=f")));
	chain_genesis(TEXT("a|b+C:d@e=f"), &genesis);
	ck_assert(hash_equal(&route.genesis, &genesis));
}
END_TEST

START_TEST(a_bad_log_name_is_malformed_and_told_the_rule)
{
	static const char *const names[] = {
		"%2561", "a%2Fb",  "a%00b", "%",     "%4",	 "%4g",	   "a%",  ".",
		"..",	 "%2e%2E", "a b",   "a%20b", "\xc3\xa9", "%c3%a9", "a,b",
	};
	char target[300], name[130];
	for (size_t i = 0; i < COUNT(names); i++) {
		snprintf(target, sizeof(target), "/v1/logs/%s/head", names[i]);
		ck_assert_msg(get(target) == STATUS_MALFORMED, "%s", target);
		ck_assert_ptr_nonnull(strstr(fault.detail, "1 to 128 of"));
	}
	memset(name, 'n', sizeof(name));
	snprintf(target, sizeof(target), "/v1/logs/%.128s/head", name);
	ck_assert_int_eq(get(target), STATUS_OK);
	ck_assert_uint_eq(route.log_size, 128);
	snprintf(target, sizeof(target), "/v1/logs/%.129s/head", name);
	ck_assert_int_eq(get(target), STATUS_MALFORMED);
}
END_TEST

START_TEST(the_query_of_a_replay_is_read)
{
	ck_assert_int_eq(get("/v1/logs/a/actions"), STATUS_OK);
	ck_assert(route.after == 0 && route.limit == 0 && route.wait_sec == 0 && !route.meta);
	ck_assert(!route.until.has_seq && !route.until.has_link);
	ck_assert_int_eq(get("/v1/logs/a/actions?after=41&limit=7&wait=30&meta=1&until=50"),
			 STATUS_OK);
	ck_assert(route.after == 41 && route.limit == 7 && route.wait_sec == 30 && route.meta);
	ck_assert(route.until.has_seq && !route.until.has_link && route.until.position.seq == 50);
	ck_assert_int_eq(get("/v1/logs/a/actions?until=50:" LINK), STATUS_OK);
	ck_assert(route.until.has_seq && route.until.has_link && route.until.position.seq == 50);
	ck_assert_uint_eq(route.until.position.link.bytes[0], 0xaa);
	ck_assert_int_eq(get("/v1/logs/a/actions?until=50%3a" LINK), STATUS_OK);
	ck_assert_int_eq(get("/v1/logs/a/actions?until=" LINK), STATUS_OK);
	ck_assert(!route.until.has_seq && route.until.has_link);
	ck_assert_int_eq(get("/v1/logs/a/actions?until=" DIGITS), STATUS_OK);
	ck_assert(!route.until.has_seq && route.until.has_link);
	ck_assert_int_eq(get("/v1/logs/a/actions?after=%34%31&until=41"), STATUS_OK);
	ck_assert_uint_eq(route.after, 41);
	ck_assert_int_eq(get("/v1/logs/a/head?wait=0"), STATUS_OK);
}
END_TEST

START_TEST(a_wait_that_the_protocol_allows_is_shortened_to_this_servers_longest)
{
	limits.wait_sec = 5;
	ck_assert_int_eq(get("/v1/logs/a/head?wait=30"), STATUS_OK);
	ck_assert_uint_eq(route.wait_sec, 5);
	ck_assert_int_eq(get("/v1/logs/a/head?wait=3"), STATUS_OK);
	ck_assert_uint_eq(route.wait_sec, 3);
	ck_assert_int_eq(get("/v1/logs/a/head?wait=31"), STATUS_MALFORMED);
	limits.wait_sec = 30;
}
END_TEST

START_TEST(the_query_is_strict)
{
	static const struct {
		const char *target, *detail;
	} cases[] = {
		{"/v1/info?x=1", "takes no query"},
		{"/v1/info?wait=1", "takes no query"},
		{"/v1/logs/a/head?after=1", "only query parameter here is wait"},
		{"/v1/logs/a/actions?x=1", "after, limit, until, wait and meta"},
		{"/v1/logs/a/actions?After=1", "after, limit, until, wait and meta"},
		{"/v1/logs/a/actions?&after=1", "after, limit, until, wait and meta"},
		{"/v1/logs/a/actions?after=1&&meta=1", "after, limit, until, wait and meta"},
		{"/v1/logs/a/actions?after=1&", "must not end with &"},
		{"/v1/logs/a/actions?after=1&after=1", "after: must not be there twice"},
		{"/v1/logs/a/actions?after", "after: must be an integer from 0"},
		{"/v1/logs/a/actions?after=", "after: must be an integer"},
		{"/v1/logs/a/actions?after=-1", "after: must be an integer"},
		{"/v1/logs/a/actions?after=+1", "after: must be an integer"},
		{"/v1/logs/a/actions?after=01", "after: must be an integer"},
		{"/v1/logs/a/actions?after=1%00", "after: must be an integer"},
		{"/v1/logs/a/actions?after=%zz", "after: its percent-encoding is wrong"},
		{"/v1/logs/a/actions?after=9007199254740992", "after: must be an integer"},
		{"/v1/logs/a/actions?limit=0", "limit: must be an integer from 1"},
		{"/v1/logs/a/actions?meta=2", "meta: must be 0 or 1"},
		{"/v1/logs/a/actions?meta=true", "meta: must be 0 or 1"},
		{"/v1/logs/a/actions?wait=31", "wait: must be whole seconds from 0 to 30"},
		{"/v1/logs/a/head?wait=0.5", "wait: must be whole seconds"},
		{"/v1/logs/a/actions?until=", "until: must be a seq"},
		{"/v1/logs/a/actions?until=x", "until: must be a seq"},
		{"/v1/logs/a/actions?until=5:", "until: must be a seq"},
		{"/v1/logs/a/actions?until=:" LINK, "until: must be a seq"},
		{"/v1/logs/a/actions?until=5:" LINK "a", "until: must be a seq"},
		{"/v1/logs/a/actions?until=5:A" LINK, "until: must be a seq"},
		{"/v1/logs/a/actions?until=4&after=5", "until: must not be before after"},
		{"/v1/logs/a/actions?after=5&until=4:" LINK, "until: must not be before after"},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		ck_assert_msg(get(cases[i].target) == STATUS_MALFORMED, "%s", cases[i].target);
		ck_assert_msg(strstr(fault.detail, cases[i].detail), "%s: %s", cases[i].target,
			      fault.detail);
	}
	ck_assert_int_eq(read_as("POST", "/v1/logs/a/sync?x=1", NULL, "application/json"),
			 STATUS_MALFORMED);
}
END_TEST

START_TEST(a_sync_needs_the_content_type_of_json)
{
	static const char *const good[] = {
		"application/json",
		"Application/JSON",
		" application/json ",
		"application/json;charset=utf-8",
		"application/json; charset=UTF-8",
		"application/json ; Charset=\"utf-8\"",
		"application/json;",
	};
	static const char *const bad[] = {
		"",
		"text/json",
		"application/jsonx",
		"application/json; charset=latin1",
		"application/json; boundary=x",
		"application/x-www-form-urlencoded",
		"application/*",
		"application/json, text/plain",
	};
	for (size_t i = 0; i < COUNT(good); i++)
		ck_assert_msg(read_as("POST", "/v1/logs/a/sync", NULL, good[i]) == STATUS_OK, "%s",
			      good[i]);
	for (size_t i = 0; i < COUNT(bad); i++)
		ck_assert_msg(read_as("POST", "/v1/logs/a/sync", NULL, bad[i]) ==
				      STATUS_UNSUPPORTED_MEDIA_TYPE,
			      "%s", bad[i]);
	ck_assert_int_eq(read_as("POST", "/v1/logs/a/sync", NULL, NULL),
			 STATUS_UNSUPPORTED_MEDIA_TYPE);
}
END_TEST

START_TEST(accept_chooses_between_json_and_ndjson)
{
	static const struct {
		const char *accept;
		enum media media;
	} cases[] = {
		{"", MEDIA_JSON},
		{"*/*", MEDIA_JSON},
		{"application/*", MEDIA_JSON},
		{"application/json", MEDIA_JSON},
		{"APPLICATION/JSON", MEDIA_JSON},
		{"application/x-ndjson", MEDIA_NDJSON},
		{"Application/X-NDJSON", MEDIA_NDJSON},
		{"application/x-ndjson, application/json", MEDIA_JSON},
		{"application/x-ndjson, application/json;q=0.9", MEDIA_NDJSON},
		{"application/json;q=0.5, application/x-ndjson;q=0.4", MEDIA_JSON},
		{"application/json ; q=0.4 , application/x-ndjson; q=0.5", MEDIA_NDJSON},
		{"application/x-ndjson, */*;q=0.1", MEDIA_NDJSON},
		{"application/x-ndjson, */*", MEDIA_NDJSON},
		{"*/*, application/json;q=0", MEDIA_NDJSON},
		{"*/*;q=0.1, application/json;q=0.001, text/html", MEDIA_NDJSON},
		{"text/html, application/xhtml+xml, */*;q=0.8", MEDIA_JSON},
		{"application/json;v=1;q=0.2, application/x-ndjson;q=0.1", MEDIA_JSON},
		{"application/json, application/problem+json", MEDIA_JSON},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		ck_assert_msg(read_as("GET", "/v1/logs/a/actions", cases[i].accept, NULL) ==
				      STATUS_OK,
			      "%s", cases[i].accept);
		ck_assert_msg(route.media == cases[i].media, "%s", cases[i].accept);
	}
}
END_TEST

START_TEST(events_are_for_who_accepts_them)
{
	static const char *const taken[] = {"text/event-stream",
					    "Text/Event-Stream; charset=utf-8",
					    "text/*",
					    "*/*",
					    "",
					    "text/html, */*;q=0.1",
					    "application/json, text/event-stream;q=0.001"};
	static const char *const refused[] = {"application/json",
					      "application/*",
					      "text/html",
					      "text/event-stream;q=0",
					      "text/*, text/event-stream;q=0",
					      "text",
					      "text/event-streams"};
	for (size_t i = 0; i < COUNT(taken); i++)
		ck_assert_msg(read_as("GET", "/v1/logs/a/events", taken[i], NULL) == STATUS_OK,
			      "%s", taken[i]);
	for (size_t i = 0; i < COUNT(refused); i++)
		ck_assert_msg(read_as("GET", "/v1/logs/a/events", refused[i], NULL) ==
				      STATUS_NOT_ACCEPTABLE,
			      "%s", refused[i]);
	ck_assert_int_eq(get("/v1/logs/a/events?wait=1"), STATUS_MALFORMED);
}
END_TEST

START_TEST(what_accepts_nothing_we_have_is_not_acceptable)
{
	static const char *const nothing[] = {
		"text/html", "application/json;q=0",
		"*/*;q=0",   "application/problem+json",
		"text/*",    "*/*, application/json;q=0, application/x-ndjson;q=0.0",
	};
	for (size_t i = 0; i < COUNT(nothing); i++) {
		ck_assert_msg(read_as("GET", "/v1/logs/a/actions", nothing[i], NULL) ==
				      STATUS_NOT_ACCEPTABLE,
			      "%s", nothing[i]);
		ck_assert_ptr_nonnull(strstr(fault.detail, "application/x-ndjson"));
	}
	ck_assert_int_eq(read_as("GET", "/v1/logs/a/head", "application/x-ndjson", NULL),
			 STATUS_NOT_ACCEPTABLE);
	ck_assert_int_eq(read_as("GET", "/v1/logs/a/head", "application/x-ndjson, */*;q=0.1", NULL),
			 STATUS_OK);
	ck_assert_int_eq(route.media, MEDIA_JSON);
}
END_TEST

START_TEST(the_first_fault_of_the_protocols_table_is_told)
{
	ck_assert_int_eq(read_as("PUT", "/v1/logs/%/nothing?x", "a/b", "x"), STATUS_NOT_FOUND);
	ck_assert_int_eq(read_as("PUT", "/v1/logs/%/sync?x", "a/b", "x"),
			 STATUS_METHOD_NOT_ALLOWED);
	ck_assert_int_eq(read_as("POST", "/v1/logs/%/sync?x", "a/b", "x"), STATUS_NOT_ACCEPTABLE);
	ck_assert_int_eq(read_as("POST", "/v1/logs/%/sync?x", NULL, "x"),
			 STATUS_UNSUPPORTED_MEDIA_TYPE);
	ck_assert_int_eq(read_as("POST", "/v1/logs/%/sync", NULL, "application/json"),
			 STATUS_MALFORMED);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("api_route");
	TCase *tests = tcase_create("route");
	tcase_add_test(tests, each_path_has_its_target);
	tcase_add_test(tests, a_snapshot_is_named_by_its_seq_or_as_the_latest);
	tcase_add_test(tests, any_other_path_is_not_found);
	tcase_add_test(tests, another_method_is_told_which_are_allowed);
	tcase_add_test(tests, options_lists_the_methods_of_a_known_path_and_of_the_server);
	tcase_add_test(tests, a_log_name_is_decoded_once);
	tcase_add_test(tests, a_bad_log_name_is_malformed_and_told_the_rule);
	tcase_add_test(tests, the_query_of_a_replay_is_read);
	tcase_add_test(tests, a_wait_that_the_protocol_allows_is_shortened_to_this_servers_longest);
	tcase_add_test(tests, the_query_is_strict);
	tcase_add_test(tests, a_sync_needs_the_content_type_of_json);
	tcase_add_test(tests, accept_chooses_between_json_and_ndjson);
	tcase_add_test(tests, events_are_for_who_accepts_them);
	tcase_add_test(tests, what_accepts_nothing_we_have_is_not_acceptable);
	tcase_add_test(tests, the_first_fault_of_the_protocols_table_is_told);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
