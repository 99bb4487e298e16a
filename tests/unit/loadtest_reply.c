/* loadtest/reply: answers cut into pieces at every place are the same answers. */
#include "loadtest/reply.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "support/runner.h"

#define ROOM 4096

struct wanted {
	const char *bytes;
	enum reply_state state;
	unsigned status;
	const char *body;
	bool close;
	uint64_t retry_after_sec;
};

static const struct wanted cases[] = {
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", REPLY_WHOLE, 200, "hello", false, 0},
	{"HTTP/1.1 200 OK\r\nCONTENT-LENGTH:5\r\nconnection: Close\r\n\r\nhello", REPLY_WHOLE, 200,
	 "hello", true, 0},
	{"HTTP/1.1 204 No Content\r\n\r\n", REPLY_WHOLE, 204, "", false, 0},
	{"HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\n{}", REPLY_WHOLE, 429,
	 "{}", false, 7},
	{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", REPLY_WHOLE,
	 200, "x", false, 0},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	 "3\r\nabc\r\n1;x=y\r\nd\r\nB\r\nefghijklmno\r\n0\r\nTrailer: z\r\n\r\n",
	 REPLY_WHOLE, 200, "abcdefghijklmno", false, 0},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", REPLY_WHOLE, 200, "",
	 false, 0},
	{"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", REPLY_BODY, 200, "hello", false, 0},
	{"HTTP/1.1 200 OK\r\nContent-Le", REPLY_HEAD, 0, "", false, 0},
	{"HTTP/1.1 200 OK\r\n\r\nuntil the end", REPLY_BAD, 200, "", false, 0},
	{"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", REPLY_BAD, 0, "", false, 0},
	{"SSH-2.0-OpenSSH\r\n\r\n", REPLY_BAD, 0, "", false, 0},
	{"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", REPLY_BAD, 200, "", false, 0},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n", REPLY_BAD, 200, "", false,
	 0},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", REPLY_BAD, 200, "a",
	 false, 0},
};
#define CASES ((int)(sizeof(cases) / sizeof(cases[0])))

struct reading {
	struct reply reply;
	char data[ROOM];
	size_t size;
};

static void
feed(struct reading *reading, const char *bytes, size_t size)
{
	if (reading->reply.state == REPLY_BAD || reading->reply.state == REPLY_WHOLE)
		return;
	memcpy(reading->data + reading->size, bytes, size);
	reading->size += size;
	(void)reply_read(&reading->reply, reading->data, &reading->size);
}

static void
assert_read(const struct reading *reading, const struct wanted *wanted)
{
	const struct reply *reply = &reading->reply;
	ck_assert_int_eq(reply->state, wanted->state);
	ck_assert_uint_eq(reply->status, wanted->status);
	ck_assert_int_eq(reply->close, wanted->close);
	ck_assert_uint_eq(reply->retry_after_sec, wanted->retry_after_sec);
	ck_assert(text_equal((struct text){reading->data + reply->body, reply->body_size},
			     text_of(wanted->body)));
}

START_TEST(an_answer_in_two_pieces_is_the_same_wherever_it_is_cut)
{
	const struct wanted *wanted = &cases[_i];
	size_t size = strlen(wanted->bytes);
	for (size_t cut = 0; cut <= size; cut++) {
		struct reading reading = {.size = 0};
		reply_begin(&reading.reply);
		feed(&reading, wanted->bytes, cut);
		feed(&reading, wanted->bytes + cut, size - cut);
		assert_read(&reading, wanted);
	}
}
END_TEST

START_TEST(an_answer_byte_by_byte_is_the_same)
{
	const struct wanted *wanted = &cases[_i];
	struct reading reading = {.size = 0};
	reply_begin(&reading.reply);
	for (size_t i = 0; i < strlen(wanted->bytes); i++)
		feed(&reading, wanted->bytes + i, 1);
	assert_read(&reading, wanted);
}
END_TEST

START_TEST(a_body_can_be_taken_while_it_comes)
{
	const struct wanted *wanted = &cases[_i];
	struct reading reading = {.size = 0};
	char taken[ROOM];
	size_t taken_size = 0;
	if (wanted->state != REPLY_WHOLE)
		return;
	reply_begin(&reading.reply);
	for (size_t i = 0; i < strlen(wanted->bytes); i++) {
		feed(&reading, wanted->bytes + i, 1);
		size_t count = reading.reply.body_size / 2;
		memcpy(taken + taken_size, reading.data + reading.reply.body, count);
		taken_size += count;
		reply_consume(&reading.reply, count, reading.data, &reading.size);
	}
	memcpy(taken + taken_size, reading.data + reading.reply.body, reading.reply.body_size);
	taken_size += reading.reply.body_size;
	ck_assert_int_eq(reading.reply.state, REPLY_WHOLE);
	ck_assert(text_equal((struct text){taken, taken_size}, text_of(wanted->body)));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("loadtest_reply");
	TCase *tests = tcase_create("reply");
	tcase_add_loop_test(tests, an_answer_in_two_pieces_is_the_same_wherever_it_is_cut, 0,
			    CASES);
	tcase_add_loop_test(tests, an_answer_byte_by_byte_is_the_same, 0, CASES);
	tcase_add_loop_test(tests, a_body_can_be_taken_while_it_comes, 0, CASES);
	suite_add_tcase(suite, tests);
	return runner_run(srunner_create(suite));
}
