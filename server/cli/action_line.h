/*
 * action_line: actions as NDJSON, in and out of the tool.
 */
#ifndef CLI_ACTION_LINE_H
#define CLI_ACTION_LINE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/mem.h"
#include "cli/phone_chain.h"

/* An action of push's input. The texts point into root. */
struct action_line {
	json_t *root;
	struct action action; /* no device; ts 0 when the line names none */
};

/*
 * Reads {"type":"…","payload":"…"} with an optional "ts"; other members are refused, so that a
 * misspelt one is not lost. False: problem says what is wrong. Release the line in any case.
 */
bool action_line_read(struct text, struct action_line *, char *problem, size_t problem_size);
void action_line_release(struct action_line *);

/* Appends {"seq":…,"device":…,"ts":…,"type":…,"payload":…} and a newline; a redacted action has
 * "redacted" and "digest" for the last two. */
void action_line_write(struct buffer *, const struct logged *);

/* The same up to the closing brace: other members may follow. */
void action_line_write_open(struct buffer *, const struct logged *);

#endif
