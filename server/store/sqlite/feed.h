/*
 * feed: rows that a statement reads from memory: a table of the connection that holds what a
 * source gives, so that one INSERT … SELECT takes many rows. That costs a quarter less than a
 * statement run for each row.
 *
 *     statement_run ─▶ SQLite ─▶ first, next, next, … false
 *                          ╰──▶ value of the row's columns, each asked for once
 *
 * The source is asked while the statement runs. What it gives is borrowed until it moves on.
 *
 * Threads: the db's user.
 */
#ifndef STORE_SQLITE_FEED_H
#define STORE_SQLITE_FEED_H

#include <stdbool.h>
#include <stdint.h>

#include "store/sqlite/db.h"

/* Where the source puts a column's value. */
struct feed_value;

struct feed {
	const char *table;   /* its name in SQL */
	const char *columns; /* "seq, link" */

	/* Moves to the first row; to the next one. False: there is none. */
	bool (*first)(void *cookie);
	bool (*next)(void *cookie);

	/* A column of the row, from 0. */
	void (*value)(void *cookie, int column, struct feed_value *);
	void *cookie;
};

/* Makes the table. The feed is the caller's and lives as long as the db. */
MUST_CHECK enum status feed_attach(struct db *, const struct feed *);

void feed_give_u64(struct feed_value *, uint64_t);
void feed_give_text(struct feed_value *, struct text);
void feed_give_blob(struct feed_value *, const void *, size_t);
void feed_give_hash(struct feed_value *, const struct hash *);

#endif
