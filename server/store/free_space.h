/*
 * free_space: whether the data directory's disk has room for writes. A disk that is full to the last
 * byte leaves no room to put in place what is acknowledged, nor to remove anything; so writes end
 * before, at a low-water mark, while reads go on.
 *
 * Whoever asks first in a second looks at the disk. Below the mark there is no room; there is again
 * a sixteenth above it, so that the answer does not change to and fro. Each change is logged.
 *
 * Threads: all functions from any thread.
 */
#ifndef STORE_FREE_SPACE_H
#define STORE_FREE_SPACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define FREE_SPACE_LOOK_MSEC 1000

struct free_space {
	const char *dir; /* borrowed */

	/* How many bytes the directory's disk has left for this process; false when that cannot be told. */
	bool (*look)(const char *dir, uint64_t *bytes);

	_Atomic uint64_t mark;
	_Atomic uint64_t next_look_msec;
	atomic_bool low;
};

/* A mark of 0: there is always room. */
void free_space_init(struct free_space *, const char *dir, uint64_t mark);

/* Takes effect at once. */
void free_space_set_mark(struct free_space *, uint64_t mark);

bool free_space_is_low(struct free_space *, uint64_t now_msec);

#endif
