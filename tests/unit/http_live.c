/* Live streams: they park in the middle of an answer, and cost no thread meanwhile. */
#include "support/http_harness.h"

#define LINES 200
#define CLIENTS 16

/* Reads the answer's head and its first line. */
static void
begin_watching(int fd, const char *query)
{
	struct answer answer;
	send_format(fd, "GET /watch%s HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n", query);
	ck_assert(try_read_head(fd, &answer));
	ck_assert_uint_eq(answer.status, 200);
	ck_assert_ptr_null(header_of(&answer, "Content-Encoding"));
	answer_release(&answer);
}

/* One chunk, which is one piece. */
static void
expect_line(int fd, uint64_t number)
{
	struct buffer line, wanted;
	buffer_init(&line, 1024);
	buffer_init(&wanted, 1024);
	ck_assert(read_line(fd, &line));
	ck_assert(strtoul(line.data, NULL, 16) == 32);
	line.size = 0;
	read_exactly(fd, &line, 34);
	append_line(&wanted, number);
	ck_assert(memcmp(line.data, wanted.data, 32) == 0);
	buffer_release(&line);
	buffer_release(&wanted);
}

static void *
live_client(void *cookie)
{
	struct buffer lines;
	(void)cookie;
	buffer_init(&lines, 32 * LINES);
	for (uint64_t i = 0; i < LINES; i++)
		append_line(&lines, i);
	for (unsigned i = 0; i < 5; i++) {
		int fd = dial();
		send_format(fd, "GET /live?%u HTTP/1.1\r\nHost: a\r\n\r\n", LINES);
		struct answer answer = read_answer(fd);
		ck_assert_uint_eq(answer.status, 200);
		ck_assert(is_closed(fd));
		close(fd);
		ck_assert_uint_eq(answer.body.size, lines.size);
		ck_assert(memcmp(answer.body.data, lines.data, lines.size) == 0);
		answer_release(&answer);
	}
	buffer_release(&lines);
	return NULL;
}

START_TEST(a_stream_that_parks_before_each_line_arrives_whole)
{
	pthread_t threads[CLIENTS];
	harness_start_default();
	for (unsigned i = 0; i < CLIENTS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, live_client, NULL), 0);
	for (unsigned i = 0; i < CLIENTS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	wait_until(atomic_load(&harness.ended) == 5 * CLIENTS);
	harness_stop();
}
END_TEST

START_TEST(a_client_of_http_1_0_gets_it_until_the_close)
{
	harness_start_default();
	int fd = dial();
	send_text(fd, "GET /live?50 HTTP/1.0\r\n\r\n");
	struct answer answer = read_answer(fd);
	ck_assert_uint_eq(answer.body.size, 1600);
	answer_release(&answer);
	close(fd);
	harness_stop();
}
END_TEST

START_TEST(each_piece_leaves_at_once)
{
	harness_start_default();
	int first = dial(), second = dial();
	begin_watching(first, "");
	begin_watching(second, "");
	expect_line(first, 0);
	expect_line(second, 0);
	for (unsigned i = 1; i < 50; i++) {
		wait_until(atomic_load(&harness.held_count) == 2 * i);
		harness_say();
		expect_line(second, i);
		expect_line(first, i);
	}
	wait_until(atomic_load(&harness.held_count) == 100);
	listener_quiesce(harness.listener);
	harness_say();
	ck_assert(listener_drain(harness.listener, 10000));
	harness_stop();
	close(first);
	close(second);
}
END_TEST

START_TEST(head_of_a_live_stream_has_no_body_and_does_not_park)
{
	harness_start_default();
	struct answer answer;
	for (unsigned i = 0; i < 3; i++) {
		int fd = dial();
		send_text(fd, "HEAD /watch HTTP/1.1\r\nHost: a\r\n\r\n");
		ck_assert(try_read_answer(fd, &answer, false));
		ck_assert_uint_eq(answer.status, 200);
		answer_release(&answer);
		wait_until(atomic_load(&harness.ended) == i + 1);
		close(fd);
	}
	ck_assert_uint_eq(atomic_load(&harness.held_count), 0);
	harness_stop();
}
END_TEST

/* However it leaves: with an end, with a reset, or by ending only what it sends. */
START_TEST(the_app_hears_of_a_client_that_leaves_a_parked_request)
{
	const struct linger reset = {.l_onoff = 1};
	harness_start_default();
	int ended = dial(), cut = dial(), half = dial(), waiting = dial();
	begin_watching(ended, "");
	begin_watching(cut, "");
	begin_watching(half, "");
	send_text(waiting, "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
	wait_until(atomic_load(&harness.held_count) == 4);
	ck_assert_uint_eq(atomic_load(&harness.left), 0);
	close(ended);
	wait_until(atomic_load(&harness.left) == 1);
	ck_assert_int_eq(setsockopt(cut, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	close(cut);
	wait_until(atomic_load(&harness.left) == 2);
	(void)shutdown(half, SHUT_WR);
	wait_until(atomic_load(&harness.left) == 3);
	(void)shutdown(waiting, SHUT_WR);
	wait_until(atomic_load(&harness.left) == 4);

	void *items[4];
	ck_assert_uint_eq(queue_take(harness.held, items, 4, 0), 4);
	for (unsigned i = 0; i < 4; i++)
		request_resume(items[i], path_is(items[i], "/hold") ? app_after_hold : NULL);
	expect_line(half, 0);
	struct answer answer = read_answer(waiting);
	ck_assert(body_is(&answer, "abc"));
	answer_release(&answer);
	wait_until(atomic_load(&harness.ended) == 4);
	close(half);
	close(waiting);
	harness_stop();
}
END_TEST

/* The time is for what is sent, not for the waiting. */
START_TEST(a_stream_that_has_nothing_to_say_outlives_the_time_for_sending)
{
	struct listener_options options = harness_options();
	options.deadlines.send_sec = 1;
	options.deadlines.idle_sec = 1;
	harness_start(&options);
	int fd = dial();
	begin_watching(fd, "");
	expect_line(fd, 0);
	for (unsigned i = 1; i < 3; i++) {
		(void)sleep(3);
		ck_assert_uint_eq(atomic_load(&harness.held_count), i);
		harness_say();
		expect_line(fd, i);
	}
	close(fd);
	wait_until(atomic_load(&harness.left) == 1);
	harness_say();
	wait_until(atomic_load(&harness.ended) == 1);
	harness_stop();
}
END_TEST

/* Eight megabytes a line: more than a socket takes of a client that does not read. */
START_TEST(who_does_not_take_what_a_stream_says_is_cut)
{
	struct listener_options options = harness_options();
	options.deadlines.send_sec = 1;
	harness_start(&options);
	int fd = dial();
	begin_watching(fd, "?8000000");
	wait_until(atomic_load(&harness.ended) == 1);
	ck_assert_uint_eq(atomic_load(&harness.held_count), 0);
	close(fd);
	harness_stop();
}
END_TEST

#define WAITS 300
#define TRACE "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
#define STAY 256 /* of a thread's, inside libmicrohttpd */

/* All connections of one thread. */
static void
start_waiting(int *fds, const char *method, const char *query)
{
	struct listener_options options = harness_options();
	options.threads = 1;
	options.connections = 2 * WAITS;
	harness_start(&options);
	for (unsigned i = 0; i < WAITS; i++) {
		fds[i] = dial();
		send_format(fds[i],
			    "%s /long%s HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n"
			    "traceparent: " TRACE "\r\n\r\n",
			    method, query);
	}
	wait_until(atomic_load(&harness.held_count) == WAITS);
}

static void
stop_waiting(const int *fds)
{
	for (unsigned i = 0; i < WAITS; i++)
		close(fds[i]);
	wait_until(atomic_load(&harness.ended) >= WAITS);
	harness_stop();
	ck_assert_uint_eq(atomic_load(&harness.traced), WAITS);
}

START_TEST(of_many_that_wait_for_long_the_later_ones_end_with_their_answer)
{
	static int fds[WAITS];
	unsigned closed = 0;
	start_waiting(fds, "GET", "");
	harness_end_long();
	for (unsigned i = 0; i < WAITS; i++) {
		struct answer answer = read_answer(fds[i]);
		const bool closes = header_is(&answer, "Connection", "close");
		ck_assert_uint_eq(answer.status, 200);
		ck_assert(body_is(&answer, "late"));
		ck_assert(header_is(&answer, "Content-Type", "text/plain"));
		ck_assert(header_is(&answer, "Cache-Control", "no-store"));
		ck_assert_ptr_nonnull(header_of(&answer, "X-Request-Id"));
		answer_release(&answer);
		closed += closes;
		if (closes) {
			ck_assert(is_closed(fds[i]));
			continue;
		}
		send_text(fds[i], "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
		expect_answer(fds[i], 200, "hello");
	}
	ck_assert_uint_eq(closed, WAITS - STAY);
	stop_waiting(fds);
}
END_TEST

START_TEST(what_was_waited_for_may_be_a_stream)
{
	static int fds[WAITS];
	start_waiting(fds, "GET", "?320000");
	harness_end_long();
	for (unsigned i = WAITS; i-- > 0;) {
		struct answer answer = read_answer(fds[i]);
		const bool gzipped = header_is(&answer, "Content-Encoding", "gzip");
		ck_assert_uint_eq(answer.status, 200);
		ck_assert(gzipped || answer.body.size == 320000);
		answer_release(&answer);
	}
	stop_waiting(fds);
}
END_TEST

START_TEST(head_of_what_was_waited_for_has_no_body)
{
	static int fds[WAITS];
	struct answer answer;
	start_waiting(fds, "HEAD", "");
	harness_end_long();
	for (unsigned i = 0; i < WAITS; i++) {
		ck_assert(try_read_answer(fds[i], &answer, false));
		ck_assert(header_is(&answer, "Content-Length", "4"));
		if (header_is(&answer, "Connection", "close"))
			ck_assert(is_closed(fds[i]));
		answer_release(&answer);
	}
	stop_waiting(fds);
}
END_TEST

/* libmicrohttpd does not answer who has ended its sending side, if it notices. */
START_TEST(who_leaves_while_waiting_for_long_is_told_of_wherever_it_waits)
{
	static int fds[WAITS];
	start_waiting(fds, "GET", "");
	for (unsigned i = 0; i < WAITS; i++)
		(void)shutdown(fds[i], SHUT_WR);
	wait_until(atomic_load(&harness.left) == WAITS);
	harness_end_long();
	for (unsigned i = STAY; i < WAITS; i++)
		expect_answer(fds[i], 200, "late");
	stop_waiting(fds);
}
END_TEST

/* Those that nobody resumes any more are resumed before the stop; here it is the stop that ends them. */
START_TEST(a_stop_ends_what_was_resumed_and_not_taken)
{
	static int fds[WAITS];
	start_waiting(fds, "GET", "?50000000");
	harness_end_long();
	ck_assert(!listener_drain(harness.listener, 200));
	harness_stop();
	ck_assert_uint_eq(atomic_load(&harness.ended), WAITS);
	for (unsigned i = 0; i < WAITS; i++)
		close(fds[i]);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("http/live");
	TCase *tests = tcase_create("live");
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, a_stream_that_parks_before_each_line_arrives_whole);
	tcase_add_test(tests, a_client_of_http_1_0_gets_it_until_the_close);
	tcase_add_test(tests, each_piece_leaves_at_once);
	tcase_add_test(tests, head_of_a_live_stream_has_no_body_and_does_not_park);
	tcase_add_test(tests, the_app_hears_of_a_client_that_leaves_a_parked_request);
	tcase_add_test(tests, a_stream_that_has_nothing_to_say_outlives_the_time_for_sending);
	tcase_add_test(tests, who_does_not_take_what_a_stream_says_is_cut);
	tcase_add_test(tests, of_many_that_wait_for_long_the_later_ones_end_with_their_answer);
	tcase_add_test(tests, what_was_waited_for_may_be_a_stream);
	tcase_add_test(tests, head_of_what_was_waited_for_has_no_body);
	tcase_add_test(tests, who_leaves_while_waiting_for_long_is_told_of_wherever_it_waits);
	tcase_add_test(tests, a_stop_ends_what_was_resumed_and_not_taken);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
