#include <fcntl.h>
#include <sys/stat.h>

#include "support/http_harness.h"

#define LIMIT 20

/* --- the limit of connections --- */

static bool
is_served(int fd)
{
	struct answer answer;
	const char *request = "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
	if (!send_bytes(fd, request, strlen(request)) || !try_read_answer(fd, &answer, true))
		return false;
	bool served = answer.status == 200;
	answer_release(&answer);
	return served;
}

static bool
somebody_is_served(void)
{
	int fd = dial();
	bool served = is_served(fd);
	close(fd);
	return served;
}

START_TEST(beyond_the_limit_connections_are_closed_and_it_recovers_each_time)
{
	struct listener_options options = harness_options();
	options.connections = LIMIT;
	options.threads = 1;
	harness_start(&options);
	for (unsigned round = 0; round < 20; round++) {
		int fds[LIMIT + 5];
		for (unsigned i = 0; i < LIMIT + 5; i++) {
			fds[i] = dial();
			/* Half a request; who is refused may be gone already. */
			(void)send_bytes(fds[i], "POST /echo HTTP/1.1\r\nHo", 24);
		}
		for (unsigned i = LIMIT; i < LIMIT + 5; i++)
			ck_assert(is_closed(fds[i]));
		for (unsigned i = 0; i < LIMIT + 5; i++)
			close(fds[i]);
		wait_until(somebody_is_served());
	}
	harness_stop();
}
END_TEST

/* --- many events at once --- */

/* As many as libmicrohttpd asks epoll_wait for. */
#define EVENTS 128

static void
ask(int fd, const char *path)
{
	send_format(fd, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
}

static bool
is_answered(int fd)
{
	struct answer answer;
	if (!try_read_answer(fd, &answer, true))
		return false;
	bool good = answer.status == 200;
	answer_release(&answer);
	return good;
}

START_TEST(as_many_requests_at_once_as_one_look_at_the_sockets_gives_are_all_served)
{
	struct listener_options options = harness_options();
	int fds[EVENTS + 1];
	options.threads = 1;
	harness_start(&options);
	for (unsigned i = 0; i <= EVENTS; i++) {
		fds[i] = dial();
		ask(fds[i], "/hello");
		ck_assert(is_answered(fds[i]));
	}
	/* All of them arrive while the one thread is busy. */
	atomic_store(&harness.stalled, true);
	ask(fds[EVENTS], "/stall");
	wait_until(atomic_load(&harness.stalling));
	for (unsigned i = 0; i < EVENTS; i++)
		ask(fds[i], "/hello");
	atomic_store(&harness.stalled, false);
	for (unsigned i = 0; i <= EVENTS; i++) {
		ck_assert_msg(is_answered(fds[i]), "connection %u", i);
		close(fds[i]);
	}
	harness_stop();
}
END_TEST

/* The end of the connection arrives together with the half request. */
START_TEST(clients_that_leave_at_once_do_not_keep_the_connections_they_had)
{
	struct listener_options options = harness_options();
	options.connections = LIMIT;
	harness_start(&options);
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < 2 * LIMIT; i++) {
			int fd = dial();
			(void)send_bytes(fd, "POST /echo HTTP/1.1\r\nHo", 24);
			close(fd);
		}
		wait_until(somebody_is_served());
	}
	harness_stop();
	harness_start(&options);
	unsigned before = atomic_load(&harness.begun);
	for (unsigned i = 0; i < LIMIT / 2; i++) {
		int fd = dial();
		send_text(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab");
		close(fd);
	}
	wait_until(atomic_load(&harness.begun) == before + LIMIT / 2 &&
		   atomic_load(&harness.ended) == atomic_load(&harness.begun));
	harness_stop();
}
END_TEST

START_TEST(with_several_threads_the_limit_holds_too)
{
	struct listener_options options = harness_options();
	int fds[4 * LIMIT];
	options.connections = LIMIT;
	options.threads = 4;
	harness_start(&options);
	for (unsigned i = 0; i < 4 * LIMIT; i++)
		fds[i] = dial();
	unsigned served = 0;
	for (unsigned i = 0; i < 4 * LIMIT; i++) {
		const char *request = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";
		struct answer answer;
		if (send_bytes(fds[i], request, strlen(request)) &&
		    try_read_answer(fds[i], &answer, true)) {
			answer_release(&answer);
			served++;
		}
	}
	/* Threads that accept at the same moment may each let one in. */
	ck_assert_uint_ge(served, LIMIT);
	ck_assert_uint_lt(served, LIMIT + options.threads);
	for (unsigned i = 0; i < 4 * LIMIT; i++)
		close(fds[i]);
	wait_until(somebody_is_served());
	harness_stop();
}
END_TEST

/* A connection that is served, or -1. */
static int
dial_served(void)
{
	int fd = dial();
	const char *request = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";
	if (send_bytes(fd, request, strlen(request)) && is_answered(fd))
		return fd;
	close(fd);
	return -1;
}

START_TEST(an_address_has_so_many_connections_and_gets_each_back)
{
	struct listener_options options = harness_options();
	options.address_connections = 2;
	harness_start(&options);
	int kept = dial_served();
	for (unsigned round = 0; round < 5; round++) {
		int other = -1;
		wait_until((other = dial_served()) != -1);
		for (unsigned i = 0; i < 3; i++) {
			int beyond = dial();
			ck_assert(is_closed(beyond));
			close(beyond);
		}
		close(other);
	}
	close(kept);
	harness_stop();
}
END_TEST

/* --- addresses --- */

static int
dial_unix(const char *path)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
	set_timeouts(fd);
	if (connect(fd, (struct sockaddr *)&name, sizeof(name)) == 0)
		return fd;
	close(fd);
	return -1;
}

static void
make_folder(char folder[64], char path[96])
{
	(void)snprintf(folder, 64, "/tmp/edgereplay-http.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(path, 96, "%s/socket", folder);
}

static void
expect_no_start(const struct listener_options *options)
{
	struct app app = {NULL, app_begin, app_serve, app_refuse, app_leave, app_end};
	struct listener *listener = NULL;
	const char *problem = NULL;
	ck_assert_int_ne((int)listener_start(options, &app, &listener, &problem), STATUS_OK);
	ck_assert_ptr_nonnull(problem);
	ck_assert_uint_gt(strlen(problem), 10);
}

START_TEST(a_unix_socket_has_its_mode_replaces_a_stale_file_and_is_removed)
{
	char folder[64], path[96], address[128];
	struct stat file;
	struct listener_options options = harness_options();
	make_folder(folder, path);
	(void)snprintf(address, sizeof(address), "unix:%s", path);
	options.address = address;
	options.socket_mode = 0660;
	(void)umask(077);

	/* What a daemon that was killed leaves. */
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	(void)snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
	int stale = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(stale, (struct sockaddr *)&name, sizeof(name)), 0);
	close(stale);

	harness_start(&options);
	ck_assert_str_eq(listener_address(harness.listener), address);
	ck_assert_int_eq(stat(path, &file), 0);
	ck_assert_uint_eq(file.st_mode & 07777, 0660);
	int fd = dial_unix(path);
	send_text(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
	expect_answer(fd, 200, "hi");
	close(fd);

	expect_no_start(&options); /* somebody listens there */
	ck_assert_int_eq(stat(path, &file), 0);
	harness_stop();
	ck_assert_int_eq(stat(path, &file), -1);
	ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

START_TEST(a_file_that_is_no_socket_is_not_replaced)
{
	char folder[64], path[96], address[128];
	struct listener_options options = harness_options();
	make_folder(folder, path);
	(void)snprintf(address, sizeof(address), "unix:%s", path);
	options.address = address;
	int fd = open(path, O_CREAT | O_WRONLY, 0600);
	ck_assert_int_ne(fd, -1);
	close(fd);
	expect_no_start(&options);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

START_TEST(another_socket_at_our_path_is_left_alone)
{
	char folder[64], path[96], address[128];
	struct listener_options options = harness_options();
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	make_folder(folder, path);
	(void)snprintf(address, sizeof(address), "unix:%s", path);
	(void)snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
	options.address = address;
	harness_start(&options);
	ck_assert_int_eq(unlink(path), 0);
	int other = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(other, (struct sockaddr *)&name, sizeof(name)), 0);
	harness_stop();
	ck_assert_int_eq(unlink(path), 0);
	close(other);
	ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

START_TEST(addresses_that_are_none_do_not_start)
{
	static const char *const addresses[] = {
		"",	 "8080",	   "127.0.0.1:",     "::1:80", "[::1:80", "127.0.0.1:http",
		"unix:", "192.0.2.1:8080", "127.0.0.1:99999"};
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		struct listener_options options = harness_options();
		options.address = addresses[i];
		expect_no_start(&options);
	}
	harness_start_default();
	struct listener_options taken = harness_options();
	taken.address = listener_address(harness.listener);
	expect_no_start(&taken);
	harness_stop();
}
END_TEST

START_TEST(local_addresses_are_told_from_others)
{
	const char *problem = NULL;
	ck_assert(listener_address_is_valid("[::1]:80", &problem));
	ck_assert(listener_address_is_valid("unix:/run/x", &problem));
	ck_assert(!listener_address_is_valid("nonsense", &problem));
	ck_assert_ptr_nonnull(strstr(problem, "nonsense"));
	ck_assert(listener_address_is_local("127.0.0.1:80"));
	ck_assert(listener_address_is_local("127.1.2.3:80"));
	ck_assert(listener_address_is_local("[::1]:80"));
	ck_assert(listener_address_is_local("unix:/run/x"));
	ck_assert(!listener_address_is_local("0.0.0.0:80"));
	ck_assert(!listener_address_is_local("[::]:80"));
	ck_assert(!listener_address_is_local(":80"));
	ck_assert(!listener_address_is_local("10.0.0.1:80"));
	ck_assert(!listener_address_is_local("nonsense"));
}
END_TEST

START_TEST(local_sockets_are_told_from_others)
{
	static const struct {
		in_addr_t address;
		bool local;
	} cases[] = {{INADDR_LOOPBACK, true}, {INADDR_LOOPBACK + 4, true}, {INADDR_ANY, false}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sockaddr_in name = {.sin_family = AF_INET};
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		name.sin_addr.s_addr = htonl(cases[i].address);
		ck_assert_int_eq(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
		ck_assert_int_eq(listen(fd, 1), 0);
		ck_assert_int_eq(listener_socket_is_local(fd), cases[i].local);
		close(fd);
	}
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert(listener_socket_is_local(fd));
	close(fd);
	ck_assert(!listener_socket_is_local(fd));
}
END_TEST

START_TEST(an_inherited_socket_is_served_and_stays_open)
{
	struct listener_options options = harness_options();
	struct sockaddr_in name = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	options.inherited_fd = fd;
	expect_no_start(&options); /* it does not listen */
	ck_assert_int_eq(listen(fd, 16), 0);
	for (int i = 0; i < 2; i++) {
		harness_start(&options);
		ck_assert(somebody_is_served());
		/* Who comes while nobody accepts waits for the next daemon. */
		listener_quiesce(harness.listener);
		int waiting = dial();
		harness_stop();
		harness_start(&options);
		ck_assert(is_served(waiting));
		close(waiting);
		harness_stop();
	}
	options.inherited_fd = open("/dev/null", O_RDONLY);
	expect_no_start(&options);
	close(options.inherited_fd);
	close(fd);
}
END_TEST

START_TEST(ipv6_is_served_where_the_machine_has_it)
{
	struct listener_options options = harness_options();
	struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int probe = socket(AF_INET6, SOCK_STREAM, 0);
	if (probe == -1 || bind(probe, (struct sockaddr *)&name, sizeof(name)) == -1) {
		printf("# no IPv6 loopback here, skipped\n");
		return;
	}
	close(probe);
	options.address = "[::1]:0";
	harness_start(&options);
	ck_assert_int_eq(strncmp(listener_address(harness.listener), "[::1]:", 6), 0);
	name.sin6_port = htons((uint16_t)harness_port());
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	set_timeouts(fd);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	ck_assert(is_served(fd));
	close(fd);
	harness_stop();
}
END_TEST

START_TEST(a_connection_that_is_idle_too_long_is_closed)
{
	struct listener_options options = harness_options();
	options.deadlines.idle_sec = 1;
	harness_start(&options);
	int silent = dial(), half = dial();
	send_text(half, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
	ck_assert(is_closed(silent));
	ck_assert(is_closed(half));
	wait_until(atomic_load(&harness.ended) == 1);
	close(silent);
	close(half);
	harness_stop();
}
END_TEST

START_TEST(a_thread_that_hangs_is_noticed_and_one_that_sleeps_or_waits_for_others_is_not)
{
	struct listener_options options = harness_options();
	options.threads = 2;
	harness_start(&options);
	int held = dial(), stalled = dial();
	for (unsigned i = 0; i < 3; i++)
		wait_until(listener_came_round(harness.listener));
	send_text(held, "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
	wait_until(atomic_load(&harness.held_count) == 1);
	for (unsigned i = 0; i < 3; i++)
		wait_until(listener_came_round(harness.listener));
	atomic_store(&harness.stalled, true);
	send_text(stalled, "GET /stall HTTP/1.1\r\nHost: a\r\n\r\n");
	wait_until(atomic_load(&harness.stalling));
	(void)listener_came_round(harness.listener); /* it may have been asked before it hung */
	for (unsigned i = 0; i < 20; i++) {
		usleep(10000);
		ck_assert(!listener_came_round(harness.listener));
	}
	atomic_store(&harness.stalled, false);
	wait_until(listener_came_round(harness.listener));
	harness_let_go();
	close(held);
	close(stalled);
	harness_stop();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("http/listener");
	TCase *tests = tcase_create("listener");
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, beyond_the_limit_connections_are_closed_and_it_recovers_each_time);
	tcase_add_test(tests,
		       as_many_requests_at_once_as_one_look_at_the_sockets_gives_are_all_served);
	tcase_add_test(tests, clients_that_leave_at_once_do_not_keep_the_connections_they_had);
	tcase_add_test(tests, with_several_threads_the_limit_holds_too);
	tcase_add_test(tests, an_address_has_so_many_connections_and_gets_each_back);
	tcase_add_test(tests, a_unix_socket_has_its_mode_replaces_a_stale_file_and_is_removed);
	tcase_add_test(tests, a_file_that_is_no_socket_is_not_replaced);
	tcase_add_test(tests, another_socket_at_our_path_is_left_alone);
	tcase_add_test(tests, addresses_that_are_none_do_not_start);
	tcase_add_test(tests, local_addresses_are_told_from_others);
	tcase_add_test(tests, local_sockets_are_told_from_others);
	tcase_add_test(tests, an_inherited_socket_is_served_and_stays_open);
	tcase_add_test(tests, ipv6_is_served_where_the_machine_has_it);
	tcase_add_test(tests, a_connection_that_is_idle_too_long_is_closed);
	tcase_add_test(
		tests,
		a_thread_that_hangs_is_noticed_and_one_that_sleeps_or_waits_for_others_is_not);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
