/*
 * facts: what a shard's writer remembers of its logs between groups: recent heads, and devices'
 * newest stamps.
 *
 * It is a cache: whatever it has not, the engine knows. A device's newest stamp is remembered from
 * the first question on and moved by settle; an action stamped later cannot be in the log, so only
 * older ones cost a look-up.
 *
 * Threads: the shard's writer alone.
 *
 * Invariants:
 * 1. Between groups what is here equals what is committed. A group that failed makes the writer
 * forget all.
 * 2. Nothing is evicted while a group settles: pointers handed out live until facts_trim or
 * facts_forget.
 */
#ifndef STORE_FACTS_H
#define STORE_FACTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/map.h"
#include "base/text.h"
#include "chain/settle.h"

struct facts_device {
	struct device_facts facts;
	bool known; /* facts.newest was looked up */
	struct facts_device *next_of_log;
	UT_hash_handle hh;
	struct {
		const struct facts_log *log;
		char name[DEVICE_SIZE_MAX]; /* only as many as the name has are part of the key */
	} key;
};

struct facts_log {
	struct hash genesis; /* the key */
	struct head head;
	bool known;		  /* head was looked up */
	struct settle_log *group; /* while a group settles, else NULL */
	struct facts_device *devices;
	size_t device_count;
	struct facts_log *newer, *older; /* by last use */
	UT_hash_handle hh;
};

struct facts_cache {
	struct facts_log *logs;	      /* by genesis */
	struct facts_device *devices; /* by log and name */
	struct facts_log *newest, *oldest;
	size_t log_count, device_count;
	size_t logs_max;
};

void facts_init(struct facts_cache *, size_t logs_max);

/* The log's entry, made (known == false) if there is none; NULL when memory is out. It becomes the
 * most recently used. */
struct facts_log *facts_log(struct facts_cache *, const struct hash *genesis);

/* The device's entry of a log, likewise. */
struct facts_device *facts_device(struct facts_cache *, struct facts_log *, struct text name);

/* Between groups: drops the least recently used logs beyond the bounds (logs_max logs, four times
 * as many devices). */
void facts_trim(struct facts_cache *);

/* Drops one log, or everything. */
void facts_forget_log(struct facts_cache *, struct facts_log *);
void facts_forget(struct facts_cache *);

#endif
