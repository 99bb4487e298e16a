#include "cli/json_text.h"

static const char *
short_escape(unsigned char byte)
{
	switch (byte) {
	case '"':
		return "\\\"";
	case '\\':
		return "\\\\";
	case '\n':
		return "\\n";
	case '\r':
		return "\\r";
	case '\t':
		return "\\t";
	default:
		return NULL;
	}
}

void
json_write_string(struct buffer *buffer, struct text text)
{
	size_t begun = 0; /* of the bytes that go out as they are */

	buffer_append(buffer, "\"", 1);
	for (size_t i = 0; i < text.size; i++) {
		unsigned char byte = (unsigned char)text.data[i];
		const char *escape;

		if (byte >= 0x20 && byte != '"' && byte != '\\')
			continue;
		if (i > begun)
			buffer_append(buffer, text.data + begun, i - begun);
		begun = i + 1;
		escape = short_escape(byte);
		if (escape != NULL)
			buffer_append(buffer, escape, 2);
		else
			buffer_printf(buffer, "\\u%04x", byte);
	}
	if (text.size > begun)
		buffer_append(buffer, text.data + begun, text.size - begun);
	buffer_append(buffer, "\"", 1);
}

void
json_write_any(struct buffer *buffer, struct text text)
{
	struct buffer legible;

	if (text_is_utf8(text)) {
		json_write_string(buffer, text);
		return;
	}
	buffer_init(&legible, 3 * text.size);
	for (size_t i = 0; i < text.size; i++) {
		if ((unsigned char)text.data[i] < 0x80)
			buffer_append(&legible, text.data + i, 1);
		else
			buffer_append_text(&legible, TEXT("\xef\xbf\xbd"));
	}
	buffer->failed |= legible.failed;
	json_write_string(buffer, (struct text){legible.data, legible.size});
	buffer_release(&legible);
}

void
json_write_base64(struct buffer *buffer, struct text text)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	buffer_append(buffer, "\"", 1);
	for (size_t i = 0; i < text.size; i += 3) {
		const size_t left = text.size - i;
		uint32_t bits = 0;
		char four[4];

		for (size_t j = 0; j < 3; j++)
			bits = bits << 8 | (j < left ? (unsigned char)text.data[i + j] : 0);
		for (size_t j = 0; j < 4; j++)
			four[j] = j <= left ? digits[bits >> (18 - 6 * j) & 63] : '=';
		buffer_append(buffer, four, sizeof(four));
	}
	buffer_append(buffer, "\"", 1);
}

void
json_write_hash(struct buffer *buffer, const struct hash *hash)
{
	char digits[HASH_TEXT_SIZE];

	hash_to_text(hash, digits);
	buffer_append(buffer, "\"", 1);
	buffer_append(buffer, digits, sizeof(digits));
	buffer_append(buffer, "\"", 1);
}
