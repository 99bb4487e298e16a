/*
 * store: all logs, behind one header. A log lives in the shard that the first bits of its genesis
 * link name, so names cannot skew it.
 *
 *     store_submit ──▶ shard's bounded queue ──▶ writer: gather, settle, write (one fsync a group)
 *     job->done(job) ◀────────────────────────────┘  after the commit, never before
 *
 * Ownership: a job and all it points to belong to the store from store_submit() returning STATUS_OK
 * until done() is called.
 * Threads: store_open, store_start, store_stop, store_close by the owner; everything else from any thread.
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

#include "base/origin.h"
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
	struct quota quota;
	uint64_t scrub_rate; /* rows a second that a background walk verifies; 0: none */
	uint64_t free_min; /* bytes of free disk below which there is no room for writes; 0: none */
	struct drift_limits states;
	size_t states_bytes; /* most memory for reports of states, per shard */

	/* Called on a writer after a log's new head is committed and visible to readers. May be
	 * NULL. */
	void (*committed)(void *cookie, const struct committed *);
	void *committed_cookie;
};

/* What is to be removed of logs of one shard: engine.h says how. */
struct removals {
	struct removal *items;
	size_t count;
	bool overwrite;
	uint64_t kept; /* out */
};

struct job {
	/* in */
	const struct batch *batch; /* verified */
	struct removals *removals; /* instead of a batch; else NULL */
	struct text writer;
	struct origin origin; /* for the log, and passed on to who hears of the commit */
	bool counts; /* a log that it begins is one of quota.subject_logs; then the writer is not empty */
	struct text own_log;	  /* the one of the writer's logs that is not; empty: none */
	struct outcome *outcomes; /* room for batch->action_count */
	void (*done)(struct job *);
	void *cookie;

	/* out */
	bool more; /* in done(): another job's done() follows at once */
	/* OK: see the verdict. LOG_DAMAGED (verdict.head: the last good position), STORAGE_UNAVAILABLE,
	 * INTERNAL: nothing is known to be stored. */
	enum status status;
	struct verdict verdict;
	struct drift drift; /* verdict OK: who disagrees with the batch's state report */

	/* Of clock_monotonic_usec. */
	uint64_t submitted_usec; /* in */
	uint64_t taken_usec;	 /* out: by the writer, with others */
	uint64_t done_usec;	 /* out: settled, and what was to be stored is stored */

	struct creator *creator; /* the store's */
};

enum shard_state {
	SHARD_OPENING,
	SHARD_SERVING,
	SHARD_DOWN,   /* it tries again */
	SHARD_REFUSED /* only an operator can help */
};

struct shard_figures {
	enum shard_state state;
	uint64_t queued;     /* jobs that wait for the writer */
	uint64_t queued_max; /* beyond it BACKPRESSURE */
	uint64_t queue_msec; /* how long the oldest has waited, or the group under way has taken */
	struct engine_figures engine; /* zero unless it serves */
};

/* Of the disk that has the data directory. */
struct disk_figures {
	uint64_t free_bytes;
	uint64_t bytes;
};

/* Opens or makes the data directory: locks it, reads or begins its manifest. On failure *problem says
 * why (base/problem). */
MUST_CHECK enum status store_open(const struct store_options *, struct store **,
				  const char **problem);

/*
 * Opens and recovers every shard, which may take long, and starts the writers; until then the store can
 * only be measured. Once; on failure *problem says why, and only store_close() is left. A shard that is
 * down or refused (shard.h), while another serves, is no failure: it has been logged, and its logs are
 * STATUS_STORAGE_UNAVAILABLE.
 */
MUST_CHECK enum status store_start(struct store *, const char **problem);

/* How many shards were down or refused at start. */
unsigned store_down(const struct store *);

/*
 * Finishes what was accepted, applies the journals, truncates the WALs. Later jobs are not taken;
 * readers go on. False if a shard could not be brought to rest (its journal then does it at the
 * next start).
 */
bool store_stop(struct store *);

/* Any thread, from store_open() to store_close(); waits for nothing. */
unsigned store_shards(const struct store *);
const char *store_dir(const struct store *);

/* What a reshard left that was cut off before this store was opened goes (reshard_drop), unless a shard was
 * down or refused at start, or does not serve now, or has a log that is marked as damaged. Any thread; files are
 * removed. */
void store_drop_copies(struct store *);
void store_measure_shard(struct store *, unsigned shard, struct shard_figures *);

/* False when it cannot be told. */
bool store_measure_disk(const struct store *, struct disk_figures *);

/* Frees everything, after store_stop() and after the readers ended. */
void store_close(struct store *);

/* New clock policy for groups from now on. */
void store_set_clock(struct store *, const struct clock_policy *);

/* New quotas, likewise. What is there beyond them stays. */
void store_set_quota(struct store *, const struct quota *);

/* New rate of the background walk. */
void store_set_scrub_rate(struct store *, uint64_t rate);

/* New low-water mark of free disk. */
void store_set_free_min(struct store *, uint64_t bytes);

/* False while the disk has less than free_min (free_space.h): then what adds actions is not to be
 * submitted. */
bool store_has_room(struct store *);

/* STATUS_OK, or the job was not taken: STATUS_BACKPRESSURE at once when the shard's queue is full; where
 * the writer's logs have to be counted first, which reads, also what engine.h says of that, and
 * STATUS_INTERNAL when memory is out. Logs of shards that serve nobody do not count meanwhile. */
MUST_CHECK enum status store_submit(struct store *, struct job *);

/* Which shard a log lives in, from 0. */
unsigned store_shard_of(const struct store *, const struct hash *genesis);

/* The same for a job of removals. job->status is what the engine's remove() returned. */
MUST_CHECK enum status store_submit_removals(struct store *, unsigned shard, struct job *);

/* What to ask of the log's clients: 0 while its shard's queue is less than half full, then rising
 * to a second. */
uint64_t store_backoff_msec(struct store *, const struct hash *genesis);

/* A copy of one shard, by its own writer: see engine.h. Any thread. STATUS_STORAGE_UNAVAILABLE also while
 * the shard is not there; a shard that has fallen since has no backup (BACKUP_NONE). */
MUST_CHECK enum status store_back_up(struct store *, unsigned shard, const struct backup_order *);
void store_look_at_backup(struct store *, unsigned shard, struct backup_figures *);
void store_end_backup(struct store *, unsigned shard);

/* Readers: see engine.h. While a shard starts again they see what was acknowledged before;
 * STATUS_STORAGE_UNAVAILABLE when it never started. */
MUST_CHECK enum status store_head(struct store *, struct text log, const struct hash *genesis,
				  struct head *);
MUST_CHECK enum status store_read(struct store *, struct text log, const struct hash *genesis,
				  const struct range *, row_visitor *, void *cookie,
				  struct position *start, struct position *end);
MUST_CHECK enum status store_seek(struct store *, struct text log, const struct hash *genesis,
				  const struct hash *link, uint64_t from, uint64_t steps,
				  bool *found, uint64_t *seq);

/* In one shard. */
MUST_CHECK enum status store_find_unfinished(struct store *, unsigned shard, struct unfinished *);

/* Whether the log has this link at this seq, 1 or more: STATUS_OK; SERVER_BEHIND, it is beyond the head;
 * HASH_MISMATCH; LOG_DAMAGED, it is beyond what verifies; PRUNED, it is before where the log begins now;
 * ERASED. *head in each of these. */
MUST_CHECK enum status store_has(struct store *, struct text log, const struct hash *genesis,
				 const struct position *, struct head *head);

#endif
