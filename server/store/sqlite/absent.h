/*
 * absent: whether what an index does not lead to was never there.
 *
 * A row that is found is verified by its link. For one that is not found nothing vouches but the index,
 * and a rotten key hides what it stood for: a log would be empty, and a repeated action new. But such a
 * key stands where it stood, beside the place at which the search for what it hid ends. So an answer
 * "not there" is believed when the entries on both sides of that place are in order and right; where
 * there is none, the place must be the index's end.
 *
 * A stamp's entry is right if the row that it leads to has that stamp; or if its log should have that
 * row and what is there does not verify, for then it is the row that has rotted. A name's is right if by
 * the name in its row it would be on that side as well, or if the log's first action chains from it.
 *
 * An answer that is not believed says nothing against any log: whose key has rotted is not known. The
 * walk for rot finds that out, by asking for what is there.
 *
 * What stays hidden: a stamp whose log's number or ts has rotted into NULL, since SQLite passes over what
 * compares with nothing. That is two bits of an entry, and the walk for rot (scrub) comes to them. And a
 * key that has rotted together with what would contradict it.
 *
 * Outcomes: STATUS_OK: not there; STATUS_INDEX_DAMAGED: the index cannot be believed;
 * STATUS_STORAGE_UNAVAILABLE: a fault, logged. Threads: as the connection's.
 */
#ifndef STORE_SQLITE_ABSENT_H
#define STORE_SQLITE_ABSENT_H

#include <stdint.h>

#include "base/status.h"
#include "store/sqlite/db.h"

struct absent {
	struct statement *name_below, *name_above, *name_first, *name_last, *log;
	struct statement *stamp_below, *stamp_above, *stamp_first, *stamp_last, *stamp, *pair;
};

/* Its statements, which are the db's; pair is stored_row_check's. */
MUST_CHECK enum status absent_prepare(struct absent *, struct db *, struct statement *pair);

/* What a step says of an index, with a row or without: nothing, or one of the outcomes above. */
enum status index_status(enum step);

/* No log has this name. */
MUST_CHECK enum status absent_log(struct absent *, struct text name);

/* A device of a log has no action stamped after one ts (0: the device's first) and before another. */
MUST_CHECK enum status absent_stamps(struct absent *, uint64_t log, struct text device,
				     uint64_t after, uint64_t before);

#endif
