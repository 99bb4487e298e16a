/*
 * phone_sql: what phone_store.c (the file, and SQLite in small words) offers phone_rows.c (the
 * operations on rows). Nobody else includes this.
 *
 * A statement is prepared once and kept. sql_prepare hands it out ready to bind; what is bound must
 * live until it ran. It ends by itself after its last row or a failure; who stops earlier calls
 * sql_end, so that no read lock is held. Failures are reported where they happen.
 */
#ifndef CLI_PHONE_SQL_H
#define CLI_PHONE_SQL_H

#include <stdint.h>

#include "base/status.h"
#include "cli/phone_chain.h"
#include "cli/phone_schema.h"

struct sqlite3;
struct sqlite3_stmt;

struct phone_store {
	struct sqlite3 *db;
	struct sqlite3_stmt *statements[STATEMENT_COUNT];
	int lock;
	char *path; /* for messages */
	char device[DEVICE_SIZE_MAX];
	size_t device_size;
	char log[LOG_NAME_SIZE_MAX];
	size_t log_size;
	struct hash genesis;
	struct position base;
	struct position base_committed; /* what an abort goes back to */
	struct position start, start_committed;
	int64_t offset;
	/* Each stamp in [taken_first, taken_end) is known to be taken by the own device: so many
	 * actions that are stamped at once do not each walk over those before them. */
	uint64_t taken_first, taken_end;
};

struct sqlite3_stmt *sql_prepare(struct phone_store *, enum statement);
void sql_end(struct sqlite3_stmt *);

/* Parameters count from 1. */
void sql_bind_u64(struct sqlite3_stmt *, int index, uint64_t);
void sql_bind_i64(struct sqlite3_stmt *, int index, int64_t);
void sql_bind_null(struct sqlite3_stmt *, int index);
void sql_bind_text(struct sqlite3_stmt *, int index, struct text);
void sql_bind_hash(struct sqlite3_stmt *, int index, const struct hash *);

/* device, ts, type, payload, digest as parameters 1 to 5. */
void sql_bind_action(struct sqlite3_stmt *, const struct phone_action *);

/* Runs a statement that gives no row. */
MUST_CHECK enum status sql_run(struct phone_store *, struct sqlite3_stmt *);

/* Steps to the next row: STATUS_OK, or STATUS_NOT_FOUND behind the last. */
MUST_CHECK enum status sql_next(struct phone_store *, struct sqlite3_stmt *);

/* The number that a statement's only row gives; STATUS_NOT_FOUND when it gives none. */
MUST_CHECK enum status sql_number(struct phone_store *, struct sqlite3_stmt *, int64_t *value);

/* Columns count from 0. Texts live until the statement moves on. A hash of another size than a
 * hash's is a damaged file: it is read as zeros, which never verify. */
int64_t sql_i64(struct sqlite3_stmt *, int column);
uint64_t sql_u64(struct sqlite3_stmt *, int column);
struct text sql_text(struct sqlite3_stmt *, int column);
struct hash sql_hash(struct sqlite3_stmt *, int column);

/* What sql_bind_action wrote, as columns 0 to 4. */
struct phone_action sql_action(struct sqlite3_stmt *);

#endif
