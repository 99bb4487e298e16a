/*
 * log_ids: which logs a shard has, in order of their ids, though some of what tells it has rotted.
 *
 *     the id after the last one:  a row in `logs` ─▶ a name;  none, but actions ─▶ a log without a name
 *     neither                     ─▶ a gap: the next one that either table leads to
 *
 * Ids are given out one after the other, so each is asked for by itself, as a request finds its log: an id
 * that has rotted stands in the wrong place among the others, and a search that goes on behind it passes
 * over the true ones.
 *
 * Threads: the db's user.
 */
#ifndef STORE_SQLITE_LOG_IDS_H
#define STORE_SQLITE_LOG_IDS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "chain/chain.h"
#include "store/sqlite/db.h"

/* The statements, which are the db's. */
struct log_ids {
	struct statement *name, *actions, *next_name, *next_action;
};

struct found_log {
	uint64_t id;	  /* 0: there is none */
	size_t name_size; /* 0: its name is lost */
	char name[LOG_NAME_SIZE_MAX];
};

MUST_CHECK enum status log_ids_prepare(struct log_ids *, struct db *);

/* The first log whose id is greater. STATUS_LOG_DAMAGED: whether there is one cannot be read in either
 * table; STATUS_STORAGE_UNAVAILABLE: a fault, logged. */
MUST_CHECK enum status log_ids_next(struct log_ids *, uint64_t after, struct found_log *);

#endif
