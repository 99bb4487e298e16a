/*
 * shard: the one thread that writes a set of logs, its queue, and the group commit.
 *
 *     shard_submit ──▶ [ bounded queue ] ──▶ writer, a group at a time:
 *                                              gather   facts of every log in the group
 *                                              settle   each job in turn (pure)
 *                                              write    all appends, one fsync
 *     job->done(job) ◀───────────────────────┘ after the commit, never before
 *
 * What needs the log is decided here, where its head cannot move: no lock, no check-then-act race.
 *
 * After a fault of the storage the shard is *down*: the engine is retired, what was remembered is
 * forgotten, and the shard starts again as at start-up, at once and then once a second, until it
 * serves; meanwhile it answers STATUS_STORAGE_UNAVAILABLE to who writes, and readers see what was
 * acknowledged before. A shard that cannot be opened at start is down too, with nothing for readers. A
 * shard that is *refused*, because its files lack what they had or are not this program's, answers
 * STATUS_STORAGE_UNAVAILABLE to everybody, and does not try again, for only an operator can help and
 * needs the directory for himself. What opening the engine comes to decides.
 *
 * Threads: shard_submit() and the readers from any thread; done() runs on the writer, must not
 * block or submit.
 *
 * Invariants:
 * 1. done() is called exactly once for each accepted job.
 * 2. job->status OK with verdict OK implies that write() returned OK for the job's group, or that
 * the job appended nothing.
 * 3. A job whose group failed is told that nothing is known to be stored.
 */
#ifndef STORE_SHARD_H
#define STORE_SHARD_H

#include "base/status.h"
#include "store/engine.h"
#include "store/store.h"

struct shard;

struct shard_options {
	unsigned number;
	size_t queue_jobs;
	size_t group_jobs;
	size_t group_bytes;   /* most memory for the actions of a group of several jobs */
	uint64_t linger_usec; /* how long a group may wait for others to join it */
	size_t cache_logs;
	struct clock_policy clock;
	struct quota quota;
	struct drift_limits states;
	size_t states_bytes;
	void (*committed)(void *cookie, const struct committed *);
	void *committed_cookie;

	/* Opens the engine; called at start and again after each fault. STATUS_STORAGE_UNAVAILABLE: the
	 * shard is down; any other failure: it is refused. */
	enum status (*open)(void *cookie, unsigned number, struct engine **, const char **problem);
	void *open_cookie;
};

/* Opens the engine and starts the writer. *problem as in store_open(). When it was the engine that could
 * not be opened, the shard is there all the same, down or refused; else *opened is NULL. */
MUST_CHECK enum status shard_open(const struct shard_options *, struct shard **opened,
				  const char **problem);

/* Stopping takes three steps, so that many shards stop side by side and readers may still be there:
 * shard_quiesce() accepts no more jobs; shard_stop() waits until all accepted ones are done and the
 * engine is at rest (false: it did not come to rest, and the next start has to recover; a refused shard
 * was not touched); shard_close(), after the readers ended, frees. */
void shard_quiesce(struct shard *);
bool shard_stop(struct shard *);
void shard_close(struct shard *);

void shard_set_clock(struct shard *, const struct clock_policy *);
void shard_set_quota(struct shard *, const struct quota *);

/* STATUS_OK, or STATUS_BACKPRESSURE at once. */
MUST_CHECK enum status shard_submit(struct shard *, struct job *);

/* Any thread; waits for nothing. */
void shard_measure(struct shard *, struct shard_figures *);

/* How full the queue is, 0 to 100. */
unsigned shard_load_percent(struct shard *);

/* Brackets the use of the engine by a reader: the engine stays open in between. NULL (and no
 * shard_leave) when there is none: the shard is refused, or was down from the start on. */
struct engine *shard_enter(struct shard *);
void shard_leave(struct shard *);

#endif
