/*
 * tail_stamps: which (log, device, ts) the tail holds, and each device's newest stamp in it.
 *
 *     (log, device name) ──▶ struct tail_device ──(with ts)──▶ fixed buckets ──▶ tail_action
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

struct tail_stamps {
	struct tail_device *devices;
	struct tail_action **buckets;
	size_t bucket_count; /* a power of two */
};

/* Sized for a tail of so many bytes. */
MUST_CHECK bool tail_stamps_init(struct tail_stamps *, size_t tail_bytes);
void tail_stamps_release(struct tail_stamps *);

/* Makes or shares the entries of a batch's devices; its log is set. False when memory is out. */
MUST_CHECK bool tail_stamps_hold(struct tail_stamps *, struct tail_batch *);

/* The actions of a held batch come in, and go again together with its hold. */
void tail_stamps_add(struct tail_stamps *, struct tail_batch *);
void tail_stamps_remove(struct tail_stamps *, struct tail_batch *);

/* 0 when the device has nothing in the tail. */
uint64_t tail_stamps_newest(const struct tail_stamps *, const struct tail_log *,
			    struct text device);

struct tail_action *tail_stamps_find(const struct tail_stamps *, const struct tail_log *,
				     struct text name, uint64_t ts);

#endif
