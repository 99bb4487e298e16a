/*
 * journal_read: what a shard's two journal files hold that is not in place, in order.
 *
 * The ids of a generation follow each other, so what is missing is known. A group's pages reach the
 * disk in any order: frames that are missing from the newest group of the newest generation are taken
 * for what a power cut left of a group that was not acknowledged, and that group ends before them.
 * Missing from an older group, they have rotted.
 *
 * Threads: the files' user. Errors: STATUS_STORAGE_UNAVAILABLE, logged where it happened.
 */
#ifndef STORE_SQLITE_JOURNAL_READ_H
#define STORE_SQLITE_JOURNAL_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "store/sqlite/journal_file.h"

/* What a frame holds. rotten: bytes are what stands where the record should. Lives until the
 * visitor returns. */
struct journal_entry {
	uint64_t id;
	const uint8_t *bytes;
	size_t size;
	bool rotten;
};

/* What it returns but OK ends the reading. */
typedef enum status journal_visitor(void *cookie, const struct journal_entry *);

/* Whether the two of a shard have all generations after in_place. If not, in_place is older than it
 * was, for the WAL or the shard file is: what only the rows had is lost. */
bool journal_files_are_whole(const struct journal_file files[2], uint64_t in_place);

/* Visits each record of the two's generations after in_place, in order. */
MUST_CHECK enum status journal_files_read(struct journal_file files[2], uint64_t in_place,
					  journal_visitor *, void *cookie);

#endif
