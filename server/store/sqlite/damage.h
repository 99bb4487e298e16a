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

/*
 * Marks the log as good up to a position, or lowers an earlier mark; never raises one. *good
 * becomes what is marked. Counts the first mark of a log, and logs each, with what was found behind
 * which seq.
 */
MUST_CHECK enum status damage_mark(struct damage *, struct text log, const struct hash *genesis,
				   struct head *good, const char *what);

#endif
