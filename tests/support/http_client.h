/*
 * http_client: writes bytes to a socket and reads HTTP answers, without any opinion of its own; and
 * gzip for what it sends and gets.
 */
#ifndef TESTS_HTTP_CLIENT_H
#define TESTS_HTTP_CLIENT_H

#include <check.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include <zlib.h>

#include "base/clock.h"
#include "base/mem.h"

#define CLIENT_TIMEOUT_SEC 60

/* Waits for what another thread will do for sure; the time only bounds a failure. */
#define wait_until(condition)                                                                      \
	do {                                                                                       \
		uint64_t wait_begin_ = clock_monotonic_msec();                                     \
		while (!(condition)) {                                                             \
			ck_assert_msg(clock_monotonic_msec() - wait_begin_ <                       \
					      CLIENT_TIMEOUT_SEC * 1000,                           \
				      "waited in vain for " #condition);                           \
			usleep(1000);                                                              \
		}                                                                                  \
	} while (0)

struct answer {
	unsigned status;
	struct buffer head; /* with its last empty line, NUL-terminated */
	struct buffer body;
};

static inline void
set_timeouts(int fd)
{
	struct timeval time = {.tv_sec = CLIENT_TIMEOUT_SEC};
	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)), 0);
	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time)), 0);
}

/* False when the other side has closed. */
static inline bool
send_bytes(int fd, const void *data, size_t size)
{
	const char *at = data;
	while (size > 0) {
		ssize_t sent = send(fd, at, size, MSG_NOSIGNAL);
		if (sent == -1)
			return false;
		at += sent;
		size -= (size_t)sent;
	}
	return true;
}

static inline void
send_text(int fd, const char *text)
{
	ck_assert(send_bytes(fd, text, strlen(text)));
}

__attribute__((format(printf, 2, 3))) static inline void
send_format(int fd, const char *format, ...)
{
	char text[4096];
	va_list arguments;
	va_start(arguments, format);
	int size = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	ck_assert(size >= 0 && size < (int)sizeof(text));
	send_text(fd, text);
}

/* 0 at the end, also when it was a reset. */
static inline size_t
receive(int fd, void *data, size_t size)
{
	ssize_t got = recv(fd, data, size, 0);
	ck_assert_msg(got >= 0 || errno == ECONNRESET || errno == EPIPE, "recv: %s",
		      strerror(errno));
	return got > 0 ? (size_t)got : 0;
}

static inline bool
is_closed(int fd)
{
	char byte;
	return receive(fd, &byte, 1) == 0;
}

static inline bool
read_line(int fd, struct buffer *line)
{
	char c = '\0';
	while (c != '\n') {
		if (receive(fd, &c, 1) == 0)
			return false;
		buffer_append(line, &c, 1);
	}
	return true;
}

static inline void
read_exactly(int fd, struct buffer *out, size_t size)
{
	char *place = buffer_reserve(out, size);
	ck_assert_ptr_nonnull(place);
	for (size_t got = 0; got < size;) {
		size_t part = receive(fd, place + got, size - got);
		ck_assert_uint_gt(part, 0);
		got += part;
	}
	out->size += size;
}

/* The header's value up to its line's end, or NULL. */
static inline const char *
header_of(const struct answer *answer, const char *name)
{
	size_t size = strlen(name);
	const char *line = answer->head.data;
	while ((line = strstr(line, "\r\n")) != NULL) {
		line += 2;
		if (strncasecmp(line, name, size) == 0 && line[size] == ':')
			return line + size + 2;
	}
	return NULL;
}

static inline bool
header_is(const struct answer *answer, const char *name, const char *value)
{
	const char *found = header_of(answer, name);
	return found != NULL && strncmp(found, value, strlen(value)) == 0 &&
	       strncmp(found + strlen(value), "\r\n", 2) == 0;
}

static inline void
read_chunks(int fd, struct buffer *out)
{
	size_t size;
	do {
		struct buffer line;
		buffer_init(&line, 64);
		ck_assert(read_line(fd, &line));
		buffer_append(&line, "", 1);
		size = strtoul(line.data, NULL, 16);
		buffer_release(&line);
		read_exactly(fd, out, size);
		struct buffer end;
		buffer_init(&end, 2);
		read_exactly(fd, &end, 2);
		buffer_release(&end);
	} while (size > 0);
}

/* False when the connection ended before an answer. */
static inline bool
try_read_head(int fd, struct answer *answer)
{
	buffer_init(&answer->head, 65536);
	buffer_init(&answer->body, (size_t)1 << 30);
	do {
		if (!read_line(fd, &answer->head)) {
			buffer_release(&answer->head);
			return false;
		}
	} while (answer->head.size < 4 ||
		 memcmp(answer->head.data + answer->head.size - 4, "\r\n\r\n", 4) != 0);
	buffer_append(&answer->head, "", 1);
	answer->head.size--;
	ck_assert_int_eq(strncmp(answer->head.data, "HTTP/1.1 ", 9), 0);
	answer->status = (unsigned)strtoul(answer->head.data + 9, NULL, 10);
	return true;
}

static inline bool
try_read_answer(int fd, struct answer *answer, bool with_body)
{
	if (!try_read_head(fd, answer))
		return false;
	const char *length = header_of(answer, "Content-Length");
	if (!with_body || answer->status == 304 || answer->status == 204 || answer->status < 200)
		return true;
	if (length != NULL) {
		read_exactly(fd, &answer->body, strtoul(length, NULL, 10));
	} else if (header_is(answer, "Transfer-Encoding", "chunked")) {
		read_chunks(fd, &answer->body);
	} else {
		char part[4096];
		for (size_t got; (got = receive(fd, part, sizeof(part))) > 0;)
			buffer_append(&answer->body, part, got);
	}
	return true;
}

static inline void
answer_release(struct answer *answer)
{
	buffer_release(&answer->head);
	buffer_release(&answer->body);
}

static inline struct answer
read_answer(int fd)
{
	struct answer answer;
	ck_assert_msg(try_read_answer(fd, &answer, true), "no answer");
	return answer;
}

static inline bool
body_is(const struct answer *answer, const char *text)
{
	return answer->body.size == strlen(text) &&
	       (text[0] == '\0' || memcmp(answer->body.data, text, strlen(text)) == 0);
}

#define expect_answer(fd, wanted_status, wanted_body)                                              \
	do {                                                                                       \
		struct answer expected_ = read_answer(fd);                                         \
		ck_assert_uint_eq(expected_.status, (wanted_status));                              \
		ck_assert_msg(body_is(&expected_, (wanted_body)), "body is \"%.*s\"",              \
			      (int)expected_.body.size, expected_.body.data);                      \
		answer_release(&expected_);                                                        \
	} while (0)

/* --- gzip --- */

static inline void
gzip_into(struct buffer *out, const void *data, size_t size)
{
	z_stream stream;
	memset(&stream, 0, sizeof(stream));
	ck_assert_int_eq(deflateInit2(&stream, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	size_t bound = deflateBound(&stream, size);
	char *place = buffer_reserve(out, bound);
	ck_assert_ptr_nonnull(place);
	stream.next_in = (z_const Bytef *)data;
	stream.avail_in = (uInt)size;
	stream.next_out = (Bytef *)place;
	stream.avail_out = (uInt)bound;
	ck_assert_int_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
	out->size += bound - stream.avail_out;
	deflateEnd(&stream);
}

static inline void
gunzip_into(struct buffer *out, const void *data, size_t size)
{
	z_stream stream;
	memset(&stream, 0, sizeof(stream));
	ck_assert_int_eq(inflateInit2(&stream, 31), Z_OK);
	stream.next_in = (z_const Bytef *)data;
	stream.avail_in = (uInt)size;
	int result = Z_OK;
	while (result == Z_OK) {
		char *place = buffer_reserve(out, 65536);
		ck_assert_ptr_nonnull(place);
		stream.next_out = (Bytef *)place;
		stream.avail_out = 65536;
		result = inflate(&stream, Z_NO_FLUSH);
		out->size += 65536 - stream.avail_out;
	}
	ck_assert_int_eq(result, Z_STREAM_END);
	ck_assert_uint_eq(stream.avail_in, 0);
	inflateEnd(&stream);
}

#endif
