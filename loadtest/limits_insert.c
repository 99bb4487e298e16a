/*
 * limits_insert: what SQLite needs for the rows that the daemon keeps of so many actions: large
 * transactions, each in the order of its keys, in a shard file with the daemon's schema and
 * settings (store/sqlite/db.c), no journal and nobody who waits.
 */
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "loadtest/limits.h"
#include "loadtest/limits_action.h"

#define ROWS_PER_TRANSACTION 50000

#define RECEIVED_AT 1790000000000

extern const char schema_shard_001[];

enum { INSERT_ACTION, INSERT_BATCH, INSERT_LOG, UPDATE_LOG, STATEMENT_COUNT };

static const char *const STATEMENTS[STATEMENT_COUNT] = {
	[INSERT_ACTION] = "INSERT OR IGNORE INTO actions (log, seq, device, ts, link, type,"
			  " payload) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
	[INSERT_BATCH] = "INSERT OR IGNORE INTO batches (log, seq, last, received_at, writer)"
			 " VALUES (?1, ?2, ?3, ?4, '')",
	[INSERT_LOG] = "INSERT INTO logs (id, name, seq, link, received_at, bytes)"
		       " VALUES (?1, 'user-' || ?1, ?2, ?3, ?4, 100 * ?2)",
	[UPDATE_LOG] = "UPDATE logs SET seq = ?2, link = ?3, received_at = ?4, bytes = 100 * ?2"
		       " WHERE id = ?1",
};

struct table {
	const struct limits_plan *plan;
	sqlite3 *db;
	sqlite3_stmt *statements[STATEMENT_COUNT];
	uint64_t *seqs;	  /* the head of each log */
	uint64_t batches; /* so far, of all logs in turn */
	uint64_t rows;
	struct action_source source;
};

static bool
failed(const struct table *table, const char *what)
{
	return limits_failed(what, sqlite3_errmsg(table->db));
}

static bool
run(struct table *table, const char *sql)
{
	return sqlite3_exec(table->db, sql, NULL, NULL, NULL) == SQLITE_OK || failed(table, sql);
}

static bool
open_table(struct table *table, const char *path)
{
	static const char *const settings[] = {
		"PRAGMA page_size = 8192",    "PRAGMA cache_size = -16384",
		"PRAGMA cell_size_check = 1", "PRAGMA synchronous = FULL",
		"PRAGMA journal_mode = WAL",  "PRAGMA wal_autocheckpoint = 0",
		"PRAGMA foreign_keys = 0",
	};
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
		    SQLITE_OPEN_PRIVATECACHE;
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	if (sqlite3_open_v2(path, &table->db, flags, NULL) != SQLITE_OK)
		return failed(table, path);
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		if (!run(table, settings[i]))
			return false;
	}
	if (!run(table, schema_shard_001))
		return false;
	for (size_t i = 0; i < STATEMENT_COUNT; i++) {
		if (sqlite3_prepare_v3(table->db, STATEMENTS[i], -1, SQLITE_PREPARE_PERSISTENT,
				       &table->statements[i], NULL) != SQLITE_OK)
			return failed(table, STATEMENTS[i]);
	}
	return true;
}

static void
close_table(struct table *table)
{
	for (size_t i = 0; i < STATEMENT_COUNT; i++)
		(void)sqlite3_finalize(table->statements[i]);
	(void)sqlite3_close(table->db);
}

static void
bind_text(sqlite3_stmt *statement, int index, struct text text)
{
	(void)sqlite3_bind_text64(statement, index, text.data, text.size, SQLITE_STATIC,
				  SQLITE_UTF8);
}

/* Runs one that gives no rows; what could not be bound shows as a constraint that fails. */
static bool
step(struct table *table, sqlite3_stmt *statement)
{
	bool done = sqlite3_step(statement) == SQLITE_DONE;
	if (!done)
		(void)failed(table, sqlite3_sql(statement));
	(void)sqlite3_reset(statement);
	return done;
}

static bool
insert_action(struct table *table, uint64_t log, uint64_t seq, struct hash *link)
{
	sqlite3_stmt *statement = table->statements[INSERT_ACTION];
	const struct action *action = action_source_next(&table->source);
	action_source_link(&table->source, link);
	(void)sqlite3_bind_int64(statement, 1, (sqlite3_int64)log);
	(void)sqlite3_bind_int64(statement, 2, (sqlite3_int64)seq);
	bind_text(statement, 3, action->device);
	(void)sqlite3_bind_int64(statement, 4, (sqlite3_int64)action->ts);
	(void)sqlite3_bind_blob(statement, 5, link->bytes, HASH_SIZE, SQLITE_STATIC);
	bind_text(statement, 6, action->type);
	bind_text(statement, 7, action->payload);
	return step(table, statement);
}

static bool
insert_batch(struct table *table, uint64_t log, struct hash *link)
{
	sqlite3_stmt *statement = table->statements[INSERT_BATCH];
	uint64_t first = table->seqs[log] + 1;
	for (uint64_t i = 0; i < table->plan->actions; i++) {
		if (!insert_action(table, log, first + i, link))
			return false;
	}
	table->seqs[log] += table->plan->actions;
	table->rows += table->plan->actions;
	(void)sqlite3_bind_int64(statement, 1, (sqlite3_int64)log);
	(void)sqlite3_bind_int64(statement, 2, (sqlite3_int64)first);
	(void)sqlite3_bind_int64(statement, 3, (sqlite3_int64)table->seqs[log]);
	(void)sqlite3_bind_int64(statement, 4, RECEIVED_AT);
	return step(table, statement);
}

/* The log's batches of a transaction, then its head. The first batch of the run that is its own is
 * the one with its number. */
static bool
insert_log(struct table *table, uint64_t log, uint64_t first, uint64_t end)
{
	bool is_new = table->seqs[log] == 0;
	sqlite3_stmt *statement = table->statements[is_new ? INSERT_LOG : UPDATE_LOG];
	struct hash link;
	for (uint64_t batch = first; batch < end; batch += table->plan->logs) {
		if (!insert_batch(table, log, &link))
			return false;
	}
	(void)sqlite3_bind_int64(statement, 1, (sqlite3_int64)log);
	(void)sqlite3_bind_int64(statement, 2, (sqlite3_int64)table->seqs[log]);
	(void)sqlite3_bind_blob(statement, 3, link.bytes, HASH_SIZE, SQLITE_STATIC);
	(void)sqlite3_bind_int64(statement, 4, RECEIVED_AT);
	return step(table, statement);
}

/* The next batches, one log after the other as a sort by log and seq would have them. */
static bool
insert_transaction(struct table *table)
{
	uint64_t logs = table->plan->logs;
	uint64_t begin = table->batches;
	uint64_t count = ROWS_PER_TRANSACTION / table->plan->actions;
	if (!run(table, "BEGIN IMMEDIATE"))
		return false;
	for (uint64_t log = 0; log < logs; log++) {
		uint64_t first = begin + (log + logs - begin % logs) % logs;
		if (first < begin + count && !insert_log(table, log, first, begin + count))
			return false;
	}
	table->batches += count;
	return run(table, "COMMIT");
}

static bool
checkpoint(struct table *table, int mode)
{
	int pages = 0, moved = 0;
	return sqlite3_wal_checkpoint_v2(table->db, NULL, mode, &pages, &moved) == SQLITE_OK ||
	       failed(table, "checkpoint");
}

static bool
insert_all(struct table *table, struct figures *figures)
{
	double begin = limits_clock_sec(CLOCK_MONOTONIC);
	double cpu = limits_clock_sec(CLOCK_PROCESS_CPUTIME_ID);
	/* Each transaction is beyond the pages from which the daemon's writer checkpoints. */
	while (table->rows < table->plan->rows) {
		if (!insert_transaction(table) || !checkpoint(table, SQLITE_CHECKPOINT_PASSIVE))
			return false;
	}
	if (!checkpoint(table, SQLITE_CHECKPOINT_TRUNCATE))
		return false;
	double rows = (double)table->rows;
	cpu = limits_clock_sec(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	figures_add(figures, "actions", rows);
	figures_add(figures, "cpuPerActionUs", cpu * 1e6 / rows);
	figures_add(figures, "actionsPerSecond",
		    rows / (limits_clock_sec(CLOCK_MONOTONIC) - begin));
	return true;
}

static bool
insert_into(const char *path, const struct limits_plan *plan, struct figures *figures)
{
	static struct table table;
	struct stat file;
	table.plan = plan;
	table.seqs = calloc(plan->logs, sizeof(*table.seqs));
	if (table.seqs == NULL)
		return limits_failed("insert", "out of memory");
	action_source_init(&table.source, plan->payload);
	bool done = open_table(&table, path) && insert_all(&table, figures);
	close_table(&table);
	free(table.seqs);
	if (done && stat(path, &file) == -1)
		done = limits_failed(path, strerror(errno));
	if (done)
		figures_add(figures, "bytesPerAction", (double)file.st_size / (double)table.rows);
	return done;
}

bool
limits_insert(const struct limits_plan *plan, struct figures *figures)
{
	static const char *const files[] = {"/shard.db", "/shard.db-wal", "/shard.db-shm"};
	char folder[OPTION_TEXT_SIZE + 32], path[OPTION_TEXT_SIZE + 64];
	(void)snprintf(folder, sizeof(folder), "%s/limits-insert.XXXXXX", plan->dir);
	if (mkdtemp(folder) == NULL)
		return limits_failed(folder, strerror(errno));
	(void)snprintf(path, sizeof(path), "%s%s", folder, files[0]);
	bool done = insert_into(path, plan, figures);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s%s", folder, files[i]);
		(void)unlink(path);
	}
	(void)rmdir(folder);
	return done;
}
