/*
 * tail_stamps: finds what a log has in the tail under one (device, ts), and a device's newest stamp.
 *
 *     publish ─▶ the log's batches
 *                      ╎  when somebody asks, and not before
 *                      ├──▶ few actions: read through
 *                      ╰──▶ many: those that came since the last question ─▶ slots ─▶ seq ─▶ the tail
 *
 * Most logs are never asked about: facts remembers each device's newest stamp, and an action
 * stamped later cannot be there. A log with many actions gets a table of its own: open addressing,
 * an entry for each action and one for each device. What leaves the tail stays in the table, so
 * what an entry leads to must be in the tail still. When what has come does not fit, the table is
 * made anew from what is in the tail then; when all that it has has left, it is gone. So questions
 * cost what comes between them, a few times over; but all that is there when there is no memory for
 * a table.
 *
 * Threads: the writer's alone.
 *
 * Invariants:
 * 1. A table has all of the log's actions from its first seq to its next, some of them in the tail.
 * 2. At most three quarters of its slots are taken.
 * 3. It has less than four times as many slots as there were actions, and devices of batches, in
 * the tail when it was made.
 */
#ifndef STORE_SQLITE_TAIL_STAMPS_H
#define STORE_SQLITE_TAIL_STAMPS_H

#include <stdint.h>

#include "base/text.h"

struct tail_log;
struct tail_stamps;

/* The seq of the device's action with this stamp, 0 when it is not in the tail. The log has
 * published batches. */
uint64_t tail_stamps_find(struct tail_log *, struct text device, uint64_t ts);

/* The device's newest stamp in the tail, 0 if none. When a newer one has left, which the rows then
 * have, it may be less. The log has published batches. */
uint64_t tail_stamps_newest(struct tail_log *, struct text device);

/* The log's batches up to this seq have left. */
void tail_stamps_leave(struct tail_log *, uint64_t seq);

void tail_stamps_free(struct tail_stamps *);

#endif
