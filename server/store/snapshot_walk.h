/*
 * snapshot_walk: all snapshots that there are, and the logs that have one. Changes nothing.
 *
 * Threads: any.
 * Errors: STATUS_STORAGE_UNAVAILABLE is a fault of the disk, logged and counted.
 */
#ifndef STORE_SNAPSHOT_WALK_H
#define STORE_SNAPSHOT_WALK_H

#include <stdbool.h>

#include "base/status.h"
#include "store/snapshots.h"

/* Reads and verifies every snapshot. facts: NULL if the file does not verify, or is not what its name says. */
typedef void snapshot_finder(void *cookie, const char *path, const struct snapshot_facts *facts);
MUST_CHECK enum status snapshots_audit(const struct snapshots *, snapshot_finder *, void *cookie);

/* Each log that has a snapshot, in the order of their genesis links, after one of those (NULL: from the
 * first): what the head of its oldest says. False ends it. */
typedef bool snapshot_log_visitor(void *cookie, const struct snapshot_facts *oldest);
MUST_CHECK enum status snapshots_logs(const struct snapshots *, const struct hash *after,
				      snapshot_log_visitor *, void *cookie);

#endif
