/*
 * log_rows: everything that a shard file has of one log, copied into another file or compared with what that
 * has, whatever columns there are: tables and columns are the file's own.
 *
 * A table with a column `log` has rows of logs, and `logs` itself by its id. A log's row in `logs` comes
 * last: so a log without one has not been copied to its end. A table of neither kind must be one that is known
 * to belong to the file (in_place, shard, journal), or empty: what is not understood is not left behind.
 *
 * Threads: one user at a time. Statements belong to the files, and go with them.
 */
#ifndef STORE_SQLITE_LOG_ROWS_H
#define STORE_SQLITE_LOG_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "store/sqlite/db.h"

struct log_rows;

/* Both of the same schema. *problem (base/problem). */
MUST_CHECK enum status log_rows_open(struct db *from, struct db *to, struct log_rows **,
				     const char **problem);

/* Before the files are closed; takes NULL. */
void log_rows_free(struct log_rows *);

/* Called after each row; is_action: of those that people count. Anything but STATUS_OK ends it. */
typedef enum status log_rows_visitor(void *cookie, bool is_action);

/* The log with the id from becomes the one with the id to, in transactions of the caller's. */
MUST_CHECK enum status log_rows_copy(struct log_rows *, uint64_t from, uint64_t to,
				     log_rows_visitor *, void *cookie);

/* *same: each row has an equal, in the same order, but for the log's id. */
MUST_CHECK enum status log_rows_compare(struct log_rows *, uint64_t from, uint64_t to, bool *same,
					log_rows_visitor *, void *cookie);

/* Takes out of `to` what there is of logs that are not in `logs`; *next is an id for the next log. */
MUST_CHECK enum status log_rows_sweep(struct log_rows *, uint64_t *next);

#endif
