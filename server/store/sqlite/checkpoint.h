/*
 * checkpoint: when the WAL goes into the file. The applier's connection alone does it (two that
 * checkpoint can corrupt the file in this SQLite): passively by size, and wholly when there is
 * nothing else to do, for one flipped bit in a WAL silently drops every later commit.
 */
#ifndef STORE_SQLITE_CHECKPOINT_H
#define STORE_SQLITE_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "store/sqlite/anchor.h"
#include "store/sqlite/db.h"

struct checkpointer {
	struct db *db;
	struct anchor *anchor;
	uint64_t seen; /* pages in the WAL when last looked */
	uint64_t due;  /* pages at which to move them */
};

void checkpointer_init(struct checkpointer *, struct db *, struct anchor *);

/* Moves pages to the file if enough have come since the last time. What the file then has, the anchor
 * says before a transaction can begin the WAL anew. */
MUST_CHECK enum status checkpoint_if_due(struct checkpointer *);

/* Moves all, and truncates the WAL after the anchor says so. *complete is false when a reader was in the
 * way; the anchor is written in any case. */
MUST_CHECK enum status checkpoint_all(struct checkpointer *, bool *complete);

#endif
