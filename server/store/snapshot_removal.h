/*
 * snapshot_removal: what redact, erase and prune have to do with a log's snapshots.
 *
 *     prune:         snapshots_stand_for ─▶ content goes from the rows ─▶ snapshots_follow
 *     redact, erase:                        content goes from the rows ─▶ snapshots_follow
 *
 * A snapshot has in it what the actions up to it have made. So a redaction takes away those from the action
 * on, an erasure all that there were, and both what is being received, which was made before; a prune those
 * before where the log then begins: nobody could go on from them.
 *
 * Threads: any; files are read and written.
 */
#ifndef STORE_SNAPSHOT_REMOVAL_H
#define STORE_SNAPSHOT_REMOVAL_H

#include "base/status.h"
#include "store/engine.h"
#include "store/snapshots.h"

/* As store_has() of the removal's log. */
typedef enum status position_asker(void *cookie, const struct removal *, const struct position *);

/* Before a prune up to some seq. SEQ_MAX: up to the oldest snapshot that the log has, and then upto is its
 * seq. STATUS_NO_SNAPSHOT: none stands for what would go, that is at upto or later, of the log's own history,
 * and verified now. */
MUST_CHECK enum status snapshots_stand_for(struct snapshots *, struct removal *, position_asker *,
					   void *cookie);

/* After a removal, whose status is OK, and of which there is no more. Done again where it was cut off. */
MUST_CHECK enum status snapshots_follow(struct snapshots *, const struct removal *);

#endif
