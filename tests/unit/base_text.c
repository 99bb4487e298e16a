/* base/text: UTF-8, decimal and hexadecimal. */
#include "base/text.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "support/runner.h"

static const struct {
	const char *bytes;
	bool well_formed;
} utf8_cases[] = {
	{"", true},
	{"plain", true},
	{"\x7f", true},
	{"\xc2\x80", true},	    /* U+0080 */
	{"\xdf\xbf", true},	    /* U+07FF */
	{"\xe0\xa0\x80", true},	    /* U+0800 */
	{"\xed\x9f\xbf", true},	    /* U+D7FF, before the surrogates */
	{"\xee\x80\x80", true},	    /* U+E000, after them */
	{"\xef\xbf\xbf", true},	    /* U+FFFF, a noncharacter but well-formed */
	{"\xf0\x90\x80\x80", true}, /* U+10000 */
	{"\xf4\x8f\xbf\xbf", true}, /* U+10FFFF */
	{"\xef\xbb\xbf", true},	    /* a byte order mark is a character */
	{"\x80", false},	    /* a continuation alone */
	{"\xbf", false},
	{"\xc0\x80", false},	     /* overlong NUL */
	{"\xc1\xbf", false},	     /* overlong U+007F */
	{"\xe0\x9f\xbf", false},     /* overlong U+07FF */
	{"\xe0\x80\xaf", false},     /* overlong slash */
	{"\xf0\x8f\xbf\xbf", false}, /* overlong U+FFFF */
	{"\xed\xa0\x80", false},     /* U+D800 */
	{"\xed\xbf\xbf", false},     /* U+DFFF */
	{"\xf4\x90\x80\x80", false}, /* U+110000 */
	{"\xf5\x80\x80\x80", false},
	{"\xf8\x88\x80\x80\x80", false}, /* five bytes */
	{"\xfe", false},
	{"\xff", false},
	{"\xc2", false}, /* cut */
	{"\xe2\x82", false},
	{"\xf0\x9f\x98", false},
	{"\xc2\x41", false}, /* the second byte is none */
	{"\xe2\x82\x41", false},
	{"\xe2\x41\x82", false},
	{"\xf0\x9f\x98\x41", false},
	{"\xf0\x9f\x41\x80", false},
};

#define UTF8_CASES ((int)(sizeof(utf8_cases) / sizeof(utf8_cases[0])))

START_TEST(utf8_is_judged_as_rfc_3629_does_wherever_it_stands)
{
	const char *bytes = utf8_cases[_i].bytes;
	size_t size = strlen(bytes);
	/* At every place against the eight-byte steps, with ASCII before and behind. */
	for (size_t before = 0; before < 20; before++) {
		for (size_t behind = 0; behind < 20; behind += 3) {
			char text[64];
			memset(text, 'a', sizeof(text));
			memcpy(text + before, bytes, size);
			ck_assert_int_eq(text_is_utf8((struct text){text, before + size + behind}),
					 utf8_cases[_i].well_formed);
		}
	}
}
END_TEST

START_TEST(a_character_has_the_size_that_its_code_point_needs)
{
	ck_assert_uint_eq(text_utf8_size(TEXT("")), 0);
	ck_assert_uint_eq(text_utf8_size(TEXT("ab")), 1);
	ck_assert_uint_eq(text_utf8_size((struct text){"\0", 1}), 1);
	ck_assert_uint_eq(text_utf8_size(TEXT("\xc3\xa9z")), 2);
	ck_assert_uint_eq(text_utf8_size(TEXT("\xe2\x82\xac")), 3);
	ck_assert_uint_eq(text_utf8_size(TEXT("\xf0\x9f\x98\x80z")), 4);
	ck_assert_uint_eq(text_utf8_size((struct text){"\xe2\x82\xac", 2}), 0);
	ck_assert_uint_eq(text_utf8_size(TEXT("\xff")), 0);
}
END_TEST

/* Whoever encodes every code point must find each one well-formed but the surrogates. */
START_TEST(every_code_point_but_a_surrogate_is_well_formed)
{
	for (uint32_t point = 0; point <= 0x10ffff; point++) {
		char text[4];
		size_t size = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
		uint32_t rest = point;
		for (size_t i = size - 1; i > 0; i--) {
			text[i] = (char)(0x80 | (rest & 0x3f));
			rest >>= 6;
		}
		static const uint8_t first[] = {0, 0, 0xc0, 0xe0, 0xf0};
		text[0] = (char)(first[size] | rest);
		bool surrogate = point >= 0xd800 && point <= 0xdfff;
		if (text_is_utf8((struct text){text, size}) == surrogate)
			ck_abort_msg("U+%04X", point);
	}
}
END_TEST

START_TEST(decimal_takes_digits_up_to_the_bound_and_nothing_else)
{
	static const struct {
		const char *text;
		uint64_t max;
		bool taken;
		uint64_t value;
	} cases[] = {
		{"0", 0, true, 0},
		{"0", UINT64_MAX, true, 0},
		{"1", 0, false, 0},
		{"7", 5, false, 0},
		{"10", 9, false, 0},
		{"9", 9, true, 9},
		{"19", 18, false, 0},
		{"18", 18, true, 18},
		{"281474976710655", 281474976710655, true, 281474976710655},
		{"281474976710656", 281474976710655, false, 0},
		{"18446744073709551615", UINT64_MAX, true, UINT64_MAX},
		{"18446744073709551616", UINT64_MAX, false, 0},
		{"18446744073709551620", UINT64_MAX, false, 0},
		{"99999999999999999999", UINT64_MAX, false, 0},
		{"184467440737095516150", UINT64_MAX, false, 0},
		{"", UINT64_MAX, false, 0},
		{"00", UINT64_MAX, false, 0},
		{"01", UINT64_MAX, false, 0},
		{"+1", UINT64_MAX, false, 0},
		{"-1", UINT64_MAX, false, 0},
		{" 1", UINT64_MAX, false, 0},
		{"1 ", UINT64_MAX, false, 0},
		{"1.0", UINT64_MAX, false, 0},
		{"1e3", UINT64_MAX, false, 0},
		{"0x1", UINT64_MAX, false, 0},
		{"/", UINT64_MAX, false, 0},
		{":", UINT64_MAX, false, 0},
		{"\xd9\xa1", UINT64_MAX, false, 0}, /* an Arabic digit */
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t value = 4242;
		bool taken = text_to_u64(text_of(cases[i].text), cases[i].max, &value);
		ck_assert_msg(taken == cases[i].taken, "%s", cases[i].text);
		ck_assert_uint_eq(value, taken ? cases[i].value : 4242);
	}
	uint64_t value = 4242;
	ck_assert(!text_to_u64((struct text){"1\0", 2}, UINT64_MAX, &value));
}
END_TEST

START_TEST(every_byte_survives_hexadecimal_both_ways)
{
	uint8_t bytes[256];
	uint8_t again[256];
	char hex[512];
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	hex_encode(bytes, sizeof(bytes), hex);
	ck_assert_mem_eq(hex, "000102", 6);
	ck_assert_mem_eq(hex + 506, "fdfeff", 6);
	ck_assert(hex_decode((struct text){hex, sizeof(hex)}, again, sizeof(again)));
	ck_assert_mem_eq(again, bytes, sizeof(bytes));
}
END_TEST

START_TEST(hexadecimal_is_lower_case_and_of_exact_length)
{
	uint8_t bytes[2];
	ck_assert(hex_decode(TEXT("00ff"), bytes, 2));
	ck_assert(hex_decode(TEXT(""), bytes, 0));
	ck_assert(!hex_decode(TEXT("00fF"), bytes, 2));
	ck_assert(!hex_decode(TEXT("00f"), bytes, 2));
	ck_assert(!hex_decode(TEXT("00ff0"), bytes, 2));
	ck_assert(!hex_decode(TEXT("00ff"), bytes, 1));
	ck_assert(!hex_decode(TEXT("00ff"), bytes, SIZE_MAX / 2 + 3));
	for (unsigned byte = 0; byte < 256; byte++) {
		char hex[2] = {'0', (char)byte};
		bool digit = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f');
		ck_assert_int_eq(hex_decode((struct text){hex, 2}, bytes, 1), digit);
	}
}
END_TEST

START_TEST(a_list_is_cut_into_trimmed_pieces)
{
	struct text rest = TEXT(" a;q=1 ,\tb,, c");
	const char *pieces[] = {"a;q=1", "b", "", "c"};
	for (size_t i = 0; i < 4; i++)
		ck_assert(text_equal(text_cut(&rest, ','), text_of(pieces[i])));
	ck_assert_uint_eq(rest.size, 0);
	ck_assert_uint_eq(text_cut(&rest, ',').size, 0);
	ck_assert(text_equal(text_trim(TEXT(" \t ")), TEXT("")));
}
END_TEST

START_TEST(texts_are_equal_by_bytes_and_length)
{
	ck_assert(text_equal(TEXT("ab"), text_of("ab")));
	ck_assert(!text_equal(TEXT("ab"), TEXT("abc")));
	ck_assert(!text_equal(TEXT("ab"), TEXT("aB")));
	ck_assert(text_equal((struct text){NULL, 0}, TEXT("")));
	ck_assert(!text_equal((struct text){"a\0b", 3}, (struct text){"a\0c", 3}));
}
END_TEST

START_TEST(a_control_character_is_seen_wherever_it_stands)
{
	char text[24];
	for (size_t size = 1; size <= sizeof(text); size++) {
		for (size_t at = 0; at < size; at++) {
			for (unsigned byte = 0; byte < 256; byte++) {
				bool control = (byte < 0x20 && byte != '\t') || byte == 0x7f;
				memset(text, byte % 2 == 0 ? '\x80' : ' ', sizeof(text));
				text[at] = (char)byte;
				ck_assert_int_eq(text_has_control((struct text){text, size}),
						 control);
			}
		}
	}
	ck_assert(!text_has_control(TEXT("")));
	ck_assert(!text_has_control((struct text){"a\n", 1}));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("text");
	TCase *tcase = tcase_create("text");
	SRunner *runner = srunner_create(suite);
	suite_add_tcase(suite, tcase);
	tcase_add_loop_test(tcase, utf8_is_judged_as_rfc_3629_does_wherever_it_stands, 0,
			    UTF8_CASES);
	tcase_add_test(tcase, a_character_has_the_size_that_its_code_point_needs);
	tcase_add_test(tcase, every_code_point_but_a_surrogate_is_well_formed);
	tcase_add_test(tcase, decimal_takes_digits_up_to_the_bound_and_nothing_else);
	tcase_add_test(tcase, every_byte_survives_hexadecimal_both_ways);
	tcase_add_test(tcase, hexadecimal_is_lower_case_and_of_exact_length);
	tcase_add_test(tcase, texts_are_equal_by_bytes_and_length);
	tcase_add_test(tcase, a_control_character_is_seen_wherever_it_stands);
	tcase_add_test(tcase, a_list_is_cut_into_trimmed_pieces);
	return runner_run(runner);
}
