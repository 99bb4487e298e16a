/*
 * accept: makes a shard serve again that a start refuses because its files lack what they had, after an
 * operator has accepted the loss.
 *
 *     look ─▶ say what is lost ─▶ put aside what cannot be used ─▶ make what is missing ─▶ recover
 *
 * Nothing is deleted: what cannot be used is renamed, what recovery will empty or go over is
 * copied, both to NAME.lost-STAMP. What the files still have is kept: rows, and journal records
 * that connect to them. A shard file and a WAL that are not of the same time are used together,
 * or the file alone, only if all rows then fit each other; else the shard begins anew. The commit
 * numbers go on after those that are lost. Done again after a crash at any point, it goes on.
 *
 * Threads: one; the caller holds the directory's lock.
 */
#ifndef STORE_ACCEPT_H
#define STORE_ACCEPT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

struct acceptance {
	const char *path;
	unsigned shard, shards;
	const uint8_t *id;		   /* 16 bytes, from the manifest */
	const char *stamp;		   /* of the names of what is put aside */
	const struct directory *directory; /* whose copies of a reshard are kept; NULL: none */
	bool dry_run;			   /* changes nothing, but says all of it */
	void (*say)(void *cookie, const char *sentence);
	void *cookie;

	/* out */
	bool lost;     /* false: nothing was lacking, and nothing was done */
	uint64_t logs; /* whose heads are known afterwards */
};

/* STATUS_STORAGE_UNAVAILABLE with *problem (base/problem). */
MUST_CHECK enum status accept_loss(struct acceptance *, const char **problem);

#endif
