/*
 * records: appends a group's batches to the journal: one INSERT … SELECT that reads them (feed).
 *
 * Threads: the writer's.
 */
#ifndef STORE_SQLITE_RECORDS_H
#define STORE_SQLITE_RECORDS_H

#include "store/sqlite/feed.h"
#include "store/sqlite/tail_batch.h"

struct records {
	struct feed feed;
	struct db *db;
	struct statement *insert;
	const struct tail_batch *first, *at; /* while it runs */
};

/* Lives as long as the db. */
MUST_CHECK enum status records_prepare(struct records *, struct db *);

/* Batches linked by next, each with its journal_id; at least one. In the caller's transaction. */
MUST_CHECK enum status records_insert(struct records *, const struct tail_batch *first);

#endif
