#include "api/media.h"

#include <string.h>
#include <strings.h>

#define QUALITY_MAX 1000

static bool
equal_ignoring_case(struct text text, struct text word)
{
	return text.size == word.size && strncasecmp(text.data, word.data, word.size) == 0;
}

/* "0.5" is 500. What is no weight is taken for none, which is 1. */
static unsigned
read_quality(struct text value)
{
	unsigned quality = 0, unit = QUALITY_MAX;
	if (value.size == 0 || value.size > 5 || (value.data[0] != '0' && value.data[0] != '1') ||
	    (value.size > 1 && value.data[1] != '.'))
		return QUALITY_MAX;
	for (size_t i = 0; i < value.size; i++) {
		if (i == 1)
			continue;
		if (value.data[i] < '0' || value.data[i] > '9')
			return QUALITY_MAX;
		quality += (unsigned)(value.data[i] - '0') * unit;
		unit /= 10;
	}
	return quality < QUALITY_MAX ? quality : QUALITY_MAX;
}

/* What the header says of one type: the most specific range that matches. */
struct preference {
	struct text type;
	unsigned
		precision; /* 0: no range matches; 1: any type, 2: like application/any, 3: the type */
	unsigned quality;
};

/* Whether the range is the type's first half and an asterisk. */
static bool
is_any_of(struct text range, struct text type)
{
	struct text any = text_cut(&range, '/');
	return text_equal(range, TEXT("*")) && equal_ignoring_case(any, text_cut(&type, '/'));
}

static void
weigh(struct preference *preference, struct text range, unsigned quality)
{
	unsigned precision = 0;
	if (equal_ignoring_case(range, preference->type))
		precision = 3;
	else if (is_any_of(range, preference->type))
		precision = 2;
	else if (equal_ignoring_case(range, TEXT("*/*")))
		precision = 1;
	if (precision > preference->precision) {
		preference->precision = precision;
		preference->quality = quality;
	}
}

/* Weighs each type by all of the header; without one any will do. */
static void
read_accept(struct text accept, struct preference *preferences, size_t count)
{
	accept = text_trim(accept);
	for (size_t i = 0; i < count && accept.size == 0; i++)
		weigh(&preferences[i], TEXT("*/*"), QUALITY_MAX);
	while (accept.size > 0) {
		struct text parameters = text_cut(&accept, ',');
		struct text range = text_cut(&parameters, ';');
		unsigned quality = QUALITY_MAX;
		while (parameters.size > 0) {
			struct text value = text_cut(&parameters, ';');
			struct text name = text_cut(&value, '=');
			if (equal_ignoring_case(name, TEXT("q")))
				quality = read_quality(text_trim(value));
		}
		for (size_t i = 0; i < count; i++)
			weigh(&preferences[i], range, quality);
	}
}

bool
media_choose(struct text accept, bool ndjson, enum media *media)
{
	struct preference both[] = {{.type = TEXT("application/json")},
				    {.type = TEXT("application/x-ndjson")}};
	const struct preference *json = &both[0], *lines = &both[1];
	read_accept(accept, both, 2);
	*media = MEDIA_JSON;
	if (ndjson && lines->quality > 0 &&
	    (lines->quality > json->quality ||
	     (lines->quality == json->quality && lines->precision == 3 && json->precision < 3)))
		*media = MEDIA_NDJSON;
	return *media == MEDIA_NDJSON || json->quality > 0;
}

bool
media_accepts_events(struct text accept)
{
	struct preference events = {.type = TEXT("text/event-stream")};
	read_accept(accept, &events, 1);
	return events.quality > 0;
}

bool
media_is_json(struct text content_type)
{
	struct text rest = content_type;
	if (!rest.data || !equal_ignoring_case(text_cut(&rest, ';'), TEXT("application/json")))
		return false;
	while (rest.size > 0) {
		struct text value = text_cut(&rest, ';');
		if (value.size == 0)
			continue;
		struct text name = text_cut(&value, '=');
		value = text_trim(value);
		if (!equal_ignoring_case(name, TEXT("charset")) ||
		    (!equal_ignoring_case(value, TEXT("utf-8")) &&
		     !equal_ignoring_case(value, TEXT("\"utf-8\""))))
			return false;
	}
	return true;
}
