/*
 * db_file: the file of a database: whether it is there as it must be, and whether it can be read as it is,
 * because nothing of it is in a write-ahead log. Then nothing has to be made beside it, for which there
 * may be no room, or no right.
 *
 * Threads: any.
 */
#ifndef STORE_SQLITE_DB_FILE_H
#define STORE_SQLITE_DB_FILE_H

#include <sqlite3.h>
#include <stdbool.h>

#include "base/status.h"

/* What to do where one that is not at rest cannot be opened. */
#define DB_FILE_ADVICE                                                                             \
	": to read its write-ahead log, files must be made beside it; copy all to where they can"

/* Whether the file is there and has something, or makes it, its folder's owner's. LOG_DAMAGED: it is
 * missing or empty. STORAGE_UNAVAILABLE: it is there and was to be made, or cannot be made or looked at. */
MUST_CHECK enum status db_file_ready(const char *path, bool make, const char **problem);

/* Opens a file that nobody writes meanwhile, as sqlite3_open_v2() does: as it is, if it is at rest. */
int db_file_open_at_rest(const char *path, int flags, sqlite3 **);

#endif
