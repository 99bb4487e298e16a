#include "loadtest/reply.h"

#include <string.h>
#include <strings.h>

#include "base/text.h"

#define CHUNK_LINE_SIZE_MAX 256

/* Where a chunked body stands. */
enum { CHUNK_SIZE, CHUNK_DATA, CHUNK_END, CHUNK_TRAILER };

void
reply_begin(struct reply *reply)
{
	*reply = (struct reply){.state = REPLY_HEAD};
}

static bool
is_name(struct text name, const char *wanted)
{
	return name.size == strlen(wanted) && strncasecmp(name.data, wanted, name.size) == 0;
}

static bool
read_field(struct reply *reply, struct text line, bool *has_length)
{
	struct text value = line;
	struct text name = text_cut(&value, ':');
	value = text_trim(value);
	if (is_name(name, "content-length")) {
		*has_length = true;
		return text_to_u64(value, SIZE_MAX / 2, &reply->left);
	}
	if (is_name(name, "transfer-encoding"))
		reply->chunked = is_name(value, "chunked");
	else if (is_name(name, "connection"))
		reply->close = is_name(value, "close");
	else if (is_name(name, "retry-after"))
		(void)text_to_u64(value, UINT32_MAX, &reply->retry_after_sec);
	return true;
}

static bool
read_status(struct reply *reply, struct text line)
{
	uint64_t status;
	if (line.size < 12 || memcmp(line.data, "HTTP/1.1 ", 9) != 0 ||
	    !text_to_u64((struct text){line.data + 9, 3}, 599, &status) || status < 100)
		return false;
	reply->status = (unsigned)status;
	return true;
}

static struct text
cut_line(struct text *rest)
{
	struct text line = text_cut(rest, '\n');
	if (line.size > 0 && line.data[line.size - 1] == '\r')
		line.size--;
	return line;
}

static enum reply_state
read_head(struct reply *reply, struct text head)
{
	bool has_length = false;
	if (!read_status(reply, cut_line(&head)))
		return REPLY_BAD;
	while (head.size > 0) {
		if (!read_field(reply, cut_line(&head), &has_length))
			return REPLY_BAD;
	}
	if (reply->status < 200 || reply->status == 204 || reply->status == 304)
		return REPLY_WHOLE;
	if (!has_length && !reply->chunked)
		return REPLY_BAD;
	return reply->chunked || reply->left > 0 ? REPLY_BODY : REPLY_WHOLE;
}

/* True when there is a whole head; one of an interim answer (100) is thrown away. */
static bool
take_head(struct reply *reply, char *data, size_t *size)
{
	while (reply->state == REPLY_HEAD) {
		const char *end = memmem(data, *size, "\r\n\r\n", 4);
		if (end == NULL)
			return false;
		size_t head_size = (size_t)(end - data) + 4;
		reply->state = read_head(reply, (struct text){data, head_size - 2});
		reply->body = head_size;
		if (reply->status >= 200 || reply->state == REPLY_BAD)
			return true;
		memmove(data, data + head_size, *size - head_size);
		*size -= head_size;
		reply_begin(reply);
	}
	return true;
}

/* The line at the front of the rest; false when it is not whole. */
static bool
chunk_line(struct reply *reply, struct text *rest, struct text *line)
{
	const char *end = memchr(rest->data, '\n', rest->size);
	if (end == NULL) {
		if (rest->size > CHUNK_LINE_SIZE_MAX)
			reply->state = REPLY_BAD;
		return false;
	}
	*line = cut_line(rest);
	return true;
}

static bool
chunk_size(struct reply *reply, struct text line)
{
	uint64_t size = 0;
	struct text digits = text_cut(&line, ';');
	for (size_t i = 0; i < digits.size; i++) {
		char c = digits.data[i];
		uint64_t lower = (uint64_t)(c | 0x20);
		if (c >= '0' && c <= '9')
			size = size * 16 + (uint64_t)(c - '0');
		else if (lower >= 'a' && lower <= 'f')
			size = size * 16 + (lower - 'a' + 10);
		else
			return false;
	}
	reply->left = size;
	reply->where = size == 0 ? CHUNK_TRAILER : CHUNK_DATA;
	return digits.size > 0 && digits.size <= 12;
}

/* One step; false when more bytes are needed or all is said. */
static bool
step_chunk(struct reply *reply, char *data, struct text *rest)
{
	struct text line;
	if (reply->where == CHUNK_DATA) {
		size_t size = reply->left < rest->size ? (size_t)reply->left : rest->size;
		memmove(data + reply->body + reply->body_size, rest->data, size);
		reply->body_size += size;
		reply->left -= size;
		*rest = (struct text){rest->data + size, rest->size - size};
		if (reply->left == 0)
			reply->where = CHUNK_END;
		return reply->left == 0;
	}
	if (rest->size == 0 || !chunk_line(reply, rest, &line))
		return false;
	if (reply->where == CHUNK_SIZE) {
		if (!chunk_size(reply, line))
			reply->state = REPLY_BAD;
	} else if (reply->where == CHUNK_END) {
		reply->where = CHUNK_SIZE;
		if (line.size > 0)
			reply->state = REPLY_BAD;
	} else if (line.size == 0) {
		reply->state = REPLY_WHOLE;
	}
	return reply->state == REPLY_BODY;
}

static void
read_chunks(struct reply *reply, char *data, size_t *size)
{
	size_t known = reply->body + reply->body_size;
	struct text rest = {data + known, *size - known};
	while (step_chunk(reply, data, &rest))
		;
	known = reply->body + reply->body_size;
	if (rest.size > 0)
		memmove(data + known, rest.data, rest.size);
	*size = known + rest.size;
}

enum reply_state
reply_read(struct reply *reply, char *data, size_t *size)
{
	if (!take_head(reply, data, size) || reply->state != REPLY_BODY)
		return reply->state;
	if (reply->chunked) {
		read_chunks(reply, data, size);
		return reply->state;
	}
	size_t there = *size - reply->body - reply->body_size;
	size_t more = reply->left < there ? (size_t)reply->left : there;
	reply->body_size += more;
	reply->left -= more;
	if (reply->left == 0)
		reply->state = REPLY_WHOLE;
	return reply->state;
}

void
reply_consume(struct reply *reply, size_t count, char *data, size_t *size)
{
	char *body = data + reply->body;
	memmove(body, body + count, *size - reply->body - count);
	reply->body_size -= count;
	*size -= count;
}
