/*
 * alone: what a shard file has by itself, without its write-ahead log, and whether that log has anything:
 * what tells a file or a WAL that is older than the other.
 *
 * Threads: one call has one thread. Nothing is changed, and no lock is taken or lost.
 */
#ifndef STORE_SQLITE_ALONE_H
#define STORE_SQLITE_ALONE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

struct alone {
	uint64_t size;
	bool is_readable; /* not while pages are being moved into it, which a crash may have cut off */
	uint64_t commits; /* in_place.commits, as far as pages were moved */
	bool wal_has_commit;
};

MUST_CHECK enum status alone_look(const char *path, struct alone *);

#endif
