/*
 * rows: reading what is in place, through one connection, and believing nothing that does not
 * verify: a row's link must be H(link of the row before ‖ digest of what the row holds).
 *
 * Outcomes: STATUS_OK; STATUS_LOG_DAMAGED: what was looked at is missing, malformed or does not
 * verify; STATUS_STORAGE_UNAVAILABLE: a fault, logged.
 *
 * Threads: as the connection's. The caller holds a read transaction open over calls that must see
 * one snapshot.
 */
#ifndef STORE_SQLITE_ROWS_H
#define STORE_SQLITE_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "store/engine.h"
#include "store/sqlite/db.h"
#include "store/sqlite/relink.h"

struct rows;

/* The statements, prepared. They are the db's; rows_free frees the rest. */
MUST_CHECK enum status rows_new(struct db *, struct rows **);
void rows_free(struct rows *);
struct db *rows_db(struct rows *);

/* A log as its row in `logs` says: nothing of it is verified yet. */
struct log_row {
	struct text name; /* as it was asked for; borrowed */
	bool found;
	uint64_t id;
	struct hash genesis;
	struct head head; /* seq 0 and genesis when not found */
};

/* STATUS_LOG_DAMAGED and not found: whether there is such a log cannot be told. */
MUST_CHECK enum status rows_log(struct rows *, struct text name, const struct hash *genesis,
				struct log_row *);

/* The log's newest row is there, verifies, and is what the log's head says; or there is no such log. */
MUST_CHECK enum status rows_check_head(struct rows *, const struct log_row *);

/* Verified position; seq 0 is the genesis. */
MUST_CHECK enum status rows_position(struct rows *, const struct log_row *, uint64_t seq,
				     struct position *);

/* The action of a device with a stamp. Of this and the next, STATUS_INDEX_DAMAGED: what the index of
 * stamps says cannot be believed, which may be another log's rot. */
MUST_CHECK enum status rows_taken(struct rows *, const struct log_row *, struct text device,
				  uint64_t ts, struct taken *);

/* The device's newest stamp and its action; 0 and not found if it has none. */
MUST_CHECK enum status rows_newest(struct rows *, const struct log_row *, struct text device,
				   uint64_t *newest, struct taken *);

/* The index of stamps leads to a row that verified. */
MUST_CHECK enum status rows_stamped(struct rows *, const struct log_row *, const struct row *);

/* A position at or below seq whose row verifies, and above which one does not: seq itself where that
 * is good, else the next below what is bad around it. The genesis when there is none. */
MUST_CHECK enum status rows_last_good(struct rows *, const struct log_row *, uint64_t seq,
				      struct head *good);

/* Visits the rows after page->at, each verified. STATUS_LOG_DAMAGED: page->at is the last good one.
 */
MUST_CHECK enum status rows_page(struct rows *, const struct log_row *, struct row_page *);

/* Looks for a link in the rows at or below *seq, through at most *steps of them, downwards. Moves
 * *seq to where it is, or to where to go on. */
MUST_CHECK enum status rows_seek(struct rows *, const struct log_row *, const struct hash *link,
				 uint64_t *steps, uint64_t *seq, bool *found);

/* A question for the logs that a writer began. */
struct begun {
	struct text writer;
	struct text except; /* the name of one that does not count; empty: none */
	uint64_t *others;   /* ids of such as do not count either; sorted here */
	size_t other_count;
	uint64_t count; /* out */
};

/* STATUS_INDEX_DAMAGED: it cannot be told. */
MUST_CHECK enum status rows_begun(struct rows *, struct begun *);

/* See engine.h. */
MUST_CHECK enum status rows_unfinished(struct rows *, struct unfinished *);

/* No row of the log is beyond its head. */
MUST_CHECK enum status rows_end(struct rows *, const struct log_row *);

#endif
