/*
 * figures: everything that /metrics shows: what the process counts (base/metrics), and how it is right
 * now: shards, connections, memory, disk.
 *
 * Where another room counts something, it adds a row to the tables of base/metrics and nothing here; a
 * status gets its own label by being in the table of base/status. What is a state and no count is read
 * here: a family a line, by the room's own …_measure().
 *
 * Private to this room. Threads: any.
 */
#ifndef ADMIN_FIGURES_H
#define ADMIN_FIGURES_H

#include <stdbool.h>

#include "base/mem.h"

struct admin;

void figures_write(struct admin *, struct buffer *out, bool open_metrics);

#endif
