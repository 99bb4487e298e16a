/*
 * offline: what the files of a stopped shard hold of one log: the rows, and what the journal holds behind
 * them, as one sequence that is chained again from the log's genesis.
 *
 *     rows ─▶ records that an earlier start kept ─▶ the journal's files ┄▶ visit, in order
 *
 * Nothing is changed: a hot WAL is read, not applied, and what SQLite makes beside the file is taken away.
 * The caller holds the directory's lock. Threads: one call has one thread.
 */
#ifndef STORE_OFFLINE_H
#define STORE_OFFLINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"
#include "chain/chain.h"
#include "store/audit.h"
#include "store/engine.h"

/* An action: its link is the one computed here; is_stored says whether what is stored as its link is the
 * same. received_at is 0 where no batch covers it. False stops the reading. */
typedef bool offline_visitor(void *cookie, const struct row *, bool is_stored);

struct offline_order {
	struct text log;
	uint64_t upto;		/* at most this seq */
	offline_visitor *visit; /* may be NULL */
	void *cookie;
};

struct offline_end {
	struct position at; /* how far the actions follow each other, and the link there */
	uint64_t named; /* the greatest seq of the log that anything speaks of; beyond `at`, up to
			       the order's upto: something is missing */
};

/*
 * No stored link is believed: the log contains a position if *end reaches it, whoever wrote what is
 * stored. STATUS_STORAGE_UNAVAILABLE or, for what SQLite cannot read, STATUS_LOG_DAMAGED, with *problem
 * (base/problem).
 */
MUST_CHECK enum status offline_read(const struct audit_target *, const struct offline_order *,
				    struct offline_end *end, const char **problem);

#endif
