/*
 * text: borrowed bytes with a length, and the few things every room does with them.
 *
 * A struct text owns nothing; who fills it says how long the bytes live. It may hold NUL bytes and
 * is not terminated by one.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct text {
	const char *data;
	size_t size;
};

/* A literal or a terminated string as text. */
#define TEXT(literal) ((struct text){(literal), sizeof(literal) - 1})
struct text text_of(const char *terminated);

/* Here, since readers of bodies and targets call it for each word: most differ in size. */
static inline bool
text_equal(struct text a, struct text b)
{
	return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* Copies the bytes to *to, which is left behind them; the copy. */
static inline struct text
text_put(char **to, struct text text)
{
	const struct text copy = {*to, text.size};
	if (text.size > 0)
		memcpy(*to, text.data, text.size);
	*to += text.size;
	return copy;
}

/* The text without spaces and tabs at its ends. */
struct text text_trim(struct text);

/* Cuts off what is before the first separator, trimmed; *rest is left with what is behind it, empty
 * when there was none. For lists in headers (RFC 9110, section 5.6.1). */
struct text text_cut(struct text *rest, char separator);

/* How many bytes the well-formed UTF-8 character at the start has, 1 to 4 (RFC 3629: no surrogates,
 * no overlong forms, ≤ U+10FFFF); 0 when there is none. */
size_t text_utf8_size(struct text);

/* Whether all bytes are such characters. */
bool text_is_utf8(struct text);

/*
 * Decimal digits only, no sign, no leading zero but "0" itself, at most max. False leaves *value
 * alone.
 */
bool text_to_u64(struct text, uint64_t max, uint64_t *value);

/* Whether a byte is an ASCII control character other than the tab: no header's value has one. */
bool text_has_control(struct text);

/* Lower-case hexadecimal. hex_encode writes 2 * size characters and no NUL; hex_decode takes
 * exactly 2 * size lower-case digits and returns false on anything else. */
void hex_encode(const uint8_t *bytes, size_t size, char *hex);
bool hex_decode(struct text hex, uint8_t *bytes, size_t size);

#endif
