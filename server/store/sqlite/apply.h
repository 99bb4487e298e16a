/*
 * apply: puts the tail's applying generation in place, a slice at a time.
 *
 *     frozen, sorted by (log, seq) ─▶ slice ─▶ slice ─▶ … last slice: deletes the journal's rows
 *                                     each with its logs' heads, in the caller's transaction
 *
 * A slice is one INSERT OR IGNORE … SELECT that reads the tail (slice). IGNORE makes a slice that a
 * crash cut off harmless to repeat; but it hides other conflicts too, so a row that was ignored
 * must be found at its (log, seq) with the same link. If it is not, its log is marked damaged and
 * stuck: the rest of it is not applied and its journal rows are kept. Other logs go on.
 *
 * Threads: the writer's.
 */
#ifndef STORE_SQLITE_APPLY_H
#define STORE_SQLITE_APPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "store/sqlite/damage.h"
#include "store/sqlite/db.h"
#include "store/sqlite/tail.h"

struct apply;

MUST_CHECK enum status apply_new(struct db *, struct tail *, struct damage *, struct apply **);
void apply_free(struct apply *);

/* A journal row that the generation now filling or applied must not take with it when it goes. */
MUST_CHECK enum status apply_keep(struct apply *, uint64_t journal_id);

/* First in a transaction that writes: applies up to so many actions of the applying generation,
 * which must not be empty. When a row is ignored the transaction is begun anew, and that generation
 * is applied row by row, to see which and why. On a fault nothing but closing is left. */
MUST_CHECK enum status apply_slice(struct apply *, size_t actions_max);

/* After the slice's COMMIT: what is wholly in place leaves the tail. */
void apply_committed(struct apply *);

/* A slice in a transaction of its own; freezes what is filling first if nothing is applied. */
MUST_CHECK enum status apply_step(struct apply *, size_t actions_max);

#endif
