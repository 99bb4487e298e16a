/*
 * The JSON reader against a table of the known hard cases (after RFC 8259 and the public
 * collections of them), and against jansson: on the table and on random mutations of it, both must
 * accept the same texts and give the same strings.
 *
 * They may differ where jansson has limits of its own or looks further:
 * - nesting deeper than JSON_DEPTH_MAX (ours; jansson's limit is 2048);
 * - numbers that do not fit jansson's 64-bit integers and doubles;
 * - names that hold NUL (jansson refuses them; ours leaves names to the caller);
 * - a raw NUL behind a value, which jansson takes for the end of the text, or passes over;
 * - members of one name twice (ours leaves that to the caller: tests/unit/api_wire.c).
 */
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/json.h"
#include "support/json_cases.h"
#include "support/runner.h"

#define MUTATIONS 200000
#define TEXT_SIZE_MAX 1024

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The exact bytes on the heap, so that a read beyond them shows under a sanitizer. */
static char *
copy_of(struct text text)
{
	char *copy = malloc(text.size > 0 ? text.size : 1);
	ck_assert_ptr_nonnull(copy);
	if (text.size > 0)
		memcpy(copy, text.data, text.size);
	return copy;
}

static bool
accepts(struct text text, const char **fault, size_t *fault_at)
{
	struct json json;
	char *data = copy_of(text);
	json_begin(&json, data, text.size);
	bool good_text = json_skip(&json) && json_end(&json);
	*fault = json.fault;
	*fault_at = json.fault_at;
	ck_assert(good_text == (json.fault == NULL));
	ck_assert(json.fault == NULL || json.fault_at <= text.size);
	free(data);
	return good_text;
}

/* Reads a value member by member and compares it with jansson's. */
static void
compare(struct json *json, const json_t *theirs)
{
	enum json_kind kind;
	struct text text;
	bool first = true, truth = false;
	size_t count = 0;
	ck_assert(json_peek(json, &kind));
	switch (kind) {
	case JSON_KIND_STRING:
		ck_assert(json_is_string(theirs));
		ck_assert(json_read_string(json, &text));
		ck_assert_uint_eq(text.size, json_string_length(theirs));
		ck_assert_int_eq(memcmp(text.data, json_string_value(theirs), text.size), 0);
		break;
	case JSON_KIND_ARRAY:
		ck_assert(json_is_array(theirs) && json_enter(json, kind));
		while (json_element(json, &first))
			compare(json, json_array_get(theirs, count++));
		ck_assert_uint_eq(count, json_array_size(theirs));
		break;
	case JSON_KIND_OBJECT:
		ck_assert(json_is_object(theirs) && json_enter(json, kind));
		for (; json_member(json, &first, &text); count++)
			compare(json, json_object_getn(theirs, text.data, text.size));
		ck_assert_uint_eq(count, json_object_size(theirs));
		break;
	case JSON_KIND_TRUE:
	case JSON_KIND_FALSE:
		ck_assert(json_is_boolean(theirs) && json_read_bool(json, &truth));
		ck_assert(truth == json_is_true(theirs));
		break;
	default:
		ck_assert(kind == JSON_KIND_NULL ? json_is_null(theirs) : json_is_number(theirs));
		ck_assert(json_skip(json));
	}
	ck_assert_ptr_null(json->fault);
}

enum agreement { BOTH_ACCEPT, BOTH_REJECT, DIFFER_AS_DOCUMENTED };

/* Judges one text by both readers; fails the test where they differ without a documented reason. */
static enum agreement
judge(struct text text)
{
	const size_t flags = JSON_DECODE_ANY | JSON_ALLOW_NUL;
	json_error_t error;
	const char *fault;
	size_t fault_at;
	enum agreement agreement = BOTH_REJECT;
	bool ours = accepts(text, &fault, &fault_at);
	json_t *theirs = json_loadb(text.data, text.size, flags, &error);
	if (ours != (theirs != NULL)) {
		enum json_error_code code = theirs ? json_error_unknown : json_error_code(&error);
		bool documented = false;
		if (ours)
			documented = code == json_error_numeric_overflow ||
				     code == json_error_null_byte_in_key;
		else
			documented = strstr(fault, "nesting") ||
				     (fault_at < text.size && text.data[fault_at] == '\0');
		ck_assert_msg(documented, "%s: ours says %s, jansson %s", text.data,
			      ours ? "good" : fault, theirs ? "good" : error.text);
		agreement = DIFFER_AS_DOCUMENTED;
	} else if (ours) {
		json_t *unique =
			json_loadb(text.data, text.size, flags | JSON_REJECT_DUPLICATES, &error);
		agreement = unique ? BOTH_ACCEPT : DIFFER_AS_DOCUMENTED;
		if (unique) {
			struct json json;
			char *data = copy_of(text);
			json_begin(&json, data, text.size);
			compare(&json, unique);
			free(data);
		} else {
			ck_assert_int_eq(json_error_code(&error), json_error_duplicate_key);
		}
		json_decref(unique);
	}
	json_decref(theirs);
	return agreement;
}

START_TEST(what_a_parser_must_accept_is_accepted)
{
	for (size_t i = 0; i < COUNT(good); i++) {
		const char *fault;
		size_t fault_at;
		ck_assert_msg(accepts(good[i], &fault, &fault_at), "good[%zu] %s: %s", i,
			      good[i].data, fault);
		ck_assert_int_eq(judge(good[i]), BOTH_ACCEPT);
	}
}
END_TEST

START_TEST(what_a_parser_must_reject_is_rejected)
{
	for (size_t i = 0; i < COUNT(bad); i++) {
		const char *fault;
		size_t fault_at;
		ck_assert_msg(!accepts(bad[i], &fault, &fault_at), "bad[%zu] %s", i, bad[i].data);
		judge(bad[i]);
	}
}
END_TEST

/* A small generator of its own, so that a failure can be repeated. */
static uint64_t
draw(uint64_t *state, uint64_t below)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state % below;
}

static const struct text *
draw_seed(uint64_t *state)
{
	return draw(state, 3) > 0 ? &good[draw(state, COUNT(good))] : &bad[draw(state, COUNT(bad))];
}

static size_t
insert(char *text, size_t size, size_t at, struct text piece)
{
	if (size + piece.size > TEXT_SIZE_MAX)
		return size;
	memmove(text + at + piece.size, text + at, size - at);
	memcpy(text + at, piece.data, piece.size);
	return size + piece.size;
}

static size_t
mutate(uint64_t *state, char *text, size_t size)
{
	static const struct text pieces[] = {
		T("\""),
		T("\\"),
		T("\\u"),
		T("\\ud83d\\ude00"),
		T("\\ud800"),
		T("\\udc00"),
		T("\\u0000"),
		T("{"),
		T("}"),
		T("["),
		T("]"),
		T(","),
		T(":"),
		T(" "),
		T("\n"),
		T("0"),
		T("1"),
		T("-"),
		T("."),
		T("e"),
		T("\xc3\xa9"),
		T("\xf0\x9f\x98\x80"),
		T("\xed\xa0\x80"),
		T("\xc0\x80"),
		T("\0"),
		T("\"a\":"),
		T("\\n"),
		T("null"),
		T("abcdefgh"),
		T("\x1f"),
		T("\x7f"),
		T("\xff"),
		T("\xe2\x82"),
	};
	size_t at = size > 0 ? draw(state, size) : 0;
	switch (draw(state, 6)) {
	case 0: /* another byte */
		if (size > 0)
			text[at] = (char)draw(state, 256);
		return size;
	case 1: /* one flipped bit */
		if (size > 0)
			text[at] = (char)(text[at] ^ (1 << draw(state, 8)));
		return size;
	case 2: /* cut */
		return at;
	case 3: /* without one byte */
		if (size == 0)
			return 0;
		memmove(text + at, text + at + 1, size - at - 1);
		return size - 1;
	case 4:
		return insert(text, size, at, pieces[draw(state, COUNT(pieces))]);
	default:
		return insert(text, size, at, *draw_seed(state));
	}
}

START_TEST(random_mutations_are_judged_as_jansson_judges_them)
{
	uint64_t state = UINT64_C(0x9e3779b97f4a7c15);
	size_t counts[3] = {0};
	for (int i = 0; i < MUTATIONS; i++) {
		char text[TEXT_SIZE_MAX + 1];
		const struct text *seed = draw_seed(&state);
		size_t size = seed->size;
		if (size > 0)
			memcpy(text, seed->data, size);
		for (uint64_t rounds = 1 + draw(&state, 4); rounds > 0; rounds--)
			size = mutate(&state, text, size);
		text[size] = '\0';
		counts[judge((struct text){text, size})]++;
	}
	printf("# %zu accepted, %zu rejected by both, %zu differ as documented\n",
	       counts[BOTH_ACCEPT], counts[BOTH_REJECT], counts[DIFFER_AS_DOCUMENTED]);
	ck_assert_uint_gt(counts[BOTH_ACCEPT], MUTATIONS / 20);
	ck_assert_uint_gt(counts[BOTH_REJECT], MUTATIONS / 20);
}
END_TEST

static bool
read_u64(const char *text, uint64_t max, uint64_t *value, const char **fault)
{
	struct json json;
	char *data = copy_of(text_of(text));
	json_begin(&json, data, strlen(text));
	bool read = json_read_u64(&json, max, value) && json_end(&json);
	*fault = json.fault;
	free(data);
	return read;
}

START_TEST(an_integer_is_digits_only_and_in_range)
{
	static const struct {
		const char *text, *fault;
	} faults[] = {
		{"-0", "sign"},
		{"-1", "sign"},
		{"1.0", "fraction"},
		{"1e2", "fraction"},
		{"1E2", "fraction"},
		{"0.0", "fraction"},
		{"01", "leading"},
		{"00", "leading"},
		{"1001", "too large"},
		{"\"1\"", "integer"},
		{"null", "integer"},
		{"18446744073709551616", "too large"},
		{"99999999999999999999999", "too large"},
		{"+1", "value"},
		{"1 2", "nothing after"},
	};
	const char *fault;
	uint64_t value;
	ck_assert(read_u64("0", 1000, &value, &fault) && value == 0);
	ck_assert(read_u64("1000", 1000, &value, &fault) && value == 1000);
	ck_assert(read_u64(" 18446744073709551615 ", UINT64_MAX, &value, &fault));
	ck_assert(value == UINT64_MAX);
	for (size_t i = 0; i < COUNT(faults); i++) {
		ck_assert_msg(!read_u64(faults[i].text, 1000, &value, &fault), "%s",
			      faults[i].text);
		ck_assert_msg(strstr(fault, faults[i].fault), "%s: %s", faults[i].text, fault);
	}
	ck_assert(!read_u64("18446744073709551616", UINT64_MAX, &value, &fault));
}
END_TEST

START_TEST(a_fault_has_its_line_and_column)
{
	static const struct {
		const char *text;
		size_t line, column;
	} cases[] = {
		{"", 1, 1},
		{"x", 1, 1},
		{"{\n  \"a\": x}", 2, 8},
		{"[1,\n\n 2 3]", 3, 4},
		{"\"ab\tc\"", 1, 4},
		{"[\"a\\n\\n\\nb\", x]", 1, 14},
		{"[\r\n1,\r\n]", 3, 1},
		{"\"\\ud800\"", 1, 2},
		{"{} {}", 1, 4},
		{"[\"\\u0041\",\n\"\xff\"]", 2, 2},
		{"[01]", 1, 2},
		{"[1.x]", 1, 4},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct json json;
		size_t line, column;
		char *data = copy_of(text_of(cases[i].text));
		json_begin(&json, data, strlen(cases[i].text));
		ck_assert(!json_skip(&json) || !json_end(&json));
		json_place(&json, json.fault_at, &line, &column);
		ck_assert_msg(line == cases[i].line && column == cases[i].column, "%s: %zu:%zu",
			      cases[i].text, line, column);
		free(data);
	}
}
END_TEST

START_TEST(after_a_fault_every_call_fails_and_the_first_fault_stays)
{
	char data[] = "[x, 1]";
	struct json json;
	struct text text;
	enum json_kind kind;
	uint64_t value;
	bool first = true, truth;
	json_begin(&json, data, sizeof(data) - 1);
	ck_assert(json_enter(&json, JSON_KIND_ARRAY) && json_element(&json, &first));
	ck_assert(!json_skip(&json));
	const char *fault = json.fault;
	ck_assert(!json_peek(&json, &kind) && !json_read_string(&json, &text));
	ck_assert(!json_read_bool(&json, &truth) && !json_read_u64(&json, 1, &value));
	ck_assert(!json_skip(&json) && !json_end(&json) && !json_element(&json, &first));
	ck_assert(!json_member(&json, &first, &text) && !json_enter(&json, JSON_KIND_ARRAY));
	ck_assert(!json_fail(&json, "another", 5));
	ck_assert_ptr_eq(json.fault, fault);
	ck_assert_uint_eq(json.fault_at, 1);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("api_json");
	TCase *tests = tcase_create("json");
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, what_a_parser_must_accept_is_accepted);
	tcase_add_test(tests, what_a_parser_must_reject_is_rejected);
	tcase_add_test(tests, random_mutations_are_judged_as_jansson_judges_them);
	tcase_add_test(tests, an_integer_is_digits_only_and_in_range);
	tcase_add_test(tests, a_fault_has_its_line_and_column);
	tcase_add_test(tests, after_a_fault_every_call_fails_and_the_first_fault_stays);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
