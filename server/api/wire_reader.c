#include "api/wire_reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NAME_SHOWN_MAX 48 /* bytes of an unknown member's name in a fault */

/* "actions[3].ts", "locator[2][0]", "seq", "the body". */
static void
write_path(const struct reader *reader, char *path, size_t size)
{
	const char *member = reader->member ? reader->member : "";
	if (!reader->scope)
		snprintf(path, size, "%s", *member ? member : "the body");
	else
		snprintf(path, size, "%s[%zu]%s%s", reader->scope, reader->index,
			 *member && *member != '[' ? "." : "", member);
}

void
reader_set_index(struct reader *reader)
{
	if (reader->scope && strcmp(reader->scope, "actions") == 0) {
		reader->fault->has_index = true;
		reader->fault->index = reader->index;
	}
}

__attribute__((format(printf, 2, 3))) bool
reader_malformed(struct reader *reader, const char *format, ...)
{
	struct wire_fault *fault = reader->fault;
	char path[80], rule[160];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(rule, sizeof(rule), format, arguments);
	va_end(arguments);
	write_path(reader, path, sizeof(path));
	*fault = (struct wire_fault){.status = STATUS_MALFORMED};
	snprintf(fault->detail, sizeof(fault->detail), "%s: %s", path, rule);
	reader_set_index(reader);
	return false;
}

bool
reader_syntax(struct reader *reader)
{
	struct wire_fault *fault = reader->fault;
	char path[96];
	size_t line, column;
	json_place(&reader->json, reader->json.fault_at, &line, &column);
	write_path(reader, path, sizeof(path));
	*fault = (struct wire_fault){.status = STATUS_MALFORMED};
	snprintf(fault->detail, sizeof(fault->detail), "line %zu, column %zu: %s (in %s)", line,
		 column, reader->json.fault, path);
	reader_set_index(reader);
	return false;
}

__attribute__((format(printf, 4, 5))) void
reader_too_large(struct reader *reader, enum status status, size_t limit, const char *format, ...)
{
	struct wire_fault *fault = reader->fault;
	if (fault->status != STATUS_OK && fault->status <= status)
		return;
	*fault = (struct wire_fault){.status = status, .has_limit = true, .limit = limit};
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(fault->detail, sizeof(fault->detail), format, arguments);
	va_end(arguments);
}

bool
reader_expect(struct reader *reader, enum json_kind wanted, const char *rule)
{
	enum json_kind kind;
	if (!json_peek(&reader->json, &kind))
		return reader_syntax(reader);
	return kind == wanted || reader_malformed(reader, "%s", rule);
}

bool
reader_string(struct reader *reader, struct text *value)
{
	return reader_expect(reader, JSON_KIND_STRING, "must be a string") &&
	       (json_read_string(&reader->json, value) || reader_syntax(reader));
}

bool
reader_integer(struct reader *reader, uint64_t min, uint64_t max, uint64_t *value)
{
	enum json_kind kind;
	size_t line, column;
	if (!json_peek(&reader->json, &kind))
		return reader_syntax(reader);
	if (kind == JSON_KIND_NUMBER && json_read_u64(&reader->json, max, value) && *value >= min)
		return true;
	if (!reader->json.fault)
		return reader_malformed(reader, "must be an integer from %ju to %ju",
					(uintmax_t)min, (uintmax_t)max);
	json_place(&reader->json, reader->json.fault_at, &line, &column);
	return reader_malformed(reader,
				"must be an integer from %ju to %ju (line %zu, column %zu: %s)",
				(uintmax_t)min, (uintmax_t)max, line, column, reader->json.fault);
}

bool
reader_hash(struct reader *reader, struct hash *hash)
{
	struct json *json = &reader->json;
	struct text value;
	if (!reader_expect(reader, JSON_KIND_STRING, "must be a string"))
		return false;
	/* Digits need no unescaping: a hash is read where it stands. What is no hash, or is one with
	 * escapes in it, goes the way of all strings. */
	const char *start = json->data + json->at + 1;
	if (json->size - json->at >= HASH_TEXT_SIZE + 2 && start[HASH_TEXT_SIZE] == '"' &&
	    hash_from_text((struct text){start, HASH_TEXT_SIZE}, hash)) {
		json->at += HASH_TEXT_SIZE + 2;
		return true;
	}
	if (!json_read_string(json, &value))
		return reader_syntax(reader);
	return hash_from_text(value, hash) ||
	       reader_malformed(reader, "must be 64 lower-case hex digits");
}

bool
reader_device(struct reader *reader, struct text *device)
{
	if (!reader_string(reader, device))
		return false;
	return device_is_valid(*device) ||
	       reader_malformed(
		       reader, "must be 1 to %d of A-Z a-z 0-9 . _ ~ - @ : | + =", DEVICE_SIZE_MAX);
}

int
reader_member(struct reader *reader, struct text name, const struct text *known, size_t count,
	      unsigned *seen)
{
	for (size_t i = 0; i < count; i++) {
		if (!text_equal(name, known[i]))
			continue;
		reader->member = known[i].data;
		if (*seen & 1U << i) {
			reader_malformed(reader, "must not be there twice");
			return -1;
		}
		*seen |= 1U << i;
		return (int)i;
	}
	size_t shown = name.size < NAME_SHOWN_MAX ? name.size : NAME_SHOWN_MAX;
	while (shown > 0 && shown < name.size && ((unsigned char)name.data[shown] & 0xc0) == 0x80)
		shown--;
	reader->member = NULL;
	reader_malformed(reader, "\"%.*s%s\" is not a member that this server knows", (int)shown,
			 name.data, shown < name.size ? "…" : "");
	return -1;
}

bool
reader_require(struct reader *reader, const struct text *known, unsigned seen, unsigned wanted)
{
	unsigned missing = wanted & ~seen;
	if (missing == 0)
		return true;
	reader->member = known[__builtin_ctz(missing)].data;
	return reader_malformed(reader, "is missing");
}
