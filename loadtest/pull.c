#include "loadtest/pull.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/mem.h"

#define RAW_SIZE ((size_t)64 << 10)
#define FRAME_SIZE_MAX ((size_t)8 << 10)
#define REQUEST_SIZE_MAX ((size_t)16 << 10)
#define HEAD_LINES_MAX 100

struct pull {
	struct pull_source source;
	int fd; /* -1: not connected */
	char raw[RAW_SIZE];
	size_t begin, end; /* of what is in raw and not used yet */
	char frame[FRAME_SIZE_MAX];
	struct buffer line;

	/* The answer under way. */
	bool chunked;
	bool in_chunks; /* the first has begun */
	bool closes;	/* the daemon will not keep the connection */
	uint64_t left;	/* of the chunk, or of the whole body */
	bool whole;
};

struct pull *
pull_open(const struct pull_source *source)
{
	struct pull *pull = calloc(1, sizeof(*pull));
	if (pull == NULL)
		return NULL;
	pull->source = *source;
	pull->fd = -1;
	buffer_init(&pull->line, PULL_LINE_SIZE_MAX);
	return pull;
}

static void
disconnect(struct pull *pull)
{
	if (pull->fd != -1)
		close(pull->fd);
	pull->fd = -1;
	pull->begin = pull->end = 0;
}

void
pull_close(struct pull *pull)
{
	if (pull == NULL)
		return;
	disconnect(pull);
	buffer_release(&pull->line);
	free(pull);
}

/* --- bytes --- */

static bool
connect_to_source(struct pull *pull)
{
	const struct timeval timeout = {.tv_sec = (time_t)pull->source.timeout_sec};

	disconnect(pull);
	pull->fd = socket(pull->source.address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (pull->fd == -1)
		return false;
	if (setsockopt(pull->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) == 0 &&
	    setsockopt(pull->fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) == 0 &&
	    connect(pull->fd, pull->source.address, pull->source.address_size) == 0)
		return true;
	disconnect(pull);
	return false;
}

/* Makes sure that at least a byte is in raw. */
static bool
fill(struct pull *pull)
{
	if (pull->begin < pull->end)
		return true;
	ssize_t got = recv(pull->fd, pull->raw, sizeof(pull->raw), 0);
	while (got == -1 && errno == EINTR)
		got = recv(pull->fd, pull->raw, sizeof(pull->raw), 0);
	pull->begin = 0;
	pull->end = got > 0 ? (size_t)got : 0;
	return got > 0;
}

/* A line of the head, or of the frame of chunks, as a string without its end. */
static bool
read_frame(struct pull *pull)
{
	size_t size = 0;
	char c = '\0';
	while (c != '\n') {
		if (size == FRAME_SIZE_MAX || !fill(pull))
			return false;
		c = pull->raw[pull->begin++];
		pull->frame[size++] = c;
	}
	size--;
	if (size > 0 && pull->frame[size - 1] == '\r')
		size--;
	pull->frame[size] = '\0';
	return true;
}

/* --- the request and the answer's head --- */

/* Percent-encodes all but the unreserved characters (RFC 3986, section 2.3). */
static void
append_encoded(struct buffer *request, struct text name)
{
	for (size_t i = 0; i < name.size; i++) {
		unsigned char c = (unsigned char)name.data[i];
		if (isalnum(c) || strchr("-._~", c) != NULL)
			buffer_append(request, &c, 1);
		else
			buffer_printf(request, "%%%02X", c);
	}
}

static bool
send_request(struct pull *pull, struct text log)
{
	struct buffer request;
	buffer_init(&request, REQUEST_SIZE_MAX);
	buffer_printf(&request, "GET /v1/logs/");
	append_encoded(&request, log);
	buffer_printf(&request,
		      "/actions?after=0 HTTP/1.1\r\nHost: %s\r\nAccept: application/x-ndjson\r\n",
		      pull->source.host);
	if (pull->source.token != NULL)
		buffer_printf(&request, "Authorization: Bearer %s\r\n", pull->source.token);
	buffer_printf(&request, "\r\n");

	bool good = !request.failed;
	size_t at = 0;
	while (good && at < request.size) {
		ssize_t sent = send(pull->fd, request.data + at, request.size - at, MSG_NOSIGNAL);
		if (sent > 0)
			at += (size_t)sent;
		else
			good = errno == EINTR;
	}
	buffer_release(&request);
	return good;
}

static void
on_header(struct pull *pull)
{
	const char *line = pull->frame;
	if (strcasecmp(line, "Transfer-Encoding: chunked") == 0)
		pull->chunked = true;
	else if (strncasecmp(line, "Content-Length:", 15) == 0)
		pull->left = strtoull(line + 15, NULL, 10);
	else if (strcasecmp(line, "Connection: close") == 0)
		pull->closes = true;
}

static unsigned
read_head(struct pull *pull)
{
	pull->chunked = pull->in_chunks = pull->closes = pull->whole = false;
	pull->left = 0;
	if (!read_frame(pull) || strncmp(pull->frame, "HTTP/1.1 ", 9) != 0)
		return 0;
	unsigned status = (unsigned)strtoul(pull->frame + 9, NULL, 10);
	for (int i = 0; i < HEAD_LINES_MAX; i++) {
		if (!read_frame(pull))
			return 0;
		if (pull->frame[0] == '\0')
			return status;
		on_header(pull);
	}
	return 0;
}

unsigned
pull_begin(struct pull *pull, struct text log)
{
	unsigned status = 0;
	/* What an earlier answer left unread would be taken for this one's. */
	if (!pull->whole || pull->closes)
		disconnect(pull);
	bool kept = pull->fd != -1;
	if (kept && send_request(pull, log))
		status = read_head(pull);
	/* A kept connection may have been closed meanwhile. */
	if (status == 0 && connect_to_source(pull) && send_request(pull, log))
		status = read_head(pull);
	return status;
}

/* --- the body --- */

/* Makes sure that something of the body is to come; false at its end. */
static bool
enter_chunk(struct pull *pull)
{
	if (pull->left > 0)
		return true;
	if (!pull->chunked) {
		pull->whole = true;
		return false;
	}
	/* The end of the chunk before, if there was one; the size; behind the last, an empty line. */
	bool good = (!pull->in_chunks || (read_frame(pull) && pull->frame[0] == '\0')) &&
		    read_frame(pull) && isxdigit((unsigned char)pull->frame[0]);
	if (!good)
		return false;
	pull->in_chunks = true;
	pull->left = strtoull(pull->frame, NULL, 16);
	if (pull->left > 0)
		return true;
	pull->whole = read_frame(pull) && pull->frame[0] == '\0';
	return false;
}

/* Moves what is there to the line, not beyond a newline, which *ended tells. */
static bool
take(struct pull *pull, bool *ended)
{
	if (!fill(pull))
		return false;
	const char *from = pull->raw + pull->begin;
	size_t size = pull->end - pull->begin;
	if (size > pull->left)
		size = (size_t)pull->left;
	const char *newline = memchr(from, '\n', size);
	if (newline != NULL)
		size = (size_t)(newline - from) + 1;
	buffer_append(&pull->line, from, size);
	pull->begin += size;
	pull->left -= size;
	*ended = newline != NULL;
	return !pull->line.failed;
}

bool
pull_line(struct pull *pull, char **line, size_t *size)
{
	bool ended = false;
	pull->line.size = 0;
	while (!ended) {
		if (pull->whole || !enter_chunk(pull) || !take(pull, &ended))
			return false;
	}
	*line = pull->line.data;
	*size = pull->line.size - 1;
	return true;
}

bool
pull_is_whole(const struct pull *pull)
{
	return pull->whole;
}
