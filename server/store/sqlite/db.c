#include "store/sqlite/db.h"

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/problem.h"
#include "store/sqlite/db_file.h"

/* No string or record is longer; a request's body is bounded far below. */
#define VALUE_SIZE_MAX (256 * 1024 * 1024)

/* How long a checkpoint that wants the WAL for itself waits for readers. */
#define BUSY_MSEC 50

#define PAGE_SIZE_SQL "PRAGMA page_size = 8192"
#define WRITER_CACHE_SQL "PRAGMA cache_size = -16384"
#define READER_CACHE_SQL "PRAGMA cache_size = -2048"

struct statement {
	struct statement *next;
	struct db *db;
	sqlite3_stmt *handle;
	int bind_error; /* the first one since the last reset */
};

struct db {
	sqlite3 *handle;
	char *path;
	struct statement *statements;
	struct statement *begin, *begin_immediate, *commit, *rollback;
	uint64_t wal_pages;
	bool unsynced;	/* commits are not synced */
	bool malformed; /* that is why the last call failed */
};

/* Before a call of SQLite that may fail. */
static void
begin_call(struct db *db)
{
	db->malformed = false;
	errno = 0;
}

/* SQLite says of a page that the disk did not give what it says of a malformed one. What the system said
 * last tells them apart: only what was read can be malformed. */
static void
report(struct db *db, const char *operation, int code)
{
	const int kind = code & 0xff;
	db->malformed = (kind == SQLITE_CORRUPT || kind == SQLITE_NOTADB) && errno != EIO &&
			errno != ENXIO && errno != ERANGE;
	counter_add(COUNTER_STORAGE_FAULTS, 1);
	/* A malformed page is met by whoever asks for what was on it. */
	log_limited(LOG_ERROR, "store", "SQLite failed", LOG_STR("file", db->path),
		    LOG_STR("op", operation), LOG_I64("code", code),
		    LOG_STR("message", sqlite3_errmsg(db->handle)));
}

static int
remember_wal_pages(void *cookie, sqlite3 *handle, const char *name, int pages)
{
	struct db *db = cookie;
	(void)handle;
	(void)name;
	db->wal_pages = (uint64_t)pages;
	return SQLITE_OK;
}

static bool
harden(sqlite3 *handle)
{
	static const struct {
		int option, value;
	} options[] = {
		{SQLITE_DBCONFIG_DEFENSIVE, 1},
		{SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
		{SQLITE_DBCONFIG_DQS_DDL, 0},
		{SQLITE_DBCONFIG_DQS_DML, 0},
		{SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
		{SQLITE_DBCONFIG_ENABLE_VIEW, 0},
		{SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
		{SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1},
	};
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		int rc = sqlite3_db_config(handle, options[i].option, options[i].value, NULL);
		if (rc != SQLITE_OK)
			return false;
	}
	static const struct {
		int limit, value;
	} limits[] = {
		{SQLITE_LIMIT_LENGTH, VALUE_SIZE_MAX},
		{SQLITE_LIMIT_SQL_LENGTH, 64 * 1024},
		{SQLITE_LIMIT_COLUMN, 64},
		{SQLITE_LIMIT_EXPR_DEPTH, 64},
		{SQLITE_LIMIT_COMPOUND_SELECT, 8},
		{SQLITE_LIMIT_FUNCTION_ARG, 16},
		{SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 64},
		{SQLITE_LIMIT_VARIABLE_NUMBER, 16},
		{SQLITE_LIMIT_TRIGGER_DEPTH, 1},
		{SQLITE_LIMIT_WORKER_THREADS, 0},
		{SQLITE_LIMIT_ATTACHED, 0},
	};
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		sqlite3_limit(handle, limits[i].limit, limits[i].value);
	return true;
}

static enum status
set_up(struct db *db, enum db_access access)
{
	if (sqlite3_extended_result_codes(db->handle, 1) != SQLITE_OK || !harden(db->handle) ||
	    sqlite3_busy_timeout(db->handle, BUSY_MSEC) != SQLITE_OK)
		return STATUS_STORAGE_UNAVAILABLE;
	static const char *const pragmas[] = {
		"PRAGMA mmap_size = 0",	   "PRAGMA cell_size_check = 1", "PRAGMA temp_store = 2",
		"PRAGMA foreign_keys = 0", "PRAGMA synchronous = FULL",	 "PRAGMA secure_delete = 1",
	};
	for (size_t i = 0; i < sizeof(pragmas) / sizeof(pragmas[0]); i++) {
		if (db_run(db, pragmas[i]) != STATUS_OK)
			return STATUS_STORAGE_UNAVAILABLE;
	}
	if (access == DB_CREATE && db_run(db, PAGE_SIZE_SQL) != STATUS_OK)
		return STATUS_STORAGE_UNAVAILABLE;
	if (db_run(db, access >= DB_READ ? READER_CACHE_SQL : WRITER_CACHE_SQL) != STATUS_OK)
		return STATUS_STORAGE_UNAVAILABLE;

	/* The hook takes the place of SQLite's own checkpoint after so many pages: checkpoint
	 * says when. */
	sqlite3_wal_hook(db->handle, remember_wal_pages, db);
	if (db_prepare(db, "BEGIN", &db->begin) != STATUS_OK ||
	    db_prepare(db, "BEGIN IMMEDIATE", &db->begin_immediate) != STATUS_OK ||
	    db_prepare(db, "COMMIT", &db->commit) != STATUS_OK ||
	    db_prepare(db, "ROLLBACK", &db->rollback) != STATUS_OK)
		return STATUS_STORAGE_UNAVAILABLE;
	return STATUS_OK;
}

static void
configure_once(void)
{
	/* Counting every allocation takes a process-wide lock. Fails only if SQLite is in use
	 * already, and then costs nothing but time. */
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

/* SQLite says neither why, nor which of the three it is. Empty where the system did not refuse one. */
static void
say_system_error(const struct db *db, char *text, size_t size)
{
	const int error = sqlite3_system_errno(db->handle);

	if ((sqlite3_errcode(db->handle) & 0xff) == SQLITE_CANTOPEN && error != 0)
		(void)snprintf(text, size, ": it, its -wal or its -shm: %s", strerror(error));
}

enum status
db_open(const char *path, enum db_access access, struct db **out, const char **problem)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	CHECK(pthread_once(&once, configure_once) == 0);
	*out = NULL;
	enum status status = db_file_ready(path, access == DB_CREATE, problem);
	if (status != STATUS_OK)
		return status;
	struct db *db = calloc(1, sizeof(*db));
	if (db != NULL)
		db->path = strdup(path);
	if (db == NULL || db->path == NULL) {
		free(db);
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "out of memory");
	}
	int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
	flags |= access >= DB_READ ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
	int rc = access == DB_READ_AT_REST ? db_file_open_at_rest(path, flags, &db->handle)
					   : sqlite3_open_v2(path, &db->handle, flags, NULL);
	if (rc != SQLITE_OK || set_up(db, access) != STATUS_OK) {
		if (rc != SQLITE_OK)
			report(db, "open", rc);
		/* Its first transaction was cut off, though others came after it. */
		const bool is_hot =
			sqlite3_extended_errcode(db->handle) == SQLITE_READONLY_ROLLBACK;
		const bool is_damaged = db->malformed || is_hot;
		status = is_damaged ? STATUS_LOG_DAMAGED : STATUS_STORAGE_UNAVAILABLE;
		char reason[96] = "";
		say_system_error(db, reason, sizeof(reason));
		(void)problem_set(problem, status, "%s cannot be opened as a database (%s%s)%s",
				  path, sqlite3_errmsg(db->handle), reason,
				  access == DB_READ_AT_REST && !is_damaged ? DB_FILE_ADVICE : "");
		db_close(db);
		return status;
	}
	*out = db;
	return STATUS_OK;
}

enum status
db_use_wal(struct db *db)
{
	sqlite3_stmt *handle = NULL;
	bool wal = false;
	begin_call(db);
	int rc = sqlite3_prepare_v2(db->handle, "PRAGMA journal_mode = WAL", -1, &handle, NULL);
	if (rc == SQLITE_OK && sqlite3_step(handle) == SQLITE_ROW) {
		const unsigned char *mode = sqlite3_column_text(handle, 0);
		wal = mode != NULL && strcmp((const char *)mode, "wal") == 0;
	}
	/* It says so before the file does: that is written at the end, and may fail. */
	if (rc == SQLITE_OK)
		rc = sqlite3_finalize(handle);
	if (wal && rc == SQLITE_OK)
		return STATUS_OK;
	report(db, "journal_mode = WAL", rc);
	return STATUS_STORAGE_UNAVAILABLE;
}

void
db_close(struct db *db)
{
	if (db == NULL)
		return;
	while (db->statements != NULL) {
		struct statement *statement = db->statements;
		db->statements = statement->next;
		sqlite3_finalize(statement->handle);
		free(statement);
	}
	CHECK(sqlite3_close(db->handle) == SQLITE_OK);
	free(db->path);
	free(db);
}

enum status
db_run(struct db *db, const char *sql)
{
	begin_call(db);
	int rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		return STATUS_OK;
	report(db, sql, rc);
	return STATUS_STORAGE_UNAVAILABLE;
}

enum status
db_query_u64(struct db *db, const char *sql, uint64_t *value)
{
	sqlite3_stmt *handle = NULL;
	begin_call(db);
	int rc = sqlite3_prepare_v2(db->handle, sql, -1, &handle, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(handle);
	if (rc == SQLITE_ROW)
		*value = (uint64_t)sqlite3_column_int64(handle, 0);
	else
		report(db, sql, rc);
	sqlite3_finalize(handle);
	return rc == SQLITE_ROW ? STATUS_OK : STATUS_STORAGE_UNAVAILABLE;
}

enum status
db_prepare(struct db *db, const char *sql, struct statement **out)
{
	begin_call(db);
	struct statement *statement = calloc(1, sizeof(*statement));
	int rc = SQLITE_NOMEM;
	if (statement != NULL)
		rc = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT,
					&statement->handle, NULL);
	if (rc != SQLITE_OK) {
		report(db, sql, rc);
		free(statement);
		return STATUS_STORAGE_UNAVAILABLE;
	}
	statement->db = db;
	statement->next = db->statements;
	db->statements = statement;
	*out = statement;
	return STATUS_OK;
}

enum status
db_begin(struct db *db, bool immediate)
{
	return statement_run(immediate ? db->begin_immediate : db->begin);
}

enum status
db_commit(struct db *db)
{
	return statement_run(db->commit);
}

enum status
db_sync_commits(struct db *db, bool sync)
{
	if (sync == !db->unsynced)
		return STATUS_OK;
	enum status status =
		db_run(db, sync ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
	if (status == STATUS_OK)
		db->unsynced = !sync;
	return status;
}

void
db_rollback(struct db *db)
{
	/* SQLite may have rolled back by itself, so this may fail with nothing to do. */
	if (sqlite3_get_autocommit(db->handle) == 0) {
		(void)sqlite3_step(db->rollback->handle);
		(void)sqlite3_reset(db->rollback->handle);
	}
}

uint64_t
db_changes(const struct db *db)
{
	return (uint64_t)sqlite3_changes64(db->handle);
}

struct sqlite3 *
db_handle(struct db *db)
{
	return db->handle;
}

void
db_forget_pages(struct db *db)
{
	(void)sqlite3_db_release_memory(db->handle);
}

uint64_t
db_wal_pages(const struct db *db)
{
	return db->wal_pages;
}

enum status
db_checkpoint(struct db *db, enum checkpoint kind, bool *complete)
{
	static const int modes[] = {
		[CHECKPOINT_PASSIVE] = SQLITE_CHECKPOINT_PASSIVE,
		[CHECKPOINT_RESTART] = SQLITE_CHECKPOINT_RESTART,
		[CHECKPOINT_TRUNCATE] = SQLITE_CHECKPOINT_TRUNCATE,
	};
	int pages = 0, moved = 0;
	begin_call(db);
	int rc = sqlite3_wal_checkpoint_v2(db->handle, NULL, modes[kind], &pages, &moved);
	if (rc != SQLITE_OK && rc != SQLITE_BUSY) {
		report(db, "checkpoint", rc);
		return STATUS_STORAGE_UNAVAILABLE;
	}
	/* Readers that are in the way of beginning the WAL anew will not be for ever. */
	*complete =
		pages == moved && (rc == SQLITE_OK || (kind != CHECKPOINT_TRUNCATE && pages >= 0));
	if (kind == CHECKPOINT_TRUNCATE && *complete)
		db->wal_pages = 0;
	return STATUS_OK;
}

bool
db_is_malformed(const struct db *db)
{
	return db->malformed;
}

const char *
db_path(const struct db *db)
{
	return db->path;
}

static void
remember_bind(struct statement *statement, int rc)
{
	if (rc != SQLITE_OK && statement->bind_error == SQLITE_OK)
		statement->bind_error = rc;
}

void
statement_bind_u64(struct statement *statement, int index, uint64_t value)
{
	remember_bind(statement, sqlite3_bind_int64(statement->handle, index, (int64_t)value));
}

void
statement_bind_text(struct statement *statement, int index, struct text text)
{
	const char *data = text.size == 0 ? "" : text.data;
	remember_bind(statement, sqlite3_bind_text64(statement->handle, index, data, text.size,
						     SQLITE_STATIC, SQLITE_UTF8));
}

void
statement_bind_blob(struct statement *statement, int index, const void *data, size_t size)
{
	remember_bind(statement,
		      sqlite3_bind_blob64(statement->handle, index, data, size, SQLITE_STATIC));
}

void
statement_bind_hash(struct statement *statement, int index, const struct hash *hash)
{
	statement_bind_blob(statement, index, hash->bytes, HASH_SIZE);
}

enum step
statement_step(struct statement *statement)
{
	int rc = statement->bind_error;
	begin_call(statement->db);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(statement->handle);
	if (rc == SQLITE_ROW)
		return STEP_ROW;
	if (rc == SQLITE_DONE)
		return STEP_DONE;
	report(statement->db, sqlite3_sql(statement->handle), rc);
	/* What the schema does not let be is there already: rows have rotted. */
	const bool is_rot = statement->db->malformed || (rc & 0xff) == SQLITE_CONSTRAINT;
	return is_rot ? STEP_DAMAGED : STEP_FAULT;
}

void
statement_reset(struct statement *statement)
{
	/* Repeats the error of the last step, which has been reported. */
	(void)sqlite3_reset(statement->handle);
	statement->bind_error = SQLITE_OK;
}

enum status
statement_run(struct statement *statement)
{
	enum step step = statement_step(statement);
	statement_reset(statement);
	return step == STEP_DONE ? STATUS_OK : STATUS_STORAGE_UNAVAILABLE;
}

bool
statement_is_null(struct statement *statement, int column)
{
	return sqlite3_column_type(statement->handle, column) == SQLITE_NULL;
}

uint64_t
statement_u64(struct statement *statement, int column)
{
	return (uint64_t)sqlite3_column_int64(statement->handle, column);
}

struct text
statement_text(struct statement *statement, int column)
{
	const void *data = sqlite3_column_blob(statement->handle, column);
	int size = sqlite3_column_bytes(statement->handle, column);
	if (data == NULL || size <= 0)
		return TEXT("");
	return (struct text){data, (size_t)size};
}

bool
statement_hash(struct statement *statement, int column, struct hash *hash)
{
	struct text bytes = statement_text(statement, column);
	if (bytes.size != HASH_SIZE)
		return false;
	memcpy(hash->bytes, bytes.data, HASH_SIZE);
	return true;
}

enum status
step_status(enum step step)
{
	switch (step) {
	case STEP_ROW:
		return STATUS_OK;
	case STEP_DONE:
	case STEP_DAMAGED:
		return STATUS_LOG_DAMAGED;
	case STEP_FAULT:
		break;
	}
	return STATUS_STORAGE_UNAVAILABLE;
}
