#include "store/sqlite/applier.h"

#include <sys/resource.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "store/sqlite/in_place.h"

#define NICENESS 10
#define ANCHOR_MSEC 1000

static void
lock(struct applier *applier)
{
	CHECK(pthread_mutex_lock(&applier->lock) == 0);
}

static void
unlock(struct applier *applier)
{
	CHECK(pthread_mutex_unlock(&applier->lock) == 0);
}

static void
signal_changed(struct applier *applier)
{
	CHECK(pthread_cond_broadcast(&applier->changed) == 0);
}

/* Under load groups come without end, and no checkpoint need be due for long. */
static enum status
anchor_if_due(struct applier *applier)
{
	const uint64_t now = clock_monotonic_msec();
	if (now < applier->anchored_at + ANCHOR_MSEC)
		return STATUS_OK;
	applier->anchored_at = now;
	return anchor_write(applier->anchor);
}

/* Without the lock. */
static enum status
work(struct applier *applier, uint64_t generation, uint64_t last_id,
     struct apply_progress *progress)
{
	enum status status = db_sync_commits(applier->db, false);
	if (status == STATUS_OK)
		status = apply_step(applier->apply, applier->slice_actions, progress);
	if (status == STATUS_OK && progress->ended) {
		FAIL_POINT(BEFORE_IN_PLACE);
		status = in_place_record(applier->db, generation, last_id);
		FAIL_POINT(AFTER_IN_PLACE);
	}
	if (status == STATUS_OK)
		status = checkpoint_if_due(&applier->checkpointer);
	if (status == STATUS_OK)
		status = anchor_if_due(applier);
	return status;
}

static void
work_locked(struct applier *applier)
{
	struct apply_progress progress = {0};
	const uint64_t generation = applier->generation, last_id = applier->last_id;
	unlock(applier);
	const enum status status = work(applier, generation, last_id, &progress);
	lock(applier);
	applier->status = status;
	applier->rest = REST_DUE;
	if (status != STATUS_OK)
		return;
	applier->progress = progress;
	if (progress.ended)
		applier->has_work = false;
}

static void
rest_locked(struct applier *applier)
{
	bool complete = false;
	unlock(applier);
	FAIL_POINT(BEFORE_REST);
	const enum status status = checkpoint_all(&applier->checkpointer, &complete);
	FAIL_POINT(AFTER_REST);
	lock(applier);
	applier->status = status;
	applier->wants_rest = false;
	applier->rest = complete ? REST_REACHED : REST_IN_VAIN;
}

/* Nobody waits for it until the tail is full: whoever answers requests goes first. Linux has a
 * priority for each thread. */
static void
yield_to_requests(void)
{
	(void)setpriority(PRIO_PROCESS, 0, NICENESS);
}

static void *
applier_main(void *cookie)
{
	struct applier *applier = cookie;
	yield_to_requests();
	lock(applier);
	while (!applier->stopping && applier->status == STATUS_OK) {
		if (applier->has_work)
			work_locked(applier);
		else if (applier->wants_rest)
			rest_locked(applier);
		else
			CHECK(pthread_cond_wait(&applier->changed, &applier->lock) == 0);
		signal_changed(applier);
	}
	unlock(applier);
	return NULL;
}

enum status
applier_start(struct applier *applier)
{
	applier->has_work = applier->wants_rest = applier->stopping = false;
	applier->rest = REST_REACHED;
	applier->status = STATUS_OK;
	checkpointer_init(&applier->checkpointer, applier->db, applier->anchor);
	applier->anchored_at = clock_monotonic_msec();
	CHECK(pthread_mutex_init(&applier->lock, NULL) == 0);
	CHECK(pthread_cond_init(&applier->changed, NULL) == 0);
	if (pthread_create(&applier->thread, NULL, applier_main, applier) == 0)
		return STATUS_OK;
	(void)pthread_cond_destroy(&applier->changed);
	(void)pthread_mutex_destroy(&applier->lock);
	return STATUS_STORAGE_UNAVAILABLE;
}

void
applier_stop(struct applier *applier)
{
	lock(applier);
	applier->stopping = true;
	signal_changed(applier);
	unlock(applier);
	CHECK(pthread_join(applier->thread, NULL) == 0);
	(void)pthread_cond_destroy(&applier->changed);
	(void)pthread_mutex_destroy(&applier->lock);
}

void
applier_hand(struct applier *applier, uint64_t generation, uint64_t last_id)
{
	lock(applier);
	CHECK(!applier->has_work && !applier->progress.ended);
	applier->has_work = true;
	applier->generation = generation;
	applier->last_id = last_id;
	applier->progress = (struct apply_progress){0};
	applier->told = 0;
	signal_changed(applier);
	unlock(applier);
}

static enum status
take_progress_locked(struct applier *applier, struct apply_progress *progress)
{
	*progress = applier->progress;
	applier->told = progress->upto;
	if (progress->ended)
		applier->progress = (struct apply_progress){0};
	return applier->status;
}

enum status
applier_look(struct applier *applier, struct apply_progress *progress)
{
	lock(applier);
	const enum status status = take_progress_locked(applier, progress);
	unlock(applier);
	return status;
}

enum status
applier_wait(struct applier *applier, struct apply_progress *progress)
{
	lock(applier);
	while (applier->status == STATUS_OK && applier->has_work &&
	       applier->progress.upto == applier->told)
		CHECK(pthread_cond_wait(&applier->changed, &applier->lock) == 0);
	const enum status status = take_progress_locked(applier, progress);
	unlock(applier);
	return status;
}

enum rest
applier_rest(struct applier *applier)
{
	lock(applier);
	CHECK(!applier->has_work);
	const enum rest rest = applier->rest;
	if (rest == REST_DUE && !applier->wants_rest) {
		applier->wants_rest = true;
		signal_changed(applier);
	}
	if (rest == REST_IN_VAIN)
		applier->rest = REST_DUE;
	unlock(applier);
	return rest;
}

enum status
applier_rest_now(struct applier *applier, bool *complete)
{
	lock(applier);
	CHECK(!applier->has_work);
	applier->wants_rest = true;
	signal_changed(applier);
	while (applier->status == STATUS_OK && applier->wants_rest)
		CHECK(pthread_cond_wait(&applier->changed, &applier->lock) == 0);
	*complete = applier->rest == REST_REACHED;
	const enum status status = applier->status;
	unlock(applier);
	return status;
}
