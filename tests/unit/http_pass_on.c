/* A body that is not kept: it is given piece by piece as it comes, decoded, bounded, and takes no memory. */
#include "http/body.h"
#include "support/http_harness.h"

static void
setup(void)
{
	harness_start_default();
}

/* Bytes that do not compress, none of which is 0xff. */
static struct buffer
make_bytes(size_t size)
{
	struct buffer buffer;
	uint32_t state = 1;
	buffer_init(&buffer, size + 1);
	char *place = buffer_reserve(&buffer, size);
	ck_assert_ptr_nonnull(place);
	for (size_t i = 0; i < size; i++) {
		state = state * 1664525 + 1013904223;
		place[i] = (char)(state >> 24 == 0xff ? 0 : state >> 24);
	}
	buffer.size = size;
	return buffer;
}

static void
expect_sum(int fd, const struct buffer *sent)
{
	char text[32];
	uint64_t sum = 0;
	for (size_t i = 0; i < sent->size; i++)
		sum += (uint8_t)sent->data[i];
	snprintf(text, sizeof(text), "%ju", (uintmax_t)sum);
	expect_answer(fd, 200, text);
}

static void
put(int fd, const char *headers, const struct buffer *body)
{
	send_format(fd, "PUT /pieces HTTP/1.1\r\nHost: a\r\n%sContent-Length: %zu\r\n\r\n", headers,
		    body->size);
	ck_assert(send_bytes(fd, body->data, body->size));
}

START_TEST(bodies_larger_than_the_memory_for_them_go_through)
{
	static const size_t sizes[] = {0, 1, 5000, PIECES_LIMIT - 1, PIECES_LIMIT};
	int fd = dial();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct buffer body = make_bytes(sizes[i]), packed;
		put(fd, "", &body);
		expect_sum(fd, &body);
		buffer_init(&packed, 2 * body.size + 100);
		gzip_into(&packed, body.data, body.size);
		put(fd, "Content-Encoding: gzip\r\n", &packed);
		expect_sum(fd, &body);
		buffer_release(&packed);
		buffer_release(&body);
	}
	close(fd);
}
END_TEST

START_TEST(one_byte_too_many_is_refused_however_it_comes)
{
	struct buffer body = make_bytes(PIECES_LIMIT + 1), packed;
	int fd = dial();
	send_format(fd, "PUT /pieces HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n",
		    body.size);
	expect_answer(fd, 413, "BODY_TOO_LARGE");
	close(fd);
	buffer_init(&packed, 2 * body.size);
	memset(body.data, 0, body.size);
	gzip_into(&packed, body.data, body.size);
	fd = dial();
	put(fd, "Content-Encoding: gzip\r\n", &packed);
	expect_answer(fd, 413, "BODY_TOO_LARGE");
	close(fd);
	buffer_release(&packed);
	buffer_release(&body);
}
END_TEST

START_TEST(what_the_taker_says_is_the_refusal)
{
	struct buffer body = make_bytes(300000), packed;
	int fd = dial();
	body.data[250000] = (char)0xff;
	put(fd, "", &body);
	expect_answer(fd, 503, "STORAGE_UNAVAILABLE");
	close(fd);
	buffer_init(&packed, 2 * body.size);
	gzip_into(&packed, body.data, body.size);
	fd = dial();
	put(fd, "Content-Encoding: gzip\r\n", &packed);
	expect_answer(fd, 503, "STORAGE_UNAVAILABLE");
	close(fd);
	buffer_release(&packed);
	buffer_release(&body);
}
END_TEST

static enum status
count(void *cookie, const char *data, size_t size)
{
	size_t *sum = cookie;
	(void)data;
	*sum += size;
	return STATUS_OK;
}

START_TEST(it_reserves_no_more_than_what_inflating_needs)
{
	struct budget budget = {.max = BODY_INFLATE_SIZE};
	struct buffer plain = make_bytes(1 << 20), packed;
	struct body body;
	size_t sum = 0;
	body_init(&body);
	body_pass_on(&body, count, &sum);
	ck_assert_int_eq(body_begin(&body, &budget, plain.size, TEXT(""), plain.size), STATUS_OK);
	ck_assert_uint_eq(budget.used, 0);
	ck_assert_int_eq(body_write(&body, plain.data, plain.size), STATUS_OK);
	ck_assert_int_eq(body_finish(&body), STATUS_OK);
	ck_assert_uint_eq(sum, plain.size);
	ck_assert_uint_eq(budget.used, 0);
	body_release(&body);
	buffer_init(&packed, 2 * plain.size);
	gzip_into(&packed, plain.data, plain.size);
	body_pass_on(&body, count, &sum);
	ck_assert_int_eq(body_begin(&body, &budget, plain.size, TEXT("gzip"), BODY_LENGTH_UNKNOWN),
			 STATUS_OK);
	for (size_t at = 0; at < packed.size; at += 1000)
		ck_assert_int_eq(body_write(&body, packed.data + at,
					    packed.size - at < 1000 ? packed.size - at : 1000),
				 STATUS_OK);
	ck_assert_int_eq(body_finish(&body), STATUS_OK);
	ck_assert_uint_eq(sum, 2 * plain.size);
	ck_assert_uint_eq(budget.used, BODY_INFLATE_SIZE);
	body_release(&body);
	ck_assert_uint_eq(budget.used, 0);
	buffer_release(&packed);
	buffer_release(&plain);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("http/pass_on");
	TCase *tests = tcase_create("pass_on");
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, harness_stop);
	tcase_add_test(tests, bodies_larger_than_the_memory_for_them_go_through);
	tcase_add_test(tests, one_byte_too_many_is_refused_however_it_comes);
	tcase_add_test(tests, what_the_taker_says_is_the_refusal);
	tcase_add_test(tests, it_reserves_no_more_than_what_inflating_needs);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
