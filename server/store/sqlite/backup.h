/*
 * backup: a copy of the shard's file, made page by page between the applier's other work.
 *
 *     backup_begin ─▶ step ─▶ step ─▶ … ─▶ last step, between two generations ─▶ synced, DONE
 *                                     ╰──▶ given up: its file is removed, FAILED
 *
 * SQLite's backup on the one connection that writes: what is written meanwhile to pages that the copy has
 * goes there too, so that nothing makes it begin anew. It ends only where the rows end with a generation,
 * and have the newest commit that there was when it began: then everything acknowledged before is in it,
 * and it needs no journal. What is copied is synced a little at a time, for the journal's sync waits for
 * the same disk.
 *
 * A fault of the copy is no fault of the shard.
 *
 * Threads: begin, look and end with the applier's lock; the others by the applier's thread.
 */
#ifndef STORE_SQLITE_BACKUP_H
#define STORE_SQLITE_BACKUP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "store/engine.h"
#include "store/sqlite/db.h"

struct sqlite3_backup;

struct backup {
	/* guarded by the applier's lock */
	struct backup_figures figures;
	bool is_unwanted;
	uint64_t looked_at; /* monotonic milliseconds */

	/* the thread's, once it runs */
	char *path;
	uint64_t rate;
	uint64_t wanted;    /* the commit that must be in it */
	struct sqlite3 *to; /* NULL: not begun */
	struct sqlite3_backup *pages;
	int fd;
	uint64_t unsynced;   /* bytes */
	uint64_t due_at;     /* by the rate: monotonic microseconds */
	uint64_t held_until; /* likewise: its last step may not be taken yet */
};

/* wanted: the newest commit that is synced. STATUS_BACKPRESSURE: one runs. */
MUST_CHECK enum status backup_begin(struct backup *, const struct backup_order *, uint64_t wanted);

void backup_look(struct backup *, struct backup_figures *);

void backup_end(struct backup *);

/* Whether one runs; then *due_at says when it wants its next step, or must be given up
 * (clock_monotonic_usec). */
bool backup_runs(const struct backup *, uint64_t *due_at);

/* The rows end with a generation now: its last step, if it waits for that, is due. */
void backup_let_end(struct backup *);

/* NULL, or why it must be given up. */
const char *backup_is_over(const struct backup *);

/* A few pages. may_end: the rows end with a generation. *figures (in and out): how far it is. */
void backup_step(struct backup *, struct db *, bool may_end, struct backup_figures *figures);

/* The same, for good. */
void backup_give_up(struct backup *, const char *why, struct backup_figures *figures);

#endif
