/*
 * removal_work: what the parts of the removal share: removal (transactions, what is said of the log),
 * removal_rows (which rows, and what goes of each).
 */
#ifndef STORE_SQLITE_REMOVAL_WORK_H
#define STORE_SQLITE_REMOVAL_WORK_H

#include "store/sqlite/order.h"
#include "store/sqlite/removal.h"
#include "store/sqlite/rows.h"
#include "store/sqlite/stored_row.h"

struct remover {
	struct db *db;
	struct rows *rows;
	struct statement *pair, *next, *last, *received, *stamped, *redact, *lower, *forget;
	struct statement *add, *drop;
	struct order order;
	uint64_t *next_log_id;
	uint64_t looks; /* rows that this step may still look at */

	/* Of the removal under way. */
	struct removal *removal;
	struct log_row log;
	uint64_t upto;	 /* the last seq of a range */
	bool stays_open; /* as the removal says, or the log itself */
	bool is_final;	 /* nothing of the log is served any more: what does not verify goes, too */
	size_t left;	 /* actions of this transaction */
	uint64_t taken;	 /* seq of the last row that it made bare */
	uint64_t content; /* bytes that went in it */
};

/* What is not there or does not verify is said of the removal; a fault is returned. */
MUST_CHECK enum status removal_judge(struct remover *, enum status, enum status otherwise);

/* Whether neither a fault nor the removal's status ends it. */
bool removal_goes_on(const struct remover *, enum status);

/* A row that verifies; where the removal is final, any that is there. */
MUST_CHECK enum status removal_check_row(struct remover *, uint64_t seq, struct checked_row *);

/* Moves the removal over rows that are bare, up to the range's end, and counts them; no more than the step may
 * look at. *seq: of the one behind them that has more than a redaction leaves; 0: none so far, or none when
 * there is no more. */
MUST_CHECK enum status removal_find_next(struct remover *, uint64_t *seq);

/* Whether the rows of the whole file are being looked at. */
bool removal_is_ordering(const struct removal *);

/* Goes on with that. */
MUST_CHECK enum status removal_go_on_ordering(struct remover *);

/* Removes single actions, or a range of them, as many as are left of the transaction. */
MUST_CHECK enum status removal_take_seqs(struct remover *);
MUST_CHECK enum status removal_take_range(struct remover *);

#endif
