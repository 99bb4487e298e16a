/*
 * overwrite: what a shard file keeps of rows that are gone, where nothing stands any more: free pages, and
 * within pages the room between cells. SQLite leaves copies there whenever it moves rows from page to
 * page, and clears none of them, whatever secure_delete says; so the whole file is read once, and what is
 * not yet zero there is written.
 *
 * Such bytes mean nothing to SQLite: readers may read on, and a crash in between leaves a file as good
 * as before. Gaps of three bytes and less stay as they are: they are not listed anywhere. The rest of a
 * long row's last page is zero already: secure_delete has cleared the page before it was used again.
 *
 * The write-ahead log must be empty, and the connection have nothing cached that it would write again.
 *
 * Threads: the db's user, who alone writes the file.
 */
#ifndef STORE_SQLITE_OVERWRITE_H
#define STORE_SQLITE_OVERWRITE_H

#include "base/status.h"
#include "store/sqlite/db.h"

/* Synced. STATUS_LOG_DAMAGED: of malformed pages it is not known what is free; the others are done. */
MUST_CHECK enum status overwrite_free(struct db *);

#endif
