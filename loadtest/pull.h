/*
 * pull: GET over a plain blocking connection, its body line by line, in bounded memory.
 *
 *     pull_begin ─▶ pull_line … until false ─▶ pull_is_whole
 *
 * The connection is kept for the next request when the daemon lets it.
 *
 * Threads: a pull has one user at a time.
 */
#ifndef LOADTEST_PULL_H
#define LOADTEST_PULL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/text.h"

/* The longest line: an action with the largest payload that a daemon may be configured to take,
 * every byte of it escaped. */
#define PULL_LINE_SIZE_MAX ((size_t)128 << 20)

/* Where to pull from. Everything is borrowed until pull_close(). */
struct pull_source {
	const struct sockaddr *address;
	socklen_t address_size;
	const char *host;  /* for the Host header */
	const char *token; /* NULL for none */
	unsigned timeout_sec;
};

struct pull;

/* Connects when it first has to. NULL when memory is out. */
struct pull *pull_open(const struct pull_source *);
void pull_close(struct pull *);

/* Asks for everything in a log, as NDJSON (protocol 4.2). The answer's status, 0 without an answer.
 */
unsigned pull_begin(struct pull *, struct text log);

/* The next line, without its end, in memory that may be changed and holds until the next call.
 * False at the end of the body, or of what has come of it. */
bool pull_line(struct pull *, char **line, size_t *size);

/* After the last line: whether the body was complete. */
bool pull_is_whole(const struct pull *);

#endif
