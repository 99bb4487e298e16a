/*
 * offline_gone: what is gone of logs, as the file of a stopped shard, or of a copy of one, says: for who
 * judges snapshots, which were made from what was there.
 *
 * Nothing is changed, as in offline. The caller holds the directory's lock, or alone knows the file.
 * Threads: one call has one thread.
 * Errors: STATUS_STORAGE_UNAVAILABLE or, for what SQLite cannot read, STATUS_LOG_DAMAGED, with *problem
 * (base/problem).
 */
#ifndef STORE_OFFLINE_GONE_H
#define STORE_OFFLINE_GONE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"
#include "store/audit.h"

/* Each log that is erased; is_cleared: not one row of it has content. What it returns but STATUS_OK ends the
 * reading, and is returned. */
typedef enum status erased_visitor(void *cookie, struct text log, bool is_cleared);
MUST_CHECK enum status offline_erased(const struct audit_target *, erased_visitor *, void *cookie,
				      const char **problem);

/* Whether content of the log is gone at or before a seq, behind where it was pruned. */
MUST_CHECK enum status offline_redacted(const struct audit_target *, struct text log, uint64_t upto,
					bool *redacted, const char **problem);

#endif
