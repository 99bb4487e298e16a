/*
 * order: whether rows stand in the order of their keys. Behind one whose key has rotted no look-up and no
 * range finds any.
 *
 * Threads: as the connection's.
 */
#ifndef STORE_SQLITE_ORDER_H
#define STORE_SQLITE_ORDER_H

#include <stdbool.h>

#include "base/status.h"
#include "store/sqlite/db.h"

/* The actions, in the order in which they stand, which an index would hide: the link is in none. */
#define ORDER_OF_ACTIONS "SELECT log, seq, link FROM actions NOT INDEXED"

/* The first two columns of each row are more than those of the one before, as pairs. Also false where SQLite
 * cannot read on. */
MUST_CHECK enum status order_check(struct db *, const char *sql, bool *is_kept);

#endif
