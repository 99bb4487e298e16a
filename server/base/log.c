#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"

#define VALUE_SIZE_MAX 1024
#define CUT_MARK "\xe2\x80\xa6"
#define LINE_END_SIZE 6 /* the cut mark, a quote, a brace, a newline */

/* A line being made. Nothing but the end may use the last LINE_END_SIZE bytes. */
struct line {
	enum log_format format;
	size_t size;
	char data[LOG_LINE_SIZE];
};

static _Atomic int log_level = LOG_INFO;
static _Atomic int log_format = LOG_LOGFMT;
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;

static const char *const level_names[] = {
	[LOG_DEBUG] = "debug",
	[LOG_INFO] = "info",
	[LOG_WARN] = "warn",
	[LOG_ERROR] = "error",
};

void
log_configure(enum log_level level, enum log_format format)
{
	atomic_store_explicit(&log_level, (int)level, memory_order_relaxed);
	atomic_store_explicit(&log_format, (int)format, memory_order_relaxed);
}

bool
log_enabled(enum log_level level)
{
	return (int)level >= atomic_load_explicit(&log_level, memory_order_relaxed);
}

void
log_set_level(enum log_level level)
{
	atomic_store_explicit(&log_level, (int)level, memory_order_relaxed);
}

const char *
log_level_word(void)
{
	return level_names[atomic_load_explicit(&log_level, memory_order_relaxed)];
}

bool
log_level_find(struct text word, enum log_level *level)
{
	for (unsigned i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
		if (!text_equal(word, text_of(level_names[i])))
			continue;
		*level = (enum log_level)i;
		return true;
	}
	return false;
}

static void
line_put(struct line *line, const char *data, size_t size)
{
	CHECK(size <= sizeof(line->data) - line->size);
	memcpy(line->data + line->size, data, size);
	line->size += size;
}

/* What nobody sees of a line but in what it does to the rest: a terminal may take controls as the start
 * of a command, and format characters turn the order of what is shown, or hide it. The controls, the line
 * separators, and the general category Cf of Unicode 15. */
static const struct {
	uint32_t first, last;
} unseen[] = {
	{0x0000, 0x001f},   {0x007f, 0x009f},	{0x00ad, 0x00ad},   {0x0600, 0x0605},
	{0x061c, 0x061c},   {0x06dd, 0x06dd},	{0x070f, 0x070f},   {0x0890, 0x0891},
	{0x08e2, 0x08e2},   {0x180e, 0x180e},	{0x200b, 0x200f},   {0x2028, 0x202e},
	{0x2060, 0x2064},   {0x2066, 0x206f},	{0xfeff, 0xfeff},   {0xfff9, 0xfffb},
	{0x110bd, 0x110bd}, {0x110cd, 0x110cd}, {0x13430, 0x1343f}, {0x1bca0, 0x1bca3},
	{0x1d173, 0x1d17a}, {0xe0001, 0xe0001}, {0xe0020, 0xe007f},
};

#define UNSEEN (sizeof(unseen) / sizeof(unseen[0]))

static uint32_t
code_point(struct text character)
{
	const uint8_t *bytes = (const uint8_t *)character.data;
	if (character.size == 1)
		return bytes[0];
	uint32_t point = bytes[0] & (0x7fU >> character.size);
	for (size_t i = 1; i < character.size; i++)
		point = point << 6 | (bytes[i] & 0x3f);
	return point;
}

static bool
is_unseen(struct text character)
{
	const uint32_t point = code_point(character);
	if (point >= 0x20 && point < 0x7f)
		return false;
	for (size_t i = 0; i < UNSEEN; i++)
		if (point >= unseen[i].first && point <= unseen[i].last)
			return true;
	return false;
}

#define ESCAPED_SIZE_MAX 16 /* of one character: four bytes as \x00 */

/* How one character of a value is written. size 0: the byte is no UTF-8. */
static size_t
escape_logfmt(struct text character, size_t size, char escaped[ESCAPED_SIZE_MAX])
{
	static const char digits[] = "0123456789abcdef";
	size_t written = 0;
	if (size > 0 && !is_unseen(character)) {
		if (character.data[0] == '"' || character.data[0] == '\\')
			escaped[written++] = '\\';
		memcpy(escaped + written, character.data, size);
		return written + size;
	}
	if (character.data[0] == '\n') {
		memcpy(escaped, "\\n", 2);
		return 2;
	}
	for (size_t i = 0; i < character.size; i++) {
		uint8_t byte = (uint8_t)character.data[i];
		escaped[written++] = '\\';
		escaped[written++] = 'x';
		escaped[written++] = digits[byte >> 4];
		escaped[written++] = digits[byte & 0x0f];
	}
	return written;
}

static size_t
escape_unit(uint32_t unit, char escaped[6])
{
	const uint8_t bytes[2] = {(uint8_t)(unit >> 8), (uint8_t)unit};
	memcpy(escaped, "\\u", 2);
	hex_encode(bytes, sizeof(bytes), escaped + 2);
	return 6;
}

static size_t
escape_json(struct text character, size_t size, char escaped[ESCAPED_SIZE_MAX])
{
	if (size == 0) {
		memcpy(escaped, "\xef\xbf\xbd", 3);
		return 3;
	}
	size_t written = 0;
	if (is_unseen(character)) {
		uint32_t point = code_point(character);
		if (point > 0xffff) { /* a surrogate pair (RFC 8259, section 7) */
			point -= 0x10000;
			written = escape_unit(0xd800 | point >> 10, escaped);
			point = 0xdc00 | (point & 0x3ff);
		}
		return written + escape_unit(point, escaped + written);
	}
	if (character.data[0] == '"' || character.data[0] == '\\')
		escaped[written++] = '\\';
	memcpy(escaped + written, character.data, size);
	return written + size;
}

/* In logfmt a plain word stands bare. */
static bool
needs_quotes(enum log_format format, struct text value)
{
	if (format == LOG_JSON || value.size == 0 || !text_is_utf8(value))
		return true;
	for (size_t at = 0; at < value.size;) {
		struct text rest = {value.data + at, value.size - at};
		struct text character = {rest.data, text_utf8_size(rest)};
		if (memchr(" \"=\\", rest.data[0], 4) != NULL || is_unseen(character))
			return true;
		at += character.size;
	}
	return false;
}

/* Cuts before the first character that would not fit, never inside one. */
static void
line_put_escaped(struct line *line, struct text value)
{
	size_t limit = sizeof(line->data) - LINE_END_SIZE;
	if (limit - line->size > VALUE_SIZE_MAX)
		limit = line->size + VALUE_SIZE_MAX;
	for (size_t at = 0; at < value.size;) {
		char escaped[ESCAPED_SIZE_MAX];
		struct text rest = {value.data + at, value.size - at};
		size_t size = text_utf8_size(rest);
		struct text character = {rest.data, size == 0 ? 1 : size};
		size_t written = line->format == LOG_JSON ? escape_json(character, size, escaped)
							  : escape_logfmt(character, size, escaped);
		if (written > limit - line->size) {
			line_put(line, CUT_MARK, strlen(CUT_MARK));
			return;
		}
		line_put(line, escaped, written);
		at += character.size;
	}
}

/* A key whose value could not even begin is left out: the line before it is cut already. */
static bool
line_put_key(struct line *line, const char *key)
{
	size_t size = strlen(key);
	if (line->size + size + 32 + LINE_END_SIZE > sizeof(line->data))
		return false;
	if (line->format == LOG_JSON) {
		line_put(line, line->size == 0 ? "{\"" : ",\"", 2);
		line_put(line, key, size);
		line_put(line, "\":", 2);
	} else {
		line_put(line, " ", line->size == 0 ? 0 : 1);
		line_put(line, key, size);
		line_put(line, "=", 1);
	}
	return true;
}

static void
line_put_text(struct line *line, const char *key, struct text value)
{
	if (!line_put_key(line, key))
		return;
	bool quotes = needs_quotes(line->format, value);
	line_put(line, "\"", quotes ? 1 : 0);
	line_put_escaped(line, value);
	line_put(line, "\"", quotes ? 1 : 0);
}

static void
line_put_number(struct line *line, const char *key, uint64_t magnitude, bool negative)
{
	char digits[21];
	size_t first = sizeof(digits);
	if (!line_put_key(line, key))
		return;
	do {
		digits[--first] = (char)('0' + magnitude % 10);
		magnitude /= 10;
	} while (magnitude > 0);
	if (negative)
		digits[--first] = '-';
	line_put(line, digits + first, sizeof(digits) - first);
}

static void
line_put_field(struct line *line, const struct log_field *field)
{
	switch (field->kind) {
	case LOG_FIELD_TEXT:
		if (field->text.data != NULL)
			line_put_text(line, field->key, field->text);
		return;
	case LOG_FIELD_U64:
		line_put_number(line, field->key, field->u64, false);
		return;
	case LOG_FIELD_I64: {
		bool negative = field->i64 < 0;
		uint64_t value = (uint64_t)field->i64;
		line_put_number(line, field->key, negative ? 0 - value : value, negative);
		return;
	}
	}
}

static void
line_begin(struct line *line, enum log_level level, const char *room, const char *event)
{
	char time[CLOCK_TEXT_SIZE];
	CHECK((unsigned)level < sizeof(level_names) / sizeof(level_names[0]));
	line->format = (enum log_format)atomic_load_explicit(&log_format, memory_order_relaxed);
	line->size = 0;
	clock_format(clock_server_msec(), time);
	line_put_text(line, "time", text_of(time));
	line_put_text(line, "level", text_of(level_names[level]));
	line_put_text(line, "room", text_of(room));
	line_put_text(line, "event", text_of(event));
}

/* One write a line, so that lines of several threads do not mix. When stderr takes nothing the line
 * is lost: there is nobody left to tell. */
static void
line_end(struct line *line)
{
	size_t written = 0;
	if (line->format == LOG_JSON)
		line_put(line, "}", 1);
	line_put(line, "\n", 1);
	while (written < line->size) {
		ssize_t size = write(STDERR_FILENO, line->data + written, line->size - written);
		if (size == -1 && errno != EINTR)
			return;
		if (size > 0)
			written += (size_t)size;
	}
}

void
log_write(enum log_level level, const char *room, const char *event, const struct log_field *fields,
	  size_t count)
{
	struct line line;
	int saved = errno;
	line_begin(&line, level, room, event);
	for (size_t i = 0; i < count; i++)
		line_put_field(&line, &fields[i]);
	line_end(&line);
	errno = saved;
}

/* Whether this line may go, and how many before it did not. */
static bool
limit_admits(struct log_limit *limit, uint64_t *suppressed)
{
	uint64_t second = clock_monotonic_msec() / 1000;
	bool admitted;
	CHECK(pthread_mutex_lock(&log_lock) == 0);
	if (limit->second != second) {
		limit->second = second;
		limit->let_through = 0;
	}
	admitted = limit->let_through < LOG_BURST;
	if (admitted) {
		limit->let_through++;
		*suppressed = limit->held_back;
		limit->held_back = 0;
	} else {
		limit->held_back++;
	}
	CHECK(pthread_mutex_unlock(&log_lock) == 0);
	return admitted;
}

void
log_write_limited(struct log_limit *limit, enum log_level level, const char *room,
		  const char *event, const struct log_field *fields, size_t count)
{
	struct line line;
	int saved = errno;
	uint64_t suppressed = 0;
	if (!limit_admits(limit, &suppressed))
		return;
	line_begin(&line, level, room, event);
	if (suppressed > 0)
		line_put_number(&line, "suppressed", suppressed, false);
	for (size_t i = 0; i < count; i++)
		line_put_field(&line, &fields[i]);
	line_end(&line);
	errno = saved;
}
