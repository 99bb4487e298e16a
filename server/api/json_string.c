/*
 * The strings of json: unescaping in place, and escaping.
 *
 * Both go eight bytes at a time over what needs no care. A word's bytes are tested at once: the
 * test of a byte below a bound borrows upwards, so it may see too much above a true hit, never
 * miss one; what it stops at is looked at byte by byte.
 */
#include "api/json.h"

#include <string.h>

#define EACH_BYTE(byte) (UINT64_C(0x0101010101010101) * (byte))

static uint64_t
load_word(const char *bytes)
{
	uint64_t word;
	memcpy(&word, bytes, sizeof(word));
	return word;
}

static uint64_t
bytes_below(uint64_t word, uint8_t bound)
{
	return (word - EACH_BYTE(bound)) & ~word;
}

/* Marks the highest bit of the bytes that are a quote, a backslash or a control character. */
static uint64_t
word_hits(uint64_t word)
{
	uint64_t hits = bytes_below(word, 0x20) | bytes_below(word ^ EACH_BYTE('"'), 1) |
			bytes_below(word ^ EACH_BYTE('\\'), 1);
	return hits & EACH_BYTE(0x80);
}

static bool
word_is_plain(uint64_t word)
{
	return (word & EACH_BYTE(0x80)) == 0 && word_hits(word) == 0;
}

/* A string while it is read: bytes move from `from` down to `to`, which is never ahead. */
struct unescape {
	struct json *json;
	char *from, *to;
	const char *end; /* of the whole text */
};

static bool
unescape_fail(struct unescape *string, const char *fault)
{
	return json_fail(string->json, fault, (size_t)(string->from - string->json->data));
}

static void
copy_plain(struct unescape *string)
{
	char *from = string->from, *to = string->to;
	while (string->end - from >= 8) {
		uint64_t word = load_word(from);
		if (!word_is_plain(word))
			break;
		memcpy(to, &word, sizeof(word));
		from += 8;
		to += 8;
	}
	while (from < string->end) {
		unsigned char byte = (unsigned char)*from;
		if (byte < 0x20 || byte >= 0x80 || byte == '"' || byte == '\\')
			break;
		*to++ = *from++;
	}
	string->from = from;
	string->to = to;
}

static bool
copy_sequence(struct unescape *string)
{
	size_t size =
		text_utf8_size((struct text){string->from, (size_t)(string->end - string->from)});
	if (size == 0)
		return unescape_fail(string, "these bytes are not UTF-8");
	for (size_t i = 0; i < size; i++)
		string->to[i] = string->from[i];
	string->from += size;
	string->to += size;
	return true;
}

/* Four hexadecimal digits of either case; false leaves *unit alone. */
static bool
read_unit(const char *digits, const char *end, unsigned *unit)
{
	if (end - digits < 4)
		return false;
	unsigned value = 0;
	for (int i = 0; i < 4; i++) {
		char c = digits[i];
		unsigned digit;
		if (c >= '0' && c <= '9')
			digit = (unsigned)(c - '0');
		else if (c >= 'a' && c <= 'f')
			digit = (unsigned)(c - 'a') + 10;
		else if (c >= 'A' && c <= 'F')
			digit = (unsigned)(c - 'A') + 10;
		else
			return false;
		value = value << 4 | digit;
	}
	*unit = value;
	return true;
}

static size_t
encode_utf8(char *to, unsigned point)
{
	if (point < 0x80) {
		to[0] = (char)point;
		return 1;
	}
	if (point < 0x800) {
		to[0] = (char)(0xc0 | point >> 6);
		to[1] = (char)(0x80 | (point & 0x3f));
		return 2;
	}
	if (point < 0x10000) {
		to[0] = (char)(0xe0 | point >> 12);
		to[1] = (char)(0x80 | (point >> 6 & 0x3f));
		to[2] = (char)(0x80 | (point & 0x3f));
		return 3;
	}
	to[0] = (char)(0xf0 | point >> 18);
	to[1] = (char)(0x80 | (point >> 12 & 0x3f));
	to[2] = (char)(0x80 | (point >> 6 & 0x3f));
	to[3] = (char)(0x80 | (point & 0x3f));
	return 4;
}

/* \uXXXX, and its second half when it is a surrogate. What is written is shorter than what was
 * read. */
static bool
copy_unicode(struct unescape *string)
{
	unsigned unit, second;
	if (!read_unit(string->from + 2, string->end, &unit))
		return unescape_fail(string, "\\u needs four hexadecimal digits");
	if (unit >= 0xdc00 && unit <= 0xdfff)
		return unescape_fail(string, "a low surrogate needs a high one before it");
	if (unit < 0xd800 || unit > 0xdbff) {
		string->from += 6;
		string->to += encode_utf8(string->to, unit);
		return true;
	}
	if (string->end - string->from < 12 || string->from[6] != '\\' || string->from[7] != 'u' ||
	    !read_unit(string->from + 8, string->end, &second) || second < 0xdc00 ||
	    second > 0xdfff)
		return unescape_fail(string, "a high surrogate needs a low one after it");
	string->from += 12;
	string->to +=
		encode_utf8(string->to, 0x10000 + ((unit - 0xd800) << 10) + (second - 0xdc00));
	return true;
}

static bool
copy_escape(struct unescape *string)
{
	static const char meaning[256] = {
		['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
		['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t',
	};
	if (string->end - string->from < 2)
		return unescape_fail(string, "the text ends inside a string");
	unsigned char letter = (unsigned char)string->from[1];
	if (letter == 'u')
		return copy_unicode(string);
	if (meaning[letter] == '\0')
		return unescape_fail(string, "there is no such escape");
	*string->to++ = meaning[letter];
	string->from += 2;
	return true;
}

bool
json_read_string(struct json *json, struct text *value)
{
	enum json_kind kind;
	if (!json_peek(json, &kind))
		return false;
	if (kind != JSON_KIND_STRING)
		return json_fail(json, "a string should be here", json->at);

	char *start = json->data + json->at + 1;
	struct unescape string = {
		.json = json, .from = start, .to = start, .end = json->data + json->size};
	for (;;) {
		copy_plain(&string);
		if (string.from == string.end)
			return unescape_fail(&string, "the text ends inside a string");
		unsigned char byte = (unsigned char)*string.from;
		if (byte == '"')
			break;
		if (byte < 0x20)
			return unescape_fail(
				&string,
				"a control character in a string must be written as an escape");
		bool good = byte == '\\' ? copy_escape(&string) : copy_sequence(&string);
		if (!good)
			return false;
	}
	*value = (struct text){start, (size_t)(string.to - start)};
	json->at = (size_t)(string.from - json->data) + 1;
	return true;
}

/* What stands after the backslash; 'u' is followed by four digits. NUL: no escape. */
static const char escapes[256] = {
	['"'] = '"',  ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r',
	['\t'] = 't', [0x00] = 'u',  [0x01] = 'u', [0x02] = 'u', [0x03] = 'u', [0x04] = 'u',
	[0x05] = 'u', [0x06] = 'u',  [0x07] = 'u', [0x0b] = 'u', [0x0e] = 'u', [0x0f] = 'u',
	[0x10] = 'u', [0x11] = 'u',  [0x12] = 'u', [0x13] = 'u', [0x14] = 'u', [0x15] = 'u',
	[0x16] = 'u', [0x17] = 'u',  [0x18] = 'u', [0x19] = 'u', [0x1a] = 'u', [0x1b] = 'u',
	[0x1c] = 'u', [0x1d] = 'u',  [0x1e] = 'u', [0x1f] = 'u',
};

/* How many of the word's bytes, from the first, need no escape. */
static size_t
plain_bytes(uint64_t word)
{
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
	word = __builtin_bswap64(word); /* borrows go to later bytes, never to earlier ones */
#endif
	uint64_t hits = word_hits(word);
	return hits == 0 ? sizeof(word) : (size_t)__builtin_ctzll(hits) / 8;
}

/* How many bytes escaping adds. */
static size_t
escape_growth(struct text text)
{
	size_t growth = 0, i = 0;
	while (i < text.size) {
		if (text.size - i >= sizeof(uint64_t)) {
			size_t plain = plain_bytes(load_word(text.data + i));
			i += plain;
			if (plain == sizeof(uint64_t))
				continue;
		}
		char letter = escapes[(unsigned char)text.data[i++]];
		growth += letter == '\0' ? 0 : letter == 'u' ? 5 : 1;
	}
	return growth;
}

static char *
write_byte(char *to, unsigned char byte)
{
	static const char digits[] = "0123456789abcdef";
	char letter = escapes[byte];
	if (letter == '\0') {
		*to++ = (char)byte;
		return to;
	}
	*to++ = '\\';
	*to++ = letter;
	if (letter == 'u') {
		*to++ = '0';
		*to++ = '0';
		*to++ = digits[byte >> 4];
		*to++ = digits[byte & 15];
	}
	return to;
}

/* While eight bytes are left to read, there is room to write eight: a word is written whole, and
 * what comes next overwrites its end. */
static char *
write_escaped(char *to, struct text text)
{
	const char *from = text.data;
	size_t left = text.size;
	while (left >= sizeof(uint64_t)) {
		uint64_t word = load_word(from);
		size_t plain = plain_bytes(word);
		memcpy(to, &word, sizeof(word));
		to += plain;
		from += plain;
		left -= plain;
		if (plain < sizeof(word)) {
			to = write_byte(to, (unsigned char)*from++);
			left--;
		}
	}
	for (; left > 0; left--)
		to = write_byte(to, (unsigned char)*from++);
	return to;
}

char *
json_put_string(char *to, struct text text)
{
	*to++ = '"';
	to = write_escaped(to, text);
	*to++ = '"';
	return to;
}

void
json_write_string(struct buffer *out, struct text text)
{
	char *to = buffer_reserve(out, text.size + escape_growth(text) + 2);
	if (to != NULL)
		out->size += (size_t)(json_put_string(to, text) - to);
}
