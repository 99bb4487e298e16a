/*
 * The two headers that name media types (RFC 9110, sections 8.3 and 12.5.1), read leniently in
 * white space and letter case, and without quoted commas, which no such header has in practice: a
 * piece that does not read as a media range is passed over.
 */
#include "api/route.h"

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
	unsigned precision; /* 0: no range matches; 1: any type, 2: application/any, 3: the type */
	unsigned quality;
};

static void
weigh(struct preference *preference, struct text range, struct text type, unsigned quality)
{
	unsigned precision = 0;
	if (equal_ignoring_case(range, type))
		precision = 3;
	else if (equal_ignoring_case(range, TEXT("application/*")))
		precision = 2;
	else if (equal_ignoring_case(range, TEXT("*/*")))
		precision = 1;
	if (precision > preference->precision)
		*preference = (struct preference){precision, quality};
}

bool
media_choose(struct text accept, bool ndjson, enum route_media *media)
{
	struct preference json = {0}, lines = {0};
	*media = MEDIA_JSON;
	accept = text_trim(accept);
	if (accept.size == 0)
		return true;
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
		weigh(&json, range, TEXT("application/json"), quality);
		weigh(&lines, range, TEXT("application/x-ndjson"), quality);
	}
	if (ndjson && lines.quality > 0 &&
	    (lines.quality > json.quality ||
	     (lines.quality == json.quality && lines.precision == 3 && json.precision < 3)))
		*media = MEDIA_NDJSON;
	return *media == MEDIA_NDJSON || json.quality > 0;
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
