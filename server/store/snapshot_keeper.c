#include "store/snapshot_keeper.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/failpoint.h"
#include "base/metrics.h"
#include "base/problem.h"
#include "base/queue.h"

#define WAIT_MSEC 60000

struct snapshot_keeper {
	struct snapshots folder;
	struct store *store;
	struct queue *queue;
	pthread_t thread;
	bool running;
	uint64_t transfers_max;
	_Atomic uint64_t transfers;
	_Atomic uint64_t keep;
};

/* --- one job --- */

struct asking {
	struct store *store;
	struct snapshot_job *job;
};

static enum status
has_position(void *cookie)
{
	const struct asking *asking = cookie;
	const struct snapshot_facts *facts = &asking->job->draft.facts;
	return store_has(asking->store, asking->job->log, &facts->genesis, &facts->position,
			 &asking->job->head);
}

/* Whether one that is there is of the log's history. Where that cannot be told, it is left alone. */
static enum status
judge(struct snapshot_keeper *keeper, const struct snapshot_job *job, uint64_t seq)
{
	struct snapshot_source source;
	struct head head;
	const struct hash *genesis = &job->draft.facts.genesis;
	const enum status status = snapshots_read(&keeper->folder, genesis, seq, &source);
	if (status != STATUS_OK)
		return status;
	snapshot_source_close(&source);
	return store_has(keeper->store, job->log, genesis, &source.facts.position, &head);
}

/* What cannot be removed now is removed after the next one. */
static void
trim(struct snapshot_keeper *keeper, struct snapshot_job *job)
{
	const struct hash *genesis = &job->draft.facts.genesis;
	const uint64_t keep = atomic_load(&keeper->keep);
	struct snapshot_list list;
	uint64_t kept = 0;
	if (snapshots_sweep(&keeper->folder, genesis) != STATUS_OK ||
	    snapshots_list(&keeper->folder, genesis, &list) != STATUS_OK)
		return;
	for (size_t i = 0; i < list.count; i++) {
		const enum status status = judge(keeper, job, list.seqs[i]);
		const bool other = status == STATUS_SERVER_BEHIND ||
				   status == STATUS_HASH_MISMATCH || status == STATUS_PRUNED;
		kept += status == STATUS_OK;
		if (!other && (status != STATUS_OK || kept <= keep))
			continue;
		if (list.seqs[i] == job->draft.facts.position.seq)
			job->kept = false;
		if (snapshots_remove(&keeper->folder, genesis, list.seqs[i]) != STATUS_OK)
			return;
	}
}

static void
carry_out(struct snapshot_keeper *keeper, struct snapshot_job *job)
{
	struct asking asking = {.store = keeper->store, .job = job};
	FAIL_POINT(BEFORE_SNAPSHOT_SYNC);
	job->status = snapshot_draft_sync(&job->draft);
	FAIL_POINT(AFTER_SNAPSHOT_SYNC);
	if (job->status == STATUS_OK)
		job->status = snapshots_place(&keeper->folder, &job->draft, has_position, &asking);
	FAIL_POINT(AFTER_SNAPSHOT_PLACED);
	job->kept = job->status == STATUS_OK;
	if (job->status == STATUS_NO_SNAPSHOT)
		job->status = STATUS_OK;
	if (job->kept) {
		counter_add(COUNTER_SNAPSHOTS_STORED, 1);
		trim(keeper, job);
		FAIL_POINT(AFTER_SNAPSHOT_TRIM);
	}
	snapshot_draft_discard(&job->draft, job->status == STATUS_ERASED);
}

static void *
run(void *cookie)
{
	struct snapshot_keeper *keeper = cookie;
	void *item;
	for (;;) {
		if (queue_take(keeper->queue, &item, 1, WAIT_MSEC) == 1) {
			struct snapshot_job *job = item;
			carry_out(keeper, job);
			job->done(job);
		} else if (queue_is_closed(keeper->queue)) {
			return NULL;
		}
	}
}

/* --- life --- */

enum status
snapshot_keeper_start(const struct snapshot_keeper_options *options,
		      struct snapshot_keeper **started, const char **problem)
{
	struct snapshot_keeper *keeper = calloc(1, sizeof(*keeper));
	if (keeper == NULL)
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "out of memory");
	keeper->store = options->store;
	keeper->transfers_max = options->transfers;
	atomic_init(&keeper->keep, options->keep);
	keeper->queue = queue_new(options->transfers);
	*problem = "out of memory";
	if (!snapshots_open(&keeper->folder, options->dir) || keeper->queue == NULL)
		goto free_keeper;
	*problem = "the folder of snapshots cannot be read";
	if (snapshots_clean(&keeper->folder) != STATUS_OK)
		goto free_keeper;
	*problem = "cannot start a thread";
	if (pthread_create(&keeper->thread, NULL, run, keeper) != 0)
		goto free_keeper;
	keeper->running = true;
	*started = keeper;
	return STATUS_OK;

free_keeper:
	snapshot_keeper_free(keeper);
	return STATUS_STORAGE_UNAVAILABLE;
}

void
snapshot_keeper_stop(struct snapshot_keeper *keeper)
{
	queue_close(keeper->queue);
	CHECK(pthread_join(keeper->thread, NULL) == 0);
	keeper->running = false;
}

void
snapshot_keeper_free(struct snapshot_keeper *keeper)
{
	if (keeper == NULL)
		return;
	CHECK(!keeper->running);
	queue_free(keeper->queue);
	snapshots_close(&keeper->folder);
	free(keeper);
}

void
snapshot_keeper_set_keep(struct snapshot_keeper *keeper, uint64_t keep)
{
	atomic_store(&keeper->keep, keep);
}

struct snapshots *
snapshot_keeper_folder(struct snapshot_keeper *keeper)
{
	return &keeper->folder;
}

bool
snapshot_keeper_enter(struct snapshot_keeper *keeper)
{
	if (atomic_fetch_add(&keeper->transfers, 1) < keeper->transfers_max)
		return true;
	atomic_fetch_sub(&keeper->transfers, 1);
	return false;
}

void
snapshot_keeper_leave(struct snapshot_keeper *keeper)
{
	CHECK(atomic_fetch_sub(&keeper->transfers, 1) > 0);
}

uint64_t
snapshot_keeper_transfers(struct snapshot_keeper *keeper)
{
	return atomic_load(&keeper->transfers);
}

enum status
snapshot_keeper_submit(struct snapshot_keeper *keeper, struct snapshot_job *job)
{
	return queue_push(keeper->queue, job) ? STATUS_OK : STATUS_BACKPRESSURE;
}
