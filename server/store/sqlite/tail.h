/*
 * tail: what is acknowledged but not yet in place, in memory, bounded in bytes.
 *
 *     encode ─▶ stage ─▶ (synced) ─▶ publish ─▶ filling ── freeze ──▶ applying ── leave ──▶ gone
 *                                      │                                 sorted by (log, seq)
 *                                      ╰─▶ the log's list: heads, links, readers' pins, and its stamps if
 *                                          somebody asks (tail_stamps)
 *
 * Bytes are those of the batches. What comes on top: the entries of their logs, for one small action
 * a log nearly as much again; and tables for the large logs that are asked about (tail_stamps).
 *
 * Two generations: new batches go to the one that fills; the one that is applied does not change
 * but for what leaves it from the front. All that can fail, fails in stage, so that nothing is
 * left to fail between a sync and its batches being visible.
 *
 * Threads: the writer does all but tail_sort, which who applies does, and tail_head, tail_measure,
 * tail_begun, tail_pin and tail_unpin, which any thread may do. The
 * lock guards what both touch; what only the writer touches (stamps, generations) needs none, and
 * the writer reads without it what nobody else changes.
 *
 * Invariants:
 * 1. A log's batches are contiguous: each begins after the one before it, at its last link.
 * 2. A log is in the tail exactly while one of its batches is staged or published.
 */
#ifndef STORE_SQLITE_TAIL_H
#define STORE_SQLITE_TAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "store/engine.h"
#include "store/sqlite/tail_batch.h"

struct tail;
struct tail_stamps;

struct tail_log {
	struct hash genesis; /* the key */
	uint64_t id;	     /* in the database, now or when its first row is put in place */
	bool is_new;	     /* has no row in the database yet */
	bool stuck;	     /* its rows do not fit what is in place: not applied, journal kept */
	size_t staged;
	struct position end; /* of the newest batch, staged ones included */
	struct head head;    /* of the newest published batch */

	/* Published batches by seq: items[first .. first + count). */
	struct tail_batch **items;
	size_t first, count, capacity;
	struct tail_stamps *stamps; /* the writer's; NULL until they are asked for */
	UT_hash_handle hh;
};

/* What of one log was in the tail at one moment. */
struct tail_pin {
	bool present;
	struct head head;
	uint64_t first_seq; /* of the oldest batch: rows below it are in place */
	struct tail_batch **batches;
	size_t count; /* those that overlap the range asked for, at most as many as its rows; and
			 the first one after its start in any case */
};

struct tail *tail_new(size_t bytes_max);
void tail_free(struct tail *);

/* --- the writer --- */

size_t tail_bytes(const struct tail *);
size_t tail_bytes_max(const struct tail *);

/* The log, or NULL when it has nothing in the tail. */
struct tail_log *tail_find(struct tail *, const struct hash *genesis);

/*
 * Prepares a batch for publishing: its log's entry (id and is_new are used when it has none) and
 * room in every list. False when memory is out: the batch stays the caller's, and the tail may only
 * be freed.
 */
MUST_CHECK bool tail_stage(struct tail *, struct tail_batch *, const struct hash *genesis,
			   uint64_t id, bool is_new);

/* Makes staged batches, linked by next, visible. The tail takes them over. */
void tail_publish(struct tail *, struct tail_batch *first);

/* The batch that holds a seq of the log's published ones; NULL when it is before or beyond them. */
struct tail_batch *tail_batch_at(const struct tail_log *, uint64_t seq);

bool tail_is_filling(const struct tail *);
bool tail_is_applying(const struct tail *);

/* What has been filling, which is not empty, becomes what is applied, which is. */
void tail_freeze(struct tail *);

/* Brings what is applied into the order of (log id, seq). By who applies it, before anything of it
 * leaves: of thousands of batches it takes milliseconds, in which the writer has better to do. */
void tail_sort(struct tail *);

/* The generation that is applied, and its size. */
struct tail_batch **tail_applying(struct tail *, size_t *count);

/* Every batch up to this index of the generation is in place: those that have not left, leave. */
void tail_leave(struct tail *, size_t upto);

/* The generation is done with and gone. */
void tail_finish(struct tail *);

/* --- any thread --- */

/* tail_bytes() for others than the writer. */
size_t tail_measure(struct tail *);

/* False when the log has nothing in the tail. */
bool tail_head(struct tail *, const struct hash *genesis, struct head *);

/* The ids of the logs that begin in the tail with a batch that this writer brought, but for the one of a
 * name: from malloc. False when memory is out. */
MUST_CHECK bool tail_begun(struct tail *, struct text writer, struct text except, uint64_t **logs,
			   size_t *count);

/* References to the batches with seqs in (after, upto]. False when memory is out. */
MUST_CHECK bool tail_pin(struct tail *, const struct hash *genesis, const struct range *,
			 struct tail_pin *);
void tail_unpin(struct tail *, struct tail_pin *);

#endif
