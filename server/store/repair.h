/*
 * repair: puts one log of a stopped store right, in one transaction.
 *
 *     repair_recover ─▶ repair_open ─▶ repair_offer, … ─▶ repair_refill ─▶ (repair_truncate) ─▶ repair_end
 *     as a start does    which rows     copies of them     what is proven    the rest goes
 *                        do not chain
 *
 * A row is put in place only if stored links prove it. From the last good position on, the digests of
 * what there is for each position (what the row holds, a copy, a kept journal record) are chained; where
 * the chain meets a link that is stored, everything up to there is what was acknowledged: nothing else
 * has that hash. A rotten link thus heals without a copy, a rotten row with one, whatever the copy's
 * own history was; and a wrong copy proves nothing and is not taken.
 *
 * What stays bad is left, or removed together with all behind it: the log then ends at its last good
 * action, and its phones push again what they hold. The index of stamps and that of names are made
 * anew with each repair.
 *
 * Nothing is on the disk before repair_end; after a crash the same can be done again.
 *
 * Threads: one. The caller holds the directory's lock. Errors: STATUS_LOG_DAMAGED: pages of the file
 * are malformed, which only a new file helps (salvage); STATUS_STORAGE_UNAVAILABLE: a fault, logged.
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
	bool head_differs;    /* from the newest row, which is good */
	bool index_differs;   /* one of the indexes does not lead to it */
	uint64_t refilled;    /* rows that were put right */
	uint64_t removed;     /* rows that were taken out; records are not counted */
};

/* What is taken out: a row as it stands there, or, with record_size > 0, a kept journal record that
 * cannot be read. Lives until the keeper returns. */
struct removed {
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

/* After that: gives everything behind the last good position to the keeper, and takes it out. */
MUST_CHECK enum status repair_truncate(struct repair *, removed_keeper *, void *cookie);

/* Makes it so, synced; or nothing of it. */
MUST_CHECK enum status repair_end(struct repair *, bool commit);

#endif
