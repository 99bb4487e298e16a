/*
 * gather: answers the writer's questions: from the tail first, then from rows that verify.
 *
 * Threads: the writer's.
 */
#ifndef STORE_SQLITE_GATHER_H
#define STORE_SQLITE_GATHER_H

#include <stddef.h>

#include "base/status.h"
#include "store/engine.h"
#include "store/sqlite/damage.h"
#include "store/sqlite/rows.h"
#include "store/sqlite/tail.h"

struct gatherer {
	struct rows *rows;
	struct tail *tail;
	struct damage *damage;
};

/* Answers all, in one snapshot. A log in which something does not verify is marked, and its lookups
 * say so; so do those of a log that cannot be read, which is not marked. */
MUST_CHECK enum status gather_lookups(const struct gatherer *, struct lookup *, size_t count);

#endif
