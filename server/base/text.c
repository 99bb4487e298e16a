#include "base/text.h"

#include "base/check.h"

struct text
text_of(const char *terminated)
{
	CHECK(terminated != NULL);
	return (struct text){terminated, strlen(terminated)};
}

struct text
text_trim(struct text text)
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

struct text
text_cut(struct text *rest, char separator)
{
	struct text piece = *rest;
	const char *end = rest->size == 0 ? NULL : memchr(rest->data, separator, rest->size);
	if (end == NULL) {
		*rest = (struct text){NULL, 0};
	} else {
		piece.size = (size_t)(end - piece.data);
		rest->data = end + 1;
		rest->size -= piece.size + 1;
	}
	return text_trim(piece);
}

static bool
is_continuation(uint8_t byte)
{
	return (byte & 0xc0) == 0x80;
}

/* The table of RFC 3629, section 4: what the second byte may be depends on the first, which is what
 * keeps overlong forms, surrogates and everything beyond U+10FFFF out. */
size_t
text_utf8_size(struct text text)
{
	const uint8_t *bytes = (const uint8_t *)text.data;
	if (text.size == 0)
		return 0;
	if (bytes[0] < 0x80)
		return 1;
	if (bytes[0] < 0xc2 || bytes[0] > 0xf4 || text.size < 2 || !is_continuation(bytes[1]))
		return 0;
	if (bytes[0] < 0xe0)
		return 2;
	if ((bytes[0] == 0xe0 && bytes[1] < 0xa0) || (bytes[0] == 0xed && bytes[1] > 0x9f))
		return 0;
	if (text.size < 3 || !is_continuation(bytes[2]))
		return 0;
	if (bytes[0] < 0xf0)
		return 3;
	if ((bytes[0] == 0xf0 && bytes[1] < 0x90) || (bytes[0] == 0xf4 && bytes[1] > 0x8f))
		return 0;
	if (text.size < 4 || !is_continuation(bytes[3]))
		return 0;
	return 4;
}

bool
text_is_utf8(struct text text)
{
	size_t at = 0;
	while (at < text.size) {
		uint64_t word;
		/* Nearly everything is ASCII: eight bytes at a time while no top bit is set. */
		if (text.size - at >= sizeof(word)) {
			memcpy(&word, text.data + at, sizeof(word));
			if ((word & UINT64_C(0x8080808080808080)) == 0) {
				at += sizeof(word);
				continue;
			}
		}
		size_t size = text_utf8_size((struct text){text.data + at, text.size - at});
		if (size == 0)
			return false;
		at += size;
	}
	return true;
}

bool
text_to_u64(struct text text, uint64_t max, uint64_t *value)
{
	uint64_t sum = 0;
	if (text.size == 0 || (text.data[0] == '0' && text.size > 1))
		return false;
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return false;
		uint64_t digit = (uint64_t)(text.data[i] - '0');
		if (digit > max || sum > (max - digit) / 10)
			return false;
		sum = sum * 10 + digit;
	}
	*value = sum;
	return true;
}

static bool
is_control(uint8_t byte)
{
	return (byte < 0x20 && byte != '\t') || byte == 0x7f;
}

/* Whether one of eight bytes may be a control character. The test borrows upwards, so it may see too
 * much, and it sees tabs; it misses nothing. */
static bool
word_may_have_control(const char *bytes)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t word;
	memcpy(&word, bytes, sizeof(word));
	const uint64_t deletes = word ^ ones * 0x7f;
	return ((((word - ones * 0x20) & ~word) | ((deletes - ones) & ~deletes)) & ones * 0x80) !=
	       0;
}

/* Eight bytes at a time, the last eight once more if need be: a token in a header has thousands. */
bool
text_has_control(struct text text)
{
	bool may = text.size < 8;
	for (size_t at = 8; at < text.size; at += 8)
		may = may || word_may_have_control(text.data + at - 8);
	may = may || word_may_have_control(text.data + text.size - 8);
	for (size_t i = 0; may && i < text.size; i++) {
		if (is_control((uint8_t)text.data[i]))
			return true;
	}
	return false;
}

void
hex_encode(const uint8_t *bytes, size_t size, char *hex)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < size; i++) {
		hex[2 * i] = digits[bytes[i] >> 4];
		hex[2 * i + 1] = digits[bytes[i] & 0x0f];
	}
}

/* The digit's value plus one, so that everything that is not named is zero and no digit. */
static const uint8_t hex_values[256] = {
	['0'] = 1,  ['1'] = 2,	['2'] = 3,  ['3'] = 4,	['4'] = 5,  ['5'] = 6,
	['6'] = 7,  ['7'] = 8,	['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12,
	['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
};

bool
hex_decode(struct text hex, uint8_t *bytes, size_t size)
{
	if (size > SIZE_MAX / 2 || hex.size != 2 * size)
		return false;
	for (size_t i = 0; i < size; i++) {
		unsigned high = hex_values[(uint8_t)hex.data[2 * i]];
		unsigned low = hex_values[(uint8_t)hex.data[2 * i + 1]];
		if (high == 0 || low == 0)
			return false;
		bytes[i] = (uint8_t)((high - 1) << 4 | (low - 1));
	}
	return true;
}
