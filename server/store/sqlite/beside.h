/*
 * beside: the files beside a shard file: their names, and that those names are on the disk.
 */
#ifndef STORE_SQLITE_BESIDE_H
#define STORE_SQLITE_BESIDE_H

#include "base/status.h"

/* shard-00.db and a suffix make shard-00.suffix. From malloc, NULL when memory is out. */
char *beside_path(const char *shard_path, const char *suffix);

/* Logs and counts what errno says of a file; STATUS_STORAGE_UNAVAILABLE. */
enum status beside_failed(const char *path, const char *operation);

/* Syncs the folder that a file is in. STATUS_STORAGE_UNAVAILABLE, logged. */
MUST_CHECK enum status beside_sync_folder(const char *path);

#endif
