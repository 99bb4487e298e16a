#include "support/http_harness.h"

static void
setup(void)
{
	harness_start_default();
}

START_TEST(one_connection_serves_one_request_after_the_other)
{
	int fd = dial();
	for (int i = 0; i < 100; i++) {
		send_text(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nfirst");
		expect_answer(fd, 200, "first");
		send_text(fd, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
		expect_answer(fd, 200, "hello");
		send_text(fd, "GET /early HTTP/1.1\r\nHost: a\r\n\r\n");
		expect_answer(fd, 404, "early");
		send_text(fd, "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
		expect_answer(fd, 404, "early");
	}
	close(fd);
	wait_until(atomic_load(&harness.ended) == 400);
}
END_TEST

START_TEST(fifty_pipelined_requests_are_answered_in_order)
{
	struct buffer out;
	buffer_init(&out, 1 << 20);
	for (int i = 0; i < 50; i++) {
		char body[32];
		int size = snprintf(body, sizeof(body), "body %d", i);
		buffer_printf(&out,
			      "POST %s HTTP/1.1\r\nHost: a\r\nX-Request-Id: r%d\r\n"
			      "Content-Length: %d\r\n\r\n%s",
			      i % 3 == 0 ? "/park?2" : "/echo", i, size, body);
	}
	int fd = dial();
	ck_assert(send_bytes(fd, out.data, out.size));
	for (int i = 0; i < 50; i++) {
		char body[32], id[32];
		(void)snprintf(body, sizeof(body), "body %d", i);
		(void)snprintf(id, sizeof(id), "r%d", i);
		struct answer answer = read_answer(fd);
		ck_assert_uint_eq(answer.status, 200);
		ck_assert(body_is(&answer, body));
		ck_assert(header_is(&answer, "X-Request-Id", id));
		answer_release(&answer);
	}
	buffer_release(&out);
	close(fd);
}
END_TEST

START_TEST(head_has_the_headers_of_get_and_no_body)
{
	static const char *const paths[] = {"/hello", "/big?5000", "/none", "/stream?5000"};
	int fd = dial();
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct answer answer;
		send_format(fd, "HEAD %s HTTP/1.1\r\nHost: a\r\n\r\n", paths[i]);
		ck_assert(try_read_answer(fd, &answer, false));
		ck_assert_uint_eq(answer.status, i == 2 ? 204 : 200);
		if (i == 0)
			ck_assert(header_is(&answer, "Content-Length", "5"));
		if (i == 1)
			ck_assert(header_is(&answer, "Content-Length", "5024"));
		answer_release(&answer);
	}
	/* The length of a stream is not known, and its answer ends the connection. */
	ck_assert(is_closed(fd));
	close(fd);
	ck_assert_uint_eq(atomic_load(&harness.pulled), 0);
}
END_TEST

START_TEST(answers_without_a_body_leave_the_connection_in_step)
{
	int fd = dial();
	send_text(fd, "GET /unchanged HTTP/1.1\r\nHost: a\r\n\r\n");
	struct answer answer = read_answer(fd);
	ck_assert_uint_eq(answer.status, 304);
	ck_assert(header_is(&answer, "ETag", "\"abc\""));
	answer_release(&answer);
	send_text(fd, "GET /none HTTP/1.1\r\nHost: a\r\n\r\n");
	expect_answer(fd, 204, "");
	send_text(fd, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
	expect_answer(fd, 200, "hello");
	close(fd);
}
END_TEST

START_TEST(every_answer_carries_the_common_headers)
{
	int fd = dial();
	send_text(fd, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
	struct answer answer = read_answer(fd);
	ck_assert(header_is(&answer, "Server", "edgereplay"));
	ck_assert(header_is(&answer, "X-Content-Type-Options", "nosniff"));
	ck_assert(header_is(&answer, "Content-Type", "text/plain"));
	ck_assert_ptr_nonnull(header_of(&answer, "Date"));
	ck_assert_ptr_null(header_of(&answer, "Vary"));
	ck_assert_ptr_null(header_of(&answer, "Connection"));
	answer_release(&answer);
	close(fd);
}
END_TEST

START_TEST(a_sane_request_id_is_echoed_and_others_are_replaced)
{
	char longest[REQUEST_ID_SIZE_MAX + 1], too_long[REQUEST_ID_SIZE_MAX + 2];
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	memset(too_long, 'x', sizeof(too_long) - 1);
	too_long[sizeof(too_long) - 1] = '\0';
	const char *const sane[] = {"a", "Az09._-", "..", longest};
	const char *const bad[] = {"", "a b", "a\"b", "\xc3\xa4", "a/b", "a,b", too_long};
	int fd = dial();
	for (size_t i = 0; i < sizeof(sane) / sizeof(sane[0]); i++) {
		send_format(fd, "GET /hello HTTP/1.1\r\nHost: a\r\nX-Request-Id: %s\r\n\r\n",
			    sane[i]);
		struct answer answer = read_answer(fd);
		ck_assert(header_is(&answer, "X-Request-Id", sane[i]));
		answer_release(&answer);
	}
	char last[33] = "";
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		send_format(fd, "GET /hello HTTP/1.1\r\nHost: a\r\nX-Request-Id: %s\r\n\r\n",
			    bad[i]);
		struct answer answer = read_answer(fd);
		const char *id = header_of(&answer, "X-Request-Id");
		ck_assert_ptr_nonnull(id);
		ck_assert_uint_eq(strspn(id, "0123456789abcdef"), 32);
		ck_assert_int_ne(strncmp(id, last, 32), 0);
		memcpy(last, id, 32);
		answer_release(&answer);
	}
	close(fd);
}
END_TEST

START_TEST(the_target_arrives_raw_and_split)
{
	static const struct {
		const char *target;
		const char *seen;
	} cases[] = {
		{"/v1/logs/a%2Fb%00c/head", "/v1/logs/a%2Fb%00c/head\n"},
		{"/x?a=1&b=%20", "/x\na=1&b=%20"},
		{"/x?", "/x\n"},
		{"/x?a?b", "/x\na?b"},
		{"/+%zz//", "/+%zz//\n"},
		{"http://host:80/x?y", "/x\ny"},
		{"HTTPS://host", "/\n"},
		{"http://host?q", "/\nq"},
		{"*", "*\n"},
	};
	int fd = dial();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		send_format(fd, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", cases[i].target);
		expect_answer(fd, 200, cases[i].seen);
	}
	close(fd);
}
END_TEST

/* Each of these could be read as two different requests by two parsers in a row. */
START_TEST(requests_that_smuggle_are_refused_and_the_connection_is_closed)
{
	static const char *const requests[] = {
		"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: "
		"4\r\n\r\nabcd",
		"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: "
		"5\r\n\r\nabcd",
		"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
		"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
		"Content-Length: 4\r\n\r\n0\r\n\r\n",
		"GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"GET /hello HTTP/1.1\r\nX-A: b\r\n\r\n",
		"GET /hel lo HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /hel\tlo HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\nabcd",
		"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, "
		"chunked\r\n\r\n0\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
		"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
		"POST /echo HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length : 4\r\n\r\nabcd",
		"GET /hello HTTP/1.1\r\nHost: a\r\nX-A: b\rContent-Length: 4\r\n\r\n",
	};
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		int fd = dial();
		send_text(fd, requests[i]);
		/* If it were read past the request, this would be answered too. */
		(void)send_bytes(fd, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n", 33);
		struct answer answer = read_answer(fd);
		ck_assert_msg(answer.status == 400, "case %zu: %u", i, answer.status);
		ck_assert_msg(body_is(&answer, "MALFORMED"), "case %zu: %.*s", i,
			      (int)answer.body.size, answer.body.data);
		ck_assert(header_is(&answer, "Connection", "close"));
		ck_assert(is_closed(fd));
		answer_release(&answer);
		close(fd);
	}
	ck_assert_uint_eq(atomic_load(&harness.begun), 0);
	wait_until(atomic_load(&harness.ended) == sizeof(requests) / sizeof(requests[0]));
}
END_TEST

/* libmicrohttpd answers these before anybody is asked. */
START_TEST(requests_that_cannot_be_read_are_refused_and_the_connection_is_closed)
{
	static const char *const requests[] = {
		"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4x\r\n\r\nabcd",
		"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"GET /hello HTTP/3.0\r\nHost: a\r\n\r\n",
		"GET /hello HTTP/1.1\r\nno colon\r\n\r\n",
	};
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		struct answer answer;
		int fd = dial();
		send_text(fd, requests[i]);
		if (try_read_answer(fd, &answer, true)) {
			ck_assert_msg(answer.status >= 400 && answer.status < 600, "case %zu: %u",
				      i, answer.status);
			answer_release(&answer);
		}
		while (!is_closed(fd))
			;
		close(fd);
	}
	wait_until(atomic_load(&harness.ended) == atomic_load(&harness.begun));
}
END_TEST

static void
send_headers_of(int fd, size_t size)
{
	struct buffer out;
	buffer_init(&out, size + 2000);
	buffer_append_text(&out, TEXT("GET /hello HTTP/1.1\r\nHost: a\r\n"));
	while (out.size < size)
		buffer_printf(&out, "X-Filler: %0800d\r\n", 0);
	buffer_append_text(&out, TEXT("\r\n"));
	(void)send_bytes(fd, out.data, out.size);
	buffer_release(&out);
}

START_TEST(headers_within_the_limit_are_served_and_beyond_it_refused)
{
	struct listener_options options = harness_options();
	static const struct {
		size_t percent;
		unsigned status;
	} cases[] = {{50, 200}, {90, 200}, {120, 431}, {300, 431}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int fd = dial();
		send_headers_of(fd, options.header_bytes * cases[i].percent / 100);
		struct answer answer = read_answer(fd);
		ck_assert_msg(answer.status == cases[i].status, "%zu %%: %u", cases[i].percent,
			      answer.status);
		if (cases[i].percent == 120)
			ck_assert(body_is(&answer, "HEADERS_TOO_LARGE"));
		if (cases[i].status != 200)
			ck_assert(header_is(&answer, "Connection", "close"));
		answer_release(&answer);
		close(fd);
	}
}
END_TEST

START_TEST(a_header_that_is_repeated_is_one_list)
{
	static const struct {
		const char *headers;
		const char *value;
	} cases[] = {{"", ""},
		     {"Accept: a\r\n", "a"},
		     {"Accept: a\r\naccept: b;q=1\r\nX: y\r\nACCEPT: c\r\n", "a,b;q=1,c"},
		     {"Accept:\r\nAccept: a, b\r\n", ",a, b"}};
	int fd = dial();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		send_format(fd, "GET /accept HTTP/1.1\r\nHost: a\r\n%s\r\n", cases[i].headers);
		expect_answer(fd, 200, cases[i].value);
		send_format(fd, "GET /media HTTP/1.1\r\nHost: a\r\n%s\r\n", cases[i].headers);
		expect_answer(fd, 200, cases[i].value);
	}
	send_text(fd, "GET /type HTTP/1.1\r\nHost: a\r\nContent-type: b\r\nAccept: a\r\n\r\n");
	expect_answer(fd, 200, "b");
	send_text(fd,
		  "GET /type HTTP/1.1\r\nHost: a\r\nContent-Type: b\r\nContent-Type: c\r\n\r\n");
	expect_answer(fd, 200, "b,c");
	close(fd);
}
END_TEST

/* One request may expect more than the listener's arena_bytes; the next on this memory may not. */
START_TEST(a_request_may_take_the_memory_that_it_expects)
{
	const size_t memory = harness_options().arena_bytes;
	int fd = dial();
	for (unsigned i = 0; i < 3; i++) {
		send_format(fd, "GET /room?%zu HTTP/1.1\r\nHost: a\r\n\r\n", memory / 2);
		expect_answer(fd, 200, "room");
		send_format(fd, "GET /room?%zu HTTP/1.1\r\nHost: a\r\n\r\n", 20 * memory);
		expect_answer(fd, 200, "room");
	}
	close(fd);
}
END_TEST

START_TEST(a_target_of_any_size_that_the_headers_may_have_is_served)
{
	struct listener_options options = harness_options();
	struct buffer out;
	harness_stop();
	options.header_bytes = (size_t)256 * 1024;
	options.arena_bytes = (size_t)16 * 1024;
	harness_start(&options);
	buffer_init(&out, options.header_bytes);
	buffer_append_text(&out, TEXT("GET /hello?"));
	while (out.size < (size_t)200 * 1024)
		buffer_printf(&out, "%0800d", 0);
	buffer_append_text(&out, TEXT(" HTTP/1.1\r\nHost: a\r\n\r\n"));
	int fd = dial();
	ck_assert(send_bytes(fd, out.data, out.size));
	expect_answer(fd, 200, "hello");
	close(fd);
	buffer_release(&out);
}
END_TEST

static struct answer
get_big(int fd, const char *accept_encoding, unsigned size)
{
	send_format(fd, "GET /big?%u HTTP/1.1\r\nHost: a\r\n%s\r\n", size, accept_encoding);
	struct answer answer = read_answer(fd);
	ck_assert_uint_eq(answer.status, 200);
	ck_assert(header_is(&answer, "Vary", "Accept-Encoding"));
	return answer;
}

START_TEST(answers_are_gzipped_for_who_accepts_it_and_only_then)
{
	static const struct {
		const char *header;
		bool gzip;
	} cases[] = {
		{"", false},
		{"Accept-Encoding: gzip\r\n", true},
		{"Accept-Encoding: br, GZip;q=0.5\r\n", true},
		{"Accept-Encoding: gzip;q=0\r\n", false},
		{"Accept-Encoding: gzip ; q=0.000, *\r\n", false},
		{"Accept-Encoding: *;q=0.1\r\n", true},
		{"Accept-Encoding: *;q=0\r\n", false},
		{"Accept-Encoding: identity\r\n", false},
		{"Accept-Encoding: gzipped\r\n", false},
		{"Accept-Encoding: ,,;;q=,\r\n", false},
	};
	int fd = dial();
	struct answer plain = get_big(fd, "", 100000);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct answer answer = get_big(fd, cases[i].header, 100000);
		bool gzip = header_is(&answer, "Content-Encoding", "gzip");
		ck_assert_msg(gzip == cases[i].gzip, "%s", cases[i].header);
		if (gzip) {
			struct buffer decoded;
			buffer_init(&decoded, 1 << 20);
			gunzip_into(&decoded, answer.body.data, answer.body.size);
			ck_assert_uint_lt(answer.body.size, plain.body.size / 2);
			ck_assert_uint_eq(decoded.size, plain.body.size);
			ck_assert_mem_eq(decoded.data, plain.body.data, decoded.size);
			buffer_release(&decoded);
		}
		answer_release(&answer);
	}
	answer_release(&plain);
	struct answer small = get_big(fd, "Accept-Encoding: gzip\r\n", 900);
	ck_assert_ptr_null(header_of(&small, "Content-Encoding"));
	answer_release(&small);
	close(fd);
}
END_TEST

START_TEST(an_answer_that_is_not_to_be_stored_varies_only_when_it_is_gzipped)
{
	int fd = dial();
	send_text(fd, "GET /unstored?9000 HTTP/1.1\r\nHost: a\r\n\r\n");
	struct answer plain = read_answer(fd);
	ck_assert(header_is(&plain, "Cache-Control", "no-store"));
	ck_assert_ptr_null(header_of(&plain, "Vary"));
	answer_release(&plain);
	send_text(fd, "GET /unstored?9000 HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
	struct answer packed = read_answer(fd);
	ck_assert(header_is(&packed, "Content-Encoding", "gzip"));
	ck_assert(header_is(&packed, "Vary", "Accept-Encoding"));
	answer_release(&packed);
	/* What one answer said is not said of the next. */
	struct answer next = get_big(fd, "", 9000);
	answer_release(&next);
	close(fd);
}
END_TEST

START_TEST(a_client_of_http_1_0_is_served_and_its_connection_closed)
{
	int fd = dial();
	send_text(fd, "GET /hello HTTP/1.0\r\n\r\n");
	expect_answer(fd, 200, "hello");
	ck_assert(is_closed(fd));
	close(fd);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("http/request");
	TCase *tests = tcase_create("request");
	tcase_add_checked_fixture(tests, setup, harness_stop);
	tcase_add_test(tests, one_connection_serves_one_request_after_the_other);
	tcase_add_test(tests, fifty_pipelined_requests_are_answered_in_order);
	tcase_add_test(tests, head_has_the_headers_of_get_and_no_body);
	tcase_add_test(tests, answers_without_a_body_leave_the_connection_in_step);
	tcase_add_test(tests, every_answer_carries_the_common_headers);
	tcase_add_test(tests, a_sane_request_id_is_echoed_and_others_are_replaced);
	tcase_add_test(tests, the_target_arrives_raw_and_split);
	tcase_add_test(tests, requests_that_smuggle_are_refused_and_the_connection_is_closed);
	tcase_add_test(tests,
		       requests_that_cannot_be_read_are_refused_and_the_connection_is_closed);
	tcase_add_test(tests, headers_within_the_limit_are_served_and_beyond_it_refused);
	tcase_add_test(tests, a_header_that_is_repeated_is_one_list);
	tcase_add_test(tests, a_request_may_take_the_memory_that_it_expects);
	tcase_add_test(tests, a_target_of_any_size_that_the_headers_may_have_is_served);
	tcase_add_test(tests, answers_are_gzipped_for_who_accepts_it_and_only_then);
	tcase_add_test(tests, an_answer_that_is_not_to_be_stored_varies_only_when_it_is_gzipped);
	tcase_add_test(tests, a_client_of_http_1_0_is_served_and_its_connection_closed);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
