/*
 * generations: the stretches in which what is acknowledged moves from the journal into the rows, two
 * at a time: one fills while the one before it is put in place.
 *
 *     append ─▶ files[filling], synced ┄▶ tail ── full, or time ──▶ hand_over ─▶ applier ┄▶ collect
 *                   ╰───────────── begun anew after all of it is in place, synced ◀──────────────╯
 *
 * Threads: the shard's writer; applier is the thread that works for it.
 *
 * Invariants:
 * 1. A record is in one of the files until its generation is in the rows, synced.
 * 2. Ids of records grow by one, over all generations and starts: they are the shard's commit numbers.
 */
#ifndef STORE_SQLITE_GENERATIONS_H
#define STORE_SQLITE_GENERATIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "store/sqlite/applier.h"
#include "store/sqlite/journal_file.h"
#include "store/sqlite/tail.h"

struct generations {
	/* set by the owner */
	struct tail *tail;
	struct applier applier;
	struct journal_file files[2];
	uint64_t next_id;	  /* of a record */
	struct state_notes notes; /* on states at what fills, or before */
	uint64_t notes_since;	  /* monotonic milliseconds */

	/* Monotonic milliseconds: when what fills, and what is put in place, began to be acknowledged. */
	uint64_t filling_since, applying_since;
	unsigned filling; /* the file; the other one has what is applied, or nothing needed */
};

/* The first one since the start: nothing that the files held is needed. */
MUST_CHECK enum status generations_begin(struct generations *, uint64_t generation);

/* Gives batches linked by next their ids, appends them and syncs. */
MUST_CHECK enum status generations_append(struct generations *, struct tail_batch *first);

/* Half a tail is a generation: the larger, the more actions share a page. Never while the one
 * before is being applied. */
bool generations_is_full(const struct generations *);

/* Takes a note along with what fills. Where that cannot be, it is lost. */
void generations_note(struct generations *, struct text log, const struct kept_state *);

/* Nothing is on its way into the rows, with which notes could go: those that have waited for long go
 * alone. *wait_msec is lowered to when others will have. */
void generations_tend_notes(struct generations *, uint64_t *wait_msec);

/* When the oldest that is not in place was acknowledged, and how many bytes the files have of what is
 * not. 0: there is none. */
uint64_t generations_since(const struct generations *);
uint64_t generations_bytes(const struct generations *);

/* What has been filling, which is not empty, goes to the applier, which has nothing to do. */
MUST_CHECK enum status generations_hand_over(struct generations *);

/* What the applier has put in place leaves the tail. */
MUST_CHECK enum status generations_collect(struct generations *);

/* Waits until so many bytes fit into the tail, or until it is empty. */
MUST_CHECK enum status generations_make_room(struct generations *, size_t bytes);

/* Waits until all is in place and the WAL in the file, and empties the files. *complete: false when
 * a reader was in the way of that, and the files were left. */
MUST_CHECK enum status generations_settle_down(struct generations *, bool *complete);

#endif
