/*
 * loss: whether a shard's files still have what was on the disk, as its anchor and they themselves tell.
 *
 * Nothing is changed. Threads: one, which uses the db and the files.
 */
#ifndef STORE_SQLITE_LOSS_H
#define STORE_SQLITE_LOSS_H

#include <stdint.h>

#include "base/status.h"
#include "store/sqlite/alone.h"
#include "store/sqlite/anchor.h"
#include "store/sqlite/in_place.h"
#include "store/sqlite/journal_file.h"

enum loss_kind {
	LOSS_NONE,
	LOSS_OF_FILE, /* the shard file is older than its last checkpoint, or shorter */
	LOSS_OF_WAL, /* the WAL has not what was moved from it into the file, or is gone before that was
			 whole */
	LOSS_OF_ROWS, /* generations are neither in place nor in the journal files */
	LOSS_OF_TAIL, /* the newest commits are nowhere */
};

struct loss {
	enum loss_kind kind; /* the first that was found, in that order */
	struct in_place in_place;
	struct alone alone;
	uint64_t generations[2];  /* of the journal files */
	uint64_t found, expected; /* the newest commit there is; the anchor's */
	uint64_t filed, size;	  /* the anchor's */
	uint64_t rotten;	  /* records that do not verify: no loss where their log is known */
};

/* STATUS_OK, lost or not; STATUS_LOG_DAMAGED: SQLite finds the file malformed. An anchor that is
 * not open knows nothing. */
MUST_CHECK enum status loss_look(struct db *, struct journal_file files[2], const struct anchor *,
				 struct loss *);

/* For an operator: what is lost (base/problem). */
const char *loss_sentence(const struct loss *, const char *path);

#endif
