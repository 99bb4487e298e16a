/*
 * heads: what the tool knows of its logs, in a file, so that a later run
 * against the same store goes on with them without asking for each. Then
 * nothing but the load itself is measured.
 *
 * The file: a line of text that names the format, prefix, first log and count;
 * then a record of fixed size for each log, as this machine has it in memory.
 * It is for this machine and this build.
 *
 * Errors are said on stderr.
 */
#ifndef LOADTEST_HEADS_H
#define LOADTEST_HEADS_H

#include "base/status.h"
#include "loadtest/users.h"

/* Tells users what the file says. STATUS_OK also when there is no such file;
 * STATUS_MALFORMED when it is of other logs or cut. */
MUST_CHECK enum status heads_read(struct users *, const char *path);

/* STATUS_INTERNAL when it cannot be written. A log whose head is in doubt is
 * written as unknown. */
MUST_CHECK enum status heads_write(const struct users *, const char *path);

#endif
