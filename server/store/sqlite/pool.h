/*
 * pool: a bounded number of read-only connections to one file, opened when first needed.
 *
 * Threads: pool_take and pool_give from any thread; a thread that finds none free waits.
 */
#ifndef STORE_SQLITE_POOL_H
#define STORE_SQLITE_POOL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "store/sqlite/rows.h"

struct pool;

/* NULL when memory is out. */
struct pool *pool_new(const char *path, size_t connections_max);

/* Every connection must have been given back. */
void pool_free(struct pool *);

MUST_CHECK enum status pool_take(struct pool *, struct rows **);

/* is_good: not after a fault; a connection that failed is closed, and another opened when needed.
 */
void pool_give(struct pool *, struct rows *, bool is_good);

#endif
