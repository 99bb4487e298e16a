/*
 * beside: the files of a data directory: how they are made, their names, and that those names are on the disk.
 */
#ifndef STORE_SQLITE_BESIDE_H
#define STORE_SQLITE_BESIDE_H

#include <stdbool.h>

#include "base/status.h"

/* shard-00.db and a suffix make shard-00.suffix. From malloc, NULL when memory is out. */
char *beside_path(const char *shard_path, const char *suffix);

/* What root makes is the daemon's user's, who owns the folder that it is in. False: errno says why not. */
MUST_CHECK bool beside_give(int fd, const char *path);

/* Makes a file that must not be there, for reading and writing, and gives it. The descriptor; -1: errno says
 * why there is none. */
int beside_make(const char *path);

/* Logs and counts what errno says of a file; STATUS_STORAGE_UNAVAILABLE. */
enum status beside_failed(const char *path, const char *operation);

/* Syncs the folder that a file is in. STATUS_STORAGE_UNAVAILABLE, logged. */
MUST_CHECK enum status beside_sync_folder(const char *path);

#endif
