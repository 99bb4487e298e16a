/*
 * stamps: finds what a group has appended to a log under one (device, ts). Private to chain/.
 *
 * An open-addressing table of row numbers in settle_log. Rows enter it in their order, when
 * somebody asks and not before: most groups never do, since an action stamped after its device's
 * newest cannot be there.
 *
 * Invariants:
 * 1. The table holds exactly rows[0 .. stamp_count), each as its number + 1; 0 is an empty slot.
 * 2. It looks as if only those rows had ever been put in, in their order. Taking out the last one
 *    therefore leaves no hole in anybody's way, and needs no tombstone.
 * 3. At most half of its slots are taken.
 */
#ifndef CHAIN_STAMPS_H
#define CHAIN_STAMPS_H

#include "chain/settle.h"

/* The group's row with the action's device and ts, NULL if there is none. STATUS_INTERNAL when
 * memory is out. Costs the rows that came since the last question, once each. */
MUST_CHECK enum status stamps_find(struct settle_log *, const struct action *,
				   const struct settled_row **found);

/* Forgets the rows from row_count on. Call it while they are still readable. */
void stamps_cut(struct settle_log *, size_t row_count);

#endif
