/*
 * admit: whether a request may go on: who asks, whether they ask too often, and what of the log is open
 * to them (protocol, section 5: 429, 401 and 403, after 405 and before everything that looks at the
 * rest).
 *
 * A proxy on this machine that auth.trusted does not name is told to the operator, once: he would not
 * notice otherwise that all of its clients count as one, or, without authentication, that it brings
 * others to a server that believes itself among friends.
 *
 * A log that is not open is 403 with the same body whether it exists or not: nothing of it was looked
 * at. A name that no log can have is nobody's to see, and is left to be told as MALFORMED.
 */
#ifndef API_ADMIT_H
#define API_ADMIT_H

#include <stdbool.h>

#include "chain/batch.h"

struct call;

/* Sets call->identity; false: the request was answered. */
bool admit(struct call *);

/* The same of what a batch would write: who may only read may send an empty one, and who is bound to
 * a device names no other for the batch. */
bool admit_batch(struct call *, const struct batch *);

/* The same of a snapshot: who may only read gives none. */
bool admit_snapshot(struct call *);

/* Last, of a batch that is in order: false while the disk is nearly full, if it would write. */
bool admit_write(struct call *, const struct batch *);

/* The same of what is to be stored in any case. */
bool admit_room(struct call *);

/* Whether the batch has a report on a state that is to be kept: not while the disk is nearly full, and
 * only from who may write the log, for the device that its credentials are for. */
bool admit_state(struct call *, const struct batch *);

#endif
