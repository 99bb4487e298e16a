/*
 * db: the door to SQLite: open, harden, prepare, step, checkpoint.
 *
 * A statement belongs to its db and is finalised with it. Binding borrows: the bytes must live
 * until the statement is reset. A binding that fails makes the next step fail. Column texts live
 * until the next step or reset.
 *
 * Errors: every fault is logged here, once, with the file, the statement and SQLite's message, and
 * counted; callers only pass the outcome on.
 *
 * Threads: one connection has one user at a time.
 */
#ifndef STORE_SQLITE_DB_H
#define STORE_SQLITE_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "chain/chain.h"

struct db;
struct statement;

enum db_access {
	DB_CREATE, /* the file must not be there */
	DB_WRITE,
	DB_READ,	 /* this and the next never write, never checkpoint */
	DB_READ_AT_REST, /* nobody writes it meanwhile: also where nothing can be made beside it, unless it
			    has a write-ahead log to read */
};

/* What a step came to. STEP_DAMAGED: SQLite found the file malformed where it looked, or rows that a
 * constraint does not allow beside what was to be written. A transaction that writes can then only be
 * rolled back. A page that the disk did not give is a fault. */
enum step { STEP_ROW, STEP_DONE, STEP_DAMAGED, STEP_FAULT };

enum checkpoint { CHECKPOINT_PASSIVE, CHECKPOINT_RESTART, CHECKPOINT_TRUNCATE };

/*
 * Opens and hardens. Changes nothing in a file that is there: a writer calls db_use_wal() once it
 * knows that the file is its own. On failure *problem says what and why; STATUS_LOG_DAMAGED: the file is
 * missing, empty or no database.
 */
MUST_CHECK enum status db_open(const char *path, enum db_access, struct db **,
			       const char **problem);

/* Write-ahead log, and a sync with every commit. */
MUST_CHECK enum status db_use_wal(struct db *);

/* Takes NULL. Never checkpoints, never removes the WAL. */
void db_close(struct db *);

/* Runs statements that give no rows. */
MUST_CHECK enum status db_run(struct db *, const char *sql);

/* The first column of the first row of a query, as an integer. */
MUST_CHECK enum status db_query_u64(struct db *, const char *sql, uint64_t *value);

MUST_CHECK enum status db_prepare(struct db *, const char *sql, struct statement **);

/* immediate: takes the write lock at once. */
MUST_CHECK enum status db_begin(struct db *, bool immediate);
MUST_CHECK enum status db_commit(struct db *);

/* Whether commits from now on are synced, as they are from db_use_wal() on. One that is not survives
 * the process, and the machine together with the next one that is: the write-ahead log keeps their
 * order. Not inside a transaction. */
MUST_CHECK enum status db_sync_commits(struct db *, bool sync);
void db_rollback(struct db *); /* also ends a read; an error has nothing to add */

/* Rows that the last INSERT, UPDATE or DELETE changed. */
uint64_t db_changes(const struct db *);

/* Forgets cached pages, so that the next read comes from the file. */
void db_forget_pages(struct db *);

/* Pages in the WAL after the newest commit of this connection. */
uint64_t db_wal_pages(const struct db *);

/* *complete: the whole WAL is in the file (and gone, for CHECKPOINT_TRUNCATE): where it is, the next
 * transaction may begin the WAL anew. Readers in the way are no error. */
MUST_CHECK enum status db_checkpoint(struct db *, enum checkpoint, bool *complete);

/* Whether the last call failed because the file is malformed, and not for the disk. */
bool db_is_malformed(const struct db *);

const char *db_path(const struct db *);

/* For this folder's rooms that need more of SQLite. */
struct sqlite3;
struct sqlite3 *db_handle(struct db *);

void statement_bind_u64(struct statement *, int index, uint64_t);
void statement_bind_text(struct statement *, int index, struct text);
void statement_bind_blob(struct statement *, int index, const void *, size_t);
void statement_bind_hash(struct statement *, int index, const struct hash *);

MUST_CHECK enum step statement_step(struct statement *);
void statement_reset(struct statement *);

/* Steps a statement that gives no rows, and resets it. */
MUST_CHECK enum status statement_run(struct statement *);

bool statement_is_null(struct statement *, int column);
uint64_t statement_u64(struct statement *, int column);
struct text statement_text(struct statement *, int column); /* of a TEXT or BLOB */

/* False when the column is not exactly a hash. */
MUST_CHECK bool statement_hash(struct statement *, int column, struct hash *);

/* What a step that gave no row means to who reads a log. */
enum status step_status(enum step);

#endif
