/*
 * phone_heal: a 409 SERVER_BEHIND or HASH_MISMATCH (protocol section 7). The log does not have our
 * base: the server lost its newest actions, or has another history.
 *
 *     own:     genesis ── … ── ancestor ── a ── b ── base │ queue: q
 *     server:  genesis ── … ── ancestor ── x
 *     after:   base = ancestor │ queue: a b q,  then pull x, drop what came back, push the rest
 */
#ifndef CLI_PHONE_HEAL_H
#define CLI_PHONE_HEAL_H

#include "cli/phone_batch.h"
#include "cli/phone_sync.h"

/* Rolls back to the ancestor, or arranges that the request is repeated with a locator. */
enum step phone_heal(struct phone_sync *, const struct phone_batch *, const struct answer *);

#endif
