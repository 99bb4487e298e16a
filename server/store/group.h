/*
 * group: one group of jobs on its way to the disk: gather, settle, write.
 *
 *     heads and newest stamps that are not remembered       engine gather
 *       ─▶ links at bases, stamps that may be taken         engine gather
 *       ─▶ locators of wrong bases                          engine gather
 *       ─▶ settle each job in its order                     chain/settle
 *       ─▶ all appends                                      engine write
 *
 * It contains no rule of the protocol: those are settle's. Threads: the shard's writer.
 */
#ifndef STORE_GROUP_H
#define STORE_GROUP_H

#include <stddef.h>

#include "base/mem.h"
#include "base/status.h"
#include "store/engine.h"
#include "store/facts.h"
#include "store/store.h"

struct group {
	struct engine *engine;
	struct facts_cache *facts;
	struct arena *arena; /* everything of one group; the caller resets it */
	const struct clock_policy *clock;
	const struct quota *quota; /* of it the logs' */
};

/*
 * Runs the jobs and sets each job's status and verdict; calls no done(). STATUS_OK: every job has
 * its answer. STATUS_STORAGE_UNAVAILABLE or STATUS_INTERNAL: no job has; the engine (or memory)
 * failed, the cache must be forgotten.
 */
MUST_CHECK enum status group_run(const struct group *, struct job **, size_t count);

#endif
