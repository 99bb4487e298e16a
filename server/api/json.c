/*
 * The reader: values, containers, numbers. Strings are in json_string.c.
 */
#include "api/json.h"

#include <assert.h>
#include <string.h>

#include "base/check.h"

static_assert(JSON_DEPTH_MAX < 64, "json_skip keeps one bit a level in 64 bits");

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
has(const struct json *json)
{
	return json->at < json->size;
}

/* The next byte, or NUL, which no grammar rule accepts, at the end. */
static char
next(const struct json *json)
{
	return has(json) ? json->data[json->at] : '\0';
}

/* Line ends count here only: inside a string they would be a fault. */
static void
skip_some_space(struct json *json)
{
	for (; has(json); json->at++) {
		char c = json->data[json->at];
		if (c == '\n') {
			json->line++;
			json->line_start = json->at + 1;
		} else if (c != ' ' && c != '\t' && c != '\r') {
			return;
		}
	}
}

/* Mostly there is none. */
static inline void
skip_space(struct json *json)
{
	if (!has(json) || (unsigned char)json->data[json->at] <= ' ')
		skip_some_space(json);
}

void
json_begin(struct json *json, char *data, size_t size)
{
	CHECK(data || size == 0);
	*json = (struct json){.data = data, .size = size, .line = 1};
	if (size >= 3 && memcmp(data, "\xEF\xBB\xBF", 3) == 0)
		json_fail(json, "the text must not begin with a byte order mark", 0);
}

bool
json_peek(struct json *json, enum json_kind *kind)
{
	static const uint8_t kinds[256] = {
		/* one more than the kind; 0: no value begins so */
		['"'] = JSON_KIND_STRING + 1, ['{'] = JSON_KIND_OBJECT + 1,
		['['] = JSON_KIND_ARRAY + 1,  ['-'] = JSON_KIND_NUMBER + 1,
		['0'] = JSON_KIND_NUMBER + 1, ['1'] = JSON_KIND_NUMBER + 1,
		['2'] = JSON_KIND_NUMBER + 1, ['3'] = JSON_KIND_NUMBER + 1,
		['4'] = JSON_KIND_NUMBER + 1, ['5'] = JSON_KIND_NUMBER + 1,
		['6'] = JSON_KIND_NUMBER + 1, ['7'] = JSON_KIND_NUMBER + 1,
		['8'] = JSON_KIND_NUMBER + 1, ['9'] = JSON_KIND_NUMBER + 1,
		['t'] = JSON_KIND_TRUE + 1,   ['f'] = JSON_KIND_FALSE + 1,
		['n'] = JSON_KIND_NULL + 1,
	};
	if (json->fault)
		return false;
	skip_space(json);
	if (!has(json))
		return json_fail(json, "the text ends where a value should be", json->at);
	unsigned found = kinds[(unsigned char)json->data[json->at]];
	if (found == 0)
		return json_fail(json, "a value should be here", json->at);
	*kind = (enum json_kind)(found - 1);
	return true;
}

static bool
literal(struct json *json, struct text word)
{
	if (json->size - json->at < word.size ||
	    memcmp(json->data + json->at, word.data, word.size) != 0)
		return json_fail(json,
				 "a value should be here: only true, false and null are words",
				 json->at);
	json->at += word.size;
	return true;
}

bool
json_read_bool(struct json *json, bool *value)
{
	enum json_kind kind;
	if (!json_peek(json, &kind))
		return false;
	if (kind != JSON_KIND_TRUE && kind != JSON_KIND_FALSE)
		return json_fail(json, "true or false should be here", json->at);
	*value = kind == JSON_KIND_TRUE;
	return literal(json, *value ? TEXT("true") : TEXT("false"));
}

bool
json_read_u64(struct json *json, uint64_t max, uint64_t *value)
{
	enum json_kind kind;
	if (!json_peek(json, &kind))
		return false;
	size_t start = json->at;
	if (kind != JSON_KIND_NUMBER)
		return json_fail(json, "an integer should be here", start);
	if (json->data[start] == '-')
		return json_fail(json, "an integer must be written without a sign", start);

	uint64_t number = 0;
	bool too_large = false;
	size_t at = start;
	for (; at < json->size && is_digit(json->data[at]); at++) {
		uint64_t digit = (uint64_t)(json->data[at] - '0');
		too_large |= number >= UINT64_MAX / 10 && number > (UINT64_MAX - digit) / 10;
		number = number * 10 + digit;
	}
	json->at = at;
	if (json->data[start] == '0' && json->at > start + 1)
		return json_fail(json, "a number must not have leading zeros", start);
	char after = next(json);
	if (after == '.' || after == 'e' || after == 'E')
		return json_fail(json, "an integer must be written without fraction or exponent",
				 json->at);
	if (too_large || number > max)
		return json_fail(json, "the number is too large", start);
	*value = number;
	return true;
}

static bool
skip_digits(struct json *json)
{
	if (!is_digit(next(json)))
		return json_fail(json, "a digit should be here", json->at);
	while (is_digit(next(json)))
		json->at++;
	return true;
}

static bool
skip_number(struct json *json)
{
	if (next(json) == '-')
		json->at++;
	size_t start = json->at;
	if (!skip_digits(json))
		return false;
	if (json->data[start] == '0' && json->at > start + 1)
		return json_fail(json, "a number must not have leading zeros", start);
	if (next(json) == '.') {
		json->at++;
		if (!skip_digits(json))
			return false;
	}
	if (next(json) == 'e' || next(json) == 'E') {
		json->at++;
		if (next(json) == '+' || next(json) == '-')
			json->at++;
		return skip_digits(json);
	}
	return true;
}

static bool
skip_scalar(struct json *json, enum json_kind kind)
{
	struct text ignored;
	switch (kind) {
	case JSON_KIND_STRING:
		return json_read_string(json, &ignored);
	case JSON_KIND_NUMBER:
		return skip_number(json);
	case JSON_KIND_TRUE:
		return literal(json, TEXT("true"));
	case JSON_KIND_FALSE:
		return literal(json, TEXT("false"));
	default:
		return literal(json, TEXT("null"));
	}
}

/* Without recursion: what is open is one bit a level. */
bool
json_skip(struct json *json)
{
	const unsigned outside = json->depth;
	uint64_t objects = 0;
	bool first = true;
	do {
		if (json->depth > outside) {
			struct text name;
			bool object = objects >> json->depth & 1;
			bool more = object ? json_member(json, &first, &name)
					   : json_element(json, &first);
			if (json->fault)
				return false;
			if (!more) {
				first = false;
				continue;
			}
		}
		enum json_kind kind;
		if (!json_peek(json, &kind))
			return false;
		if (kind == JSON_KIND_ARRAY || kind == JSON_KIND_OBJECT) {
			if (!json_enter(json, kind))
				return false;
			uint64_t bit = UINT64_C(1) << json->depth;
			objects = kind == JSON_KIND_OBJECT ? objects | bit : objects & ~bit;
			first = true;
		} else if (!skip_scalar(json, kind)) {
			return false;
		}
	} while (json->depth > outside);
	return true;
}

bool
json_enter(struct json *json, enum json_kind array_or_object)
{
	enum json_kind kind;
	if (!json_peek(json, &kind))
		return false;
	if (kind != array_or_object)
		return json_fail(json,
				 array_or_object == JSON_KIND_OBJECT ? "an object should be here"
								     : "an array should be here",
				 json->at);
	if (json->depth == JSON_DEPTH_MAX)
		return json_fail(json, "the nesting is too deep, at most 32 levels are read",
				 json->at);
	static_assert(JSON_DEPTH_MAX == 32, "the sentence above says so");
	json->depth++;
	json->at++;
	return true;
}

/* Goes to the next item of the open container. False at its end, which is consumed, and on a
 * fault. */
static bool
next_item(struct json *json, bool *first, char end, const char *fault)
{
	if (json->fault)
		return false;
	CHECK(json->depth > 0);
	skip_space(json);
	if (has(json) && json->data[json->at] == end) {
		json->at++;
		json->depth--;
		return false;
	}
	if (*first) {
		*first = false;
		return true;
	}
	if (next(json) != ',')
		return json_fail(json, has(json) ? fault : "the text ends too early", json->at);
	json->at++;
	skip_space(json);
	if (has(json) && json->data[json->at] == end)
		return json_fail(json, "there must be no comma before the end", json->at);
	return true;
}

/* Names are short and of letters; for those the reading of strings has too much to set up. False:
 * it is none such, and nothing was consumed. */
static bool
read_letters(struct json *json, struct text *name)
{
	const size_t start = json->at + 1;
	size_t at = start;
	while (at < json->size && (unsigned)((json->data[at] | 0x20) - 'a') < 26)
		at++;
	if (at == json->size || json->data[at] != '"')
		return false;
	*name = (struct text){json->data + start, at - start};
	json->at = at + 1;
	return true;
}

bool
json_member(struct json *json, bool *first, struct text *name)
{
	if (!next_item(json, first, '}', "a comma or } should be here"))
		return false;
	if (next(json) != '"')
		return json_fail(json,
				 has(json) ? "a member's name should be here"
					   : "the text ends too early",
				 json->at);
	if (!read_letters(json, name) && !json_read_string(json, name))
		return false;
	skip_space(json);
	if (next(json) != ':')
		return json_fail(json,
				 has(json) ? "a colon should be here" : "the text ends too early",
				 json->at);
	json->at++;
	return true;
}

bool
json_element(struct json *json, bool *first)
{
	return next_item(json, first, ']', "a comma or ] should be here");
}

bool
json_end(struct json *json)
{
	if (json->fault)
		return false;
	skip_space(json);
	if (has(json))
		return json_fail(json, "there must be nothing after the value", json->at);
	return true;
}

bool
json_fail(struct json *json, const char *fault, size_t at)
{
	if (!json->fault) {
		json->fault = fault;
		json->fault_at = at;
	}
	return false;
}

void
json_place(const struct json *json, size_t at, size_t *line, size_t *column)
{
	*line = json->line;
	*column = at >= json->line_start ? at - json->line_start + 1 : 1;
}
