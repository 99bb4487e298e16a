/*
 * salvage: a new shard file from what can be read of one with malformed pages.
 *
 *     every table, in the order of its key ─▶ what cannot be read is stepped over ─▶ new file ─▶ takes the old
 *                                                                                       one's place
 *
 * Rows are copied as they are, rotten or not: what is missing or does not verify then is a matter for
 * repair, log by log. The old file is kept beside the new one. Until that has taken its place, which is
 * one rename, nothing has changed; after a crash before it the same is done again.
 *
 * Threads: one. The caller holds the directory's lock, and the shard has been stopped: its WAL is in
 * the file.
 */
#ifndef STORE_SALVAGE_H
#define STORE_SALVAGE_H

#include <stdint.h>

#include "base/status.h"
#include "store/repair.h"

struct salvaged {
	uint64_t actions; /* copied */
	uint64_t gaps;	  /* stretches of any table that could not be read */
	char *kept;	  /* where the old file is; from malloc */
};

/* STATUS_STORAGE_UNAVAILABLE with *problem (base/problem): the old file is as it was. */
MUST_CHECK enum status salvage_shard(const struct repair_target *, struct salvaged *,
				     const char **problem);

#endif
