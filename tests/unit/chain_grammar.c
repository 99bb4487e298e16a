/* Names and text forms: protocol, sections 2 and 3. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "chain/chain.h"
#include "support/runner.h"

typedef bool grammar(struct text);

/* Whether a byte is of the set of log names and devices, by the protocol's own list. */
static bool
is_listed(unsigned byte)
{
	static const char list[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
				   "._~-@:|+=";

	return byte != 0 && strchr(list, (int)byte) != NULL;
}

static void
assert_set(grammar *is_valid)
{
	for (unsigned byte = 0; byte < 256; byte++) {
		char text[3] = {'a', (char)byte, 'b'};

		ck_assert_msg(is_valid((struct text){text, 3}) == is_listed(byte), "byte %02x",
			      byte);
	}
}

static void
assert_sizes(grammar *is_valid, size_t size_max)
{
	char text[256];

	memset(text, 'a', sizeof(text));
	for (size_t size = 0; size <= sizeof(text); size++)
		ck_assert_msg(is_valid((struct text){text, size}) ==
				      (size >= 1 && size <= size_max),
			      "%zu bytes", size);
	ck_assert(!is_valid((struct text){NULL, 0}));
}

START_TEST(a_log_name_has_1_to_128_bytes_of_the_set)
{
	assert_set(log_name_is_valid);
	assert_sizes(log_name_is_valid, 128);
}
END_TEST

START_TEST(a_log_name_is_not_of_dots_only)
{
	ck_assert(!log_name_is_valid(TEXT(".")));
	ck_assert(!log_name_is_valid(TEXT("..")));
	ck_assert(!log_name_is_valid(TEXT("........")));
	ck_assert(log_name_is_valid(TEXT("..a")));
	ck_assert(log_name_is_valid(TEXT(".-")));
	ck_assert(log_name_is_valid(TEXT("auth0|5f7c8ec7c33c6c004bbafe82")));
}
END_TEST

START_TEST(a_device_has_1_to_64_bytes_of_the_set)
{
	assert_set(device_is_valid);
	assert_sizes(device_is_valid, 64);
	ck_assert(device_is_valid(TEXT("..")));
}
END_TEST

START_TEST(a_type_has_1_to_128_bytes)
{
	assert_sizes(type_is_valid, 128);
}
END_TEST

START_TEST(a_type_is_utf8_without_control_characters)
{
	for (unsigned byte = 0; byte < 0x80; byte++) {
		char text[3] = {'a', (char)byte, 'b'};

		ck_assert_msg(type_is_valid((struct text){text, 3}) ==
				      (byte >= 0x20 && byte != 0x7f),
			      "byte %02x", byte);
	}
	for (unsigned second = 0x80; second < 0xc0; second++) {
		char text[2] = {(char)0xc2, (char)second};

		ck_assert_msg(type_is_valid((struct text){text, 2}) == (second >= 0xa0), "U+%04X",
			      second);
	}
	/* In other characters the bytes 80..9F are no controls. */
	ck_assert(type_is_valid(TEXT("\xc3\x82\xc3\x80")));
	ck_assert(type_is_valid(TEXT("\xe2\x82\xac")));
	ck_assert(type_is_valid(TEXT("\xf0\x9f\x9a\x80")));
}
END_TEST

START_TEST(a_type_of_broken_utf8_is_invalid)
{
	const struct text broken[] = {
		TEXT("\x80"),
		TEXT("a\xc2"),
		TEXT("\xc2"),
		TEXT("\xc0\x80"),
		TEXT("\xed\xa0\x80"),
		TEXT("\xe0\x80\x80"),
		TEXT("\xf4\x90\x80\x80"),
		TEXT("\xff"),
		TEXT("\xf0\x9f\x9a"),
	};

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
		ck_assert_msg(!type_is_valid(broken[i]), "number %zu", i);
}
END_TEST

START_TEST(a_hash_is_read_from_64_lower_case_digits_and_nothing_else)
{
	char text[HASH_TEXT_SIZE + 2], again[HASH_TEXT_SIZE];
	struct hash hash;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = "0123456789abcdef"[(7 * i + i / 16) % 16];
	ck_assert(hash_from_text((struct text){text, HASH_TEXT_SIZE}, &hash));
	hash_to_text(&hash, again);
	ck_assert_mem_eq(text, again, HASH_TEXT_SIZE);

	ck_assert(!hash_from_text((struct text){text, 0}, &hash));
	ck_assert(!hash_from_text((struct text){text, HASH_TEXT_SIZE - 2}, &hash));
	ck_assert(!hash_from_text((struct text){text, HASH_TEXT_SIZE - 1}, &hash));
	ck_assert(!hash_from_text((struct text){text, HASH_TEXT_SIZE + 1}, &hash));
	ck_assert(!hash_from_text((struct text){text, HASH_TEXT_SIZE + 2}, &hash));
	for (size_t i = 0; i < HASH_TEXT_SIZE; i++) {
		static const char wrong[] = {'A', 'F', 'g', '/', ':', '`', ' ', '\0', '\xff'};
		char right = text[i];

		for (size_t j = 0; j < sizeof(wrong); j++) {
			text[i] = wrong[j];
			ck_assert(!hash_from_text((struct text){text, HASH_TEXT_SIZE}, &hash));
		}
		text[i] = right;
	}
}
END_TEST

START_TEST(hashes_are_equal_when_every_bit_is)
{
	struct hash a = {{0}}, b = {{0}};

	ck_assert(hash_equal(&a, &b));
	for (unsigned bit = 0; bit < 8 * HASH_SIZE; bit++) {
		b.bytes[bit / 8] = (uint8_t)(1 << (bit % 8));
		ck_assert(!hash_equal(&a, &b));
		b.bytes[bit / 8] = 0;
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("chain_grammar");
	TCase *tests = tcase_create("grammar");
	SRunner *runner;

	tcase_add_test(tests, a_log_name_has_1_to_128_bytes_of_the_set);
	tcase_add_test(tests, a_log_name_is_not_of_dots_only);
	tcase_add_test(tests, a_device_has_1_to_64_bytes_of_the_set);
	tcase_add_test(tests, a_type_has_1_to_128_bytes);
	tcase_add_test(tests, a_type_is_utf8_without_control_characters);
	tcase_add_test(tests, a_type_of_broken_utf8_is_invalid);
	tcase_add_test(tests, a_hash_is_read_from_64_lower_case_digits_and_nothing_else);
	tcase_add_test(tests, hashes_are_equal_when_every_bit_is);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	return runner_run(runner);
}
