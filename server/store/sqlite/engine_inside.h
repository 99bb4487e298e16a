/*
 * engine_inside: the embedded engine's parts, for the files that it is made of: sqlite_engine.c (what it does)
 * and engine_open.c (how it starts).
 *
 * Threads: as engine.h says of each operation; the parts say what else may use them.
 */
#ifndef STORE_SQLITE_ENGINE_INSIDE_H
#define STORE_SQLITE_ENGINE_INSIDE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/sqlite/anchor.h"
#include "store/sqlite/apply.h"
#include "store/sqlite/damage.h"
#include "store/sqlite/db.h"
#include "store/sqlite/gather.h"
#include "store/sqlite/generations.h"
#include "store/sqlite/reader.h"
#include "store/sqlite/remove.h"
#include "store/sqlite/rows.h"
#include "store/sqlite/scrub.h"
#include "store/sqlite/sqlite_engine.h"
#include "store/sqlite/stage.h"
#include "store/sqlite/state_rows.h"
#include "store/sqlite/tail.h"

struct sqlite_engine {
	struct engine engine; /* first */
	char *path;
	struct db *db;	    /* writes the rows; the applier's while that runs; NULL once retired */
	struct db *look_db; /* the writer's eyes */
	struct rows *rows;  /* of look_db */
	struct tail *tail;
	struct damage *damage;
	struct apply *apply;
	struct remove remove;
	struct readers *readers;
	struct scrub scrub;
	struct gatherer gatherer;
	struct state_rows state_rows;	  /* of db */
	struct state_reader state_reader; /* of look_db */
	struct stager stager;
	struct generations generations;
	struct anchor anchor;
	bool applier_runs;

	uint64_t written_at; /* monotonic milliseconds */
	bool failed;	     /* only closing is left */

	/* The writer's, for measure(). */
	_Atomic uint64_t since_msec, journal_bytes;
};

extern const struct engine_ops sqlite_engine_ops;

#endif
