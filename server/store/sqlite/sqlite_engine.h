/*
 * sqlite_engine: the embedded engine: a shard is one SQLite file and two journal files; journal first
 * and apply behind.
 *
 *     write ─▶ journal file ─(fdatasync)─▶ tail ┄ frozen ┄▶ applier: a slice a commit ─▶ rows
 *     a record a batch,                 in memory │                                        │
 *     one sync a group                            ╰──▶ gather, and readers ◀───────────────╯
 *                                                (pin the tail, then open the snapshot)
 *
 * The tail fills in generations, each with a journal file of its own: one fills while the other is
 * put in place. When all of a generation is in the rows, synced, its file is begun anew. So an
 * acknowledgement waits for one short append and its sync, and for rows only while the tail is full.
 * Behind it the anchor follows: what a start must find.
 *
 * Rooms inside:
 *
 *     the ops        sqlite_engine, engine_open (how it starts), recover (the journal at start)
 *     SQLite         db (the door to sqlite3.h), db_file, pool (read-only connections), feed and slice (rows that
 *                    it reads from memory), checkpoint (when the WAL goes into the file), wal (its bytes)
 *     files          shard_file (identity, schema, migration), beside (names of those beside), journal (a
 *                    record's bytes), journal_file, journal_frame and journal_read (where records are, and what
 *                    is found there), anchor, alone and loss (whether all is there that was), backup (copies)
 *     on the way     stage (into the tail), tail, tail_batch and tail_stamps (acknowledged, not yet in place),
 *                    generations (from one to the other), applier (the thread for that), apply (its slices)
 *     in place       in_place (how far the rows are), stored_row, rows, relink and absent (verified reading),
 *                    order (of keys), log_ids and log_rows (all of a file's, of a log's), state_rows, gone
 *     who asks       gather (the writer's look-ups), reader (the readers' side), scrub (the walk for rot), damage
 *                    (which logs did not verify)
 *     content goes   remove, removal with removal_rows, overwrite
 *
 * Invariants:
 * 1. Exactly one connection writes and checkpoints, the applier's; the others open read-only and
 * never checkpoint.
 * 2. A batch enters the tail after its sync, and leaves it after the COMMIT of its last slice; its
 * journal file is written over only after all of its generation is synced in the rows.
 * 3. Rows below the first seq of a pinned tail are in every snapshot opened after the pin.
 * 4. The WAL begins anew only after the anchor says that the file has all of it; what the anchor says was
 * synced before.
 * 5. Opening applies the journal before any fact is read or any request served.
 *
 * Threads: the shard's writer, and readers for head, read and seek.
 */
#ifndef STORE_SQLITE_SQLITE_ENGINE_H
#define STORE_SQLITE_SQLITE_ENGINE_H

#include "base/status.h"
#include "store/engine.h"

#define SHARD_ID_SIZE 16

struct sqlite_options {
	const char *path;
	unsigned shard, shards;
	uint8_t id[SHARD_ID_SIZE]; /* from the manifest; kept in the file, and must equal it */
	bool create;		   /* the file must not be there yet; else it must be */
	bool accept_loss;	   /* what the files lack is not missed (accept) */
	size_t tail_bytes;
	size_t slice_actions;
	size_t readers; /* most read connections; a thread that finds none free waits */
};

/*
 * Opens, checks and recovers one shard file. On failure *problem says why (base/problem):
 * STATUS_STORAGE_UNAVAILABLE: the disk's or the machine's trouble, which may go away by itself;
 * STATUS_LOG_DAMAGED: files are missing, are not this shard's, or lack what they had: only an operator
 * can help, and nothing is gone; STATUS_MALFORMED: the file is of a version that this program does not
 * know.
 */
MUST_CHECK enum status sqlite_engine_open(const struct sqlite_options *, struct engine **,
					  const char **problem);

/* With what a tool opens a file of a directory that it has locked: there may be in the journal what a daemon
 * had room for. */
struct sqlite_options sqlite_options_of_tool(const char *path, unsigned shard, unsigned shards,
					     const uint8_t id[SHARD_ID_SIZE]);

/* Opens such a file, brings it to rest and closes it. *problem as above. */
MUST_CHECK enum status sqlite_engine_settle(const struct sqlite_options *, const char **problem);

#endif
