/*
 * program: a shell's command that is fed line by line.
 *
 * When the tool ends before it has fed all, by a signal too, the program is killed and does not see an
 * end of its input: what it would then print would look whole.
 *
 * Threads: one; one program at a time.
 */
#ifndef CLI_PROGRAM_H
#define CLI_PROGRAM_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/mem.h"
#include "base/text.h"

struct program {
	pid_t pid;
	int input;  /* to it */
	int output; /* a file in memory; -1: stdout is the tool's */
	struct buffer pending;
	bool refuses; /* it does not read any more */
};

/* captures: its stdout is kept for program_output. False, and reported, when it cannot be run. */
bool program_start(struct program *, const char *command, bool captures);

/* False: it reads no more. */
bool program_feed(struct program *, struct text);

/* Ends its input and waits for it. False, and reported, when it did not read all, or its exit code is not
 * 0. */
bool program_finish(struct program *);

/* Kills it, and waits. */
void program_kill(struct program *);

/* What it has printed. False, and reported, when that cannot be read, or is too long for the buffer. */
bool program_output(const struct program *, struct buffer *);

/* After finish or kill. */
void program_release(struct program *);

#endif
