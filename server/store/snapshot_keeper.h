/*
 * snapshot_keeper: puts snapshots that have come in place, on a thread of its own, and keeps the newest of
 * each log.
 *
 *     snapshot_keeper_submit ──▶ [ queue ] ──▶ sync the file ─▶ has the log its position? ─▶ rename,
 *     job->done(job) ◀─────────────────────────────────────────────── sync the folder ─▶ trim
 *
 * A sync of many megabytes takes longer than others should wait, so neither a shard's writer nor a thread
 * that serves requests does it.
 *
 * Trimming leaves the newest `keep` snapshots of those whose position the log has, and none of another
 * history: what a log had before it was restored or healed in another order would else keep what it has
 * now from being kept.
 *
 * Ownership: a job is the keeper's from submit returning STATUS_OK until done() is called, which is once, on
 * the keeper's thread; it must not block.
 * Threads: start, stop and free by the owner, others from any.
 */
#ifndef STORE_SNAPSHOT_KEEPER_H
#define STORE_SNAPSHOT_KEEPER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"
#include "store/snapshots.h"
#include "store/store.h"

struct snapshot_keeper;

struct snapshot_keeper_options {
	const char *dir;     /* the data directory */
	struct store *store; /* started */
	uint64_t keep;
	uint64_t transfers; /* sent and received at once, at most */
};

struct snapshot_job {
	/* in */
	struct snapshot_draft draft; /* finished */
	struct text log;
	void (*done)(struct snapshot_job *);
	void *cookie;

	/* out */
	enum status status; /* OK: it is on the disk, unless !kept; else nothing is known to be */
	bool kept; /* false: the log has as many newer ones as are kept, or content of it went
			     * while this was received */
	struct head head; /* of SERVER_BEHIND, HASH_MISMATCH and LOG_DAMAGED */
};

/* Cleans the folder and starts the thread. On failure *problem says why (base/problem). */
MUST_CHECK enum status snapshot_keeper_start(const struct snapshot_keeper_options *,
					     struct snapshot_keeper **, const char **problem);

/* Finishes what was accepted; later jobs are not taken. While the store still serves. */
void snapshot_keeper_stop(struct snapshot_keeper *);
void snapshot_keeper_free(struct snapshot_keeper *);

void snapshot_keeper_set_keep(struct snapshot_keeper *, uint64_t keep);

/* The folder, for readers and erasers. */
struct snapshots *snapshot_keeper_folder(struct snapshot_keeper *);

/* Brackets one that is sent or received. False: there are as many as may be. */
bool snapshot_keeper_enter(struct snapshot_keeper *);
void snapshot_keeper_leave(struct snapshot_keeper *);
uint64_t snapshot_keeper_transfers(struct snapshot_keeper *);

/* STATUS_BACKPRESSURE: it was not taken. */
MUST_CHECK enum status snapshot_keeper_submit(struct snapshot_keeper *, struct snapshot_job *);

#endif
