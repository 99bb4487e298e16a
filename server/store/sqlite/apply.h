/*
 * apply: puts the tail's applying generation in place, a slice at a time.
 *
 *     frozen, sorted by (log, seq) ─▶ slice ─▶ slice ─▶ … each with its logs' heads, in a
 *                                                         transaction of its own
 *
 * A slice is one INSERT OR IGNORE … SELECT that reads the tail (slice). IGNORE makes a slice that a
 * crash cut off harmless to repeat; but it hides other conflicts too, so a row that was ignored
 * must be found at its (log, seq) with the same link. If it is not, its log is marked damaged and
 * stuck: the rest of it is not applied, and its records are kept in the table `journal`. Other logs
 * go on. The same becomes of a log whose rows SQLite cannot write, because it meets a malformed page.
 *
 * Sorts the generation, and changes nothing else of the tail but which logs are stuck or new, which
 * nobody else looks at.
 *
 * Threads: the db's user.
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

struct apply_progress {
	size_t upto; /* so many batches of the generation are in place, or kept */
	bool ended;  /* all of them */
};

MUST_CHECK enum status apply_new(struct db *, struct tail *, struct damage *, struct apply **);

/* After the db is closed, which reads it. */
void apply_free(struct apply *);

/* Keeps a record that cannot be put in place. In the caller's transaction. */
MUST_CHECK enum status apply_keep(struct apply *, uint64_t id, const uint8_t *record, size_t size);

/* A slice of up to so many actions of the applying generation, which must not be empty. When a row
 * is ignored, or malformed pages are met, the slice is begun anew, and that generation is applied row
 * by row, to see which and why. On a fault nothing but closing is left. */
MUST_CHECK enum status apply_step(struct apply *, size_t actions_max, struct apply_progress *);

#endif
