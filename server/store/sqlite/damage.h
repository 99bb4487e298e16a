/*
 * damage: the logs of one shard in which something stored did not verify, and how far each is good.
 *
 * Nothing is added to a marked log, so that what is good of it stays what it is. A mark lasts until
 * the shard is opened again; what is rotten is then found again.
 *
 * Threads: all functions from any thread.
 */
#ifndef STORE_SQLITE_DAMAGE_H
#define STORE_SQLITE_DAMAGE_H

#include <stdbool.h>

#include "base/status.h"
#include "chain/chain.h"
#include "chain/settle.h"

struct damage;

struct damage *damage_new(void);
void damage_free(struct damage *);

/* Whether the log is marked; *good is then its last good position. */
bool damage_find(struct damage *, const struct hash *genesis, struct head *good);

/* How many logs are marked. */
uint64_t damage_count(struct damage *);

/*
 * Marks the log as good up to a position, or lowers an earlier mark; never raises one. *good
 * becomes what is marked. Counts the first mark of a log, and logs each, with what was found behind
 * which seq. What damage_set_gone has said stays, and an erased log stays erased.
 */
MUST_CHECK enum status damage_mark(struct damage *, struct text log, const struct hash *genesis,
				   struct head *good, const char *what);

/* What is gone of a log that is marked is this from now on. Of one that is not, nothing is kept. */
void damage_set_gone(struct damage *, const struct hash *genesis, const struct gone *);

/* Whether there is such a log, or an action of it, cannot be told. That is no mark: the rot may be
 * another's, and the log nobody's. Logged at a bounded rate. Returns STATUS_INDEX_DAMAGED. */
enum status damage_doubt(struct text log);

#endif
