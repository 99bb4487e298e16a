/*
 * journal_file: a file of acknowledged groups, kept until they are in place: appended to and synced a
 * group at a time, and begun anew from its start when all that it holds is in place.
 *
 *     0   8   "ERjrnl1" NUL
 *     8   16  the shard's id
 *     24  16  key of this generation: random
 *     40  u64 generation
 *     48  u64 id of the generation's first record
 *     56  8   first half of the BLAKE2b-16 of bytes 0 to 55
 *     64      frames (journal_frame), each at a multiple of 8, filled up with zeros:
 *             0   u32  size of the record
 *             4   u32  index of the record in its group
 *             8   u64  id of the record
 *             16  16   BLAKE2b-16 under the key of bytes 0 to 15 and of the record's checksum
 *             32       the record (journal)
 *
 * Integers are big-endian. A file is overwritten and not truncated, since writing over blocks that
 * are there costs a sync nothing but the data. What an older generation left behind has another
 * key; so has what a client puts into a payload, whatever it is.
 *
 * Threads: one user at a time. Errors: STATUS_STORAGE_UNAVAILABLE, logged once where it happened;
 * after a failed append nothing but closing is left, for it is not known what is on the disk.
 */
#ifndef STORE_SQLITE_JOURNAL_FILE_H
#define STORE_SQLITE_JOURNAL_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "store/sqlite/journal_frame.h"
#include "store/sqlite/tail_batch.h"

#define JOURNAL_ID_SIZE 16 /* of a shard */
#define JOURNAL_HEAD_SIZE ((size_t)64)

struct journal_file {
	char *path;
	int fd;
	uint8_t id[JOURNAL_ID_SIZE];
	uint8_t key[JOURNAL_KEY_SIZE];
	uint64_t generation; /* 0: it has never been begun */
	uint64_t first_id;   /* of the generation */
	uint64_t end;	     /* where the next group goes; 0 until it is begun */
};

/* The path of one of a shard file's two: shard-00.db has shard-00.journal-0 and shard-00.journal-1
 * beside it. From malloc, NULL when memory is out. */
char *journal_file_path(const char *shard_path, unsigned which);

/* Makes the file, which must not be there, and syncs it and its folder. *problem as in open. */
MUST_CHECK enum status journal_file_create(const char *path, const uint8_t id[JOURNAL_ID_SIZE],
					   const char **problem);

/* Opens the shard's own. *problem (base/problem) with STATUS_LOG_DAMAGED when it is missing, another's,
 * or its head has rotted, with STATUS_STORAGE_UNAVAILABLE when it cannot be read. */
MUST_CHECK enum status journal_file_open(struct journal_file *, const char *path,
					 const uint8_t id[JOURNAL_ID_SIZE], bool writable,
					 const char **problem);
void journal_file_close(struct journal_file *);

/* From now on groups are of this generation, from the file's start; all that it held is in place and
 * synced there. Is on the disk with the first group. */
MUST_CHECK enum status journal_file_begin(struct journal_file *, uint64_t generation,
					  uint64_t first_id);

/* Appends batches linked by next, which have their journal_id, and syncs. */
MUST_CHECK enum status journal_file_append(struct journal_file *, struct tail_batch *first);

/* All that it holds is in place and synced there: it gives its room back. */
MUST_CHECK enum status journal_file_empty(struct journal_file *);

/* Logs and counts what errno says; the status to return. For journal_read. */
enum status journal_file_failed(const char *path, const char *operation);

#endif
