/*
 * file: a small file, read whole; whether others can read or write it; whether it is another than before.
 *
 * Threads: none of its own.
 */
#ifndef AUTH_FILE_H
#define AUTH_FILE_H

#include <stdbool.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/status.h"

/* What tells a file from what it was; zeroed: there was none. */
struct file_stamp {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec changed, modified;
};

struct file {
	struct file_stamp stamp; /* as it was before it was read; also on failure */
	bool is_guarded;	 /* neither its group nor others can write it */
	bool is_private;	 /* nor can others read it */
};

/* Into an empty buffer that has its maximum. On failure *problem (base/problem). */
MUST_CHECK enum status file_read(const char *path, struct buffer *, struct file *,
				 const char **problem);

/* Whether the path now names something else. */
bool file_has_changed(const char *path, const struct file_stamp *);

#endif
