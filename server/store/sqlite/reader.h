/*
 * reader: pages, heads and searches for any thread, through a bounded pool of read-only
 * connections.
 *
 *     pin the tail ─▶ open the snapshot ─▶ rows below the pin's first seq, verified ─▶ the pinned tail
 *
 * The order is what makes the seam safe: a batch leaves the tail only after the COMMIT that put it
 * in place, so what is not in the pin is in every snapshot opened after it.
 *
 * Before a mismatch marks a log damaged, the row is read once more under a new snapshot and from
 * the file.
 *
 * Threads: all functions but new and free from any thread; one that finds no connection free waits.
 */
#ifndef STORE_SQLITE_READER_H
#define STORE_SQLITE_READER_H

#include <stddef.h>

#include "store/engine.h"
#include "store/sqlite/damage.h"
#include "store/sqlite/tail.h"

struct readers;

/* Opens no connection yet. NULL when memory is out. */
struct readers *readers_new(const char *path, size_t connections_max, struct tail *,
			    struct damage *);
void readers_free(struct readers *);

/* See engine.h. */
enum status readers_head(struct readers *, struct text name, const struct hash *genesis,
			 struct head *);

/* See engine.h. STATUS_SERVER_BEHIND when range->after is beyond the head: *start and *end are the
 * head. */
enum status readers_read(struct readers *readers, struct text name, const struct hash *genesis,
			 const struct range *range, row_visitor *visitor, void *cookie,
			 struct position *start, struct position *end);

/* See engine.h. */
enum status readers_count_begun(struct readers *, struct text writer, struct text except,
				uint64_t *count);

/* See engine.h. */
enum status readers_find_unfinished(struct readers *, struct unfinished *);

/* See engine.h. The genesis is found at seq 0. */
enum status readers_seek(struct readers *, struct text name, const struct hash *genesis,
			 const struct hash *link, uint64_t from, uint64_t steps, bool *found,
			 uint64_t *seq);

#endif
