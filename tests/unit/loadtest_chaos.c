/* loadtest/chaos: the proxy between a client and a small server, which answers lines with lines. */
#include "loadtest/chaos.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "loadtest/chaos_fault.h"
#include "support/http_client.h"
#include "support/runner.h"

#define EXCHANGES 600
#define LINE_SIZE ((size_t)300)
#define LARGE_SIZE ((size_t)6 << 20)

static struct server {
	int listener;
	pthread_t thread;
	struct sockaddr_in address;
	atomic_uint processed; /* requests that came whole */
} server;

/* --- the server --- */

/* One connection: each line comes back with its letters in capitals. */
static void
serve(int fd)
{
	struct buffer line;
	buffer_init(&line, LARGE_SIZE + 1);
	bool open = true;
	while (open) {
		char part[65536];
		ssize_t got = recv(fd, part, sizeof(part), 0);
		open = got > 0;
		if (open)
			buffer_append(&line, part, (size_t)got);
		if (!open || part[got - 1] != '\n')
			continue;
		atomic_fetch_add(&server.processed, 1);
		for (size_t i = 0; i + 1 < line.size; i++)
			line.data[i] = (char)(line.data[i] - 'a' + 'A');
		open = send_bytes(fd, line.data, line.size);
		line.size = 0;
	}
	buffer_release(&line);
}

static void *
run_server(void *cookie)
{
	for (;;) {
		int fd = accept(server.listener, NULL, NULL);
		if (fd == -1)
			return cookie;
		serve(fd);
		close(fd);
	}
}

static void
setup(void)
{
	socklen_t size = sizeof(server.address);
	memset(&server, 0, sizeof(server));
	server.address.sin_family = AF_INET;
	server.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	server.listener = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_ne(server.listener, -1);
	ck_assert_int_eq(bind(server.listener, (struct sockaddr *)&server.address, size), 0);
	ck_assert_int_eq(listen(server.listener, 64), 0);
	ck_assert_int_eq(getsockname(server.listener, (struct sockaddr *)&server.address, &size),
			 0);
	ck_assert_int_eq(pthread_create(&server.thread, NULL, run_server, NULL), 0);
}

static void
teardown(void)
{
	shutdown(server.listener, SHUT_RDWR);
	ck_assert_int_eq(pthread_join(server.thread, NULL), 0);
	close(server.listener);
}

/* --- the client --- */

static struct chaos *
open_chaos(uint64_t seed)
{
	struct chaos *chaos =
		chaos_open((struct sockaddr *)&server.address, sizeof(server.address), seed);
	ck_assert_ptr_nonnull(chaos);
	return chaos;
}

static int
dial(const struct chaos *chaos)
{
	struct sockaddr_in address = server.address;
	address.sin_port = htons(chaos_port(chaos));
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	set_timeouts(fd);
	return fd;
}

/* Whether the answer to a line of so many bytes came whole. What came must be right. */
static bool
exchange(int fd, size_t size, unsigned number)
{
	char *line = malloc(size), *answer = malloc(size), *expected = malloc(size);
	ck_assert(line != NULL && answer != NULL && expected != NULL);
	for (size_t i = 0; i < size; i++) {
		line[i] = (char)('a' + (i * 7 + number) % 26);
		expected[i] = (char)(line[i] - 'a' + 'A');
	}
	line[size - 1] = expected[size - 1] = '\n';
	size_t got = 0, part = send_bytes(fd, line, size) ? 1 : 0;
	while (part > 0 && got < size) {
		part = receive(fd, answer + got, size - got);
		got += part;
	}
	ck_assert_int_eq(memcmp(answer, expected, got), 0);
	free(line);
	free(answer);
	free(expected);
	return got == size;
}

/* Many exchanges in turn, on a new connection whenever one is lost: what became of each. */
static void
run_client(uint64_t seed, char outcomes[EXCHANGES + 1], struct chaos_counts *counts)
{
	struct chaos *chaos = open_chaos(seed);
	int fd = dial(chaos);
	for (unsigned i = 0; i < EXCHANGES; i++) {
		bool whole = exchange(fd, LINE_SIZE, i);
		outcomes[i] = whole ? 'o' : 'x';
		if (whole)
			continue;
		close(fd);
		fd = dial(chaos);
	}
	outcomes[EXCHANGES] = '\0';
	close(fd);
	chaos_close(chaos, counts);
}

static uint64_t
lost(const struct chaos_counts *counts)
{
	return counts->cuts + counts->truncated + counts->swallowed + counts->resets;
}

START_TEST(the_same_seed_does_the_same_harm)
{
	char first[EXCHANGES + 1], second[EXCHANGES + 1], other[EXCHANGES + 1];
	struct chaos_counts first_counts, second_counts, other_counts;
	run_client(7, first, &first_counts);
	run_client(7, second, &second_counts);
	run_client(8, other, &other_counts);
	ck_assert_str_eq(first, second);
	ck_assert_mem_eq(&first_counts, &second_counts, sizeof(first_counts));
	ck_assert_str_ne(first, other);
}
END_TEST

START_TEST(what_the_client_lost_is_what_was_counted)
{
	char outcomes[EXCHANGES + 1];
	struct chaos_counts counts;
	uint64_t seen = 0;
	run_client(9, outcomes, &counts);
	for (unsigned i = 0; i < EXCHANGES; i++)
		seen += outcomes[i] == 'x';
	ck_assert_uint_eq(counts.exchanges, EXCHANGES);
	ck_assert_uint_eq(seen, lost(&counts));
	ck_assert_uint_eq(counts.connections, seen + 1);
	ck_assert_uint_gt(counts.delays + counts.slices, 0);
}
END_TEST

/* --- one fault after the other --- */

/* A seed whose first connection meets this fault at its first exchange, somewhere in the middle. */
static uint64_t
seed_of(enum fault_kind kind)
{
	struct fault fault = {0};
	uint64_t seed = 0;
	bool found = false;
	while (!found) {
		struct random random;
		random_init(&random, ++seed, 0);
		fault_draw(&random, &fault);
		found = fault.kind == kind && fault.where > 0.2 && fault.where < 0.8;
	}
	return seed;
}

START_TEST(each_fault_does_what_its_name_says)
{
	const enum fault_kind kind = (enum fault_kind)_i;
	struct chaos_counts counts;
	struct chaos *chaos = open_chaos(seed_of(kind));
	int fd = dial(chaos);
	bool whole = exchange(fd, LINE_SIZE, 0);
	bool harmless = kind == FAULT_NONE || kind == FAULT_DELAY_REQUEST ||
			kind == FAULT_DELAY_ANSWER || kind == FAULT_SLICE_REQUEST ||
			kind == FAULT_SLICE_ANSWER;
	bool before = kind == FAULT_CUT_REQUEST || kind == FAULT_RESET_REQUEST;
	ck_assert_int_eq(whole, harmless);
	close(fd);
	chaos_close(chaos, &counts);
	ck_assert_uint_eq(atomic_load(&server.processed), before ? 0 : 1);
	ck_assert_uint_eq(lost(&counts), harmless ? 0 : 1);
	ck_assert_uint_eq(counts.delays, kind == FAULT_DELAY_REQUEST || kind == FAULT_DELAY_ANSWER);
	ck_assert_uint_eq(counts.slices, kind == FAULT_SLICE_REQUEST || kind == FAULT_SLICE_ANSWER);
	ck_assert_uint_eq(counts.swallowed, kind == FAULT_SWALLOW_ANSWER);
	ck_assert_uint_eq(counts.truncated, kind == FAULT_TRUNCATE_ANSWER);
}
END_TEST

START_TEST(large_lines_pass_whole)
{
	const enum fault_kind kind = (enum fault_kind)_i;
	struct chaos *chaos = open_chaos(seed_of(kind));
	int fd = dial(chaos);
	ck_assert(exchange(fd, LARGE_SIZE, 1));
	close(fd);
	chaos_close(chaos, NULL);
}
END_TEST

START_TEST(a_reset_is_seen_as_one)
{
	char byte = '\n';
	struct chaos *chaos = open_chaos(seed_of(FAULT_RESET_ANSWER));
	int fd = dial(chaos);
	ck_assert(send_bytes(fd, &byte, 1));
	ck_assert_int_eq(recv(fd, &byte, 1, 0), -1);
	ck_assert_int_eq(errno, ECONNRESET);
	close(fd);
	chaos_close(chaos, NULL);
}
END_TEST

START_TEST(about_one_exchange_in_twenty_meets_a_fault_of_any_kind)
{
	unsigned counts[FAULT_KINDS] = {0};
	const unsigned exchanges = 20000;
	struct random random;
	random_init(&random, 1, 2);
	for (unsigned i = 0; i < exchanges; i++) {
		struct fault fault;
		fault_draw(&random, &fault);
		counts[fault.kind]++;
		ck_assert(fault.where >= 0 && fault.where < 1);
		ck_assert_uint_ge(fault.delay_msec, 1);
		ck_assert_uint_le(fault.delay_msec, FAULT_DELAY_MSEC_MAX);
		ck_assert_uint_ge(fault.slices, 1);
	}
	ck_assert_uint_gt(counts[FAULT_NONE], exchanges - exchanges / 16);
	ck_assert_uint_lt(counts[FAULT_NONE], exchanges - exchanges / 25);
	for (unsigned kind = 1; kind < FAULT_KINDS; kind++)
		ck_assert_uint_gt(counts[kind], exchanges / FAULT_ONE_IN / FAULT_KINDS / 2);
}
END_TEST

/* --- its end --- */

static unsigned
open_files(void)
{
	unsigned count = 0;
	DIR *folder = opendir("/proc/self/fd");
	ck_assert_ptr_nonnull(folder);
	while (readdir(folder) != NULL)
		count++;
	closedir(folder);
	return count;
}

START_TEST(closing_it_ends_what_is_open_and_leaves_nothing)
{
	const unsigned before = open_files();
	int fds[5];
	struct chaos_counts counts;
	struct chaos *chaos = open_chaos(seed_of(FAULT_DELAY_REQUEST));
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		fds[i] = dial(chaos);
	/* The first is held back by a delay, or on its way, when the end comes. */
	send_text(fds[0], "begun");
	/* Time for most of them to be links when the end comes; that of the rest is the same. */
	usleep(2000);
	chaos_close(chaos, &counts);
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		ck_assert(is_closed(fds[i]));
		close(fds[i]);
	}
	wait_until(open_files() == before);
}
END_TEST

START_TEST(a_daemon_that_is_not_there_is_a_closed_connection)
{
	struct sockaddr_in nowhere = server.address;
	socklen_t size = sizeof(nowhere);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	nowhere.sin_port = 0;
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&nowhere, size), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&nowhere, &size), 0);
	struct chaos *chaos = chaos_open((struct sockaddr *)&nowhere, size, 1);
	ck_assert_ptr_nonnull(chaos);
	int client = dial(chaos);
	ck_assert(is_closed(client));
	close(client);
	chaos_close(chaos, NULL);
	close(fd);
	chaos_close(NULL, NULL);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("chaos");
	TCase *tcase = tcase_create("chaos");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 120);
	suite_add_tcase(suite, tcase);
	tcase_add_test(tcase, the_same_seed_does_the_same_harm);
	tcase_add_test(tcase, what_the_client_lost_is_what_was_counted);
	tcase_add_loop_test(tcase, each_fault_does_what_its_name_says, FAULT_NONE, FAULT_KINDS);
	tcase_add_loop_test(tcase, large_lines_pass_whole, FAULT_NONE, FAULT_SLICE_ANSWER + 1);
	tcase_add_test(tcase, a_reset_is_seen_as_one);
	tcase_add_test(tcase, about_one_exchange_in_twenty_meets_a_fault_of_any_kind);
	tcase_add_test(tcase, closing_it_ends_what_is_open_and_leaves_nothing);
	tcase_add_test(tcase, a_daemon_that_is_not_there_is_a_closed_connection);
	return runner_run(srunner_create(suite));
}
