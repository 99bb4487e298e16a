/*
 * shard_file: one file's identity and schema: that it is a shard file, of a version this program
 * knows, and the shard that was asked for; makes and migrates it.
 */
#ifndef STORE_SQLITE_SHARD_FILE_H
#define STORE_SQLITE_SHARD_FILE_H

#include <stdint.h>

#include "base/status.h"
#include "store/sqlite/db.h"
#include "store/sqlite/sqlite_engine.h"

/* The `shard` row. */
struct shard_identity {
	unsigned number, shards;
	uint8_t id[SHARD_ID_SIZE];
};

/* Both say in *problem (base/problem) why they fail. STATUS_LOG_DAMAGED: the file is missing, no database,
 * or another's; STATUS_MALFORMED: of a version that this program does not know. */

/* Opens for the writer: makes the file or checks it, migrates it to this program's version. */
MUST_CHECK enum status shard_file_open(const char *path, bool create, const struct shard_identity *,
				       struct db **, const char **problem);

/* Opens for reading only, as the file is; it must be of this program's version. NULL identity:
 * whichever shard it is. */
MUST_CHECK enum status shard_file_open_read(const char *path, const struct shard_identity *,
					    struct db **, const char **problem);

#endif
