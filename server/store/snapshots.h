/*
 * snapshots: the folder of snapshots in the data directory: which ones a log has, and how they come and go.
 *
 *     DIR/snapshots/4f/<next 30 digits of the log's genesis link>-<seq, 16 digits>   (snapshot_file)
 *                      <…>-<seq>.rotten      did not verify: never served, goes with the next that is stored
 *                      <…>-<16 hex digits>.new   is being received; none is left by a start
 *
 * Files beside the shards' and not rows in them, since one commit of 64 MiB keeps a shard's writer for more
 * than a second, and a file of its own nobody. They belong to logs, not to shards: another number of
 * shards leaves them where they are. What a file says is believed only as far as the log has its link at its
 * seq (store_has), which is for who reads one to ask: a log may have been restored, healed in another order,
 * or erased.
 *
 * snapshots_place() lets a file have its name when its bytes are on the disk, and returns when its name
 * is. So a crash leaves a whole one or a .new, never a half one.
 *
 * Threads: all functions but open and close from any. The lock orders who puts a snapshot in place, which
 * includes asking whether the log has its position, and who erases a log's: whoever erases first sees to it
 * that the log is not found any more, then calls snapshots_erase().
 * Errors: STATUS_STORAGE_UNAVAILABLE is a fault of the disk, logged and counted.
 */
#ifndef STORE_SNAPSHOTS_H
#define STORE_SNAPSHOTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "chain/chain.h"
#include "store/snapshot_file.h"

/* Most that are listed of a log; beyond it the oldest are left out. */
#define SNAPSHOTS_LISTED_MAX 256

struct snapshots {
	char *path;
	pthread_mutex_t lock;
	_Atomic uint64_t drafts; /* their names so far */
	atomic_bool known[256];	 /* folders whose names are on the disk */
};

/* Positions with a snapshot that is not known to have rotted, the newest first. */
struct snapshot_list {
	size_t count;
	uint64_t seqs[SNAPSHOTS_LISTED_MAX];
};

/* dir: the data directory, whose lock the caller holds. Makes nothing. False when memory is out. */
bool snapshots_open(struct snapshots *, const char *dir);
void snapshots_close(struct snapshots *);

/* Takes away what a process that was killed was receiving. Only at start. */
MUST_CHECK enum status snapshots_clean(struct snapshots *);

/* Of a log that has none, or of which nobody has heard, the list is empty. */
MUST_CHECK enum status snapshots_list(const struct snapshots *, const struct hash *genesis,
				      struct snapshot_list *);

/* Opens one, of which the head verifies. STATUS_NO_SNAPSHOT: there is none, or it has rotted and was set
 * aside now. */
MUST_CHECK enum status snapshots_read(struct snapshots *, const struct hash *genesis, uint64_t seq,
				      struct snapshot_source *);

/* It did not verify: logs and counts it, and lists it no more. */
void snapshots_set_aside(struct snapshots *, const struct hash *genesis, uint64_t seq);

/* Whether the whole of one verifies now, however long it takes: before what it stands for is given up. */
MUST_CHECK enum status snapshots_verify(struct snapshots *, const struct hash *genesis,
					uint64_t seq);

/* Begins to receive one; draft->facts say of what. */
MUST_CHECK enum status snapshots_begin(struct snapshots *, struct snapshot_draft *);

/* Gives a synced draft its name and returns when that is on the disk; in the place of an older one of that
 * seq. Then nothing is left to discard. has: asked with the lock held, whatever it says but STATUS_OK is
 * returned, and nothing was placed. STATUS_NO_SNAPSHOT: snapshots_erase() has taken it away meanwhile. */
typedef enum status snapshot_asker(void *cookie);
MUST_CHECK enum status snapshots_place(struct snapshots *, struct snapshot_draft *,
				       snapshot_asker *has, void *cookie);

/* Takes away one, and all of a log's that were set aside. */
MUST_CHECK enum status snapshots_remove(struct snapshots *, const struct hash *genesis,
					uint64_t seq);
MUST_CHECK enum status snapshots_sweep(struct snapshots *, const struct hash *genesis);

/* Takes away those of a log from one seq to another, both included, and all that were set aside: overwritten
 * before they are unlinked, and gone from the disk when it returns. Up to SEQ_MAX those being received, too. */
MUST_CHECK enum status snapshots_erase(struct snapshots *, const struct hash *genesis,
				       uint64_t from, uint64_t upto);

#endif
