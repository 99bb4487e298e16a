/*
 * lines: cuts a stream of bytes into lines, whatever pieces they arrive in.
 */
#ifndef CLI_LINES_H
#define CLI_LINES_H

#include <stddef.h>

#include "base/mem.h"
#include "base/status.h"
#include "base/text.h"

/* Longer lines are refused. The largest action is below: its payload has 16 MiB at most
 * (limits.payload_bytes), each byte of which may be an escape of six. */
#define LINE_SIZE_MAX ((size_t)100 << 20)

/* Gets one line without its newline; anything but STATUS_OK ends the feeding. */
typedef enum status line_visitor(void *cookie, struct text line);

struct lines {
	struct buffer partial; /* the begun line */
	line_visitor *visit;
	void *cookie;
};

void lines_init(struct lines *, line_visitor *, void *cookie);
void lines_release(struct lines *);

/* Forgets a begun line: the stream was cut. */
void lines_reset(struct lines *);

/* STATUS_OK, what the visitor returned, or STATUS_MALFORMED for a line that is too long. */
MUST_CHECK enum status lines_feed(struct lines *, const char *data, size_t size);

/* At the end of a file: its last line may lack a newline. */
MUST_CHECK enum status lines_finish(struct lines *);

#endif
