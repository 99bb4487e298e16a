/*
 * snapshot_names: what files are called in the folder of snapshots (snapshots.h), and its folders' walk.
 *
 * Threads: any; nothing is kept.
 */
#ifndef STORE_SNAPSHOT_NAMES_H
#define STORE_SNAPSHOT_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "chain/chain.h"

#define SNAPSHOT_FOLDER "snapshots"
#define SNAPSHOT_NEW ".new"
#define SNAPSHOT_ROTTEN ".rotten"

#define SNAPSHOT_GENESIS_DIGITS 30 /* in a name, behind the two that are its folder's */
#define SNAPSHOT_SEQ_DIGITS 16
#define SNAPSHOT_PREFIX_SIZE (SNAPSHOT_GENESIS_DIGITS + 1) /* and a dash */

/* What the names of a log's files begin with, and their folder. */
struct snapshot_place {
	char folder[3];
	char prefix[SNAPSHOT_PREFIX_SIZE + 1];
};

struct snapshot_place snapshot_place_of(const struct hash *genesis);

bool snapshot_name_ends(const char *name, const char *suffix);
bool snapshot_name_is_of(const char *name, const struct snapshot_place *);

/* The seq in a name. False: it is no snapshot's that is there whole. */
bool snapshot_name_seq(const char *name, uint64_t *seq);

/* Asked for each file of a folder. What it returns but STATUS_OK ends the walk. */
typedef enum status snapshot_name_visitor(int folder, const char *name, void *cookie);

/* path: NULL when memory was out for it. Of a folder that is not there there is nothing to visit. */
MUST_CHECK enum status snapshot_names_walk(const char *path, snapshot_name_visitor *, void *cookie);

#endif
