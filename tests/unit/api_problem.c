/*
 * Problem documents: what every code's looks like, and what is added. The request's functions are
 * the test's own, so that no server is needed.
 */
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/problem.h"
#include "base/log.h"
#include "support/runner.h"

/* What the last answer was. */
struct request {
	char headers[1024];
	unsigned http_status;
	char content_type[64];
	json_t *document;
	unsigned note;
};

static struct request answered;

struct text
request_path(const struct request *request)
{
	(void)request;
	return TEXT("/v1/logs/a/sync");
}

struct text
request_id(const struct request *request)
{
	(void)request;
	return TEXT("request-7");
}

struct text
request_trace(const struct request *request)
{
	(void)request;
	return (struct text){NULL, 0};
}

void
request_set_note(struct request *request, unsigned note)
{
	request->note = note;
}

void
request_add_header(struct request *request, const char *name, struct text value)
{
	size_t used = strlen(request->headers);
	snprintf(request->headers + used, sizeof(request->headers) - used, "%s: %.*s\n", name,
		 (int)value.size, value.data);
}

void
request_answer(struct request *request, unsigned http_status, const char *content_type,
	       struct buffer *body)
{
	request->http_status = http_status;
	if (!body) /* of a 304 */
		return;
	ck_assert(!body->failed);
	snprintf(request->content_type, sizeof(request->content_type), "%s",
		 content_type ? content_type : "");
	request->document = json_loadb(body->data, body->size, JSON_REJECT_DUPLICATES, NULL);
	buffer_release(body);
}

static const char *
member(const char *name)
{
	const char *value = json_string_value(json_object_get(answered.document, name));
	ck_assert_msg(value != NULL, "%s", name);
	return value;
}

static void
answer(const struct problem *problem)
{
	json_decref(answered.document);
	memset(&answered, 0, sizeof(answered));
	problem_answer(&answered, problem);
	ck_assert_ptr_nonnull(answered.document);
}

static void
be_quiet(void)
{
	log_configure(LOG_ERROR, LOG_LOGFMT);
}

static void
forget(void)
{
	json_decref(answered.document);
	answered.document = NULL;
}

START_TEST(every_code_has_a_whole_document)
{
	for (int status = STATUS_OK + 1; status < STATUS_COUNT; status++) {
		const struct status_info *info = status_info((enum status)status);
		answer(&(struct problem){.status = (enum status)status});
		ck_assert_uint_eq(answered.http_status, info->http);
		ck_assert_str_eq(answered.content_type, "application/problem+json");
		ck_assert_str_eq(member("code"), info->code);
		ck_assert_str_eq(member("title"), info->title);
		ck_assert_str_eq(member("retry"), retry_word(info->retry));
		ck_assert_str_eq(member("requestId"), "request-7");
		ck_assert_uint_gt(strlen(member("detail")), 0);
		ck_assert_int_eq(json_integer_value(json_object_get(answered.document, "status")),
				 info->http);
		ck_assert(json_integer_value(json_object_get(answered.document,
							     "serverTimestamp")) > 1600000000000);
		ck_assert_ptr_nonnull(strstr(answered.headers, "Cache-Control: no-store\n"));
	}
}
END_TEST

START_TEST(the_type_is_the_code_in_lower_case_with_dashes)
{
	answer(&(struct problem){.status = STATUS_NON_MONOTONIC_TIMESTAMP});
	ck_assert_str_eq(member("type"), "/problems/non-monotonic-timestamp");
	answer(&(struct problem){.status = STATUS_MALFORMED});
	ck_assert_str_eq(member("type"), "/problems/malformed");
}
END_TEST

START_TEST(a_detail_of_any_bytes_of_utf8_is_escaped)
{
	char detail[256];
	memset(detail, '\x01', sizeof(detail));
	answer(&(struct problem){.status = STATUS_MALFORMED, .detail = TEXT("a \"b\"\n\xc3\xa9")});
	ck_assert_str_eq(member("detail"), "a \"b\"\n\xc3\xa9");
	answer(&(struct problem){.status = STATUS_MALFORMED, .detail = {detail, sizeof(detail)}});
	ck_assert_uint_eq(strlen(member("detail")), sizeof(detail));
}
END_TEST

START_TEST(an_internal_failure_tells_nothing_of_the_inside)
{
	answer(&(struct problem){.status = STATUS_INTERNAL, .detail = TEXT("secret")});
	ck_assert_ptr_null(strstr(member("detail"), "secret"));
}
END_TEST

START_TEST(a_time_to_wait_is_told_in_both_forms)
{
	static const struct {
		uint64_t msec;
		const char *header;
	} cases[] = {
		{1, "Retry-After: 1\n"},
		{999, "Retry-After: 1\n"},
		{1000, "Retry-After: 1\n"},
		{1001, "Retry-After: 2\n"},
		{12345678, "Retry-After: 12346\n"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		answer(&(struct problem){.status = STATUS_BACKPRESSURE,
					 .retry_after_msec = cases[i].msec});
		ck_assert_ptr_nonnull(strstr(answered.headers, cases[i].header));
		ck_assert_uint_eq((uint64_t)json_integer_value(
					  json_object_get(answered.document, "retryAfterMs")),
				  cases[i].msec);
	}
	answer(&(struct problem){.status = STATUS_STORAGE_UNAVAILABLE});
	ck_assert_ptr_nonnull(strstr(answered.headers, "Retry-After: 1\n"));
	answer(&(struct problem){.status = STATUS_INDEX_DAMAGED});
	ck_assert_ptr_nonnull(strstr(answered.headers, "Retry-After: 1\n"));
	answer(&(struct problem){.status = STATUS_MALFORMED});
	ck_assert_ptr_null(strstr(answered.headers, "Retry-After"));
	ck_assert_ptr_null(json_object_get(answered.document, "retryAfterMs"));
}
END_TEST

START_TEST(a_problem_carries_what_its_code_adds)
{
	answer(&(struct problem){.status = STATUS_PAYLOAD_TOO_LARGE,
				 .members = TEXT("\"limit\":20,\"index\":3")});
	ck_assert_int_eq(json_integer_value(json_object_get(answered.document, "limit")), 20);
	ck_assert_int_eq(json_integer_value(json_object_get(answered.document, "index")), 3);
	answer(&(struct problem){.status = STATUS_METHOD_NOT_ALLOWED, .allow = "GET, HEAD"});
	ck_assert_ptr_nonnull(strstr(answered.headers, "Allow: GET, HEAD\n"));
}
END_TEST

START_TEST(a_problem_is_noted_with_its_request)
{
	answer(&(struct problem){.status = STATUS_BACKPRESSURE});
	ck_assert_uint_eq(answered.note, STATUS_BACKPRESSURE);
	answer(&(struct problem){.status = STATUS_CHAIN_BROKEN});
	ck_assert_uint_eq(answered.note, STATUS_CHAIN_BROKEN);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("api_problem");
	TCase *tests = tcase_create("problem");
	tcase_add_checked_fixture(tests, be_quiet, forget);
	tcase_add_test(tests, every_code_has_a_whole_document);
	tcase_add_test(tests, the_type_is_the_code_in_lower_case_with_dashes);
	tcase_add_test(tests, a_detail_of_any_bytes_of_utf8_is_escaped);
	tcase_add_test(tests, an_internal_failure_tells_nothing_of_the_inside);
	tcase_add_test(tests, a_time_to_wait_is_told_in_both_forms);
	tcase_add_test(tests, a_problem_carries_what_its_code_adds);
	tcase_add_test(tests, a_problem_is_noted_with_its_request);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
