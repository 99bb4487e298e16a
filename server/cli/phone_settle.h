/*
 * phone_settle: what a 200 and a 409 CONFLICT mean for the queue and the confirmed actions
 * (protocol section 7).
 *
 *     missed ─────────┐
 *     own results ────┴─▶ order by seq ─▶ chain from the base ─▶ equal to the server's hash?
 *                                                  yes: confirm, in one transaction
 *                                                  no:  nothing happened
 */
#ifndef CLI_PHONE_SETTLE_H
#define CLI_PHONE_SETTLE_H

#include "cli/phone_batch.h"
#include "cli/phone_sync.h"

enum step phone_settle(struct phone_sync *, const struct phone_batch *, const struct answer *);
enum step phone_settle_conflict(struct phone_sync *, const struct phone_batch *,
				const struct answer *);

#endif
