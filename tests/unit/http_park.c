#include "support/http_harness.h"

#define PARK_THREADS 16
#define PARK_REQUESTS 250

/* --- park and resume --- */

static void *
park_client(void *cookie)
{
	unsigned number = *(unsigned *)cookie;
	int fd = dial();
	for (unsigned i = 0; i < PARK_REQUESTS; i++) {
		char body[32];
		int size = snprintf(body, sizeof(body), "%u of %u", i, number);
		send_format(fd, "POST /park?%u HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s",
			    i % 3 + 1, size, body);
		expect_answer(fd, 200, body);
	}
	close(fd);
	return NULL;
}

START_TEST(requests_parked_thousands_of_times_each_get_their_own_answer)
{
	pthread_t threads[PARK_THREADS];
	unsigned numbers[PARK_THREADS];
	harness_start_default();
	for (unsigned i = 0; i < PARK_THREADS; i++) {
		numbers[i] = i;
		ck_assert_int_eq(pthread_create(&threads[i], NULL, park_client, &numbers[i]), 0);
	}
	for (unsigned i = 0; i < PARK_THREADS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	wait_until(atomic_load(&harness.ended) == PARK_THREADS * PARK_REQUESTS);
	harness_stop();
}
END_TEST

START_TEST(a_client_that_leaves_while_parked_ends_its_request_once)
{
	harness_start_default();
	for (unsigned i = 0; i < 20; i++) {
		int fd = dial();
		send_text(fd, "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
		wait_until(atomic_load(&harness.held_count) == i + 1);
		close(fd);
	}
	harness_let_go();
	wait_until(atomic_load(&harness.ended) == 20);
	harness_stop();
}
END_TEST

/* --- drain and stop --- */

START_TEST(draining_finishes_what_is_parked_and_closes_its_connection)
{
	harness_start_default();
	int idle = dial(), held = dial();
	send_text(idle, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
	expect_answer(idle, 200, "hello");
	send_text(held, "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
	wait_until(atomic_load(&harness.held_count) == 1);
	listener_quiesce(harness.listener);

	/* A connection that is open is served once more. */
	send_text(idle, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
	struct answer answer = read_answer(idle);
	ck_assert_uint_eq(answer.status, 200);
	ck_assert(header_is(&answer, "Connection", "close"));
	ck_assert(is_closed(idle));
	answer_release(&answer);

	ck_assert(!listener_drain(harness.listener, 50));
	harness_let_go();
	ck_assert(listener_drain(harness.listener, 10000));
	answer = read_answer(held);
	ck_assert(body_is(&answer, "abc"));
	ck_assert(header_is(&answer, "Connection", "close"));
	ck_assert(is_closed(held));
	answer_release(&answer);
	harness_stop();
	ck_assert_uint_eq(atomic_load(&harness.ended), 3);
	close(idle);
	close(held);
}
END_TEST

START_TEST(nobody_can_connect_to_a_drained_listener_and_late_requests_are_refused)
{
	harness_start_default();
	int fd = dial();
	send_text(fd, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
	expect_answer(fd, 200, "hello");
	unsigned port = harness_port();
	ck_assert(listener_drain(harness.listener, 10000));
	send_text(fd, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
	struct answer answer = read_answer(fd);
	ck_assert_uint_eq(answer.status, 503);
	ck_assert(body_is(&answer, "SHUTTING_DOWN"));
	ck_assert(header_is(&answer, "Connection", "close"));
	answer_release(&answer);
	close(fd);
	struct sockaddr_in name = {.sin_family = AF_INET};
	name.sin_port = htons((uint16_t)port);
	name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&name, sizeof(name)), -1);
	close(fd);
	harness_stop();
}
END_TEST

START_TEST(an_idle_listener_drains_at_once)
{
	harness_start_default();
	uint64_t begin = clock_monotonic_msec();
	ck_assert(listener_drain(harness.listener, 60000));
	ck_assert_uint_lt(clock_monotonic_msec() - begin, 30000);
	harness_stop();
}
END_TEST

START_TEST(stuck_clients_do_not_hold_the_stop)
{
	harness_start_default();
	int half_header = dial(), half_body = dial(), not_reading = dial(), silent = dial();
	send_text(half_header, "POST /echo HTTP/1.1\r\nHo");
	send_text(half_body, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
	send_text(not_reading, "GET /stream?900000000 HTTP/1.1\r\nHost: a\r\n\r\n");
	wait_until(atomic_load(&harness.begun) == 2);
	wait_until(atomic_load(&harness.pulled) > 0);
	uint64_t begin = clock_monotonic_msec();
	ck_assert(!listener_drain(harness.listener, 500));
	harness_stop();
	/* Nothing here waits for a client; the bound only has to be below what would. */
	ck_assert_uint_lt(clock_monotonic_msec() - begin, 30000);
	ck_assert_uint_eq(atomic_load(&harness.ended), 2);
	close(half_header);
	close(half_body);
	close(not_reading);
	close(silent);
}
END_TEST

static atomic_bool load_stopped;

static void *
load_client(void *cookie)
{
	atomic_uint *served = cookie;
	for (unsigned i = 0; !atomic_load(&load_stopped); i++) {
		struct answer answer;
		struct sockaddr_in name = {.sin_family = AF_INET};
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		name.sin_port = htons((uint16_t)harness_port());
		name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		set_timeouts(fd);
		if (connect(fd, (struct sockaddr *)&name, sizeof(name)) == -1) {
			close(fd);
			return NULL;
		}
		const char *request =
			"POST /park?2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok";
		while (send_bytes(fd, request, strlen(request)) &&
		       try_read_answer(fd, &answer, true)) {
			ck_assert(answer.status == 200 || answer.status == 503);
			atomic_fetch_add(served, 1);
			bool last = header_is(&answer, "Connection", "close");
			answer_release(&answer);
			if (last)
				break;
		}
		close(fd);
	}
	return NULL;
}

START_TEST(draining_under_load_ends_every_request_that_began)
{
	pthread_t threads[8];
	atomic_uint served = 0;
	harness_start_default();
	for (unsigned i = 0; i < 8; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, load_client, &served), 0);
	wait_until(atomic_load(&served) > 500);
	ck_assert(listener_drain(harness.listener, 20000));
	atomic_store(&load_stopped, true);
	for (unsigned i = 0; i < 8; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	harness_stop();
	ck_assert_uint_eq(atomic_load(&harness.ended), atomic_load(&served));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("http/park");
	TCase *tests = tcase_create("park");
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, requests_parked_thousands_of_times_each_get_their_own_answer);
	tcase_add_test(tests, a_client_that_leaves_while_parked_ends_its_request_once);
	tcase_add_test(tests, draining_finishes_what_is_parked_and_closes_its_connection);
	tcase_add_test(tests,
		       nobody_can_connect_to_a_drained_listener_and_late_requests_are_refused);
	tcase_add_test(tests, an_idle_listener_drains_at_once);
	tcase_add_test(tests, stuck_clients_do_not_hold_the_stop);
	tcase_add_test(tests, draining_under_load_ends_every_request_that_began);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
