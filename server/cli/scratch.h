/*
 * scratch: files that must not outlive the process: removed when it ends, also by Ctrl-C or SIGTERM.
 *
 * Against kill -9 only a file without a name helps (out_file). Threads: one.
 */
#ifndef CLI_SCRATCH_H
#define CLI_SCRATCH_H

#include <stdbool.h>

/* From now on the path, a file or an empty folder, is removed at the end; the newest first. The string
 * is borrowed until scratch_forget(). False: there are too many. */
bool scratch_remember(const char *path);

/* The file has another name now. */
void scratch_forget(const char *path);

/* Removes it now. */
void scratch_remove(const char *path);

#endif
