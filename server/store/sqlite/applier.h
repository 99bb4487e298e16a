/*
 * applier: the thread that puts frozen generations in place, and moves the WAL into the file.
 *
 *     writer: tail_freeze ─▶ applier_hand ┄┄▶ slice ─▶ slice ─▶ … ─▶ synced ─▶ ended
 *             tail_leave, tail_finish ◀─ applier_look ◀┄┄╯
 *
 * It alone uses the connection that writes the rows, from applier_start() to applier_stop(), so that
 * no request waits for a slice or a checkpoint while there is room in the tail. Its commits are not synced but for the last of a
 * generation: until then the journal's file has everything. It writes the anchor, too: at checkpoints,
 * about once a second while it works, and when it comes to rest.
 *
 * Threads: all functions from the writer.
 */
#ifndef STORE_SQLITE_APPLIER_H
#define STORE_SQLITE_APPLIER_H

#include <pthread.h>

#include "store/sqlite/apply.h"
#include "store/sqlite/checkpoint.h"

enum rest {
	REST_DUE,     /* about to be taken */
	REST_REACHED, /* nothing is in the WAL */
	REST_IN_VAIN  /* a reader was in the way: worth another try later */
};

struct applier {
	/* set by the owner */
	struct db *db;
	struct apply *apply;
	size_t slice_actions;
	struct anchor *anchor;

	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct checkpointer checkpointer; /* the thread's */
	uint64_t anchored_at;		  /* the thread's: monotonic milliseconds */

	/* guarded by lock */
	bool has_work, wants_rest, stopping;
	enum rest rest;
	uint64_t generation, last_id;
	struct apply_progress progress;
	size_t told; /* progress that the owner has been told of */
	enum status status;
};

MUST_CHECK enum status applier_start(struct applier *);
void applier_stop(struct applier *); /* after the slice that it is in */

/* The tail's applying generation, with its number and its last record's id, is to be put in place. */
void applier_hand(struct applier *, uint64_t generation, uint64_t last_id);

/* How far it is; STATUS_STORAGE_UNAVAILABLE: it failed. ended is told once. */
MUST_CHECK enum status applier_look(struct applier *, struct apply_progress *);

/* The same, but first waits until it is further than the last look said. */
MUST_CHECK enum status applier_wait(struct applier *, struct apply_progress *);

/* There is time: moves all of the WAL into the file and truncates it. What came of it is told by a
 * later call; the one after it was in vain tries again. Not while a generation is put in place. */
enum rest applier_rest(struct applier *);

/* Does that and waits for it. *complete: whether no reader was in the way. */
MUST_CHECK enum status applier_rest_now(struct applier *, bool *complete);

#endif
