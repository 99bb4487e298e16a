/*
 * applier: the thread that puts frozen generations in place, and moves the WAL into the file.
 *
 *     writer: tail_freeze ─▶ applier_hand ┄┄▶ slice ─▶ slice ─▶ … ─▶ synced ─▶ ended
 *             tail_leave, tail_finish ◀─ applier_look ◀┄┄╯
 *
 * It alone uses the connection that writes the rows, from applier_start() to applier_stop(), so that
 * no request waits for a slice or a checkpoint while there is room in the tail. Its commits are not synced but for the last of a
 * generation: until then the journal's file has everything. It writes the anchor, too: at checkpoints,
 * about once a second while it works, and when it comes to rest. Between all that it makes a copy of the
 * file, if one is wanted (backup): behind a slice for as long as that took, if need be, so that the copy
 * gains on a file that grows with every slice.
 *
 * Threads: all functions from the writer, but those of the backup from any.
 */
#ifndef STORE_SQLITE_APPLIER_H
#define STORE_SQLITE_APPLIER_H

#include <pthread.h>

#include "store/sqlite/apply.h"
#include "store/sqlite/backup.h"
#include "store/sqlite/checkpoint.h"
#include "store/sqlite/state_rows.h"

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
	struct state_rows *state_rows;

	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct checkpointer checkpointer; /* the thread's */
	uint64_t anchored_at;		  /* the thread's: monotonic milliseconds */

	/* guarded by lock */
	bool runs, has_work, wants_rest, stopping;
	bool held, copying;
	bool between; /* generations: no slice of the next one is in place */
	struct backup backup;
	enum rest rest;
	uint64_t generation, last_id;
	struct state_notes notes; /* for the generation's end, or for now when there is none */
	struct apply_progress progress;
	size_t told; /* progress that the owner has been told of */
	enum status status;
};

/* Zeroed but for what the owner sets. */
void applier_init(struct applier *);
void applier_release(struct applier *);

MUST_CHECK enum status applier_start(struct applier *);
void applier_stop(struct applier *); /* after the slice that it is in */

/* The tail's applying generation, with its number and its last record's id, is to be put in place,
 * and the notes behind it. */
void applier_hand(struct applier *, uint64_t generation, uint64_t last_id, struct state_notes *);

/* Notes alone, unless there are some already. Not while a generation is put in place. Of this and the
 * one above: what was taken over leaves the caller's. */
void applier_hand_notes(struct applier *, struct state_notes *);

/* How far it is; STATUS_STORAGE_UNAVAILABLE: it failed. ended is told once. */
MUST_CHECK enum status applier_look(struct applier *, struct apply_progress *);

/* The same, but first waits until it is further than the last look said. */
MUST_CHECK enum status applier_wait(struct applier *, struct apply_progress *);

/* There is time: moves all of the WAL into the file and truncates it. What came of it is told by a
 * later call; the one after it was in vain tries again. Not while a generation is put in place. */
enum rest applier_rest(struct applier *);

/* Does that and waits for it. *complete: whether no reader was in the way. */
MUST_CHECK enum status applier_rest_now(struct applier *, bool *complete);

/* After a rest that was waited for, until applier_let_go(): its connection is the caller's, though it comes to
 * rest when it is asked to. A copy that is being made waits; or is given up, with why, and may begin anew. */
void applier_hold(struct applier *, const char *why);
void applier_let_go(struct applier *);

/* As engine.h says of them. From any thread, from applier_init() to applier_release(). */
MUST_CHECK enum status applier_back_up(struct applier *, const struct backup_order *);
void applier_look_at_backup(struct applier *, struct backup_figures *);
void applier_end_backup(struct applier *);

#endif
