/*
 * anchor: what a shard is known to have had on the disk, in a small file beside it: a start that finds
 * less than that has lost something, and says so instead of serving a shorter log.
 *
 *     writer: append, fdatasync ─▶ anchor_synced ┄┄▶ applier: anchor_write, at checkpoints, about once a
 *                                                   second, and when it comes to rest
 *
 *     0     slot, 64 bytes:   0   8   "ERanchr" NUL
 *     4096  slot              8   16  the shard's id
 *                             24  u64 turn
 *                             32  u64 last: every commit (a journal record) up to this one was synced
 *                             40  u64 filed: the shard file without its WAL has every transaction of
 *                                     the rows up to this one (schema: in_place.commits)
 *                             48  u64 the file's size then; it never shrinks
 *                             56  8   first half of the BLAKE2b-16 of bytes 0 to 55
 *
 * Integers are big-endian. The slots are written in turn, each by one write and a sync; of those that
 * verify the greater turn counts. So a write that is torn leaves the one before.
 *
 * All is written after what it says is synced, so an anchor that is ahead of the files proves a
 * loss. It is no proof that nothing was lost: what was acknowledged since it was written (about a
 * second under load) rests on the journal alone, and a copy of all of a shard's files, this one
 * included, is one that serves: phones that are ahead of it heal it (protocol, section 7).
 *
 * Threads: anchor_synced() from the writer, the rest from one thread at a time. Errors: as journal_file.
 */
#ifndef STORE_SQLITE_ANCHOR_H
#define STORE_SQLITE_ANCHOR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

#define ANCHOR_ID_SIZE 16 /* of a shard */

struct anchor {
	char *path;
	int fd;
	uint8_t id[ANCHOR_ID_SIZE];
	uint64_t turn, last, filed, size; /* as drawn above */
	_Atomic uint64_t synced;	  /* what the next write will say of `last` */
};

/* shard-00.db has shard-00.anchor beside it. From malloc, NULL when memory is out. */
char *anchor_path(const char *shard_path);

/* Makes the file, which must not be there, and syncs it and its folder. */
MUST_CHECK enum status anchor_create(const char *path, const uint8_t id[ANCHOR_ID_SIZE],
				     uint64_t last, const char **problem);

/* STATUS_LOG_DAMAGED with *problem (base/problem) when it is missing, another shard's, or when neither
 * slot verifies; STATUS_STORAGE_UNAVAILABLE when it cannot be read. */
MUST_CHECK enum status anchor_open(struct anchor *, const char *path,
				   const uint8_t id[ANCHOR_ID_SIZE], bool writable,
				   const char **problem);
void anchor_close(struct anchor *);

/* Every commit up to this one is synced. Costs nothing. */
void anchor_synced(struct anchor *, uint64_t last);

/* The shard file has all transactions up to this one, synced, and so many bytes. */
void anchor_filed(struct anchor *, uint64_t filed, uint64_t size);

/* Writes what is known, and syncs that. */
MUST_CHECK enum status anchor_write(struct anchor *);

#endif
