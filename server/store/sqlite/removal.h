/*
 * removal: takes the content of actions out of the rows, a transaction for each few thousand.
 *
 *     erased, pruned: said first (gone), so that nobody is shown half of it; with each, how far it is
 *     each row: verified, since its digest is what stays of it ─▶ type empty, payload the digest
 *
 * An erasure takes what does not verify as well, and passes over what is missing: nothing of the log is served
 * any more, and its content is to go. Only rows that are out of order end it, for among them some may be missed.
 *
 * What is bare is passed over and counted, so many rows a step. Where some are missing, all rows of the file are
 * looked at for their order (order), before the last transaction and as many a step: a step that only looked
 * commits nothing. Known is how far it is by the removal alone.
 *
 * A log that is erased and not there gets a row without actions, which goes when it is opened again: who
 * still has it, is told.
 *
 * Everything of the log is in place, and nothing of it in the tail. What the file keeps where the content
 * stood is left (overwrite).
 *
 * Threads: the db's user, who alone writes it.
 */
#ifndef STORE_SQLITE_REMOVAL_H
#define STORE_SQLITE_REMOVAL_H

#include "base/status.h"
#include "store/engine.h"
#include "store/sqlite/db.h"

struct remover;

/* Its statements are the db's; the rest is freed with or without that. next_log_id: what the next log gets
 * that is new, counted on here for one that is erased and not there. */
MUST_CHECK enum status remover_new(struct db *, uint64_t *next_log_id, struct remover **);
void remover_free(struct remover *);

/* Does a step, and sets its answers. Anything but STATUS_OK is a fault, logged; what was committed before
 * stays. */
MUST_CHECK enum status removal_step(struct remover *, struct removal *);

#endif
