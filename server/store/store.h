/*
 * store: all logs, behind one header. A log lives in the shard that the first bits of its genesis
 * link name, so names cannot skew it.
 *
 *     store_submit ──▶ shard's bounded queue ──▶ writer: gather, settle, write (one fsync a group)
 *     job->done(job) ◀────────────────────────────┘  after the commit, never before
 *
 * Ownership: a job and all it points to belong to the store from store_submit() returning STATUS_OK
 * until done() is called.
 * Threads: store_open, store_stop, store_close by the owner; everything else from any thread.
 * done() runs on the shard's writer and must neither block nor submit.
 *
 * Invariants:
 * 1. done() is called exactly once for each accepted job.
 * 2. job->status == STATUS_OK and verdict.status == STATUS_OK imply that the batch's rows survive a
 * power cut.
 * 3. Heads and rows that readers see were committed.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "chain/settle.h"
#include "store/engine.h"

struct store;

struct store_options {
	const char *dir;
	unsigned shards;      /* power of two, 1..256 */
	size_t queue_jobs;    /* per shard */
	size_t tail_bytes;    /* per shard */
	size_t group_jobs;    /* most jobs in a commit */
	uint64_t linger_usec; /* how long a group may wait for others to join it */
	size_t slice_actions; /* most actions moved from the journal in one commit */
	size_t cache_logs;    /* logs per shard whose facts are kept in memory */
	size_t readers;	      /* most read connections per shard; more threads wait */
	struct clock_policy clock;
	uint64_t scrub_rate; /* rows a second that a background walk verifies; 0: none */

	/* Called on a writer after a log's new head is committed and visible to readers. May be
	 * NULL. */
	void (*committed)(void *cookie, const struct hash *genesis, const struct head *);
	void *committed_cookie;
};

struct job {
	/* in */
	const struct batch *batch; /* verified */
	struct text writer;
	struct outcome *outcomes; /* room for batch->action_count */
	void (*done)(struct job *);
	void *cookie;

	/* out */
	bool more; /* in done(): another job's done() follows at once */
	enum status
		status; /* OK: see the verdict. LOG_DAMAGED (verdict.head: the last good position),
			   STORAGE_UNAVAILABLE, INTERNAL: nothing is known to be stored */
	struct verdict verdict;
};

/*
 * Opens or makes the data directory: locks it, reads or writes its manifest, opens and recovers
 * every shard, starts the writers. On failure *problem says why (base/problem). A shard that cannot be
 * opened, while another can, is no failure: it has been logged, and its logs are
 * STATUS_STORAGE_UNAVAILABLE; unless its files lack what they had it tries again.
 */
MUST_CHECK enum status store_open(const struct store_options *, struct store **,
				  const char **problem);

/* How many shards could not be opened at start. */
unsigned store_down(const struct store *);

/*
 * Finishes what was accepted, applies the journals, truncates the WALs. Later jobs are not taken;
 * readers go on. False if a shard could not be brought to rest (its journal then does it at the
 * next start).
 */
bool store_stop(struct store *);

/* Frees everything, after store_stop() and after the readers ended. */
void store_close(struct store *);

/* New clock policy for groups from now on. */
void store_set_clock(struct store *, const struct clock_policy *);

/* New rate of the background walk. */
void store_set_scrub_rate(struct store *, uint64_t rate);

/* STATUS_OK, or STATUS_BACKPRESSURE at once when the shard's queue is full: the job was not taken.
 */
MUST_CHECK enum status store_submit(struct store *, struct job *);

/* What to ask of the log's clients: 0 while its shard's queue is less than half full, then rising
 * to a second. */
uint64_t store_backoff_msec(struct store *, const struct hash *genesis);

/* Readers: see engine.h. Also STATUS_STORAGE_UNAVAILABLE while a shard is down. */
MUST_CHECK enum status store_head(struct store *, struct text log, const struct hash *genesis,
				  struct head *);
MUST_CHECK enum status store_read(struct store *, struct text log, const struct hash *genesis,
				  const struct range *, row_visitor *, void *cookie,
				  struct position *start, struct position *end);
MUST_CHECK enum status store_seek(struct store *, struct text log, const struct hash *genesis,
				  const struct hash *link, uint64_t from, uint64_t steps,
				  bool *found, uint64_t *seq);

#endif
