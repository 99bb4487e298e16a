#include "base/option.h"

#include <string.h>

#include "base/check.h"

static const void *
place_of(const struct option *option, const void *values)
{
	return (const char *)values + option->offset;
}

static void *
place_in(const struct option *option, void *values)
{
	return (char *)values + option->offset;
}

static bool
parse_bytes(struct text text, uint64_t *number)
{
	static const struct {
		struct text suffix;
		unsigned shift;
	} units[] = {{{"KiB", 3}, 10}, {{"MiB", 3}, 20}, {{"GiB", 3}, 30}, {{"TiB", 3}, 40}};
	unsigned shift = 0;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		struct text suffix = units[i].suffix;
		if (text.size > suffix.size &&
		    memcmp(text.data + text.size - suffix.size, suffix.data, suffix.size) == 0) {
			text.size -= suffix.size;
			shift = units[i].shift;
			break;
		}
	}
	if (!text_to_u64(text, UINT64_MAX >> shift, number))
		return false;
	*number <<= shift;
	return true;
}

static bool
parse_octal(struct text text, uint64_t *number)
{
	uint64_t sum = 0;
	if (text.size == 0 || text.size > 8)
		return false;
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] < '0' || text.data[i] > '7')
			return false;
		sum = sum * 8 + (uint64_t)(text.data[i] - '0');
	}
	*number = sum;
	return true;
}

static bool
parse_choice(struct text text, const char *const *choices, uint64_t *number)
{
	for (uint64_t i = 0; choices[i] != NULL; i++) {
		if (text_equal(text, text_of(choices[i]))) {
			*number = i;
			return true;
		}
	}
	return false;
}

static bool
parse_number(const struct option *option, struct text text, uint64_t *number)
{
	static const char *const truths[] = {"false", "true", NULL};
	switch (option->type) {
	case OPTION_NUMBER:
		return text_to_u64(text, UINT64_MAX, number);
	case OPTION_BYTES:
		return parse_bytes(text, number);
	case OPTION_OCTAL:
		return parse_octal(text, number);
	case OPTION_BOOL:
		return parse_choice(text, truths, number);
	case OPTION_CHOICE:
		return parse_choice(text, option->choices, number);
	case OPTION_TEXT:
		break;
	}
	return false;
}

static void
store_number(const struct option *option, void *values, uint64_t number)
{
	void *place = place_in(option, values);
	if (option->type == OPTION_BOOL)
		*(bool *)place = number != 0;
	else if (option->type == OPTION_CHOICE)
		*(unsigned *)place = (unsigned)number;
	else
		*(uint64_t *)place = number;
}

bool
option_parse(const struct option *option, struct text text, void *values)
{
	uint64_t number = 0;
	if (option->type == OPTION_TEXT) {
		CHECK(option->max < OPTION_TEXT_SIZE);
		if (text.size < option->min || text.size > option->max)
			return false;
		memset(place_in(option, values), 0, OPTION_TEXT_SIZE);
		memcpy(place_in(option, values), text.data, text.size);
		return true;
	}
	if (!parse_number(option, text, &number) || number < option->min || number > option->max)
		return false;
	store_number(option, values, number);
	return true;
}

uint64_t
option_number(const struct option *option, const void *values)
{
	const void *place = place_of(option, values);
	CHECK(option->type != OPTION_TEXT);
	if (option->type == OPTION_BOOL)
		return *(const bool *)place ? 1 : 0;
	if (option->type == OPTION_CHOICE)
		return *(const unsigned *)place;
	return *(const uint64_t *)place;
}

const char *
option_value(const struct option *option, const void *values, char room[OPTION_VALUE_SIZE])
{
	if (option->type == OPTION_TEXT)
		return place_of(option, values);
	uint64_t number = option_number(option, values);
	if (option->type == OPTION_BOOL)
		return number == 0 ? "false" : "true";
	if (option->type == OPTION_CHOICE)
		return option->choices[number];
	if (option->type == OPTION_OCTAL)
		(void)snprintf(room, OPTION_VALUE_SIZE, "%04llo", (unsigned long long)number);
	else
		(void)snprintf(room, OPTION_VALUE_SIZE, "%llu", (unsigned long long)number);
	return room;
}

bool
option_same(const struct option *option, const void *values, const void *others)
{
	if (option->type == OPTION_TEXT)
		return strcmp(place_of(option, values), place_of(option, others)) == 0;
	return option_number(option, values) == option_number(option, others);
}

void
option_copy(const struct option *option, void *to, const void *from)
{
	if (option->type == OPTION_TEXT)
		memcpy(place_in(option, to), place_of(option, from), OPTION_TEXT_SIZE);
	else
		store_number(option, to, option_number(option, from));
}

void
option_print_range(const struct option *option, FILE *out)
{
	unsigned long long min = option->min;
	unsigned long long max = option->max;
	switch (option->type) {
	case OPTION_BOOL:
		fputs("true or false", out);
		return;
	case OPTION_CHOICE:
		for (size_t i = 0; option->choices[i] != NULL; i++)
			fprintf(out, "%s%s", i == 0 ? "" : " or ", option->choices[i]);
		return;
	case OPTION_OCTAL:
		fprintf(out, "%04llo..%04llo %s", min, max, option->unit);
		return;
	case OPTION_NUMBER:
	case OPTION_BYTES:
	case OPTION_TEXT:
		fprintf(out, "%llu..%llu %s", min, max, option->unit);
		return;
	}
}
