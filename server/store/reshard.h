/*
 * reshard: a stopped store's logs in another number of shard files.
 *
 *     settle ─▶ begin ─▶ copy, log by log ─▶ compare, row by row ─▶ (verified by the caller) ─▶ switch ─▶ clean
 *                │                                                                               │
 *     DIR/shards-N/source, manifest                                        DIR/manifest names DIR/shards-N
 *
 * The new files are made in a folder of their own, which nothing knows before the manifest names it: that is
 * the one step in which they come into force. What a crash leaves in it is gone on with, by the logs that are
 * there to their end, as long as `source` says of the old files what they still are; else it is begun anew.
 * Logs get new numbers; nothing else of their rows is changed (log_rows).
 *
 * The caller holds the lock of the directory, and has verified it: here nothing is. Threads: one. Errors:
 * STATUS_STORAGE_UNAVAILABLE with *problem (base/problem).
 */
#ifndef STORE_RESHARD_H
#define STORE_RESHARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "store/directory.h"

struct reshard {
	const struct directory *from;
	unsigned shards; /* a power of two, not that of from */

	/* Now and then: so many actions more. May end the process. */
	void (*progress)(void *cookie, uint64_t actions);
	void *cookie;

	/* made by reshard_begin() */
	struct directory to; /* for readers, and reshard_release() */
	char *folder;
	bool is_resumed;

	/* made by reshard_copy() */
	uint64_t logs, logs_resumed; /* of them, that were there already */
};

/* Puts in place what a shard's journal holds, as a start would. *problem. */
MUST_CHECK enum status reshard_settle(const struct directory *, unsigned shard,
				      const char **problem);

MUST_CHECK enum status reshard_begin(struct reshard *, const char **problem);
void reshard_release(struct reshard *);

MUST_CHECK enum status reshard_copy(struct reshard *, const char **problem);

/* STATUS_LOG_DAMAGED: something is not the same. */
MUST_CHECK enum status reshard_compare(struct reshard *, const char **problem);

MUST_CHECK enum status reshard_switch(struct reshard *, const char **problem);

/* Removes what a directory has of shards that its manifest does not name: the old ones, or what an unfinished
 * reshard left. What repair and accept-loss have kept stays, in the directory itself. */
MUST_CHECK enum status reshard_clean(const struct directory *, const char **problem);

/* The same when content has been removed, which the copies of a reshard that was cut off may still have. Only
 * what is known for a copy goes: a folder that the manifest does not name and that has `source`, or no shard
 * files; and all that is not in force while the folder that is has `source`, for then it was made of that;
 * and nothing while a shard file is missing or put aside, of which a copy may be all that is left. Whether the
 * shards that are there are whole, the caller has seen.
 * No work is lost by it: with what was removed the old files have changed, and a reshard begins anew. What
 * cannot be removed is logged, and left. By who holds the lock; from several threads. */
void reshard_drop(const struct directory *);

/* Whether there is anything that it could remove. */
bool reshard_has_left(const struct directory *);

/* Before something is given up of which a copy may be all that is left: from then on nothing that a reshard left
 * is known for a copy. *problem. */
MUST_CHECK enum status reshard_keep(const struct directory *, const char **problem);

#endif
