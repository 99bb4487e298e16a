/*
 * remove: content goes, from the journal to the last byte.
 *
 *     all is put in place, WAL and journal files are emptied ─▶ rows change (removal)
 *                                     ─▶ the WAL is emptied again ─▶ what is free is overwritten (overwrite)
 *
 * The applier has nothing to do meanwhile and is held, so that its connection is free.
 *
 * Threads: the shard's writer.
 */
#ifndef STORE_SQLITE_REMOVE_H
#define STORE_SQLITE_REMOVE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "store/engine.h"
#include "store/sqlite/damage.h"
#include "store/sqlite/generations.h"

struct remover;

struct remove {
	/* set by the owner */
	struct db *db; /* the applier's */
	struct generations *generations;
	struct damage *damage;
	uint64_t *next_log_id; /* of the next that is new */

	struct remover *remover; /* made when it is first needed */
};

/* After the db is closed. */
void remove_release(struct remove *);

/* See engine.h. */
MUST_CHECK enum status remove_content(struct remove *, struct removal *, size_t count,
				      bool overwrite, uint64_t *kept);

#endif
