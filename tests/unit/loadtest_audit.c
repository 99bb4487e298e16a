/* loadtest/audit against a small server that streams what the tests tell it to: each kind of lie
 * must be found. */
#include "loadtest/audit.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>

#include "support/http_client.h"
#include "support/runner.h"

#define ACTIONS 50
#define LOG_NAME "a|b"

/* What the server says. The tests fill it before they ask. */
static struct {
	int listener;
	pthread_t thread;
	struct sockaddr_in address;
	unsigned status;
	struct buffer body;
	size_t chunk_size;
	size_t cut_at; /* the connection ends behind so many bytes of the body; 0: it does not */
	struct buffer asked;
	unsigned connections;
} server;

/* The log as it grows. */
static struct {
	struct position head;
	struct hash digests[ACTIONS + 2];
	size_t count;
} written;

/* --- the server --- */

/* The audit may have seen enough and gone. */
static void
send_chunks(int fd)
{
	size_t end = server.cut_at > 0 ? server.cut_at : server.body.size;
	for (size_t at = 0; at < end;) {
		size_t size = end - at < server.chunk_size ? end - at : server.chunk_size;
		char head[32];
		int head_size = snprintf(head, sizeof(head), "%zX\r\n", size);
		send_bytes(fd, head, (size_t)head_size);
		send_bytes(fd, server.body.data + at, size);
		send_bytes(fd, "\r\n", 2);
		at += size;
	}
	if (server.cut_at == 0)
		send_bytes(fd, "0\r\n\r\n", 5);
}

static bool
read_request(int fd)
{
	struct buffer head;
	buffer_init(&head, 1 << 16);
	bool whole = false, open = true;
	while (open && !whole) {
		open = read_line(fd, &head);
		whole = head.size >= 4 && memcmp(head.data + head.size - 4, "\r\n\r\n", 4) == 0;
	}
	if (whole) {
		server.asked.size = 0;
		buffer_append(&server.asked, head.data, head.size);
	}
	buffer_release(&head);
	return whole;
}

static void *
run_server(void *cookie)
{
	for (;;) {
		int fd = accept(server.listener, NULL, NULL);
		if (fd == -1)
			return cookie;
		server.connections++;
		while (read_request(fd)) {
			send_format(fd, "HTTP/1.1 %u Some Words\r\nContent-Type: text/plain\r\n",
				    server.status);
			send_text(fd, "Transfer-Encoding: chunked\r\n\r\n");
			send_chunks(fd);
			if (server.cut_at > 0)
				break;
		}
		close(fd);
	}
}

static void
setup(void)
{
	socklen_t size = sizeof(server.address);
	memset(&server, 0, sizeof(server));
	memset(&written, 0, sizeof(written));
	server.status = 200;
	server.chunk_size = 4096;
	buffer_init(&server.body, 1 << 20);
	buffer_init(&server.asked, 1 << 16);
	server.address.sin_family = AF_INET;
	server.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	server.listener = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(server.listener, (struct sockaddr *)&server.address, size), 0);
	ck_assert_int_eq(listen(server.listener, 8), 0);
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
	buffer_release(&server.body);
	buffer_release(&server.asked);
}

/* --- what it streams --- */

static void
print_hash(const struct hash *hash)
{
	char text[HASH_TEXT_SIZE];
	hash_to_text(hash, text);
	buffer_append(&server.body, text, sizeof(text));
}

static void
begin_log(void)
{
	chain_genesis(TEXT(LOG_NAME), &written.head.link);
	buffer_printf(&server.body, "{\"after\":0,\"prevHash\":\"");
	print_hash(&written.head.link);
	buffer_printf(&server.body, "\"}\n");
}

static void
add_action(uint64_t ts, const char *payload)
{
	struct action action = {TEXT("phone"), ts, TEXT("todo/add"), text_of(payload)};
	struct hash *digest = &written.digests[written.count++];
	chain_digest(&action, digest);
	chain_link(&written.head.link, digest, &written.head.link);
	written.head.seq++;
	buffer_printf(&server.body,
		      "{\"seq\":%zu,\"device\":\"phone\",\"ts\":%zu,\"type\":\"todo/add\","
		      "\"payload\":\"%s\"}\n",
		      (size_t)written.head.seq, (size_t)ts, payload);
}

static void
end_log(void)
{
	buffer_printf(&server.body, "{\"count\":%zu,\"seq\":%zu,\"stateHash\":\"",
		      (size_t)written.head.seq, (size_t)written.head.seq);
	print_hash(&written.head.link);
	buffer_printf(&server.body, "\",\"serverTimestamp\":1}\n");
}

static void
write_good_log(void)
{
	begin_log();
	for (unsigned i = 0; i < ACTIONS; i++)
		add_action(1000 + i, i % 2 == 0 ? "milk" : "");
	end_log();
}

static struct audit_expected
expected_log(void)
{
	return (struct audit_expected){.log = TEXT(LOG_NAME),
				       .head_known = true,
				       .head = written.head,
				       .digests = written.digests,
				       .digest_count = written.count};
}

static struct audit *
open_audit(void)
{
	const struct pull_source source = {.address = (struct sockaddr *)&server.address,
					   .address_size = sizeof(server.address),
					   .host = "example",
					   .token = "secret",
					   .timeout_sec = 10};
	struct audit *audit = audit_open(&source);
	ck_assert_ptr_nonnull(audit);
	return audit;
}

/* Audits the log once and compares the counts. */
static void
expect(struct audit_expected expected, uint64_t missing, uint64_t doubled, uint64_t wrong)
{
	struct audit_result result = {0};
	struct audit *audit = open_audit();
	audit_log(audit, &expected, &result);
	audit_close(audit);
	ck_assert_uint_eq(result.logs, 1);
	ck_assert_uint_eq(result.missing, missing);
	ck_assert_uint_eq(result.doubled, doubled);
	ck_assert_uint_eq(result.wrong, wrong);
	ck_assert_int_eq(audit_passed(&result), missing + doubled + wrong == 0);
}

/* --- the tests --- */

START_TEST(a_good_log_passes_however_it_is_cut_into_chunks)
{
	static const size_t sizes[] = {1, 2, 7, 100, 4096, 1 << 20};
	write_good_log();
	server.chunk_size = sizes[_i];
	expect(expected_log(), 0, 0, 0);
}
END_TEST

START_TEST(logs_are_pulled_over_one_connection)
{
	struct audit_result result = {0};
	struct audit *audit = open_audit();
	write_good_log();
	struct audit_expected expected = expected_log();
	for (int i = 0; i < 3; i++)
		audit_log(audit, &expected, &result);
	audit_close(audit);
	ck_assert(audit_passed(&result));
	ck_assert_uint_eq(result.logs, 3);
	ck_assert_uint_eq(result.actions, (size_t)3 * ACTIONS);
	ck_assert_uint_eq(server.connections, 1);
}
END_TEST

START_TEST(the_name_is_encoded_and_the_token_is_sent)
{
	write_good_log();
	expect(expected_log(), 0, 0, 0);
	buffer_append(&server.asked, "", 1);
	ck_assert_ptr_nonnull(strstr(server.asked.data, "GET /v1/logs/a%7Cb/actions?after=0 "));
	ck_assert_ptr_nonnull(strstr(server.asked.data, "\r\nAuthorization: Bearer secret\r\n"));
	ck_assert_ptr_nonnull(strstr(server.asked.data, "\r\nAccept: application/x-ndjson\r\n"));
}
END_TEST

START_TEST(an_empty_log_passes_when_nothing_was_promised)
{
	begin_log();
	end_log();
	expect(expected_log(), 0, 0, 0);
	struct audit_expected expected = expected_log();
	written.digests[0] = written.head.link;
	expected.digest_count = 1;
	expect(expected, 1, 0, 0);
}
END_TEST

START_TEST(an_acknowledged_action_that_is_not_there_is_missing)
{
	const struct action lost = {TEXT("phone"), 1, TEXT("todo/add"), TEXT("milk")};
	write_good_log();
	chain_digest(&lost, &written.digests[written.count++]);
	expect(expected_log(), 1, 0, 0);
}
END_TEST

START_TEST(a_log_that_is_too_short_misses_what_was_counted)
{
	write_good_log();
	struct audit_expected expected = expected_log();
	expected.digests = NULL;
	expected.digest_count = 0;
	expect(expected, 0, 0, 0);
	expected.head.seq += 3;
	expect(expected, 3, 0, 1);
}
END_TEST

START_TEST(two_actions_with_one_stamp_are_doubled)
{
	begin_log();
	add_action(5, "milk");
	add_action(6, "milk");
	add_action(5, "bread");
	end_log();
	expect(expected_log(), 0, 1, 0);
}
END_TEST

START_TEST(another_head_is_wrong_unless_it_is_not_known)
{
	write_good_log();
	struct audit_expected expected = expected_log();
	expected.head.link.bytes[31] ^= 1;
	expect(expected, 0, 0, 1);
	expected.head_known = false;
	expect(expected, 0, 0, 0);
}
END_TEST

/* Changes the first place where the words stand in the stream. */
static void
change(const char *words, char to)
{
	char *at = memmem(server.body.data, server.body.size, words, strlen(words));
	ck_assert_ptr_nonnull(at);
	*at = to;
}

START_TEST(a_changed_payload_is_wrong_and_the_action_missing)
{
	write_good_log();
	change("milk", 's');
	expect(expected_log(), 1, 0, 1);
}
END_TEST

START_TEST(a_hash_at_the_end_that_is_not_the_chains_is_wrong)
{
	begin_log();
	add_action(1, "milk");
	written.head.link.bytes[0] ^= 1;
	end_log();
	struct audit_expected expected = expected_log();
	expected.head_known = false;
	expect(expected, 0, 0, 1);
}
END_TEST

START_TEST(a_gap_in_the_order_is_wrong)
{
	begin_log();
	add_action(1, "milk");
	written.head.seq++;
	add_action(2, "milk");
	end_log();
	struct audit_expected expected = expected_log();
	expected.digests = NULL;
	expected.head_known = false;
	expected.digest_count = 0;
	expect(expected, 0, 0, 1);
}
END_TEST

START_TEST(another_logs_beginning_is_wrong)
{
	write_good_log();
	struct audit_expected expected = expected_log();
	expected.log = TEXT("another");
	expected.digest_count = 0;
	expect(expected, 0, 0, 1);
}
END_TEST

START_TEST(a_stream_that_was_cut_is_wrong)
{
	write_good_log();
	struct audit_expected expected = expected_log();
	expected.digest_count = 0;
	/* Somewhere in the middle; and behind the last line, where only the last chunk lacks. */
	server.cut_at = _i == 0 ? server.body.size / 2 : server.body.size;
	expect(expected, 0, 0, 1);
}
END_TEST

START_TEST(a_stream_without_its_last_line_is_wrong)
{
	static const char *const ends[] = {"", "{\"error\":{\"code\":\"LOG_DAMAGED\"}}\n",
					   "no json\n", "{\"seq\":2}\n", "\n"};
	begin_log();
	add_action(1, "milk");
	buffer_printf(&server.body, "%s", ends[_i]);
	expect(expected_log(), 0, 0, 1);
}
END_TEST

START_TEST(a_refusal_is_wrong)
{
	write_good_log();
	struct audit_expected expected = expected_log();
	expected.digest_count = 0;
	server.status = 404;
	expect(expected, 0, 0, 1);
}
END_TEST

START_TEST(no_daemon_is_wrong)
{
	struct audit_expected expected = {.log = TEXT(LOG_NAME)};
	server.address.sin_port = htons(1);
	expect(expected, 0, 0, 1);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("audit");
	TCase *tcase = tcase_create("audit");
	tcase_add_checked_fixture(tcase, setup, teardown);
	suite_add_tcase(suite, tcase);
	tcase_add_loop_test(tcase, a_good_log_passes_however_it_is_cut_into_chunks, 0, 6);
	tcase_add_test(tcase, logs_are_pulled_over_one_connection);
	tcase_add_test(tcase, the_name_is_encoded_and_the_token_is_sent);
	tcase_add_test(tcase, an_empty_log_passes_when_nothing_was_promised);
	tcase_add_test(tcase, an_acknowledged_action_that_is_not_there_is_missing);
	tcase_add_test(tcase, a_log_that_is_too_short_misses_what_was_counted);
	tcase_add_test(tcase, two_actions_with_one_stamp_are_doubled);
	tcase_add_test(tcase, another_head_is_wrong_unless_it_is_not_known);
	tcase_add_test(tcase, a_changed_payload_is_wrong_and_the_action_missing);
	tcase_add_test(tcase, a_hash_at_the_end_that_is_not_the_chains_is_wrong);
	tcase_add_test(tcase, a_gap_in_the_order_is_wrong);
	tcase_add_test(tcase, another_logs_beginning_is_wrong);
	tcase_add_loop_test(tcase, a_stream_that_was_cut_is_wrong, 0, 2);
	tcase_add_loop_test(tcase, a_stream_without_its_last_line_is_wrong, 0, 5);
	tcase_add_test(tcase, a_refusal_is_wrong);
	tcase_add_test(tcase, no_daemon_is_wrong);
	return runner_run(srunner_create(suite));
}
