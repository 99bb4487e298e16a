/*
 * out_file: a file that is there whole or not at all; compressed when its name ends in .gz.
 *
 *     open ─▶ write … ─▶ commit     synced, then it takes its name, and the place of what had it
 *                     ╰▶ discard    as if nothing had been
 *
 * stdout (also as /dev/stdout), a descriptor (/dev/fd/3), a device and a pipe are no such files: they get everything
 * at once, and stay what they are.
 *
 * It has no name before that where the file system allows it (O_TMPFILE), so that not even kill -9
 * leaves anything; elsewhere it is PATH.XXXXXX, which scratch removes.
 *
 * Threads: one. Failures are reported.
 */
#ifndef CLI_OUT_FILE_H
#define CLI_OUT_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

struct out_file;

/* path NULL or "-": stdout. NULL: it cannot be made. The path is borrowed until the end. */
struct out_file *out_file_open(const char *path);

/* The same of bytes that are not compressed whatever the name is. */
struct out_file *out_file_open_plain(const char *path);

/* After a failure nothing more is written, and the commit fails. */
bool out_file_write(struct out_file *, struct text);

/* Both free it; discard takes NULL, and is false where what was written cannot be taken back. */
bool out_file_commit(struct out_file *);
bool out_file_discard(struct out_file *);

#endif
