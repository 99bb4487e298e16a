#include "support/http_harness.h"

#define STREAM_SIZE ((size_t)50 << 20)

static void
setup(void)
{
	harness_start_default();
}

static void
expect_lines(const struct buffer *body, size_t size)
{
	struct buffer line;
	ck_assert_uint_eq(body->size, size);
	buffer_init(&line, 64);
	for (uint64_t i = 0; i < size / 32; i++) {
		line.size = 0;
		append_line(&line, i);
		ck_assert_uint_eq(line.size, 32);
		if (memcmp(line.data, body->data + 32 * i, 32) != 0)
			ck_abort_msg("line %llu differs", (unsigned long long)i);
	}
	buffer_release(&line);
}

START_TEST(a_stream_arrives_whole_and_the_connection_goes_on)
{
	static const size_t sizes[] = {0, 32, 65536, 3200000};
	int fd = dial();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		send_format(fd, "GET /stream?%zu HTTP/1.1\r\nHost: a\r\n\r\n", sizes[i]);
		struct answer answer = read_answer(fd);
		ck_assert(header_is(&answer, "Transfer-Encoding", "chunked"));
		ck_assert(header_is(&answer, "Content-Type", "application/x-ndjson"));
		expect_lines(&answer.body, sizes[i]);
		answer_release(&answer);
	}
	close(fd);
}
END_TEST

START_TEST(a_stream_of_known_size_says_it_and_is_not_gzipped)
{
	static const size_t sizes[] = {0, 32, 65536, 3200000};
	int fd = dial();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char length[32];
		struct answer answer;
		snprintf(length, sizeof(length), "%zu", sizes[i]);
		send_format(fd,
			    "GET /sized?%zu HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n",
			    sizes[i]);
		answer = read_answer(fd);
		ck_assert(header_is(&answer, "Content-Length", length));
		ck_assert_ptr_null(header_of(&answer, "Content-Encoding"));
		expect_lines(&answer.body, sizes[i]);
		answer_release(&answer);
		send_format(fd, "HEAD /sized?%zu HTTP/1.1\r\nHost: a\r\n\r\n", sizes[i]);
		ck_assert(try_read_head(fd, &answer));
		ck_assert(header_is(&answer, "Content-Length", length));
		answer_release(&answer);
	}
	send_text(fd, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
	expect_answer(fd, 200, "hello");
	close(fd);
}
END_TEST

START_TEST(a_gzipped_stream_decodes_to_the_same_bytes)
{
	static const size_t sizes[] = {0, 32, 65536, 3200000};
	int fd = dial();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct buffer decoded;
		buffer_init(&decoded, 1 << 30);
		send_format(fd,
			    "GET /stream?%zu HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n",
			    sizes[i]);
		struct answer answer = read_answer(fd);
		ck_assert(header_is(&answer, "Content-Encoding", "gzip"));
		ck_assert(header_is(&answer, "Vary", "Accept-Encoding"));
		gunzip_into(&decoded, answer.body.data, answer.body.size);
		expect_lines(&decoded, sizes[i]);
		if (sizes[i] > 100000)
			ck_assert_uint_lt(answer.body.size, sizes[i] / 4);
		buffer_release(&decoded);
		answer_release(&answer);
	}
	close(fd);
}
END_TEST

START_TEST(a_client_of_http_1_0_gets_the_stream_until_the_close)
{
	int fd = dial();
	send_text(fd, "GET /stream?320000 HTTP/1.0\r\n\r\n");
	struct answer answer = read_answer(fd);
	ck_assert_ptr_null(header_of(&answer, "Transfer-Encoding"));
	expect_lines(&answer.body, 320000);
	answer_release(&answer);
	close(fd);
}
END_TEST

/* What the server has made and the client has not yet taken is in the two sockets' buffers, which
 * the kernel bounds, and in one piece. */
START_TEST(fifty_megabytes_to_a_slow_reader_take_bounded_memory)
{
	static char part[65536];
	int fd = dial();
	int small = 65536;
	size_t got = 0, most_ahead = 0;
	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	send_format(fd, "GET /stream?%zu HTTP/1.1\r\nHost: a\r\n\r\n", STREAM_SIZE);
	while (got < STREAM_SIZE) {
		size_t size = receive(fd, part, sizeof(part));
		ck_assert_uint_gt(size, 0);
		got += size;
		size_t pulled = (size_t)atomic_load(&harness.pulled);
		if (pulled > got && pulled - got > most_ahead)
			most_ahead = pulled - got;
		if (got % 64 == 0)
			usleep(500);
	}
	ck_assert_uint_lt(most_ahead, (size_t)16 << 20);
	ck_assert_uint_le(atomic_load(&harness.stream_largest), (size_t)256 << 10);
	close(fd);
	wait_until(atomic_load(&harness.ended) == 1);
	ck_assert_uint_eq(atomic_load(&harness.pulled), STREAM_SIZE);
}
END_TEST

/* A payload of 16 MiB, the most that can be configured, of which every byte is escaped to six. */
START_TEST(the_largest_line_that_a_log_can_have_is_streamed)
{
	static char part[1 << 20];
	const size_t size = (size_t)6 * 16 * 1024 * 1024 + 4096;
	size_t got = 0, last;
	int fd = dial();
	send_format(fd, "GET /line?%zu HTTP/1.0\r\n\r\n", size);
	while ((last = receive(fd, part, sizeof(part))) > 0)
		got += last;
	ck_assert_uint_gt(got, size);
	close(fd);
}
END_TEST

START_TEST(a_client_that_leaves_in_mid_stream_ends_its_request_once)
{
	for (unsigned i = 0; i < 50; i++) {
		char part[1000];
		int fd = dial();
		send_format(fd, "GET /stream?%zu HTTP/1.1\r\nHost: a\r\n%s\r\n", STREAM_SIZE,
			    i % 2 == 0 ? "" : "Accept-Encoding: gzip\r\n");
		ck_assert_uint_gt(receive(fd, part, sizeof(part)), 0);
		close(fd);
	}
	wait_until(atomic_load(&harness.ended) == 50);
	int fd = dial();
	send_text(fd, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
	expect_answer(fd, 200, "hello");
	close(fd);
	wait_until(atomic_load(&harness.ended) == 51);
}
END_TEST

/* Everybody could fill the log otherwise. */
START_TEST(a_client_that_leaves_in_mid_stream_is_no_warning)
{
	char text[4096];
	FILE *lines = tmpfile();
	int saved = dup(STDERR_FILENO);
	const struct linger reset = {.l_onoff = 1};
	ck_assert_ptr_nonnull(lines);
	ck_assert_int_ne(dup2(fileno(lines), STDERR_FILENO), -1);
	log_configure(LOG_INFO, LOG_LOGFMT);
	for (unsigned i = 0; i < 20; i++) {
		int fd = dial();
		send_format(fd, "GET /stream?%zu HTTP/1.1\r\nHost: a\r\n\r\n", STREAM_SIZE);
		ck_assert_uint_gt(receive(fd, text, sizeof(text)), 0);
		ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
		close(fd);
	}
	wait_until(atomic_load(&harness.ended) == 20);
	log_configure(LOG_ERROR, LOG_LOGFMT);
	ck_assert_int_ne(dup2(saved, STDERR_FILENO), -1);
	rewind(lines);
	text[fread(text, 1, sizeof(text) - 1, lines)] = '\0';
	ck_assert_str_eq(text, "");
	(void)fclose(lines);
	close(saved);
}
END_TEST

/* --- memory --- */

static void
expect_status(const char *target, unsigned status)
{
	struct answer answer;
	int fd = dial();
	send_format(fd, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", target);
	ck_assert(try_read_answer(fd, &answer, true));
	ck_assert_uint_eq(answer.status, status);
	answer_release(&answer);
	close(fd);
}

START_TEST(beyond_the_memory_for_answers_only_small_ones_are_given)
{
	struct listener_options options = harness_options();
	options.answer_memory = (size_t)24 << 20;
	harness_start(&options);
	expect_status("/big?16000000", 200);
	int reader = dial();
	send_text(reader, "GET /big?16000000 HTTP/1.1\r\nHost: a\r\n\r\n");
	wait_until(atomic_load(&harness.begun) == 2);
	wait_until(recv(reader, &(char){0}, 1, MSG_PEEK | MSG_DONTWAIT) == 1);
	expect_status("/big?16000000", 429);
	expect_status("/big?10000", 200);
	expect_status("/stream?1000", 200);
	close(reader);
	wait_until(atomic_load(&harness.ended) == atomic_load(&harness.begun));
	expect_status("/big?16000000", 200);
	harness_stop();
	ck_assert_uint_eq(atomic_load(&harness.begun), atomic_load(&harness.ended));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("http/stream");
	TCase *tests = tcase_create("stream");
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, harness_stop);
	tcase_add_test(tests, a_stream_arrives_whole_and_the_connection_goes_on);
	tcase_add_test(tests, a_stream_of_known_size_says_it_and_is_not_gzipped);
	tcase_add_test(tests, a_gzipped_stream_decodes_to_the_same_bytes);
	tcase_add_test(tests, a_client_of_http_1_0_gets_the_stream_until_the_close);
	tcase_add_test(tests, fifty_megabytes_to_a_slow_reader_take_bounded_memory);
	tcase_add_test(tests, the_largest_line_that_a_log_can_have_is_streamed);
	tcase_add_test(tests, a_client_that_leaves_in_mid_stream_ends_its_request_once);
	tcase_add_test(tests, a_client_that_leaves_in_mid_stream_is_no_warning);
	TCase *memory = tcase_create("memory");
	tcase_set_timeout(memory, 60);
	tcase_add_test(memory, beyond_the_memory_for_answers_only_small_ones_are_given);
	suite_add_tcase(suite, memory);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
