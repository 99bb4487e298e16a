/*
 * audit: the offline check of one shard file: everything that can be computed again is.
 *
 * Of each log, from its genesis: every digest and link, the head, that names, stamps and sizes
 * are what the protocol allows (an id is made of a stamp that fits 48 bits and the digest: it
 * needs no check of its own), that each action is in the index of stamps, that batches cover the
 * log without gap and were received in order. Of the journal: that each row verifies and connects
 * to its log; rows that are not yet in place are no finding, a crash leaves them and the next
 * start applies them. Of the files: that they have what the shard's anchor says was on the disk.
 * Of the file: that it is the shard it should be, and SQLite's own integrity check.
 *
 * Nothing is changed: a hot WAL is read, not applied. The caller holds the directory's lock.
 *
 * Threads: one call has one thread.
 */
#ifndef STORE_AUDIT_H
#define STORE_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"

struct audit_target {
	const char *path;
	unsigned shard, shards;
	const uint8_t *id; /* 16 bytes, from the manifest */
	bool rows_only;	   /* without the journal and the anchor */
};

/* Something wrong. log is empty and seq 0 where it is not in one; of each log only the first bad
 * row is named. Texts live for the call. */
struct audit_finding {
	const char *path;
	struct text log;
	uint64_t seq;
	const char *what;
};

struct audit_observer {
	void (*finding)(void *cookie, const struct audit_finding *);

	/* A log that is pruned or erased, and of which content is still there because that was cut off: nothing
	 * is wrong with it, and the daemon goes on with it. seq is the first. May be NULL. */
	void (*unfinished)(void *cookie, const struct audit_finding *);

	/* Now and then: how many of the actions in place have been checked. May be NULL. */
	void (*progress)(void *cookie, uint64_t actions, uint64_t actions_total);
	void *cookie;
};

/* Added to, so that one goes through all shards. */
struct audit_totals {
	uint64_t logs;
	uint64_t actions;	  /* in place */
	uint64_t bytes;		  /* of their payloads */
	uint64_t journal_records; /* read, whether in place or not */
	uint64_t journal_actions;
	uint64_t findings;
	uint64_t unfinished; /* logs, and no findings */
};

/* STATUS_OK when all of it was looked at, whatever was found; STATUS_STORAGE_UNAVAILABLE when the
 * audit could not be done, or not to its end: a finding unless the file could not be opened here, for
 * want of room, rights or memory, which is logged. */
MUST_CHECK enum status audit_shard(const struct audit_target *, const struct audit_observer *,
				   struct audit_totals *);

#endif
