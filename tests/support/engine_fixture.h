/*
 * engine_fixture: an engine on files of its own, in a folder of its own.
 */
#ifndef ENGINE_FIXTURE_H
#define ENGINE_FIXTURE_H

#include <check.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/engine.h"
#include "store/sqlite/sqlite_engine.h"
#include "store/sqlite/tail_batch.h"

#define SLICE_ACTIONS 7 /* small, so that slices end anywhere in a batch */
#define UNUSED __attribute__((unused))

struct fixture {
	char dir[512], path[1024];
	struct sqlite_options options;
	struct engine *engine;
	uint64_t random, now;
};

UNUSED static uint64_t
fixture_random(struct fixture *fixture, uint64_t below)
{
	fixture->random = fixture->random * 6364136223846793005u + 1442695040888963407u;
	return (fixture->random >> 33) % below;
}

UNUSED static enum status
fixture_try_open(struct fixture *fixture, bool create, const char **problem)
{
	fixture->options.path = fixture->path;
	fixture->options.create = create;
	return sqlite_engine_open(&fixture->options, &fixture->engine, problem);
}

UNUSED static void
fixture_open(struct fixture *fixture, bool create)
{
	const char *problem = "";
	ck_assert_msg(fixture_try_open(fixture, create, &problem) == STATUS_OK, "%s", problem);
}

/* As a crash leaves it: nothing is written on the way out. */
UNUSED static void
fixture_crash(struct fixture *fixture)
{
	fixture->engine->ops->close(fixture->engine);
	fixture->engine = NULL;
}

UNUSED static void
fixture_init(struct fixture *fixture)
{
	const char *tmp = getenv("TMPDIR");
	memset(fixture, 0, sizeof(*fixture));
	snprintf(fixture->dir, sizeof(fixture->dir) - 8, "%s/engine.XXXXXX",
		 tmp == NULL ? "/tmp" : tmp);
	ck_assert_ptr_nonnull(mkdtemp(fixture->dir));
	snprintf(fixture->path, sizeof(fixture->path), "%s/shard-00.db", fixture->dir);
	fixture->options = (struct sqlite_options){.shards = 1,
						   .id = "0123456789abcde",
						   .tail_bytes = 64 * 1024,
						   .slice_actions = SLICE_ACTIONS,
						   .readers = 2};
	fixture->random = 1;
	fixture->now = 1000;
}

UNUSED static void
fixture_remove(struct fixture *fixture)
{
	static const char *const suffixes[] = {".db",	     ".db-wal",	   ".db-shm", ".db-journal",
					       ".journal-0", ".journal-1", ".anchor"};
	if (fixture->engine != NULL)
		fixture_crash(fixture);
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		char path[1100];
		snprintf(path, sizeof(path), "%s/shard-00%s", fixture->dir, suffixes[i]);
		unlink(path);
	}
	ck_assert_int_eq(rmdir(fixture->dir), 0);
}

UNUSED static sqlite3 *
fixture_sqlite(struct fixture *fixture)
{
	sqlite3 *db;
	ck_assert_int_eq(sqlite3_open(fixture->path, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL),
			 SQLITE_OK);
	return db;
}

/* Runs statements through a connection of its own, while the engine is closed. */
UNUSED static void
fixture_sql(struct fixture *fixture, const char *sql)
{
	sqlite3 *db = fixture_sqlite(fixture);
	char *message = NULL;
	ck_assert_msg(sqlite3_exec(db, sql, NULL, NULL, &message) == SQLITE_OK, "%s: %s", sql,
		      message);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

UNUSED static uint64_t
fixture_number(struct fixture *fixture, const char *sql)
{
	sqlite3 *db = fixture_sqlite(fixture);
	sqlite3_stmt *statement;
	ck_assert_int_eq(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(statement), SQLITE_ROW);
	uint64_t value = (uint64_t)sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
	return value;
}

/* A shard's file, by what follows "shard-00" in its name. From malloc. */
UNUSED static uint8_t *
fixture_file(struct fixture *fixture, const char *suffix, size_t *size)
{
	char path[1100];
	struct stat info;
	snprintf(path, sizeof(path), "%s/shard-00%s", fixture->dir, suffix);
	int fd = open(path, O_RDONLY);
	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(fstat(fd, &info), 0);
	*size = (size_t)info.st_size;
	uint8_t *bytes = malloc(*size + 1);
	ck_assert_ptr_nonnull(bytes);
	ck_assert_int_eq(read(fd, bytes, *size), (ssize_t)*size);
	close(fd);
	return bytes;
}

UNUSED static void
fixture_set_file(struct fixture *fixture, const char *suffix, const uint8_t *bytes, size_t size)
{
	char path[1100];
	snprintf(path, sizeof(path), "%s/shard-00%s", fixture->dir, suffix);
	int fd = open(path, O_WRONLY | O_TRUNC);
	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(write(fd, bytes, size), (ssize_t)size);
	close(fd);
}

UNUSED static uint8_t *
fixture_journal(struct fixture *fixture, unsigned which, size_t *size)
{
	return fixture_file(fixture, which == 0 ? ".journal-0" : ".journal-1", size);
}

UNUSED static void
fixture_set_journal(struct fixture *fixture, unsigned which, const uint8_t *bytes, size_t size)
{
	fixture_set_file(fixture, which == 0 ? ".journal-0" : ".journal-1", bytes, size);
}

/* Where the n-th frame begins in a journal file's bytes, from 0; *record_size: of what it holds. */
UNUSED static size_t
fixture_frame(const uint8_t *bytes, size_t n, size_t *record_size)
{
	size_t at = 64;
	for (;; n--) {
		*record_size = (size_t)bytes[at] << 24 | (size_t)bytes[at + 1] << 16 |
			       (size_t)bytes[at + 2] << 8 | bytes[at + 3];
		if (n == 0)
			return at;
		at += (FRAME_SIZE + *record_size + FRAME_ALIGNMENT - 1) / FRAME_ALIGNMENT *
		      FRAME_ALIGNMENT;
	}
}

UNUSED static off_t
fixture_wal_size(struct fixture *fixture)
{
	char path[1100];
	struct stat stat_buffer;
	snprintf(path, sizeof(path), "%s-wal", fixture->path);
	return stat(path, &stat_buffer) == -1 ? 0 : stat_buffer.st_size;
}

#endif
