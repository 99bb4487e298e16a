/*
 * in_place: the row that says how far the rows are: what of the journal they have, and a count of the
 * transactions that made them.
 *
 * Threads: the db's user.
 */
#ifndef STORE_SQLITE_IN_PLACE_H
#define STORE_SQLITE_IN_PLACE_H

#include <stdint.h>

#include "base/status.h"
#include "store/sqlite/db.h"

struct in_place {
	uint64_t generation; /* up to this one the journal's are in place, or kept */
	uint64_t last_id;    /* of the records of those generations */
	uint64_t commits;    /* transactions that changed rows, over the shard's life */
};

MUST_CHECK enum status in_place_read(struct db *, struct in_place *);

/* Every transaction of rows says so before it commits: the page is then in every WAL. */
MUST_CHECK enum status in_place_count(struct db *);

/* Synced, with all commits before it: all of a generation and of those before, which end with that
 * record, is in place. */
MUST_CHECK enum status in_place_record(struct db *, uint64_t generation, uint64_t last_id);

#endif
