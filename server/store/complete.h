/*
 * complete: the files beside a shard file that is at rest and by itself: two journals that hold nothing, and
 * an anchor that says what the file has, and nothing of what any other copy of it may have had.
 *
 * Threads: one call has one thread.
 */
#ifndef STORE_COMPLETE_H
#define STORE_COMPLETE_H

#include <stdint.h>

#include "base/status.h"

/* path: without a write-ahead log. All that it makes must not be there yet, and is synced. *problem: see
 * base/problem. */
MUST_CHECK enum status complete_shard(const char *path, const uint8_t *id, const char **problem);

#endif
