/*
 * reply: an HTTP/1.1 answer, read from a growing piece of memory as its bytes arrive.
 *
 *     data   [ head │ body, decoded ─────────▶ │ not yet understood ]
 *                    body          body + body_size               *size
 *
 * A chunked body is put together where it stands, so that it is one piece whatever it came as. Of a
 * long one the reader may take what is there with reply_consume().
 *
 * Threads: a reply has one user at a time. It owns nothing.
 */
#ifndef LOADTEST_REPLY_H
#define LOADTEST_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum reply_state {
	REPLY_HEAD, /* nothing, or a part of the head */
	REPLY_BODY,
	REPLY_WHOLE,
	REPLY_BAD /* not HTTP, or a body whose end nobody can tell */
};

struct reply {
	enum reply_state state;
	unsigned status;
	bool close; /* the server ends the connection after it */
	uint64_t retry_after_sec;
	size_t body;
	size_t body_size; /* that is there */

	bool chunked;
	uint64_t left;	/* of the body, or of the chunk */
	unsigned where; /* within the chunks' own lines */
};

/* For the next answer. */
void reply_begin(struct reply *);

/* Reads on after more bytes came; *size is how many there are, and what chunks had around them is
 * cut out. */
enum reply_state reply_read(struct reply *, char *data, size_t *size);

/* Takes count bytes from the front of the body. */
void reply_consume(struct reply *, size_t count, char *data, size_t *size);

#endif
