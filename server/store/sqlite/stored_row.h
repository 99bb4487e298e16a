/*
 * stored_row: a row of `actions`, and whether it verifies: its link must be
 * H(link of the row before ‖ digest of what the row holds).
 *
 * Threads: as the connection's.
 */
#ifndef STORE_SQLITE_STORED_ROW_H
#define STORE_SQLITE_STORED_ROW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "chain/chain.h"
#include "store/engine.h"
#include "store/sqlite/db.h"

#define ACTION_COLUMNS "seq, device, ts, link, type, payload"
enum { ROW_SEQ, ROW_DEVICE, ROW_TS, ROW_LINK, ROW_TYPE, ROW_PAYLOAD };

/* action_size() of all rows of a log, as SQL says it: of a text with NUL it knows only the bytes' length. */
#define BYTES_OF_ROWS(log)                                                                         \
	"(SELECT ifnull(sum(length(CAST(device AS BLOB)) + CASE WHEN type = '' THEN 0 ELSE"        \
	" length(CAST(type AS BLOB)) + length(CAST(payload AS BLOB)) END), 0)"                     \
	" FROM actions WHERE log = " log ")"

/* A statement's row of ACTION_COLUMNS; the texts are the statement's, there is no digest. False: no such
 * row was ever written. */
bool stored_row_read(struct statement *, struct row *);

/* Where a row is. */
struct row_key {
	uint64_t log;		    /* its id */
	const struct hash *genesis; /* that log's */
	uint64_t seq;
};

/* A row that verified. */
struct checked_row {
	struct hash digest, link;
	uint64_t ts;
	uint64_t content;  /* bytes of type and payload; 0: redacted */
	bool is_of_device; /* the one asked for */
	bool is_redacted;
};

/* The statement that the next two take; it is the db's. */
MUST_CHECK enum status stored_row_prepare(struct db *, struct statement **pair);

/* Reads a row and the link of the one before it. device may be empty. STATUS_LOG_DAMAGED: one of them is
 * missing or malformed, or the row does not verify; STATUS_STORAGE_UNAVAILABLE: a fault, logged. */
MUST_CHECK enum status stored_row_check(struct statement *pair, const struct row_key *,
					struct text device, struct checked_row *);

/* The same of a row that need not verify. Its digest is that of what it holds; or what it says that it was,
 * where its link proves that it was redacted; zeros where no action can be what it holds. There is no link. */
MUST_CHECK enum status stored_row_look(struct statement *pair, const struct row_key *,
				       struct checked_row *);

#endif
