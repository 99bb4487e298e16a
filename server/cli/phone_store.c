#include "cli/phone_store.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "cli/phone_lock.h"
#include "cli/phone_sql.h"
#include "cli/report.h"

#define DEVICE_RANDOM_SIZE 16

static enum status
fault(const struct phone_store *store)
{
	report_error("state file %s: %s", store->path,
		     store->db != NULL ? sqlite3_errmsg(store->db) : strerror(errno));
	return STATUS_STORAGE_UNAVAILABLE;
}

sqlite3_stmt *
sql_prepare(struct phone_store *store, enum statement which)
{
	sqlite3_reset(store->statements[which]);
	return store->statements[which];
}

void
sql_bind_u64(sqlite3_stmt *statement, int index, uint64_t value)
{
	sqlite3_bind_int64(statement, index, (sqlite3_int64)value);
}

void
sql_bind_i64(sqlite3_stmt *statement, int index, int64_t value)
{
	sqlite3_bind_int64(statement, index, value);
}

void
sql_bind_null(sqlite3_stmt *statement, int index)
{
	sqlite3_bind_null(statement, index);
}

void
sql_bind_text(sqlite3_stmt *statement, int index, struct text text)
{
	sqlite3_bind_text(statement, index, text.data, (int)text.size, SQLITE_STATIC);
}

void
sql_bind_hash(sqlite3_stmt *statement, int index, const struct hash *hash)
{
	sqlite3_bind_blob(statement, index, hash->bytes, HASH_SIZE, SQLITE_STATIC);
}

void
sql_bind_action(sqlite3_stmt *statement, const struct phone_action *kept)
{
	const struct action *action = &kept->action;

	sql_bind_text(statement, 1, action->device);
	sql_bind_u64(statement, 2, action->ts);
	if (kept->redacted) {
		sqlite3_bind_null(statement, 3);
		sqlite3_bind_null(statement, 4);
	} else {
		sql_bind_text(statement, 3, action->type);
		sqlite3_bind_blob(statement, 4,
				  action->payload.size > 0 ? action->payload.data : "",
				  (int)action->payload.size, SQLITE_STATIC);
	}
	sql_bind_hash(statement, 5, &kept->digest);
}

enum status
sql_run(struct phone_store *store, sqlite3_stmt *statement)
{
	int code = sqlite3_step(statement);

	if (code != SQLITE_DONE) {
		enum status status = fault(store);

		sqlite3_reset(statement);
		return status;
	}
	sqlite3_reset(statement);
	return STATUS_OK;
}

void
sql_end(sqlite3_stmt *statement)
{
	sqlite3_reset(statement);
}

enum status
sql_next(struct phone_store *store, sqlite3_stmt *statement)
{
	int code = sqlite3_step(statement);
	enum status status;

	if (code == SQLITE_ROW)
		return STATUS_OK;
	status = code == SQLITE_DONE ? STATUS_NOT_FOUND : fault(store);
	sqlite3_reset(statement);
	return status;
}

enum status
sql_number(struct phone_store *store, sqlite3_stmt *statement, int64_t *value)
{
	enum status status = sql_next(store, statement);

	if (status != STATUS_OK)
		return status;
	*value = sqlite3_column_int64(statement, 0);
	sqlite3_reset(statement);
	return STATUS_OK;
}

int64_t
sql_i64(sqlite3_stmt *statement, int column)
{
	return sqlite3_column_int64(statement, column);
}

uint64_t
sql_u64(sqlite3_stmt *statement, int column)
{
	return (uint64_t)sqlite3_column_int64(statement, column);
}

struct text
sql_text(sqlite3_stmt *statement, int column)
{
	const char *data = sqlite3_column_blob(statement, column);

	return (struct text){data != NULL ? data : "",
			     (size_t)sqlite3_column_bytes(statement, column)};
}

struct hash
sql_hash(sqlite3_stmt *statement, int column)
{
	struct hash hash = {{0}};

	if (sqlite3_column_bytes(statement, column) == HASH_SIZE)
		memcpy(hash.bytes, sqlite3_column_blob(statement, column), HASH_SIZE);
	return hash;
}

struct phone_action
sql_action(sqlite3_stmt *statement)
{
	return (struct phone_action){
		.action = {.device = sql_text(statement, 0),
			   .ts = (uint64_t)sqlite3_column_int64(statement, 1),
			   .type = sql_text(statement, 2),
			   .payload = sql_text(statement, 3)},
		.digest = sql_hash(statement, 4),
		.redacted = sqlite3_column_type(statement, 3) == SQLITE_NULL,
	};
}

static enum status
read_pragma(struct phone_store *store, const char *sql, int64_t *value)
{
	sqlite3_stmt *statement = NULL;
	enum status status;

	if (sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL) != SQLITE_OK)
		return fault(store);
	status = sql_number(store, statement, value);
	sqlite3_finalize(statement);
	return status;
}

/* A new file gets the schema; another program's file or a newer one is refused. */
static enum status
check_schema(struct phone_store *store, bool create)
{
	int64_t application = 0;
	int64_t version = 0;
	int64_t tables = 0;

	if (read_pragma(store, "PRAGMA application_id", &application) != STATUS_OK ||
	    read_pragma(store, "PRAGMA user_version", &version) != STATUS_OK ||
	    read_pragma(store, "SELECT count(*) FROM sqlite_schema", &tables) != STATUS_OK)
		return STATUS_STORAGE_UNAVAILABLE;
	if (create && application == 0 && version == 0 && tables == 0) {
		if (sqlite3_exec(store->db, phone_schema, NULL, NULL, NULL) != SQLITE_OK)
			return fault(store);
		return STATUS_OK;
	}
	if (application != PHONE_APPLICATION_ID || version != PHONE_SCHEMA_VERSION) {
		report_error("state file %s: not a state file of this version of edgereplay",
			     store->path);
		return STATUS_STORAGE_UNAVAILABLE;
	}
	return STATUS_OK;
}

static enum status
open_database(struct phone_store *store, bool create)
{
	int flags = create ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
	enum status status;

	if (sqlite3_open_v2(store->path, &store->db, flags, NULL) != SQLITE_OK)
		return fault(store);
	sqlite3_busy_timeout(store->db, 5000);
	sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(store->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	status = check_schema(store, create);
	if (status != STATUS_OK)
		return status;
	/* Only now, because it changes the file, which must be ours. */
	if (create &&
	    sqlite3_exec(store->db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;", NULL,
			 NULL, NULL) != SQLITE_OK)
		return fault(store);
	for (int i = 0; i < STATEMENT_COUNT; i++) {
		if (sqlite3_prepare_v3(store->db, phone_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
				       &store->statements[i], NULL) != SQLITE_OK)
			return fault(store);
	}
	return STATUS_OK;
}

static enum status
make_phone(struct phone_store *store, const char *log, const char *device)
{
	sqlite3_stmt *statement = sql_prepare(store, SQL_PHONE_WRITE);
	uint8_t random[DEVICE_RANDOM_SIZE];
	char digits[2 * DEVICE_RANDOM_SIZE];
	struct text id = {digits, sizeof(digits)};
	struct hash genesis;

	if (log == NULL) {
		report_error("state file %s is new: --log is needed", store->path);
		return STATUS_MALFORMED;
	}
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return fault(store);
	hex_encode(random, sizeof(random), digits);
	if (device != NULL)
		id = text_of(device);
	chain_genesis(text_of(log), &genesis);
	sql_bind_text(statement, 1, id);
	sql_bind_text(statement, 2, text_of(log));
	sql_bind_hash(statement, 3, &genesis);
	return sql_run(store, statement);
}

/* Reads the phone's row, which an interrupted first open may have left out. */
static enum status
read_phone(struct phone_store *store)
{
	sqlite3_stmt *statement = sql_prepare(store, SQL_PHONE_READ);
	enum status status = sql_next(store, statement);
	struct text device;
	struct text log;

	if (status != STATUS_OK)
		return status;
	device = sql_text(statement, 0);
	log = sql_text(statement, 1);
	if (!device_is_valid(device) || !log_name_is_valid(log)) {
		report_error("state file %s: damaged", store->path);
		sqlite3_reset(statement);
		return STATUS_STORAGE_UNAVAILABLE;
	}
	memcpy(store->device, device.data, device.size);
	store->device_size = device.size;
	memcpy(store->log, log.data, log.size);
	store->log_size = log.size;
	store->base.seq = (uint64_t)sqlite3_column_int64(statement, 2);
	store->base.link = sql_hash(statement, 3);
	store->base_committed = store->base;
	store->offset = sqlite3_column_int64(statement, 4);
	store->start.seq = sql_u64(statement, 5);
	store->start.link = sql_hash(statement, 6);
	store->start_committed = store->start;
	chain_genesis(phone_store_log(store), &store->genesis);
	sqlite3_reset(statement);
	return STATUS_OK;
}

static enum status
check_identity(const struct phone_store *store, const char *log, const char *device)
{
	if (log != NULL && !text_equal(text_of(log), phone_store_log(store))) {
		report_error("state file %s belongs to the log %.*s", store->path,
			     (int)store->log_size, store->log);
		return STATUS_MALFORMED;
	}
	if (device != NULL && !text_equal(text_of(device), phone_store_device(store))) {
		report_error("state file %s belongs to the device %.*s", store->path,
			     (int)store->device_size, store->device);
		return STATUS_MALFORMED;
	}
	return STATUS_OK;
}

static struct phone_store *
store_new(const char *path)
{
	struct phone_store *store = calloc(1, sizeof(*store));

	if (store == NULL)
		return NULL;
	store->lock = -1;
	store->path = strdup(path);
	if (store->path == NULL) {
		free(store);
		return NULL;
	}
	return store;
}

enum status
phone_store_open(const char *path, const char *log, const char *device, struct phone_store **opened)
{
	struct phone_store *store = store_new(path);
	enum status status = STATUS_INTERNAL;

	if (store == NULL)
		return STATUS_INTERNAL;
	status = phone_lock(path, &store->lock);
	if (status == STATUS_OK)
		status = open_database(store, true);
	if (status == STATUS_OK)
		status = read_phone(store);
	if (status == STATUS_NOT_FOUND) {
		status = make_phone(store, log, device);
		if (status == STATUS_OK)
			status = read_phone(store);
	}
	if (status == STATUS_OK)
		status = check_identity(store, log, device);
	if (status != STATUS_OK) {
		phone_store_close(store);
		return status;
	}
	*opened = store;
	return STATUS_OK;
}

bool
phone_store_is_state(const char *path)
{
	static const char magic[] = "SQLite format 3"; /* and its NUL */
	char begin[sizeof(magic)] = {0};
	FILE *file = fopen(path, "rbe");
	bool is_state;

	if (file == NULL)
		return false;
	is_state = fread(begin, 1, sizeof(begin), file) == sizeof(begin) &&
		   memcmp(begin, magic, sizeof(magic)) == 0;
	(void)fclose(file);
	return is_state;
}

enum status
phone_store_look(const char *path, struct phone_store **opened)
{
	struct phone_store *store = store_new(path);
	enum status status;

	if (store == NULL)
		return STATUS_INTERNAL;
	status = open_database(store, false);
	if (status == STATUS_OK)
		status = read_phone(store);
	if (status == STATUS_NOT_FOUND)
		report_error("state file %s: nothing was ever kept in it", path);
	if (status != STATUS_OK) {
		phone_store_close(store);
		return status;
	}
	*opened = store;
	return STATUS_OK;
}

void
phone_store_close(struct phone_store *store)
{
	if (store == NULL)
		return;
	for (int i = 0; i < STATEMENT_COUNT; i++)
		sqlite3_finalize(store->statements[i]);
	sqlite3_close(store->db);
	if (store->lock != -1)
		close(store->lock);
	free(store->path);
	free(store);
}

struct text
phone_store_device(const struct phone_store *store)
{
	return (struct text){store->device, store->device_size};
}

struct text
phone_store_log(const struct phone_store *store)
{
	return (struct text){store->log, store->log_size};
}

const struct position *
phone_store_base(const struct phone_store *store)
{
	return &store->base;
}

const struct position *
phone_store_start(const struct phone_store *store)
{
	return &store->start;
}

int64_t
phone_store_offset(const struct phone_store *store)
{
	return store->offset;
}

enum status
phone_store_begin(struct phone_store *store)
{
	return sql_run(store, sql_prepare(store, SQL_BEGIN));
}

enum status
phone_store_commit(struct phone_store *store)
{
	sqlite3_stmt *statement = sql_prepare(store, SQL_SET_BASE);
	enum status status = STATUS_OK;

	if (store->base.seq != store->base_committed.seq) {
		sql_bind_u64(statement, 1, store->base.seq);
		sql_bind_hash(statement, 2, &store->base.link);
		status = sql_run(store, statement);
	}
	if (status == STATUS_OK)
		status = sql_run(store, sql_prepare(store, SQL_COMMIT));
	if (status != STATUS_OK) {
		phone_store_abort(store);
		return status;
	}
	store->base_committed = store->base;
	store->start_committed = store->start;
	return STATUS_OK;
}

void
phone_store_abort(struct phone_store *store)
{
	/* SQLite may have rolled back by itself: then this fails, and nothing is lost by it. */
	sqlite3_step(sql_prepare(store, SQL_ROLLBACK));
	sqlite3_reset(store->statements[SQL_ROLLBACK]);
	store->base = store->base_committed;
	store->start = store->start_committed;
	store->taken_first = store->taken_end = 0;
}
