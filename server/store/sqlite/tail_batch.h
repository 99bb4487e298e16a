/*
 * tail_batch: one acknowledged batch in memory: its journal record as it was written, and beside it
 * where each action begins and its link. One allocation.
 *
 *     struct tail_batch │ actions: offset, link … │ devices … │ frame │ record's bytes │ zeros
 *                             ╰── points into ──────────────────────▶
 *
 * Threads: once published a batch is only read, but for refs (guarded by the tail's lock).
 */
#ifndef STORE_SQLITE_TAIL_BATCH_H
#define STORE_SQLITE_TAIL_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/engine.h"
#include "store/sqlite/journal.h"
#include "store/sqlite/journal_frame.h"

struct tail_log;

struct tail_action {
	uint32_t offset; /* in the record */
	struct hash link;
};

struct tail_batch {
	size_t size; /* of the allocation */
	unsigned refs;
	struct tail_log *log; /* set by tail_stage */
	uint64_t journal_id;
	struct tail_batch *next;	  /* of the group being written */
	struct tail_batch *newer, *older; /* of those in the tail that begin their logs */

	uint64_t first_seq;
	uint64_t received_at;
	uint64_t log_bytes; /* head.bytes of the log with this batch */
	struct gone gone;   /* of the log */
	struct hash before;
	struct text log_name, writer; /* in the record */
	struct text *devices;	      /* in the record */
	size_t device_count;
	uint8_t *frame; /* with the record in it, as the journal file has it (journal_file) */
	size_t frame_size;
	const uint8_t *record;
	size_t record_size;
	size_t action_count;
	struct tail_action actions[];
};

/* The record of an append, encoded. NULL when memory is out or it is more than a record can be. */
struct tail_batch *tail_batch_encode(const struct append *);

/* From a verified record, whose bytes are copied. log_bytes is the caller's to set. */
struct tail_batch *tail_batch_decode(const struct record *);

void tail_batch_free(struct tail_batch *);

/* A group on its way to the journal. */
struct tail_group {
	struct tail_batch *first, *last; /* linked by next */
	size_t bytes;
};

/* Into an empty one. False: memory is out; what there is of it is to be freed. */
MUST_CHECK bool tail_group_encode(struct tail_group *, const struct append *, size_t count);
void tail_group_free(struct tail_group *);

static inline uint64_t
tail_batch_last_seq(const struct tail_batch *batch)
{
	return batch->first_seq + batch->action_count - 1;
}

/* The link at a seq from first_seq - 1 to the last. */
const struct hash *tail_batch_link(const struct tail_batch *, uint64_t seq);

/* The action at an index. Texts point into the record. */
void tail_batch_action(const struct tail_batch *, size_t index, struct action *);

/* What the actions from an index on count in their log's bytes. */
uint64_t tail_batch_bytes(const struct tail_batch *, size_t from);

#endif
