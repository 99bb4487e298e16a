/*
 * order: whether rows stand in the order of their keys. Behind one whose key has rotted no look-up and no
 * range finds any.
 *
 *     order_check: all of it, in one go
 *     order_step ─▶ so many rows of the actions ─▶ where to go on (struct ordering)
 *
 * A step goes on where a search for the last row leads. Where pages have rotted that may be elsewhere, and what
 * stands in between would be passed over. So each stretch is gone through upwards, from where a search for its
 * start leads, and downwards, from where a search for its end leads: both come to the other end, in as many
 * rows. What others write meanwhile comes in order, or is met.
 *
 * No comparison of two columns is asked for: SQLite makes it of each row, too, and passes over those in
 * question. So a stretch is within a log, or begins and ends between two.
 *
 * Threads: as the connection's.
 */
#ifndef STORE_SQLITE_ORDER_H
#define STORE_SQLITE_ORDER_H

#include <stdbool.h>

#include "base/status.h"
#include "store/engine.h"
#include "store/sqlite/db.h"

/* The actions, in the order in which they stand, which an index would hide: the link is in none. */
#define ORDER_OF_ACTIONS "SELECT log, seq, link FROM actions NOT INDEXED"

/* The first two columns of each row are more than those of the one before, as pairs. Also false where SQLite
 * cannot read on. */
MUST_CHECK enum status order_check(struct db *, const char *sql, bool *is_kept);

struct order {
	struct statement *all, *rest, *behind;	       /* upwards */
	struct statement *top, *upto, *within, *under; /* downwards */
};

/* Its statements, which are the db's. */
MUST_CHECK enum status order_prepare(struct order *, struct db *);

/* Looks at up to *rows of the actions, or a few, and says how many that leaves; both ways count.
 * STATUS_LOG_DAMAGED: they are not in order. In a transaction. */
MUST_CHECK enum status order_step(struct order *, struct ordering *, uint64_t *rows);

#endif
