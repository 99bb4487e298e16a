/*
 * repair_batches: makes the batches of a log cover it. The chain does not vouch for them, so what is
 * lost of them cannot be proven: an action that no batch covers was received when the one before it was,
 * and its writer is unknown.
 *
 * Threads: the db's user, inside its transaction.
 */
#ifndef STORE_REPAIR_BATCHES_H
#define STORE_REPAIR_BATCHES_H

#include "store/sqlite/db.h"

struct repair_batches {
	struct statement *cut, *next, *insert, *update, *receive, *received;
	bool only_looks;
	uint64_t changes; /* that were to be made */
};

MUST_CHECK enum status repair_batches_prepare(struct repair_batches *, struct db *);

/* Of a log that ends at head; its row says then when that was received. */
/* Of a log that ends at head; its row says then when that was received. */
MUST_CHECK enum status repair_batches_cover(struct repair_batches *, uint64_t log, uint64_t head);

/* Whether that would change anything. */
MUST_CHECK enum status repair_batches_look(struct repair_batches *, uint64_t log, uint64_t head,
					   bool *differ);

#endif
