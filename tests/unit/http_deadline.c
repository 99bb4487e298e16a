/* Each step of a connection has its time, whatever trickles in or out meanwhile. */
#include "support/http_harness.h"

#define HEAD "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n"
#define MANY ((size_t)64 << 20)

/* A second for each step; the rate is so low that one byte makes up for a second. */
static struct listener_options
short_deadlines(void)
{
	struct listener_options options = harness_options();
	options.deadlines = (struct deadlines){
		.header_sec = 1, .body_sec = 1, .send_sec = 1, .idle_sec = 60, .least_rate = 1};
	return options;
}

/* Sends a byte five times a second until the other side closes, then reads what it said. */
static unsigned
trickle(int fd, const char *bytes)
{
	struct answer answer;
	char byte;
	for (size_t i = 0; bytes[i] != '\0'; i++) {
		(void)usleep(200 * 1000);
		if (recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 ||
		    !send_bytes(fd, &bytes[i], 1))
			break;
	}
	if (!try_read_answer(fd, &answer, true))
		return 0;
	unsigned status = answer.status;
	ck_assert(status != 408 ||
		  text_equal((struct text){answer.body.data, answer.body.size}, TEXT("TIMEOUT")));
	ck_assert(status != 408 || header_is(&answer, "Connection", "close"));
	answer_release(&answer);
	ck_assert(status != 408 || is_closed(fd));
	return status;
}

START_TEST(a_head_that_trickles_in_gets_a_408)
{
	static const char *const begins[] = {"G", "GET /hello HTTP/1.1\r\n",
					     "GET /hello HTTP/1.1\r\nHost: a\r\nX: "};
	struct listener_options options = short_deadlines();
	harness_start(&options);
	for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]); i++) {
		int fd = dial();
		send_text(fd, begins[i]);
		ck_assert_uint_eq(trickle(fd, "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuv"),
				  408);
		close(fd);
	}
	wait_until(atomic_load(&harness.ended) == 3);
	harness_stop();
}
END_TEST

START_TEST(who_connects_and_says_nothing_is_closed_without_an_answer)
{
	struct listener_options options = short_deadlines();
	harness_start(&options);
	int fd = dial();
	ck_assert(is_closed(fd));
	close(fd);
	harness_stop();
	ck_assert_uint_eq(atomic_load(&harness.ended), 0);
}
END_TEST

START_TEST(a_later_head_has_the_idle_time_besides)
{
	struct listener_options options = short_deadlines();
	options.deadlines.idle_sec = 2;
	harness_start(&options);
	int fd = dial();
	send_text(fd, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
	expect_answer(fd, 200, "hello");
	ck_assert_uint_eq(trickle(fd, "GETabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuv"), 408);
	close(fd);
	harness_stop();
}
END_TEST

START_TEST(a_body_that_stands_still_gets_a_408_and_its_memory_back)
{
	struct listener_options options = short_deadlines();
	options.body_memory = 100;
	harness_start(&options);
	int fd = dial();
	send_text(fd, HEAD);
	struct answer answer = read_answer(fd);
	ck_assert_uint_eq(answer.status, 408);
	answer_release(&answer);
	ck_assert(is_closed(fd));
	close(fd);
	fd = dial();
	send_text(fd, HEAD);
	for (size_t i = 0; i < 10; i++)
		send_text(fd, "0123456789");
	answer = read_answer(fd);
	ck_assert_uint_eq(answer.status, 200);
	answer_release(&answer);
	close(fd);
	harness_stop();
	ck_assert_uint_eq(atomic_load(&harness.begun), atomic_load(&harness.ended));
}
END_TEST

START_TEST(a_refused_body_that_trickles_in_gets_its_answer_in_time)
{
	struct listener_options options = short_deadlines();
	options.deadlines.least_rate = 1 << 20;
	harness_start(&options);
	int fd = dial();
	send_text(fd, "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n");
	ck_assert_uint_eq(trickle(fd, "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuv"), 404);
	ck_assert(is_closed(fd));
	close(fd);
	harness_stop();
}
END_TEST

START_TEST(a_body_that_comes_at_the_least_rate_has_its_time)
{
	struct listener_options options = short_deadlines();
	harness_start(&options);
	int fd = dial();
	send_text(fd, HEAD);
	for (size_t i = 0; i < 9; i++)
		send_text(fd, "0123456789");
	(void)sleep(3);
	send_text(fd, "0123456789");
	struct answer answer = read_answer(fd);
	ck_assert_uint_eq(answer.status, 200);
	answer_release(&answer);
	close(fd);
	harness_stop();
}
END_TEST

START_TEST(a_parked_request_has_no_deadline)
{
	struct listener_options options = short_deadlines();
	harness_start(&options);
	int fd = dial();
	send_text(fd, "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
	wait_until(atomic_load(&harness.held_count) == 1);
	(void)sleep(3);
	harness_let_go();
	expect_answer(fd, 200, "body");
	close(fd);
	harness_stop();
}
END_TEST

/* --- slow readers --- */

static int
ask_for_many(const char *path)
{
	int fd = dial();
	send_format(fd, "GET %s?%zu HTTP/1.1\r\nHost: a\r\n\r\n", path, MANY);
	return fd;
}

START_TEST(who_takes_too_little_of_an_answer_is_cut)
{
	static const char *const paths[] = {"/stream", "/big"};
	struct listener_options options = short_deadlines();
	options.deadlines.least_rate = 1 << 20;
	harness_start(&options);
	int fd = ask_for_many(paths[_i]);
	/* It reads now and then, but less than it must. */
	char some[100];
	for (unsigned i = 0; atomic_load(&harness.ended) == 0; i++) {
		ck_assert_uint_lt(i, CLIENT_TIMEOUT_SEC * 10);
		(void)recv(fd, some, sizeof(some), MSG_DONTWAIT);
		(void)usleep(100 * 1000);
	}
	close(fd);
	harness_stop();
}
END_TEST

START_TEST(who_takes_enough_gets_all_of_it)
{
	static const char *const paths[] = {"/stream", "/big"};
	static char piece[(size_t)8 << 20];
	struct listener_options options = short_deadlines();
	harness_start(&options);
	int fd = ask_for_many(paths[_i]);
	size_t got = 0, part = 1;
	while (got < MANY && part > 0) {
		(void)usleep(300 * 1000);
		part = (size_t)recv(fd, piece, sizeof(piece), MSG_WAITALL);
		got += part;
	}
	ck_assert_uint_ge(got, MANY);
	close(fd);
	harness_stop();
}
END_TEST

START_TEST(on_a_unix_socket_a_reader_that_takes_nothing_is_cut)
{
	struct listener_options options = short_deadlines();
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	char address[128];
	(void)snprintf(name.sun_path, sizeof(name.sun_path), "socket-%ld", (long)getpid());
	(void)snprintf(address, sizeof(address), "unix:%s", name.sun_path);
	options.address = address;
	harness_start(&options);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	send_format(fd, "GET /stream?%zu HTTP/1.1\r\nHost: a\r\n\r\n", MANY);
	wait_until(atomic_load(&harness.ended) == 1);
	close(fd);
	harness_stop();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("http_deadline");
	TCase *tests = tcase_create("deadline");
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, a_head_that_trickles_in_gets_a_408);
	tcase_add_test(tests, who_connects_and_says_nothing_is_closed_without_an_answer);
	tcase_add_test(tests, a_later_head_has_the_idle_time_besides);
	tcase_add_test(tests, a_body_that_stands_still_gets_a_408_and_its_memory_back);
	tcase_add_test(tests, a_refused_body_that_trickles_in_gets_its_answer_in_time);
	tcase_add_test(tests, a_body_that_comes_at_the_least_rate_has_its_time);
	tcase_add_test(tests, a_parked_request_has_no_deadline);
	tcase_add_loop_test(tests, who_takes_too_little_of_an_answer_is_cut, 0, 2);
	tcase_add_loop_test(tests, who_takes_enough_gets_all_of_it, 0, 2);
	tcase_add_test(tests, on_a_unix_socket_a_reader_that_takes_nothing_is_cut);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
