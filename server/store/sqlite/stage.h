/*
 * stage: a group's batches on their way into the tail: each is given its log's number there, which is that
 * of the log in the tail, of the log's row, or a new one.
 *
 * Threads: the writer. Errors: STATUS_STORAGE_UNAVAILABLE, logged where it happened.
 */
#ifndef STORE_SQLITE_STAGE_H
#define STORE_SQLITE_STAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "store/engine.h"
#include "store/sqlite/rows.h"
#include "store/sqlite/tail.h"

struct stager {
	struct rows *rows; /* the writer's eyes */
	struct tail *tail;
	uint64_t next_log_id;
};

/* first: the batches of the appends, linked by next. STATUS_LOG_DAMAGED: a log's row is not what was
 * gathered; nothing is staged. */
MUST_CHECK enum status stage_group(struct stager *, struct tail_batch *first,
				   const struct append *appends, size_t count);

#endif
