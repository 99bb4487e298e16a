/*
 * phone_refusal: what becomes of an action that the log did not take (protocol section 7, "refused"
 * and "never with index").
 *
 *     TIMESTAMP_TAKEN  ts + 1, whoever's action it is, so that two phones that heal the same action
 *                      make the same new one
 *     CLOCK_SKEW       up to the limit plus a minute ahead: wait, unchanged, because a copy under
 *                      way could still be accepted; further: a new stamp, also for what is behind
 *     NON_MONOTONIC_…  a new stamp
 *     anything else    set aside
 *
 * What was confirmed once gets no new stamp for the two about clocks: it is set aside.
 */
#ifndef CLI_PHONE_REFUSAL_H
#define CLI_PHONE_REFUSAL_H

#include "cli/phone_batch.h"
#include "cli/phone_sync.h"

/*
 * Handles every refused result of a batch, in the caller's transaction. *set_aside counts; the
 * caller adds it to the totals after the commit. May raise sync->wait_msec.
 */
MUST_CHECK enum status phone_refusal_apply(struct phone_sync *, const struct phone_batch *,
					   const struct phone_result *results, uint64_t *set_aside);

/* onConflict reject: the whole batch was refused for the action at answer->index. A round's end. */
enum step phone_refusal_index(struct phone_sync *, const struct phone_batch *,
			      const struct answer *);

/* Sets one queued action aside, in a transaction of its own. A round's end. */
enum step phone_refusal_set_aside(struct phone_sync *, int64_t place, struct text reason);

#endif
