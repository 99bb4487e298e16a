#include "http/body.h"
#include "support/http_harness.h"

static void
setup(void)
{
	harness_start_default();
}

static void
post_begin(int fd, const char *path, const char *headers, size_t size)
{
	send_format(fd, "POST %s HTTP/1.1\r\nHost: a\r\n%sContent-Length: %zu\r\n\r\n", path,
		    headers, size);
}

static void
post(int fd, const char *path, const char *headers, const struct buffer *body)
{
	post_begin(fd, path, headers, body->size);
	ck_assert(send_bytes(fd, body->data, body->size));
}

static struct buffer
make_bytes(size_t size)
{
	struct buffer buffer;
	buffer_init(&buffer, size + 1);
	char *place = buffer_reserve(&buffer, size);
	ck_assert_ptr_nonnull(place);
	uint32_t state = 1;
	for (size_t i = 0; i < size; i++) {
		state = state * 1664525 + 1013904223;
		place[i] = (char)(state >> 24);
	}
	buffer.size = size;
	return buffer;
}

static void
expect_echo(int fd, const struct buffer *sent)
{
	struct answer answer = read_answer(fd);
	ck_assert_uint_eq(answer.status, 200);
	ck_assert_uint_eq(answer.body.size, sent->size);
	if (sent->size > 0)
		ck_assert_mem_eq(answer.body.data, sent->data, sent->size);
	answer_release(&answer);
}

START_TEST(bodies_of_all_sizes_up_to_the_limit_arrive_whole)
{
	static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 30000, BODY_LIMIT - 1, BODY_LIMIT};
	int fd = dial();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct buffer body = make_bytes(sizes[i]);
		post(fd, "/echo", "", &body);
		expect_echo(fd, &body);
		buffer_release(&body);
	}
	struct buffer body = make_bytes(BODY_LIMIT + 1);
	post(fd, "/echo", "", &body);
	expect_answer(fd, 413, "BODY_TOO_LARGE");
	buffer_release(&body);
	send_text(fd, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
	expect_answer(fd, 200, "hello");
	close(fd);
}
END_TEST

/* What comes behind is not taken for a request, however the chunks were framed. */
START_TEST(chunked_bodies_arrive_whole_and_are_bounded_and_end_the_connection)
{
	static const size_t sizes[] = {0, 1, 5000, BODY_LIMIT, BODY_LIMIT + 1, 2 * BODY_LIMIT};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		int fd = dial();
		struct buffer body = make_bytes(sizes[i]);
		send_text(fd,
			  "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
		for (size_t at = 0; at < body.size;) {
			size_t part = body.size - at < 777 ? body.size - at : 777;
			send_format(fd, "%zx;ext=1\r\n", part);
			ck_assert(send_bytes(fd, body.data + at, part));
			send_text(fd, "\r\n");
			at += part;
		}
		send_text(fd, "0\r\nTrailer: x\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
		if (sizes[i] <= BODY_LIMIT)
			expect_echo(fd, &body);
		else
			expect_answer(fd, 413, "BODY_TOO_LARGE");
		ck_assert(is_closed(fd));
		buffer_release(&body);
		close(fd);
	}
}
END_TEST

START_TEST(gzip_bodies_are_decoded)
{
	static const size_t sizes[] = {0, 1, 5000, BODY_LIMIT};
	int fd = dial();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct buffer body = make_bytes(sizes[i]), packed;
		buffer_init(&packed, 1 << 20);
		gzip_into(&packed, body.data, body.size);
		post(fd, "/echo", "Content-Encoding: gzip\r\n", &packed);
		expect_echo(fd, &body);
		buffer_release(&packed);
		buffer_release(&body);
	}
	close(fd);
}
END_TEST

START_TEST(a_gzip_body_may_have_several_members_and_come_byte_by_byte)
{
	struct buffer packed;
	buffer_init(&packed, 1 << 20);
	gzip_into(&packed, "one ", 4);
	gzip_into(&packed, "", 0);
	gzip_into(&packed, "two", 3);
	int fd = dial();
	post(fd, "/echo", "Content-Encoding: GZIP\r\n", &packed);
	expect_answer(fd, 200, "one two");
	send_text(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\n"
		      "Transfer-Encoding: chunked\r\n\r\n");
	for (size_t i = 0; i < packed.size; i++) {
		send_text(fd, "1\r\n");
		ck_assert(send_bytes(fd, packed.data + i, 1));
		send_text(fd, "\r\n");
	}
	send_text(fd, "0\r\n\r\n");
	expect_answer(fd, 200, "one two");
	buffer_release(&packed);
	close(fd);
}
END_TEST

START_TEST(a_gzip_bomb_is_refused_and_the_connection_survives)
{
	struct buffer zeros, packed;
	buffer_init(&zeros, (size_t)32 << 20);
	buffer_init(&packed, (size_t)32 << 20);
	char *place = buffer_reserve(&zeros, (size_t)20 << 20);
	ck_assert_ptr_nonnull(place);
	memset(place, 0, (size_t)20 << 20);
	gzip_into(&packed, place, (size_t)20 << 20);
	ck_assert_uint_lt(packed.size, BODY_LIMIT);
	int fd = dial();
	post(fd, "/echo", "Content-Encoding: gzip\r\n", &packed);
	expect_answer(fd, 413, "BODY_TOO_LARGE");
	send_text(fd, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
	expect_answer(fd, 200, "hello");
	buffer_release(&packed);
	gzip_into(&packed, place, BODY_LIMIT + 1);
	post(fd, "/echo", "Content-Encoding: gzip\r\n", &packed);
	expect_answer(fd, 413, "BODY_TOO_LARGE");
	buffer_release(&packed);
	buffer_release(&zeros);
	close(fd);
}
END_TEST

START_TEST(endless_empty_gzip_members_are_too_large)
{
	struct buffer packed;
	buffer_init(&packed, 1 << 20);
	for (int i = 0; i < 200; i++)
		gzip_into(&packed, "", 0);
	int fd = dial();
	post(fd, "/small", "Content-Encoding: gzip\r\n", &packed);
	expect_answer(fd, 413, "BODY_TOO_LARGE");
	buffer_release(&packed);
	close(fd);
}
END_TEST

START_TEST(a_gzip_body_that_is_cut_or_followed_by_garbage_is_malformed)
{
	struct buffer body = make_bytes(1000), packed;
	buffer_init(&packed, 1 << 20);
	gzip_into(&packed, body.data, body.size);
	size_t whole = packed.size;
	int fd = dial();
	for (size_t size = 0; size < whole; size += size < 20 || size + 20 > whole ? 1 : 97) {
		post_begin(fd, "/echo", "Content-Encoding: gzip\r\nX-Cut: 1\r\n", size);
		ck_assert(send_bytes(fd, packed.data, size));
		/* A body of no bytes at all is none, whatever its coding. */
		if (size == 0)
			expect_answer(fd, 200, "");
		else
			expect_answer(fd, 400, "MALFORMED");
	}
	buffer_append_text(&packed, TEXT("garbage"));
	post(fd, "/echo", "Content-Encoding: gzip\r\n", &packed);
	expect_answer(fd, 400, "MALFORMED");
	packed.size = whole;
	buffer_append(&packed, "", 1);
	post(fd, "/echo", "Content-Encoding: gzip\r\n", &packed);
	expect_answer(fd, 400, "MALFORMED");
	packed.size = whole;
	packed.data[whole / 2] ^= 1;
	post(fd, "/echo", "Content-Encoding: gzip\r\n", &packed);
	expect_answer(fd, 400, "MALFORMED");
	send_text(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\n"
		      "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
	expect_answer(fd, 400, "MALFORMED");
	buffer_release(&packed);
	buffer_release(&body);
	close(fd);
}
END_TEST

START_TEST(other_codings_are_unsupported)
{
	int fd = dial();
	send_text(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Encoding: br\r\n"
		      "Content-Length: 3\r\n\r\nabc");
	expect_answer(fd, 415, "UNSUPPORTED_MEDIA_TYPE");
	send_text(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip, gzip\r\n"
		      "Content-Length: 3\r\n\r\nabc");
	expect_answer(fd, 415, "UNSUPPORTED_MEDIA_TYPE");
	send_text(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Encoding: identity\r\n"
		      "Content-Length: 3\r\n\r\nabc");
	expect_answer(fd, 200, "abc");
	close(fd);
}
END_TEST

START_TEST(a_path_that_takes_no_body_refuses_one)
{
	int fd = dial();
	send_text(fd, "GET /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
	expect_answer(fd, 413, "BODY_TOO_LARGE");
	send_text(fd, "GET /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
	expect_answer(fd, 200, "hello");
	close(fd);
}
END_TEST

/* The client sends without looking, as many do, then reads. An answer that is followed by a reset
 * must have reached it. */
START_TEST(a_refusal_arrives_though_a_large_body_is_under_way)
{
	size_t drain = harness_options().drain_bytes;
	const size_t sizes[] = {BODY_LIMIT + 1, drain, drain + 1, drain + drain / 2};
	for (size_t i = 0; i < 40; i++) {
		struct buffer body = make_bytes(sizes[i % 4]);
		bool chunked = i >= 20;
		int fd = dial();
		if (chunked) {
			send_format(fd,
				    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
				    "chunked\r\n\r\n%zx\r\n",
				    body.size);
		} else {
			post_begin(fd, "/echo", "", body.size);
		}
		ck_assert(send_bytes(fd, body.data, body.size));
		if (chunked)
			send_text(fd, "\r\n0\r\n\r\n");
		expect_answer(fd, 413, "BODY_TOO_LARGE");
		if (!chunked && body.size > drain)
			ck_assert(is_closed(fd));
		buffer_release(&body);
		close(fd);
	}
	wait_until(atomic_load(&harness.ended) == 40);
}
END_TEST

START_TEST(a_client_that_never_stops_sending_gets_its_answer_and_is_cut_off)
{
	static char part[16384];
	for (int round = 0; round < 2; round++) {
		int fd = dial();
		uint64_t sent = 0;
		if (round == 0)
			post_begin(fd, "/echo", "", (size_t)1 << 40);
		else
			send_text(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
				      "chunked\r\n\r\nFFFFFFFFFF\r\n");
		while (send_bytes(fd, part, sizeof(part))) {
			sent += sizeof(part);
			ck_assert_uint_lt(sent, (uint64_t)1 << 30);
		}
		expect_answer(fd, 413, "BODY_TOO_LARGE");
		close(fd);
	}
	wait_until(atomic_load(&harness.ended) == 2);
}
END_TEST

START_TEST(expect_100_continue_is_answered_before_the_body_either_way)
{
	struct answer answer;
	int fd = dial();
	post_begin(fd, "/echo", "Expect: 100-continue\r\n", 3);
	ck_assert(try_read_head(fd, &answer));
	ck_assert_uint_eq(answer.status, 100);
	answer_release(&answer);
	send_text(fd, "abc");
	expect_answer(fd, 200, "abc");
	post_begin(fd, "/echo", "Expect: 100-continue\r\n", BODY_LIMIT + 1);
	expect_answer(fd, 413, "BODY_TOO_LARGE");
	ck_assert(is_closed(fd));
	close(fd);
}
END_TEST

START_TEST(beyond_the_memory_for_bodies_new_ones_are_refused_and_accepted_ones_go_on)
{
	size_t memory = harness_options().body_memory;
	size_t fits = memory / BODY_LIMIT;
	struct buffer body = make_bytes(BODY_LIMIT);
	int *fds = calloc(fits, sizeof(*fds));
	ck_assert_ptr_nonnull(fds);
	for (size_t i = 0; i < fits; i++) {
		fds[i] = dial();
		post_begin(fds[i], "/echo", "", BODY_LIMIT);
		wait_until(atomic_load(&harness.begun) == i + 1);
	}
	int late = dial();
	post(late, "/echo", "", &body);
	expect_answer(late, 429, "BACKPRESSURE");
	send_text(late, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
			"1\r\nx\r\n0\r\n\r\n");
	expect_answer(late, 429, "BACKPRESSURE");
	close(late);
	late = dial();
	send_text(late, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\n"
			"Content-Length: 1\r\n\r\nx");
	expect_answer(late, 429, "BACKPRESSURE");
	send_text(late, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
	expect_answer(late, 200, "hello");
	for (size_t i = 0; i < fits; i++) {
		ck_assert(send_bytes(fds[i], body.data, body.size));
		expect_echo(fds[i], &body);
		close(fds[i]);
	}
	wait_until(atomic_load(&harness.ended) == fits + 4);
	post(late, "/echo", "", &body);
	expect_echo(late, &body);
	close(late);
	buffer_release(&body);
	free(fds);
}
END_TEST

/* Growing by what is needed at the moment would mean a realloc a byte. */
START_TEST(a_body_grows_in_steps_when_the_memory_is_nearly_used_up)
{
	struct budget budget = {.max = (size_t)100 * 1024};
	struct buffer plain = make_bytes((size_t)80 * 1024);
	struct buffer packed;
	struct body body;
	size_t steps = 0, before = 0;
	buffer_init(&packed, 2 * plain.size);
	gzip_into(&packed, plain.data, plain.size);
	budget.used = budget.max - BODY_INFLATE_SIZE - (size_t)50 * 1024;
	body_init(&body);
	ck_assert_int_eq(body_begin(&body, &budget, 4 * plain.size, TEXT("gzip"), packed.size),
			 STATUS_OK);
	enum status status = STATUS_OK;
	for (size_t i = 0; i < packed.size && status == STATUS_OK; i++) {
		status = body_write(&body, packed.data + i, 1);
		steps += body.reserved != before;
		before = body.reserved;
	}
	ck_assert_int_eq(status, STATUS_BACKPRESSURE);
	ck_assert_uint_gt(body.size, (size_t)45 * 1024);
	ck_assert_uint_lt(steps, 20);
	body_release(&body);
	ck_assert_uint_eq(budget.used, budget.max - BODY_INFLATE_SIZE - (size_t)50 * 1024);
	buffer_release(&packed);
	buffer_release(&plain);
}
END_TEST

START_TEST(the_memory_of_clients_that_leave_half_way_is_given_back)
{
	size_t fits = harness_options().body_memory / BODY_LIMIT;
	struct buffer body = make_bytes(BODY_LIMIT);
	for (size_t round = 1; round <= 3; round++) {
		for (size_t i = 0; i < fits; i++) {
			int fd = dial();
			post_begin(fd, "/echo", "", BODY_LIMIT);
			ck_assert(send_bytes(fd, body.data, 1000));
			wait_until(atomic_load(&harness.begun) == (round - 1) * fits + i + 1);
			close(fd);
		}
		wait_until(atomic_load(&harness.ended) == round * fits);
	}
	int fd = dial();
	post(fd, "/echo", "", &body);
	expect_echo(fd, &body);
	buffer_release(&body);
	close(fd);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("http/body");
	TCase *tests = tcase_create("body");
	tcase_add_checked_fixture(tests, setup, harness_stop);
	tcase_add_test(tests, bodies_of_all_sizes_up_to_the_limit_arrive_whole);
	tcase_add_test(tests, chunked_bodies_arrive_whole_and_are_bounded_and_end_the_connection);
	tcase_add_test(tests, gzip_bodies_are_decoded);
	tcase_add_test(tests, a_gzip_body_may_have_several_members_and_come_byte_by_byte);
	tcase_add_test(tests, a_gzip_bomb_is_refused_and_the_connection_survives);
	tcase_add_test(tests, endless_empty_gzip_members_are_too_large);
	tcase_add_test(tests, a_gzip_body_that_is_cut_or_followed_by_garbage_is_malformed);
	tcase_add_test(tests, other_codings_are_unsupported);
	tcase_add_test(tests, a_path_that_takes_no_body_refuses_one);
	tcase_add_test(tests, a_refusal_arrives_though_a_large_body_is_under_way);
	tcase_add_test(tests, a_client_that_never_stops_sending_gets_its_answer_and_is_cut_off);
	tcase_add_test(tests, expect_100_continue_is_answered_before_the_body_either_way);
	tcase_add_test(tests,
		       beyond_the_memory_for_bodies_new_ones_are_refused_and_accepted_ones_go_on);
	tcase_add_test(tests, a_body_grows_in_steps_when_the_memory_is_nearly_used_up);
	tcase_add_test(tests, the_memory_of_clients_that_leave_half_way_is_given_back);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
