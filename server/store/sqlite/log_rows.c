#include "store/sqlite/log_rows.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/problem.h"

#define TABLES_MAX 32
#define COLUMNS_MAX 64
#define SQL_SIZE_MAX ((size_t)16 * 1024)

/* One table that has rows of logs. */
struct table {
	char name[64];
	struct {
		char name[64];
		unsigned key; /* which one of the primary key, from 1; 0: none */
	} columns[COLUMNS_MAX];
	int column_count;
	int log; /* which column says of which log a row is */
	bool has_actions;
	sqlite3_stmt *read, *read_copy, *insert, *sweep;
};

struct log_rows {
	struct db *from, *to;
	struct table tables[TABLES_MAX]; /* `logs` last */
	size_t count;
};

static enum status
failed(struct db *db, const char *what)
{
	log_error("store", "SQLite failed", LOG_STR("file", db_path(db)), LOG_STR("op", what),
		  LOG_STR("message", sqlite3_errmsg(db_handle(db))));
	return STATUS_STORAGE_UNAVAILABLE;
}

/* --- tables --- */

static const char *
column_text(sqlite3_stmt *statement, int column)
{
	const unsigned char *text = sqlite3_column_text(statement, column);
	return text == NULL ? "" : (const char *)text;
}

/* Whether the name is what it is taken for in SQL. */
static bool
is_plain(const char *name)
{
	return strspn(name, "abcdefghijklmnopqrstuvwxyz_0123456789") == strlen(name) &&
	       name[0] != '\0';
}

/* Reads the columns; table->log is -1 when none says of which log a row is. */
static enum status
read_columns(struct db *db, struct table *table)
{
	sqlite3_stmt *select = NULL;
	const char *owner = strcmp(table->name, "logs") == 0 ? "id" : "log";
	int rc = sqlite3_prepare_v2(db_handle(db), "SELECT name, pk FROM pragma_table_info(?1)", -1,
				    &select, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_text(select, 1, table->name, -1, SQLITE_STATIC);
	table->log = -1;
	while (rc == SQLITE_OK && sqlite3_step(select) == SQLITE_ROW) {
		const int i = table->column_count++;
		const char *name = column_text(select, 0);
		if (i == COLUMNS_MAX || !is_plain(name) ||
		    strlen(name) >= sizeof(table->columns[i].name))
			rc = SQLITE_TOOBIG;
		if (rc != SQLITE_OK)
			break;
		(void)snprintf(table->columns[i].name, sizeof(table->columns[i].name), "%s", name);
		table->columns[i].key = (unsigned)sqlite3_column_int(select, 1);
		if (strcmp(name, owner) == 0)
			table->log = i;
	}
	(void)sqlite3_finalize(select);
	return rc == SQLITE_OK ? STATUS_OK : failed(db, "the columns of a table");
}

static bool
is_of_the_file(const char *name)
{
	static const char *const names[] = {"in_place", "shard", "journal"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i], name) == 0)
			return true;
	}
	return false;
}

/* One that says of no log: nothing of it may be left behind. */
static enum status
check_foreign(struct db *db, const char *name, const char **problem)
{
	char sql[128];
	uint64_t count;
	(void)snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", name);
	if (db_query_u64(db, sql, &count) != STATUS_OK)
		return STATUS_STORAGE_UNAVAILABLE;
	if (count == 0)
		return STATUS_OK;
	return problem_set(
		problem, STATUS_STORAGE_UNAVAILABLE,
		"%s: the table %s has rows of which this program does not know whose they "
		"are",
		db_path(db), name);
}

static enum status
add_table(struct log_rows *rows, const char *name, const char **problem)
{
	struct table *table = &rows->tables[rows->count];
	if (is_of_the_file(name) || strncmp(name, "sqlite_", 7) == 0)
		return STATUS_OK;
	if (rows->count == TABLES_MAX || !is_plain(name) || strlen(name) >= sizeof(table->name))
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
				   "%s: the table %s is not known", db_path(rows->from), name);
	*table = (struct table){.column_count = 0};
	(void)snprintf(table->name, sizeof(table->name), "%s", name);
	table->has_actions = strcmp(name, "actions") == 0;
	const enum status status = read_columns(rows->from, table);
	if (status != STATUS_OK || table->log == -1)
		return status != STATUS_OK ? status : check_foreign(rows->from, name, problem);
	rows->count++;
	return STATUS_OK;
}

static enum status
read_tables(struct log_rows *rows, const char **problem)
{
	sqlite3_stmt *select = NULL;
	enum status status = STATUS_OK;
	int rc = sqlite3_prepare_v2(db_handle(rows->from),
				    "SELECT name FROM sqlite_schema WHERE type = 'table'"
				    " ORDER BY name = 'logs', name",
				    -1, &select, NULL);
	while (rc == SQLITE_OK && status == STATUS_OK) {
		rc = sqlite3_step(select);
		if (rc != SQLITE_ROW)
			break;
		rc = SQLITE_OK;
		status = add_table(rows, column_text(select, 0), problem);
	}
	(void)sqlite3_finalize(select);
	if (rc != SQLITE_DONE && rc != SQLITE_OK)
		status = failed(rows->from, "the tables");
	return status;
}

/* --- statements --- */

static void
add_names(struct buffer *sql, const struct table *table)
{
	for (int i = 0; i < table->column_count; i++)
		buffer_printf(sql, "%s%s", i > 0 ? ", " : "", table->columns[i].name);
}

/* In the order of the key: the way the rows are stored. */
static void
add_order(struct buffer *sql, const struct table *table)
{
	bool ordered = false;
	for (unsigned key = 1; key <= (unsigned)table->column_count; key++) {
		for (int i = 0; i < table->column_count; i++) {
			if (table->columns[i].key != key)
				continue;
			buffer_printf(sql, "%s%s", ordered ? ", " : " ORDER BY ",
				      table->columns[i].name);
			ordered = true;
		}
	}
	if (!ordered)
		buffer_append_text(sql, TEXT(" ORDER BY rowid"));
}

static enum status
prepare(struct db *db, struct buffer *sql, sqlite3_stmt **statement)
{
	int rc = SQLITE_TOOBIG;
	if (!sql->failed)
		rc = sqlite3_prepare_v3(db_handle(db), sql->data, (int)sql->size,
					SQLITE_PREPARE_PERSISTENT, statement, NULL);
	sql->size = 0;
	return rc == SQLITE_OK ? STATUS_OK : failed(db, "the statements of a table");
}

static enum status
prepare_read(struct db *db, const struct table *table, sqlite3_stmt **statement, struct buffer *sql)
{
	buffer_append_text(sql, TEXT("SELECT "));
	add_names(sql, table);
	buffer_printf(sql, " FROM %s WHERE %s = ?1", table->name, table->columns[table->log].name);
	add_order(sql, table);
	return prepare(db, sql, statement);
}

static enum status
prepare_table(struct log_rows *rows, struct table *table, struct buffer *sql)
{
	enum status status = prepare_read(rows->from, table, &table->read, sql);
	if (status == STATUS_OK)
		status = prepare_read(rows->to, table, &table->read_copy, sql);
	buffer_printf(sql, "INSERT INTO %s (", table->name);
	add_names(sql, table);
	buffer_append_text(sql, TEXT(") VALUES ("));
	for (int i = 0; i < table->column_count; i++)
		buffer_printf(sql, "%s?%d", i > 0 ? ", " : "", i + 1);
	buffer_append_text(sql, TEXT(")"));
	if (status == STATUS_OK)
		status = prepare(rows->to, sql, &table->insert);
	buffer_printf(sql, "DELETE FROM %s WHERE %s >= ?1", table->name,
		      table->columns[table->log].name);
	if (status == STATUS_OK)
		status = prepare(rows->to, sql, &table->sweep);
	return status;
}

void
log_rows_free(struct log_rows *rows)
{
	for (size_t i = 0; rows != NULL && i < rows->count; i++) {
		(void)sqlite3_finalize(rows->tables[i].read);
		(void)sqlite3_finalize(rows->tables[i].read_copy);
		(void)sqlite3_finalize(rows->tables[i].insert);
		(void)sqlite3_finalize(rows->tables[i].sweep);
	}
	free(rows);
}

enum status
log_rows_open(struct db *from, struct db *to, struct log_rows **opened, const char **problem)
{
	struct log_rows *rows = calloc(1, sizeof(*rows));
	struct buffer sql;
	*problem = "out of memory";
	if (rows == NULL)
		return STATUS_STORAGE_UNAVAILABLE;
	rows->from = from;
	rows->to = to;
	buffer_init(&sql, SQL_SIZE_MAX);
	(void)sqlite3_limit(db_handle(to), SQLITE_LIMIT_VARIABLE_NUMBER, COLUMNS_MAX);
	*problem = problem_format("%s and %s are not of one schema: the log has the reason",
				  db_path(from), db_path(to));
	enum status status = read_tables(rows, problem);
	for (size_t i = 0; i < rows->count && status == STATUS_OK; i++)
		status = prepare_table(rows, &rows->tables[i], &sql);
	buffer_release(&sql);
	if (status == STATUS_OK)
		*opened = rows;
	else
		log_rows_free(rows);
	return status;
}

/* --- copying --- */

static enum status
insert_row(struct log_rows *rows, struct table *table, uint64_t to)
{
	int rc = SQLITE_OK;
	for (int i = 0; i < table->column_count && rc == SQLITE_OK; i++) {
		if (i == table->log)
			rc = sqlite3_bind_int64(table->insert, i + 1, (sqlite3_int64)to);
		else
			rc = sqlite3_bind_value(table->insert, i + 1,
						sqlite3_column_value(table->read, i));
	}
	if (rc == SQLITE_OK)
		rc = sqlite3_step(table->insert);
	(void)sqlite3_reset(table->insert);
	return rc == SQLITE_DONE ? STATUS_OK : failed(rows->to, "insert");
}

enum status
log_rows_copy(struct log_rows *rows, uint64_t from, uint64_t to, log_rows_visitor *visit,
	      void *cookie)
{
	enum status status = STATUS_OK;
	for (size_t i = 0; i < rows->count && status == STATUS_OK; i++) {
		struct table *table = &rows->tables[i];
		(void)sqlite3_bind_int64(table->read, 1, (sqlite3_int64)from);
		int rc = sqlite3_step(table->read);
		while (rc == SQLITE_ROW && status == STATUS_OK) {
			status = insert_row(rows, table, to);
			if (status == STATUS_OK)
				status = visit(cookie, table->has_actions);
			rc = sqlite3_step(table->read);
		}
		(void)sqlite3_reset(table->read);
		if (status == STATUS_OK && rc != SQLITE_DONE)
			status = failed(rows->from, "select");
	}
	return status;
}

enum status
log_rows_sweep(struct log_rows *rows, uint64_t *next)
{
	enum status status =
		db_query_u64(rows->to, "SELECT ifnull(max(id), 0) + 1 FROM logs", next);
	for (size_t i = 0; i < rows->count && status == STATUS_OK; i++) {
		sqlite3_stmt *sweep = rows->tables[i].sweep;
		(void)sqlite3_bind_int64(sweep, 1, (sqlite3_int64)*next);
		if (sqlite3_step(sweep) != SQLITE_DONE)
			status = failed(rows->to, "delete");
		(void)sqlite3_reset(sweep);
	}
	return status;
}

/* --- comparing --- */

static bool
is_same_value(sqlite3_stmt *a, sqlite3_stmt *b, int column)
{
	const int type = sqlite3_column_type(a, column);
	if (sqlite3_column_type(b, column) != type)
		return false;
	if (type == SQLITE_INTEGER)
		return sqlite3_column_int64(a, column) == sqlite3_column_int64(b, column);
	const void *of_a = sqlite3_column_blob(a, column), *of_b = sqlite3_column_blob(b, column);
	const int size = sqlite3_column_bytes(a, column);
	return sqlite3_column_bytes(b, column) == size &&
	       (size == 0 || memcmp(of_a, of_b, (size_t)size) == 0);
}

static bool
is_same_row(const struct table *table)
{
	for (int i = 0; i < table->column_count; i++) {
		if (i != table->log && !is_same_value(table->read, table->read_copy, i))
			return false;
	}
	return true;
}

static enum status
compare_table(struct log_rows *rows, const struct table *table, bool *same, log_rows_visitor *visit,
	      void *cookie)
{
	enum status status = STATUS_OK;
	int rc = sqlite3_step(table->read), rc_copy = sqlite3_step(table->read_copy);
	while (*same && status == STATUS_OK && rc == SQLITE_ROW && rc_copy == SQLITE_ROW) {
		*same = is_same_row(table);
		status = visit(cookie, table->has_actions);
		rc = sqlite3_step(table->read);
		rc_copy = sqlite3_step(table->read_copy);
	}
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		status = failed(rows->from, "select");
	if (rc_copy != SQLITE_ROW && rc_copy != SQLITE_DONE)
		status = failed(rows->to, "select");
	*same = *same && rc == rc_copy;
	return status;
}

enum status
log_rows_compare(struct log_rows *rows, uint64_t from, uint64_t to, bool *same,
		 log_rows_visitor *visit, void *cookie)
{
	enum status status = STATUS_OK;
	*same = true;
	for (size_t i = 0; i < rows->count && status == STATUS_OK && *same; i++) {
		struct table *table = &rows->tables[i];
		(void)sqlite3_bind_int64(table->read, 1, (sqlite3_int64)from);
		(void)sqlite3_bind_int64(table->read_copy, 1, (sqlite3_int64)to);
		status = compare_table(rows, table, same, visit, cookie);
		(void)sqlite3_reset(table->read);
		(void)sqlite3_reset(table->read_copy);
	}
	return status;
}
