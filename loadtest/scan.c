#include "loadtest/scan.h"

#include <string.h>

#define DEPTH_MAX 16 /* of what is skipped; answers have 4 */

struct scan
scan_of(char *data, size_t size)
{
	return (struct scan){.at = data, .end = data + size};
}

static bool
fail(struct scan *scan)
{
	scan->failed = true;
	scan->at = scan->end;
	return false;
}

/* The next character that is no white space, not taken; NUL at the end. */
static char
peek(struct scan *scan)
{
	while (scan->at < scan->end &&
	       (*scan->at == ' ' || *scan->at == '\n' || *scan->at == '\r' || *scan->at == '\t'))
		scan->at++;
	return scan->at < scan->end ? *scan->at : '\0';
}

static bool
take(struct scan *scan, char wanted)
{
	if (scan->failed || peek(scan) != wanted)
		return fail(scan);
	scan->at++;
	return true;
}

/* Steps to the next item of what open and close enclose; false at its end. */
static bool
step(struct scan *scan, char open, char close)
{
	if (scan->failed)
		return false;
	if (!scan->after) {
		if (!take(scan, open))
			return false;
		if (peek(scan) != close)
			return true;
	} else if (peek(scan) == ',') {
		scan->at++;
		scan->after = false;
		return true;
	}
	scan->after = take(scan, close);
	return false;
}

bool
scan_element(struct scan *scan)
{
	return step(scan, '[', ']');
}

static bool
hex_digits(const char *at, uint32_t *value)
{
	*value = 0;
	for (unsigned i = 0; i < 4; i++) {
		char c = at[i];
		uint32_t digit;
		if (c >= '0' && c <= '9')
			digit = (uint32_t)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			digit = (uint32_t)((c | 0x20) - 'a' + 10);
		else
			return false;
		*value = *value << 4 | digit;
	}
	return true;
}

/* Always shorter than its escape. */
static char *
put_utf8(char *to, uint32_t code)
{
	if (code < 0x80) {
		*to++ = (char)code;
		return to;
	}
	if (code < 0x800) {
		*to++ = (char)(0xc0 | code >> 6);
	} else {
		if (code < 0x10000) {
			*to++ = (char)(0xe0 | code >> 12);
		} else {
			*to++ = (char)(0xf0 | code >> 18);
			*to++ = (char)(0x80 | (code >> 12 & 0x3f));
		}
		*to++ = (char)(0x80 | (code >> 6 & 0x3f));
	}
	*to++ = (char)(0x80 | (code & 0x3f));
	return to;
}

/* Behind "\u". Of a character beyond the first 65536 both halves (RFC 8259, section 7). */
static char *
take_code(struct scan *scan, char *to)
{
	uint32_t code;
	uint32_t low;
	if (scan->end - scan->at < 4 || !hex_digits(scan->at, &code))
		return NULL;
	scan->at += 4;
	if (code < 0xd800 || code > 0xdfff)
		return put_utf8(to, code);
	if (code > 0xdbff || scan->end - scan->at < 6 || scan->at[0] != '\\' ||
	    scan->at[1] != 'u' || !hex_digits(scan->at + 2, &low) || low < 0xdc00 || low > 0xdfff)
		return NULL;
	scan->at += 6;
	return put_utf8(to, 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00));
}

/* Behind a backslash. */
static char *
take_escape(struct scan *scan, char *to)
{
	static const char escapes[] = "\"\\/bfnrt";
	static const char meanings[] = "\"\\/\b\f\n\r\t";
	if (scan->at == scan->end)
		return NULL;
	char c = *scan->at++;
	if (c == 'u')
		return take_code(scan, to);
	const char *found = memchr(escapes, c, sizeof(escapes) - 1);
	if (found == NULL)
		return NULL;
	*to = meanings[found - escapes];
	return to + 1;
}

bool
scan_text(struct scan *scan, struct text *text)
{
	if (!take(scan, '"'))
		return false;
	char *begin = scan->at;
	char *to = begin;
	while (scan->at < scan->end) {
		char c = *scan->at++;
		if (c == '"') {
			*text = (struct text){begin, (size_t)(to - begin)};
			scan->after = true;
			return true;
		}
		if ((unsigned char)c < 0x20)
			break;
		if (c != '\\') {
			*to++ = c;
			continue;
		}
		to = take_escape(scan, to);
		if (to == NULL)
			break;
	}
	return fail(scan);
}

bool
scan_member(struct scan *scan, struct text *name)
{
	if (!step(scan, '{', '}') || !scan_text(scan, name))
		return false;
	scan->after = false;
	return take(scan, ':');
}

/* What is neither text nor enclosed: up to the next character that ends it. */
static struct text
take_word(struct scan *scan)
{
	(void)peek(scan);
	char *begin = scan->at;
	while (scan->at < scan->end && memchr(",]} \n\r\t", *scan->at, 7) == NULL)
		scan->at++;
	scan->after = true;
	return (struct text){begin, (size_t)(scan->at - begin)};
}

bool
scan_u64(struct scan *scan, uint64_t *value)
{
	return !scan->failed && (text_to_u64(take_word(scan), UINT64_MAX, value) || fail(scan));
}

bool
scan_bool(struct scan *scan, bool *value)
{
	if (scan->failed)
		return false;
	struct text word = take_word(scan);
	*value = text_equal(word, TEXT("true"));
	return *value || text_equal(word, TEXT("false")) || fail(scan);
}

bool
scan_hash(struct scan *scan, struct hash *hash)
{
	struct text text;
	return scan_text(scan, &text) && (hash_from_text(text, hash) || fail(scan));
}

static bool
skip_text(struct scan *scan)
{
	for (scan->at++; scan->at < scan->end; scan->at++) {
		if (*scan->at == '"') {
			scan->at++;
			return true;
		}
		if (*scan->at == '\\')
			scan->at++;
	}
	return fail(scan);
}

/* Nothing inside is judged but where it ends. */
bool
scan_skip(struct scan *scan, struct text *span)
{
	unsigned depth = 0;
	char first = scan->failed ? '\0' : peek(scan);
	char *begin = scan->at;
	do {
		char c = peek(scan);
		if (c == '\0')
			return fail(scan);
		if (c == '"') {
			if (!skip_text(scan))
				return false;
			continue;
		}
		scan->at++;
		if (c == '{' || c == '[')
			depth++;
		else if ((c == '}' || c == ']') && depth > 0)
			depth--;
		if (depth > DEPTH_MAX)
			return fail(scan);
	} while (depth > 0);
	if (first != '"' && first != '{' && first != '[')
		(void)take_word(scan);
	scan->after = true;
	*span = (struct text){begin, (size_t)(scan->at - begin)};
	return true;
}

bool
scan_end(struct scan *scan)
{
	return !scan->failed && peek(scan) == '\0' && scan->at == scan->end;
}

/* Which members an action had. */
enum {
	HAS_SEQ = 1,
	HAS_DEVICE = 2,
	HAS_TS = 4,
	HAS_TYPE = 8,
	HAS_PAYLOAD = 16,
	HAS_REDACTED = 32,
	HAS_DIGEST = 64
};

#define WHOLE (HAS_SEQ | HAS_DEVICE | HAS_TS | HAS_TYPE | HAS_PAYLOAD)
#define REDACTED (HAS_SEQ | HAS_DEVICE | HAS_TS | HAS_REDACTED | HAS_DIGEST)

static unsigned
take_member(struct scan *scan, struct text name, struct scanned_action *action)
{
	struct text skipped;
	bool redacted;
	if (text_equal(name, TEXT("seq")))
		return scan_u64(scan, &action->seq) ? HAS_SEQ : 0;
	if (text_equal(name, TEXT("device")))
		return scan_text(scan, &action->action.device) ? HAS_DEVICE : 0;
	if (text_equal(name, TEXT("ts")))
		return scan_u64(scan, &action->action.ts) ? HAS_TS : 0;
	if (text_equal(name, TEXT("type")))
		return scan_text(scan, &action->action.type) ? HAS_TYPE : 0;
	if (text_equal(name, TEXT("payload")))
		return scan_text(scan, &action->action.payload) ? HAS_PAYLOAD : 0;
	if (text_equal(name, TEXT("redacted")))
		return scan_bool(scan, &redacted) && redacted ? HAS_REDACTED : 0;
	if (text_equal(name, TEXT("digest")))
		return scan_hash(scan, &action->digest) ? HAS_DIGEST : 0;
	(void)scan_skip(scan, &skipped);
	return 0;
}

bool
scan_action(struct scan *scan, struct scanned_action *action)
{
	struct text name;
	unsigned has = 0;
	while (scan_member(scan, &name))
		has |= take_member(scan, name, action);
	if (scan->failed)
		return false;
	if (has == REDACTED)
		return true;
	if (has != WHOLE)
		return fail(scan);
	chain_digest(&action->action, &action->digest);
	return true;
}
