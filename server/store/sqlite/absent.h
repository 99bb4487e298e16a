/*
 * absent: whether what an index does not lead to was never there.
 *
 * A row that is found is verified by its link. For one that is not found nothing vouches but the index,
 * and a rotten key hides what it stood for: a log would be empty, and a repeated action new. But such a
 * key stands where it stood, beside the place at which the search for what it hid ends. So an answer
 * "not there" is believed when the entries on both sides of that place are in order and each is the key
 * of the row that it leads to; where there is none, the place must be the index's end.
 *
 * What stays hidden: a stamp whose log's number or ts has rotted into NULL, since SQLite passes over what
 * compares with nothing. That is two bits of an entry, and the walk for rot (scrub) comes to them.
 *
 * Outcomes: STATUS_OK: not there; STATUS_LOG_DAMAGED: the index cannot be believed;
 * STATUS_STORAGE_UNAVAILABLE: a fault, logged. Threads: as the connection's.
 */
#ifndef STORE_SQLITE_ABSENT_H
#define STORE_SQLITE_ABSENT_H

#include <stdint.h>

#include "base/status.h"
#include "store/sqlite/db.h"

struct absent {
	struct statement *name_below, *name_above, *name_first, *name_last, *name;
	struct statement *stamp_below, *stamp_above, *stamp_first, *stamp_last, *stamp, *pair;
};

/* Its statements, which are the db's. */
MUST_CHECK enum status absent_prepare(struct absent *, struct db *);

/* No log has this name. */
MUST_CHECK enum status absent_log(struct absent *, struct text name);

/* A device of a log has no action stamped after one ts (0: the device's first) and before another. */
MUST_CHECK enum status absent_stamps(struct absent *, uint64_t log, struct text device,
				     uint64_t after, uint64_t before);

#endif
