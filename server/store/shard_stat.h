/*
 * shard_stat: what a stopped shard's files hold, in figures: nothing is verified, and of the rows only those
 * of the logs are read, so that it is done in a moment whatever their number.
 *
 * Nothing is changed. The caller holds the directory's lock. Threads: one call has one thread.
 */
#ifndef STORE_SHARD_STAT_H
#define STORE_SHARD_STAT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"
#include "store/audit.h"

struct shard_stat {
	uint64_t schema;			       /* version */
	uint64_t logs, actions, action_bytes;	       /* in place */
	uint64_t file_bytes, wal_bytes, journal_bytes; /* on the disk */
	uint64_t page_bytes, pages, free_pages;	       /* of the file */
	uint64_t waiting_records, waiting_actions;     /* in the journal, not in place yet */
	uint64_t kept_records; /* that could not be put in place: their logs are damaged */
	uint64_t rotten_records;
	uint64_t commits; /* the newest */
	struct {
		bool is_readable;
		uint64_t commits, transactions, file_bytes; /* that must be there */
	} anchor;
	char refusal[512]; /* why a start would refuse the shard; empty: it would not */
};

/* A log that is among the greatest by its actions. The name lives until it returns. */
typedef void shard_stat_visitor(void *cookie, struct text log, uint64_t actions, uint64_t bytes,
				uint64_t received_at);

struct shard_stat_order {
	struct audit_target target;
	uint64_t logs_max; /* how many logs are visited */
	shard_stat_visitor *visit;
	void *cookie;
};

/* STATUS_STORAGE_UNAVAILABLE or STATUS_LOG_DAMAGED with *problem (base/problem) when the file cannot be
 * read. */
MUST_CHECK enum status shard_stat_read(const struct shard_stat_order *, struct shard_stat *,
				       const char **problem);

#endif
