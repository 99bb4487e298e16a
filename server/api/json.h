/*
 * json: a strict single-pass reader of JSON text (RFC 8259, protocol section 3), and the writer's
 * few helpers.
 *
 * The reader walks the bytes once, allocates nothing, and unescapes strings in place: a string's
 * text points into the input. It knows grammar only; what members mean is the caller's (api/wire).
 *
 * Strict: UTF-8 without BOM, no unpaired surrogates, no control characters in strings, no leading
 * zeros, no comments, no trailing commas, nothing after the value, nesting at most JSON_DEPTH_MAX.
 * Members of one name twice are the caller's to reject, who knows the names.
 *
 * Names keep clear of jansson's, which the same program links.
 *
 * Errors: the first fault stays: every later call fails too, so that a caller may look once. The
 * fault names a sentence and the byte offset, from which json_place makes line and column.
 */
#ifndef API_JSON_H
#define API_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/text.h"

#define JSON_DEPTH_MAX 32

enum json_kind {
	JSON_KIND_NULL,
	JSON_KIND_FALSE,
	JSON_KIND_TRUE,
	JSON_KIND_NUMBER,
	JSON_KIND_STRING,
	JSON_KIND_ARRAY,
	JSON_KIND_OBJECT
};

struct json {
	char *data; /* the whole text; strings are unescaped inside it */
	size_t size;
	size_t at; /* next byte */
	unsigned depth;
	size_t line;	   /* of `at`, from 1 */
	size_t line_start; /* offset of that line's first byte */
	const char *fault; /* NULL while all is well; a static sentence */
	size_t fault_at;
};

void json_begin(struct json *, char *data, size_t size);

/* Skips white space and says what value comes next; false on a fault. Consumes nothing of it. */
bool json_peek(struct json *, enum json_kind *);

/* Each consumes one value of that kind; another kind is a fault. */
bool json_read_string(struct json *, struct text *);
bool json_read_bool(struct json *, bool *);

/* A number written without sign, fraction or exponent, at most max; else a fault. */
bool json_read_u64(struct json *, uint64_t max, uint64_t *);

/* Consumes any one value. */
bool json_skip(struct json *);

/*
 *     bool first = true;
 *     if (!json_enter(json, JSON_KIND_OBJECT)) …
 *     while (json_member(json, &first, &name)) { …consume the value… }
 *     if (json->fault) …
 * json_member and json_element return false at the end (which they consume) and on a fault.
 */
bool json_enter(struct json *, enum json_kind array_or_object);
bool json_member(struct json *, bool *first, struct text *name);
bool json_element(struct json *, bool *first);

/* True when only white space is left; else a fault. */
bool json_end(struct json *);

/* Sets the fault, if there is none yet, at a byte offset. Returns false. */
bool json_fail(struct json *, const char *fault, size_t at);

/* Line and column (in bytes), from 1, of an offset on the line that the reader is on, which is
 * where every fault is. (Lines are counted while reading: an unescaped string may hold line ends
 * that the text did not have.) */
void json_place(const struct json *, size_t at, size_t *line, size_t *column);

/* Appends a JSON string with its quotes. The text must be UTF-8. Escapes only what must be. */
void json_write_string(struct buffer *, struct text);

/* The same where there is room for JSON_STRING_SIZE_MAX of the text's size. Returns its end. */
#define JSON_STRING_SIZE_MAX(size) (6 * (size) + 2)
char *json_put_string(char *to, struct text);

#endif
