#include "store/sqlite/applier.h"

#include <sys/resource.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/metrics.h"
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
write_notes(struct applier *applier)
{
	lock(applier);
	struct state_notes notes = applier->notes;
	applier->notes = (struct state_notes){.count = 0};
	unlock(applier);
	return state_rows_write(applier->state_rows, &notes);
}

/* Likewise. */
static enum status
work(struct applier *applier, uint64_t generation, uint64_t last_id,
     struct apply_progress *progress)
{
	const uint64_t began = clock_monotonic_usec();
	enum status status = db_sync_commits(applier->db, false);
	if (status == STATUS_OK)
		status = apply_step(applier->apply, applier->slice_actions, progress);
	histogram_add(HISTOGRAM_SLICE, clock_monotonic_usec() - began);
	if (status == STATUS_OK && progress->ended)
		status = write_notes(applier);
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

/* Returns the microseconds that it took. */
static uint64_t
work_locked(struct applier *applier)
{
	const uint64_t began = clock_monotonic_usec();
	struct apply_progress progress = {0};
	const uint64_t generation = applier->generation, last_id = applier->last_id;
	applier->between = false;
	unlock(applier);
	const enum status status = work(applier, generation, last_id, &progress);
	lock(applier);
	applier->status = status;
	applier->rest = REST_DUE;
	if (status == STATUS_OK) {
		applier->progress = progress;
		applier->between = progress.ended;
		applier->has_work = !progress.ended;
		if (progress.ended)
			backup_let_end(&applier->backup);
	}
	return clock_monotonic_usec() - began;
}

static void
note_locked(struct applier *applier)
{
	unlock(applier);
	enum status status = db_sync_commits(applier->db, false);
	if (status == STATUS_OK)
		status = write_notes(applier);
	if (status == STATUS_OK)
		status = checkpoint_if_due(&applier->checkpointer);
	lock(applier);
	applier->status = status;
	applier->rest = REST_DUE;
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

/* A step of the copy, or its end. */
static void
back_up_locked(struct applier *applier)
{
	struct backup *backup = &applier->backup;
	struct backup_figures figures = backup->figures;
	const bool may_end = applier->between;
	const char *over = backup_is_over(backup);
	applier->copying = true;
	unlock(applier);
	if (over != NULL)
		backup_give_up(backup, over, &figures);
	else
		backup_step(backup, applier->db, may_end, &figures);
	lock(applier);
	backup->figures = figures;
	applier->copying = false;
}

/* Until something changes, or a copy that runs is to go on. */
static void
wait_locked(struct applier *applier)
{
	uint64_t due_at;
	if (applier->held || !backup_runs(&applier->backup, &due_at)) {
		CHECK(pthread_cond_wait(&applier->changed, &applier->lock) == 0);
		return;
	}
	const struct timespec until = {.tv_sec = (time_t)(due_at / 1000000),
				       .tv_nsec = (long)(due_at % 1000000 * 1000)};
	(void)pthread_cond_timedwait(&applier->changed, &applier->lock, &until);
}

static bool
backup_is_due(const struct applier *applier)
{
	uint64_t due_at;
	return !applier->held && backup_runs(&applier->backup, &due_at) &&
	       due_at <= clock_monotonic_usec();
}

/* At least a step, if one is due, and more of them for so many microseconds. */
static void
back_up_for(struct applier *applier, uint64_t usec)
{
	const uint64_t until = clock_monotonic_usec() + usec;
	while (applier->status == STATUS_OK && !applier->stopping && backup_is_due(applier)) {
		back_up_locked(applier);
		signal_changed(applier);
		if (clock_monotonic_usec() >= until)
			return;
	}
}

/* What is not whole is nothing. */
static void
end_backup_locked(struct applier *applier, const char *why)
{
	struct backup *backup = &applier->backup;
	if (backup->figures.state == BACKUP_RUNNING)
		backup_give_up(backup, why, &backup->figures);
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
		uint64_t worked_usec = 0;
		if (applier->has_work)
			worked_usec = work_locked(applier);
		else if (applier->notes.count > 0)
			note_locked(applier);
		else if (applier->wants_rest)
			rest_locked(applier);
		else if (!backup_is_due(applier))
			wait_locked(applier);
		signal_changed(applier);
		back_up_for(applier, worked_usec);
	}
	end_backup_locked(applier, "the shard has stopped");
	unlock(applier);
	return NULL;
}

void
applier_init(struct applier *applier)
{
	pthread_condattr_t monotonic;
	CHECK(pthread_condattr_init(&monotonic) == 0);
	CHECK(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
	CHECK(pthread_mutex_init(&applier->lock, NULL) == 0);
	CHECK(pthread_cond_init(&applier->changed, &monotonic) == 0);
	CHECK(pthread_condattr_destroy(&monotonic) == 0);
}

void
applier_release(struct applier *applier)
{
	(void)pthread_cond_destroy(&applier->changed);
	(void)pthread_mutex_destroy(&applier->lock);
}

enum status
applier_start(struct applier *applier)
{
	applier->has_work = applier->wants_rest = applier->stopping = false;
	applier->rest = REST_REACHED;
	applier->between = true;
	applier->status = STATUS_OK;
	checkpointer_init(&applier->checkpointer, applier->db, applier->anchor);
	applier->anchored_at = clock_monotonic_msec();
	if (pthread_create(&applier->thread, NULL, applier_main, applier) != 0)
		return STATUS_STORAGE_UNAVAILABLE;
	lock(applier);
	applier->runs = true;
	unlock(applier);
	return STATUS_OK;
}

void
applier_stop(struct applier *applier)
{
	lock(applier);
	applier->stopping = true;
	applier->runs = false;
	signal_changed(applier);
	unlock(applier);
	CHECK(pthread_join(applier->thread, NULL) == 0);
	state_notes_free(&applier->notes);
}

static void
take_notes_locked(struct applier *applier, struct state_notes *notes)
{
	if (applier->notes.count > 0)
		return;
	applier->notes = *notes;
	*notes = (struct state_notes){.count = 0};
}

void
applier_hand_notes(struct applier *applier, struct state_notes *notes)
{
	lock(applier);
	CHECK(!applier->has_work);
	take_notes_locked(applier, notes);
	signal_changed(applier);
	unlock(applier);
}

void
applier_hand(struct applier *applier, uint64_t generation, uint64_t last_id,
	     struct state_notes *notes)
{
	lock(applier);
	CHECK(!applier->has_work && !applier->progress.ended);
	applier->has_work = true;
	applier->generation = generation;
	applier->last_id = last_id;
	applier->progress = (struct apply_progress){0};
	applier->told = 0;
	take_notes_locked(applier, notes);
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

void
applier_hold(struct applier *applier, const char *why)
{
	lock(applier);
	applier->held = true;
	while (applier->copying)
		CHECK(pthread_cond_wait(&applier->changed, &applier->lock) == 0);
	if (why != NULL && applier->backup.figures.state == BACKUP_RUNNING) {
		end_backup_locked(applier, why);
		applier->backup.figures.again = true;
	}
	unlock(applier);
}

void
applier_let_go(struct applier *applier)
{
	lock(applier);
	applier->held = false;
	signal_changed(applier);
	unlock(applier);
}

enum status
applier_back_up(struct applier *applier, const struct backup_order *order)
{
	enum status status = STATUS_STORAGE_UNAVAILABLE;
	lock(applier);
	/* While it runs the anchor is there; a commit is acknowledged after the anchor knows of it. */
	if (applier->runs && applier->status == STATUS_OK)
		status = backup_begin(
			&applier->backup, order,
			atomic_load_explicit(&applier->anchor->synced, memory_order_acquire));
	if (status == STATUS_OK)
		signal_changed(applier);
	unlock(applier);
	return status;
}

void
applier_look_at_backup(struct applier *applier, struct backup_figures *figures)
{
	lock(applier);
	backup_look(&applier->backup, figures);
	unlock(applier);
}

void
applier_end_backup(struct applier *applier)
{
	lock(applier);
	backup_end(&applier->backup);
	signal_changed(applier);
	unlock(applier);
}
