/*
 * gone: the table of what is gone of logs: up to where one was pruned, when one was erased, how far that has
 * come, which stays known when an erased log is opened again: content must not come back. The chain does not
 * cover it, so each entry has a checksum: rot must neither hide a log nor open an erased one.
 *
 * Threads: as the connection's.
 */
#ifndef STORE_SQLITE_GONE_H
#define STORE_SQLITE_GONE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "chain/settle.h"
#include "store/sqlite/db.h"

/* The columns of an entry that gone_take reads, from one on. */
#define GONE_COLUMNS "gone.pruned, gone.erased_at, gone.sum, gone.cleared"

/* Of a log's entry or, where none was joined, nothing is gone. False: it does not verify. */
MUST_CHECK bool gone_take(struct statement *, int column, const struct hash *genesis,
			  struct gone *);

/* Makes, changes or removes the entry of a log. In the caller's transaction. */
MUST_CHECK enum status gone_write(struct db *, uint64_t log, const struct hash *genesis,
				  const struct gone *);

#endif
