/*
 * leftovers: files that tools have put aside beside a store, and that may hold content of which the store
 * itself has none any more: what accept-loss and repair keep, backups, files of a reshard that did not end. They
 * are the operator's, who alone knows when they are not needed any more; but what repair took out of a log
 * (DIR.removed-LOG-TIME.ndjson) goes with the log, when it is erased.
 *
 * Threads: any.
 */
#ifndef STORE_LEFTOVERS_H
#define STORE_LEFTOVERS_H

#include <stdbool.h>
#include <stddef.h>

#include "store/engine.h"

/* is_in_the_way: the content that was just removed may be in it, and no command takes it out of there. */
typedef void leftover_visitor(void *cookie, const char *path, bool is_in_the_way);

/* Of a data directory: all that is in it and is none of a store's own files, and DIR.removed-… and DIR.backup-…
 * beside it; at most so many, and so many that are in the way. What cannot be read is passed over. In the way are files of shards, for they have any
 * log's content, and what repair took out that is not of one log alone, or cannot be read. */
void leftovers_visit(const char *dir, size_t max, leftover_visitor *, void *cookie);

/* After a removal, whose status is OK, and of which there is no more: what repair took out of its log is
 * overwritten and removed when all of the log goes; visited, and in the way, is what is still there then: files
 * that have more than the log, those of a log that was redacted, for an action may stand in them at another seq,
 * or of an erasure from a kept list that takes not all; and what cannot be removed, of which the log has why. Done
 * again where it was cut off. Nothing after a prune. */
void leftovers_follow(const char *dir, const struct removal *, size_t max, leftover_visitor *,
		      void *cookie);

#endif
