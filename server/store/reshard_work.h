/*
 * reshard_work: what the parts of reshard share: reshard (folder and switch), reshard_files (old and new files),
 * reshard_rows (copy and compare).
 */
#ifndef STORE_RESHARD_WORK_H
#define STORE_RESHARD_WORK_H

#include "store/companions.h"
#include "store/reshard.h"
#include "store/sqlite/log_rows.h"

/* An old file with the new ones that its logs go to. */
struct reshard_pair {
	struct db *db;
	struct log_rows *rows; /* from the old one */
	struct statement *find;
	struct companions companions;
	uint64_t next_id;
	uint64_t pending; /* rows since the last commit */
};

struct reshard_source {
	struct db *db;
	struct companions companions;
	struct statement *logs; /* id, name, seq */
	unsigned first, count;	/* of the new ones */
	struct reshard_pair *to;
};

/* writes: the new ones are made where they are not, and are in a transaction; else nothing is changed. */
MUST_CHECK enum status reshard_open_source(struct reshard *, unsigned number, bool writes,
					   struct reshard_source *, const char **problem);

/* Commits what was written; on failure nothing more is. */
MUST_CHECK enum status reshard_close_source(struct reshard_source *, bool writes, enum status);

/* The new files, all of whose logs are there, become what a start expects. */
MUST_CHECK enum status reshard_complete(struct reshard *, const char **problem);

#endif
