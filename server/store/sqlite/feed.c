#include "store/sqlite/feed.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

#define DECLARATION_SIZE 256

struct feed_table {
	sqlite3_vtab base; /* first */
	const struct feed *feed;
};

struct feed_cursor {
	sqlite3_vtab_cursor base; /* first */
	const struct feed *feed;
	sqlite3_int64 row;
	bool ended;
};

static int
on_connect(sqlite3 *handle, void *cookie, int count, const char *const *arguments,
	   sqlite3_vtab **out, char **error)
{
	const struct feed *feed = cookie;
	char declaration[DECLARATION_SIZE];
	(void)count;
	(void)arguments;
	(void)error;
	(void)snprintf(declaration, sizeof(declaration), "CREATE TABLE feed (%s)", feed->columns);
	int rc = sqlite3_declare_vtab(handle, declaration);
	if (rc != SQLITE_OK)
		return rc;
	struct feed_table *table = calloc(1, sizeof(*table));
	if (table == NULL)
		return SQLITE_NOMEM;
	table->feed = feed;
	*out = &table->base;
	return SQLITE_OK;
}

static int
on_disconnect(sqlite3_vtab *table)
{
	free(table);
	return SQLITE_OK;
}

/* There is one way to read it: from its first row to its last. */
static int
on_best_index(sqlite3_vtab *table, sqlite3_index_info *info)
{
	(void)table;
	info->estimatedCost = 1;
	return SQLITE_OK;
}

static int
on_open(sqlite3_vtab *table, sqlite3_vtab_cursor **out)
{
	struct feed_cursor *cursor = calloc(1, sizeof(*cursor));
	if (cursor == NULL)
		return SQLITE_NOMEM;
	cursor->feed = ((struct feed_table *)table)->feed;
	*out = &cursor->base;
	return SQLITE_OK;
}

static int
on_close(sqlite3_vtab_cursor *cursor)
{
	free(cursor);
	return SQLITE_OK;
}

static int
on_next(sqlite3_vtab_cursor *base)
{
	struct feed_cursor *cursor = (struct feed_cursor *)base;
	cursor->row++;
	cursor->ended = !cursor->feed->next(cursor->feed->cookie);
	return SQLITE_OK;
}

static int
on_filter(sqlite3_vtab_cursor *base, int plan, const char *name, int count, sqlite3_value **values)
{
	(void)plan;
	(void)name;
	(void)count;
	(void)values;
	struct feed_cursor *cursor = (struct feed_cursor *)base;
	cursor->row = 1;
	cursor->ended = !cursor->feed->first(cursor->feed->cookie);
	return SQLITE_OK;
}

static int
on_eof(sqlite3_vtab_cursor *cursor)
{
	return ((struct feed_cursor *)cursor)->ended;
}

static int
on_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column)
{
	const struct feed *feed = ((struct feed_cursor *)base)->feed;
	feed->value(feed->cookie, column, (struct feed_value *)context);
	return SQLITE_OK;
}

static int
on_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *row)
{
	*row = ((struct feed_cursor *)base)->row;
	return SQLITE_OK;
}

/* Without xCreate the table is there by its module's name and cannot be made by a schema. */
static const sqlite3_module module = {
	.xConnect = on_connect,
	.xBestIndex = on_best_index,
	.xDisconnect = on_disconnect,
	.xOpen = on_open,
	.xClose = on_close,
	.xFilter = on_filter,
	.xNext = on_next,
	.xEof = on_eof,
	.xColumn = on_column,
	.xRowid = on_rowid,
};

enum status
feed_attach(struct db *db, const struct feed *feed)
{
	int rc = sqlite3_create_module_v2(db_handle(db), feed->table, &module, (void *)feed, NULL);
	if (rc == SQLITE_OK)
		return STATUS_OK;
	log_error("store", "SQLite failed", LOG_STR("file", db_path(db)), LOG_STR("op", "attach"),
		  LOG_I64("code", rc));
	return STATUS_STORAGE_UNAVAILABLE;
}

static sqlite3_context *
context_of(struct feed_value *value)
{
	return (sqlite3_context *)value;
}

void
feed_give_u64(struct feed_value *value, uint64_t number)
{
	sqlite3_result_int64(context_of(value), (sqlite3_int64)number);
}

void
feed_give_text(struct feed_value *value, struct text text)
{
	const char *data = text.size == 0 ? "" : text.data;
	sqlite3_result_text64(context_of(value), data, text.size, SQLITE_STATIC, SQLITE_UTF8);
}

void
feed_give_blob(struct feed_value *value, const void *data, size_t size)
{
	sqlite3_result_blob64(context_of(value), data, size, SQLITE_STATIC);
}

void
feed_give_hash(struct feed_value *value, const struct hash *hash)
{
	feed_give_blob(value, hash->bytes, HASH_SIZE);
}
