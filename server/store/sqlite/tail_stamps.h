/*
 * tail_stamps: which (log, device, ts) the tail holds, and each device's newest stamp in it.
 *
 *     (log, device name) ──▶ struct tail_device ──(with ts)──▶ buckets ──▶ entries: seq ──▶ the tail
 *
 * A table for each generation: what has left the tail stays in its table until the whole generation
 * has, so that nothing is looked for again to be taken out. So an entry is a hint: what is found
 * must be in the tail still.
 *
 * Threads: the writer's alone.
 */
#ifndef STORE_SQLITE_TAIL_STAMPS_H
#define STORE_SQLITE_TAIL_STAMPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "store/sqlite/tail_batch.h"

struct tail_device;
struct stamp_entry;

/* Entries in the order in which they came; a bucket has the newest of its own, which has the one
 * before. */
struct stamp_table {
	uint32_t *buckets; /* an entry's place and 1, or 0 */
	struct stamp_entry *entries;
	size_t count, capacity;
};

struct tail_stamps {
	struct tail_device *devices;
	struct stamp_table filling, applying;
	size_t bucket_count; /* a power of two */
	size_t held;	     /* actions for which filling has room */
};

/* Sized for a tail of so many bytes. */
MUST_CHECK bool tail_stamps_init(struct tail_stamps *, size_t tail_bytes);
void tail_stamps_release(struct tail_stamps *);

/* Makes or shares the entries of a batch's devices, whose log is set, and makes room for its
 * actions. False when memory is out. */
MUST_CHECK bool tail_stamps_hold(struct tail_stamps *, struct tail_batch *);

/* The actions of a held batch come in; its hold on its devices ends. */
void tail_stamps_add(struct tail_stamps *, const struct tail_batch *);
void tail_stamps_leave(struct tail_stamps *, const struct tail_batch *);

/* As the tail's generations do. */
void tail_stamps_freeze(struct tail_stamps *);
void tail_stamps_finish(struct tail_stamps *);

/* 0 when the device has nothing in the tail. */
uint64_t tail_stamps_newest(const struct tail_stamps *, const struct tail_log *,
			    struct text device);

/* NULL when the tail has no action of the device of this name with this stamp. */
const struct tail_action *tail_stamps_find(const struct tail_stamps *, const struct tail_log *,
					   struct text name, uint64_t ts);

#endif
