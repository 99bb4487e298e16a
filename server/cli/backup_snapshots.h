/*
 * backup_snapshots: a backup's snapshots. They come and go while a daemon runs: one that was not there when it
 * was looked for is not needed, and one that was erased while it was copied is none.
 *
 * Threads: one. Failures are reported.
 */
#ifndef CLI_BACKUP_SNAPSHOTS_H
#define CLI_BACKUP_SNAPSHOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "store/directory.h"

struct backup_snapshots {
	const char *from, *to; /* data directories */
	uint64_t rate;
	void (*progress)(void *cookie, uint64_t bytes);
	void *cookie;
};

/* Copies those that are not in `to` yet. */
bool backup_snapshots_copy(const struct backup_snapshots *);

/* After the shards, and once more at the end: what of the copy is not whole goes, and, overwritten, what was
 * made from content that is gone from the copied shards: of erased logs all, and of logs with redacted actions
 * those that are not at the source any more, for a redaction takes away those that were made before it. */
bool backup_snapshots_check(const struct backup_snapshots *, const struct directory *into);

#endif
