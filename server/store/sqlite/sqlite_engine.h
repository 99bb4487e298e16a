/*
 * sqlite_engine: the embedded engine: one SQLite file a shard, journal first and apply behind.
 *
 *     write ─▶ journal ─(COMMIT)─▶ tail ─▶ apply, a slice a commit ─▶ rows
 *     one row a batch,           in memory │                            │
 *     one fsync a group                    ╰──▶ gather, and readers ◀───╯
 *                                    (pin the tail, then open the snapshot)
 *
 * Rooms inside: db (the door to sqlite3.h), shard_file (identity, schema, migration), journal (a
 * record's bytes), tail with tail_batch and tail_stamps (what is acknowledged but not yet in
 * place), feed (rows that SQLite reads from memory: records for the journal, slice for apply), apply
 * (the slices), recover (the journal at start), rows and relink (verified reading of what is in
 * place), gather (the writer's look-ups), pool and reader (the readers' side), damage (which logs did not verify), checkpoint (when
 * the WAL goes into the file), sqlite_engine (the ops).
 *
 * Invariants:
 * 1. Exactly one connection writes and checkpoints; readers open read-only and never checkpoint.
 * 2. A batch enters the tail after its COMMIT, and leaves it after the COMMIT of its last slice.
 * 3. Rows below the first seq of a pinned tail are in every snapshot opened after the pin.
 * 4. Opening applies the journal before any fact is read or any request served.
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
	size_t tail_bytes;
	size_t slice_actions;
	size_t readers; /* most read connections; a thread that finds none free waits */
};

/*
 * Opens, checks and recovers one shard file. STATUS_OK or STATUS_STORAGE_UNAVAILABLE with *problem
 * (base/problem).
 */
MUST_CHECK enum status sqlite_engine_open(const struct sqlite_options *, struct engine **,
					  const char **problem);

#endif
