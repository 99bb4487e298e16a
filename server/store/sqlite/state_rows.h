/*
 * state_rows: the table `states`: what devices said of their apps' states (chain/drift).
 *
 *     keep_state ─▶ state_notes, in memory ┄▶ applier: state_rows_write, behind a generation's slices
 *     load_states ◀─ state_reader, the writer's eyes
 *
 * It is advice, and stands in nobody's way: notes that memory or their bound has no room for are lost, as
 * are those of a crash; where a malformed page is met, nothing is read or written, and the shard goes on.
 * A note is written when the position it speaks of is in place.
 *
 * Threads: notes and the reader are the writer's; rows, and notes once handed over, the db's user's.
 */
#ifndef STORE_SQLITE_STATE_ROWS_H
#define STORE_SQLITE_STATE_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "store/engine.h"
#include "store/sqlite/db.h"

struct state_note;

/* Begins zeroed. */
struct state_notes {
	struct state_note *first, *last;
	size_t count;
};

void state_notes_add(struct state_notes *, struct text log, const struct kept_state *);
void state_notes_free(struct state_notes *);

struct state_rows {
	struct db *db;
	struct statement *drop, *displace, *insert;
};

MUST_CHECK enum status state_rows_prepare(struct state_rows *, struct db *);

/* One transaction; frees the notes. */
MUST_CHECK enum status state_rows_write(struct state_rows *, struct state_notes *);

struct state_reader {
	struct statement *select;
};

MUST_CHECK enum status state_reader_prepare(struct state_reader *, struct db *);
void state_reader_visit(struct state_reader *, struct text log, state_visitor *, void *cookie);

#endif
