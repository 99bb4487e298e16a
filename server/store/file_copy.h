/*
 * file_copy: a file's bytes into a new one, summed as they pass, at a bounded rate, and synced.
 *
 * Threads: one call has one thread. Errors: STATUS_STORAGE_UNAVAILABLE with *problem (base/problem); what
 * there is of the new file is left.
 */
#ifndef STORE_FILE_COPY_H
#define STORE_FILE_COPY_H

#include <stdint.h>

#include "base/status.h"

#define FILE_SUM_SIZE 32

struct file_sum {
	uint64_t bytes;
	uint8_t sum[FILE_SUM_SIZE]; /* BLAKE2b */
};

struct file_copy {
	const char *from;
	const char *to; /* must not be there; NULL: it is only summed */
	uint64_t rate;	/* bytes a second; 0: no limit */

	/* Now and then: so many bytes more. */
	void (*progress)(void *cookie, uint64_t bytes);
	void *cookie;
};

MUST_CHECK enum status file_copy(const struct file_copy *, struct file_sum *, const char **problem);

#endif
