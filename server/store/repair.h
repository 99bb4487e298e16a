/*
 * repair: puts one log of a stopped store right, in one transaction.
 *
 *     repair_check ─▶ repair_recover ─▶ repair_open ─▶ repair_offer, … ─▶ repair_refill ─▶ (repair_truncate) ─▶ repair_end
 *     is it a tree?   as a start does   which rows     copies of them     what is proven    the rest goes
 *                                       do not chain
 *
 * A row is put in place only if stored links prove it. From the last good position on, the digests of
 * what there is for each position (what the row holds, a copy, a kept journal record) are chained; where
 * the chain meets a link that is stored, everything up to there is what was acknowledged: nothing else
 * has that hash. A rotten link thus heals without a copy, a rotten row with one, whatever the copy's
 * own history was; and a wrong copy proves nothing and is not taken. A redacted row of which the type or one digit
 * of the digest has rotted heals without a copy, too: the link tells which.
 *
 * What stays bad is left, or removed together with all behind it: the log then ends at its last good
 * action, and its phones push again what they hold. The index of stamps and that of names are made
 * anew with each repair.
 *
 * What an operator has removed stays so: where the log is or was erased or pruned, or the row that is bad still shows
 * that it was redacted, a copy proves the action and only its digest goes in. Such rows are never cut off
 * (repair_may_cut): their phones would push the content again.
 *
 * Nothing is on the disk before repair_end; after a crash the same can be done again.
 *
 * All of it rests on a file in which look-ups and ranges meet every row: repair_check() comes first, and
 * nothing is written to a file that it finds malformed.
 *
 * Threads: one. The caller holds the directory's lock. Errors: STATUS_LOG_DAMAGED: the file is
 * malformed, which only a new one helps (salvage); STATUS_STORAGE_UNAVAILABLE: a fault, logged.
 */
#ifndef STORE_REPAIR_H
#define STORE_REPAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "chain/chain.h"

struct repair;

struct repair_target {
	const char *path;
	unsigned shard, shards;
	const uint8_t *id; /* 16 bytes, from the manifest */
};

/* How the log stands: when it was opened, and after each step. */
struct repair_state {
	struct position good; /* it chains up to here */
	uint64_t last;	      /* the greatest seq of a row, or that the head says */
	uint64_t bad;	      /* rows that do not chain from the one before, or are missing */
	uint64_t records;     /* of it that are kept in the journal's table */
	bool head_differs;    /* from the newest row, which is good, or from the rows' bytes */
	bool index_differs;   /* one of the indexes does not lead to it */
	bool batches_differ;  /* from what covers it; looked at when no row is bad */
	bool gone_differs;    /* what is said to be gone of it does not verify */
	uint64_t gone_upto;   /* content was removed up to here, and stays so; SEQ_MAX: all of it */
	uint64_t refilled;    /* rows that were put right */
	uint64_t withheld;    /* of them, that a copy proved, and whose content stays removed */
	uint64_t returned;    /* of them, that were missing: whether redacted, nothing tells */
	uint64_t removed;     /* actions that were taken out, and records that cannot be read */
	uint64_t bared;	      /* of them, that had been redacted */
	uint64_t missing;     /* actions behind the cut of which nothing was there to take out */
};

/* What is taken out: a row as it stands there, or, with record_size > 0, a kept journal record that
 * cannot be read. Lives until the keeper returns. */
struct removed {
	uint64_t log; /* its number in the file, where it was taken out of no log by name; else 0 */
	uint64_t seq;
	struct action action;
	struct hash link; /* as stored; zeros where that is no link */
	bool is_good;	  /* it chains from the link that stands before it */
	uint64_t record_id;
	const void *record;
	size_t record_size;
};

/* What it returns but OK ends the removal. */
typedef enum status removed_keeper(void *cookie, const struct removed *);

/* Whether the shard's file is well-formed, its rows stand in the order of their keys, and it says of itself
 * what the files beside it say. Changes nothing. A file that is missing or empty is a fault, with *problem
 * (base/problem). */
MUST_CHECK enum status repair_check(const struct repair_target *, bool *is_whole,
				    const char **problem);

/* Starts the shard and stops it, so that what its journal holds is in place or kept. */
MUST_CHECK enum status repair_recover(const struct repair_target *, const char **problem);

/* Looks through the log. STATUS_NOT_FOUND: there is none of that name. */
MUST_CHECK enum status repair_open(const struct repair_target *, struct text log, struct repair **,
				   const char **problem);
void repair_close(struct repair *);

const struct repair_state *repair_state(const struct repair *);

/* A copy of the action at a seq, from wherever; it is kept only if its row is bad. */
MUST_CHECK enum status repair_offer(struct repair *, uint64_t seq, const struct action *);

/* Begins, and puts right what is proven, up to the first bad row that nothing proves. */
MUST_CHECK enum status repair_refill(struct repair *);

/* Whether nothing of what would be cut off has been removed by pruning or erasing. */
bool repair_may_cut(const struct repair *);

/* After that: gives everything behind the last good position to the keeper, and takes it out. */
MUST_CHECK enum status repair_truncate(struct repair *, removed_keeper *, void *cookie);

/* Makes it so, synced; or nothing of it. On failure nothing of it. */
MUST_CHECK enum status repair_end(struct repair *, bool commit);

#endif
