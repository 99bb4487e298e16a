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

static struct text
trim(struct text text)
{
	while (text.size > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
		text.data++;
		text.size--;
	}
	while (text.size > 0 &&
	       (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t'))
		text.size--;
	return text;
}

/* Cuts off what is before the separator, trimmed; *rest is left with what is behind it. */
static struct text
cut(struct text *rest, char separator)
{
	const char *end = memchr(rest->data, separator, rest->size);
	struct text piece = *rest;
	if (end) {
		piece.size = (size_t)(end - rest->data);
		rest->size -= piece.size + 1;
		rest->data = end + 1;
	} else {
		rest->data += rest->size;
		rest->size = 0;
	}
	return trim(piece);
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
	accept = trim(accept);
	if (accept.size == 0)
		return true;
	while (accept.size > 0) {
		struct text parameters = cut(&accept, ',');
		struct text range = cut(&parameters, ';');
		unsigned quality = QUALITY_MAX;
		while (parameters.size > 0) {
			struct text value = cut(&parameters, ';');
			struct text name = cut(&value, '=');
			if (equal_ignoring_case(name, TEXT("q")))
				quality = read_quality(trim(value));
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
	if (!rest.data || !equal_ignoring_case(cut(&rest, ';'), TEXT("application/json")))
		return false;
	while (rest.size > 0) {
		struct text value = cut(&rest, ';');
		if (value.size == 0)
			continue;
		struct text name = cut(&value, '=');
		value = trim(value);
		if (!equal_ignoring_case(name, TEXT("charset")) ||
		    (!equal_ignoring_case(value, TEXT("utf-8")) &&
		     !equal_ignoring_case(value, TEXT("\"utf-8\""))))
			return false;
	}
	return true;
}
