/*
 * salvage: a new shard file from what one with malformed pages still holds.
 *
 *     pages, one by one ─▶ records ─▶ which log, which position ─▶ new file ─▶ checked ─▶ takes the old
 *     (no tree is followed)            as the chain proves                               one's place
 *
 * The file is read without SQLite, and not changed: neither keys nor pointers between pages have to be
 * right. Where there are several rows for a position, that is taken which chains; free pages' rows only so.
 * A row that has a position to itself is taken as it is: what is missing or does not verify then is a
 * matter for repair, log by log. A log's name comes from its row or the index of names, and its first
 * action proves it. Every action that was read is in the new file or was given to the keeper. Of two
 * histories that is the log's which leads to its stored head; rows of free pages, which an earlier cut may
 * have left, fill a gap only from its far end.
 *
 * What follows from the rest is made anew: indexes, batches that nothing covers (schema: writer unknown,
 * received when the one before was), heads that are lost.
 *
 * Whatever the file says is in place: the next start puts all in place that the journal files hold. The
 * old file is kept beside the new one with its write-ahead log, and copies of the journal files and of the
 * anchor. A crash before the new one has taken its place: salvage_undo() (salvage_place), and the same can
 * be done again.
 *
 * Threads: one. The caller holds the directory's lock, and has called salvage_undo().
 */
#ifndef STORE_SALVAGE_H
#define STORE_SALVAGE_H

#include <stdint.h>

#include "base/status.h"
#include "base/text.h"
#include "chain/settle.h"
#include "store/repair.h"

struct salvage_order {
	struct repair_target target;
	struct text log; /* a name that a log without one may have */
	removed_keeper *keeper;
	void *cookie;
	enum status (*sync)(void *cookie); /* what the keeper has is on the disk */

	/* A log is taken for pruned or, where all is gone, erased, for that is how its rows look. May set
	 * erased_at to 0, where more is known. */
	void (*suppose)(void *supposing, struct text log, struct gone *);
	void *supposing;
};

struct salvaged {
	uint64_t read;	     /* actions that were met, the same one once for each time */
	uint64_t actions;    /* that are in the new file */
	uint64_t unreadable; /* pages and records; and what the file or its WAL is known to lack */
	uint64_t removed;    /* actions that were given to the keeper */
	uint64_t removed_live; /* of them, that were not on free pages */
	uint64_t supposed;     /* logs that are taken for pruned or erased */
	uint64_t unnamed;      /* logs without a name: their actions are with the keeper */
	char *kept;	       /* where the old file is; from malloc */
};

/* STATUS_STORAGE_UNAVAILABLE with *problem (base/problem): the old file is as it was. */
MUST_CHECK enum status salvage_shard(const struct salvage_order *, struct salvaged *,
				     const char **problem);

#endif
