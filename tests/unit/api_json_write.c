/* What json_write_string writes: what must be escaped, nothing else, and not a byte too much. */
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/json.h"
#include "support/runner.h"

/* A small generator of its own, so that a failure can be repeated. */
static uint64_t
draw(uint64_t *state, uint64_t below)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state % below;
}

/* Every escape, at every place in a word, comes back from jansson as it was. */
START_TEST(what_is_written_is_read_back_unchanged)
{
	static const char alphabet[] =
		"abcdefghijklmnopqrstuvwxyz\"\\\b\f\n\r\t\x01\x1f\x7f/ \0\x0b";
	uint64_t state = 88172645463325252;
	for (int i = 0; i < 20000; i++) {
		char text[80];
		size_t size = draw(&state, sizeof(text) - 4);
		for (size_t at = 0; at < size; at++) {
			text[at] = alphabet[draw(&state,
						 draw(&state, 4) == 0 ? sizeof(alphabet) : 26)];
			if (draw(&state, 20) == 0 && at + 2 < size) {
				memcpy(text + at, "\xe2\x82\xac", 3);
				at += 2;
			}
		}
		struct buffer out;
		struct json json;
		struct text back;
		buffer_init(&out, 1024);
		json_write_string(&out, (struct text){text, size});
		ck_assert(!out.failed);
		json_t *theirs =
			json_loadb(out.data, out.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
		ck_assert(theirs && json_string_length(theirs) == size);
		ck_assert_int_eq(memcmp(json_string_value(theirs), text, size), 0);
		json_decref(theirs);
		json_begin(&json, out.data, out.size);
		ck_assert(json_read_string(&json, &back) && json_end(&json));
		ck_assert(back.size == size && memcmp(back.data, text, size) == 0);
		buffer_release(&out);
	}
}
END_TEST

START_TEST(only_what_must_be_is_escaped)
{
	struct buffer out;
	buffer_init(&out, 100);
	json_write_string(&out, TEXT("/\xc3\xa9\x7f\"\\\n\x01 <>&'"));
	struct text wanted = TEXT("\"/\xc3\xa9\x7f\\\"\\\\\\n\\u0001 <>&'\"");
	ck_assert(text_equal((struct text){out.data, out.size}, wanted));
	buffer_release(&out);
	buffer_init(&out, wanted.size - 1);
	json_write_string(&out, TEXT("/\xc3\xa9\x7f\"\\\n\x01 <>&'"));
	ck_assert(out.failed);
	buffer_release(&out);
}
END_TEST

/* Byte by byte, as RFC 8259 has it. */
static size_t
write_slowly(const char *text, size_t size, char *to)
{
	static const char short_escapes[] = "\"\"\\\\\bb\ff\nn\rr\tt";
	size_t at = 0;
	to[at++] = '"';
	for (size_t i = 0; i < size; i++) {
		size_t escape = 0;
		while (short_escapes[escape] != '\0' && short_escapes[escape] != text[i])
			escape += 2;
		if (short_escapes[escape] != '\0') {
			to[at++] = '\\';
			to[at++] = short_escapes[escape + 1];
		} else if ((unsigned char)text[i] < 0x20) {
			at += (size_t)snprintf(to + at, 7, "\\u%04x", (unsigned)text[i]);
		} else {
			to[at++] = text[i];
		}
	}
	to[at++] = '"';
	return at;
}

/* In a buffer of exactly the size that it takes, and of one byte less. */
static void
expect_as_written_slowly(const char *text, size_t size)
{
	static char wanted[JSON_STRING_SIZE_MAX(4000) + 1];
	const size_t wanted_size = write_slowly(text, size, wanted);
	struct buffer out;
	buffer_init(&out, wanted_size);
	json_write_string(&out, (struct text){text, size});
	ck_assert(!out.failed && out.size == wanted_size);
	ck_assert_int_eq(memcmp(out.data, wanted, wanted_size), 0);
	const char *end = json_put_string(out.data, (struct text){text, size});
	ck_assert_ptr_eq(end, out.data + wanted_size);
	ck_assert_int_eq(memcmp(out.data, wanted, wanted_size), 0);
	buffer_release(&out);
	buffer_init(&out, wanted_size - 1);
	json_write_string(&out, (struct text){text, size});
	ck_assert(out.failed && out.size == 0);
	buffer_release(&out);
}

START_TEST(every_byte_at_every_place_is_written_as_it_must_be)
{
	for (size_t size = 1; size <= 34; size++) {
		for (size_t at = 0; at < size; at++) {
			char text[40];
			memset(text, 'a', sizeof(text));
			for (int byte = 0; byte < 256; byte++) {
				text[at] = (char)byte;
				expect_as_written_slowly(text, size);
			}
		}
	}
}
END_TEST

START_TEST(random_strings_are_written_as_a_slow_writer_does)
{
	uint64_t state = 88172645463325252;
	static char text[4000];
	expect_as_written_slowly(NULL, 0);
	for (int i = 0; i < 20000; i++) {
		const size_t size = draw(&state, i % 100 == 0 ? sizeof(text) : 100);
		const uint64_t density = 1 + draw(&state, 20);
		for (size_t at = 0; at < size; at++) {
			static const char marks[] = "\"\\\n\x01\x1f";
			uint64_t pick = draw(&state, density);
			text[at] = pick == 0   ? (char)draw(&state, 256)
				   : pick == 1 ? marks[draw(&state, sizeof(marks) - 1)]
					       : (char)('a' + draw(&state, 26));
		}
		expect_as_written_slowly(text, size);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("api_json_write");
	TCase *tests = tcase_create("write");
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, what_is_written_is_read_back_unchanged);
	tcase_add_test(tests, only_what_must_be_is_escaped);
	tcase_add_test(tests, every_byte_at_every_place_is_written_as_it_must_be);
	tcase_add_test(tests, random_strings_are_written_as_a_slow_writer_does);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
