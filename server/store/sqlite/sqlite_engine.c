#include "store/sqlite/engine_inside.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"

/* How long nothing must be written before the engine takes the time to be idle, and the longest
 * that a batch waits to be applied while something always is. */
#define IDLE_MSEC 50
#define FILLING_MSEC 1000

/* When to look again while the applier works, if nothing is to be done, and after readers kept the
 * WAL from being truncated. */
#define APPLYING_MSEC 20
#define REST_MSEC 60000
#define RETRY_MSEC 1000

static struct sqlite_engine *
engine_of(struct engine *engine)
{
	return (struct sqlite_engine *)engine;
}

static enum status
out_of_memory(const struct sqlite_engine *engine)
{
	log_error("store", "out of memory", LOG_STR("file", engine->path));
	return STATUS_STORAGE_UNAVAILABLE;
}

static enum status
failed(struct sqlite_engine *engine, enum status status)
{
	if (status != STATUS_OK)
		engine->failed = true;
	return status;
}

static enum status
engine_gather(struct engine *base, struct lookup *lookups, size_t count)
{
	struct sqlite_engine *engine = engine_of(base);
	if (engine->failed)
		return STATUS_STORAGE_UNAVAILABLE;
	return failed(engine, gather_lookups(&engine->gatherer, lookups, count));
}

/* --- writing --- */

/* How far it is, for others to see. */
static void
publish(struct sqlite_engine *engine)
{
	const struct generations *generations = &engine->generations;
	atomic_store_explicit(&engine->since_msec, generations_since(generations),
			      memory_order_relaxed);
	atomic_store_explicit(&engine->journal_bytes, generations_bytes(generations),
			      memory_order_relaxed);
}

static enum status
check_damage(struct sqlite_engine *engine, const struct append *appends, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct head good;
		if (damage_find(engine->damage, &appends[i].batch->genesis, &good))
			return STATUS_LOG_DAMAGED;
	}
	return STATUS_OK;
}

static enum status
engine_write(struct engine *base, const struct append *appends, size_t count)
{
	struct sqlite_engine *engine = engine_of(base);
	struct tail_group group = {0};
	if (engine->failed)
		return STATUS_STORAGE_UNAVAILABLE;
	enum status status =
		tail_group_encode(&group, appends, count) ? STATUS_OK : out_of_memory(engine);
	if (status == STATUS_OK)
		status = generations_make_room(&engine->generations, group.bytes);
	/* Only now: what was put in place meanwhile may have found one of these logs damaged. */
	if (status == STATUS_OK)
		status = check_damage(engine, appends, count);
	if (status == STATUS_OK)
		status = stage_group(&engine->stager, group.first, appends, count);
	if (status == STATUS_LOG_DAMAGED) {
		tail_group_free(&group);
		return status;
	}
	if (status == STATUS_OK)
		status = generations_append(&engine->generations, group.first);
	if (status != STATUS_OK) {
		tail_group_free(&group);
		return failed(engine, status);
	}
	engine->written_at = clock_monotonic_msec();
	FAIL_POINT(BEFORE_PUBLISH);
	tail_publish(engine->tail, group.first);
	FAIL_POINT(AFTER_PUBLISH);
	/* The group is on the disk: what fails now fails the next one. */
	if (generations_is_full(&engine->generations))
		engine->failed = generations_hand_over(&engine->generations) != STATUS_OK;
	publish(engine);
	return STATUS_OK;
}

/* Whether what is filling should be applied now. *wait_msec: else, when to look again. */
static bool
is_time_to_freeze(const struct sqlite_engine *engine, bool idle, uint64_t *wait_msec)
{
	uint64_t now = clock_monotonic_msec();
	uint64_t at = engine->generations.filling_since + FILLING_MSEC;
	if (idle && engine->written_at + IDLE_MSEC < at)
		at = engine->written_at + IDLE_MSEC;
	*wait_msec = at > now ? at - now : 0;
	/* While groups keep coming, tend comes with each of them; this is for when they stop. */
	if (!idle && *wait_msec > IDLE_MSEC)
		*wait_msec = IDLE_MSEC;
	return at <= now;
}

/* When to look again. */
static uint64_t
rest_wait_msec(enum rest rest)
{
	switch (rest) {
	case REST_REACHED:
		return REST_MSEC;
	case REST_IN_VAIN:
		return RETRY_MSEC;
	case REST_DUE:
		break;
	}
	return IDLE_MSEC;
}

static enum status
engine_tend(struct engine *base, bool idle, uint64_t *wait_msec)
{
	struct sqlite_engine *engine = engine_of(base);
	if (engine->failed)
		return STATUS_STORAGE_UNAVAILABLE;
	struct generations *generations = &engine->generations;
	const enum status status = generations_collect(generations);
	publish(engine);
	*wait_msec = APPLYING_MSEC;
	if (status != STATUS_OK || tail_is_applying(engine->tail))
		return failed(engine, status);
	if (tail_is_filling(engine->tail)) {
		if (generations_is_full(generations) ||
		    is_time_to_freeze(engine, idle, wait_msec)) {
			*wait_msec = APPLYING_MSEC;
			return failed(engine, generations_hand_over(generations));
		}
		return STATUS_OK;
	}
	*wait_msec = IDLE_MSEC;
	if (idle && clock_monotonic_msec() >= engine->written_at + IDLE_MSEC)
		*wait_msec = rest_wait_msec(applier_rest(&generations->applier));
	generations_tend_notes(generations, wait_msec);
	return STATUS_OK;
}

static void
engine_load_states(struct engine *base, struct text log, state_visitor *visitor, void *cookie)
{
	state_reader_visit(&engine_of(base)->state_reader, log, visitor, cookie);
}

static void
engine_keep_state(struct engine *base, struct text log, const struct kept_state *kept)
{
	generations_note(&engine_of(base)->generations, log, kept);
}

static enum status
engine_settle_down(struct engine *base)
{
	struct sqlite_engine *engine = engine_of(base);
	bool complete;
	if (engine->failed)
		return STATUS_STORAGE_UNAVAILABLE;
	const enum status status = generations_settle_down(&engine->generations, &complete);
	if (status == STATUS_OK && !complete)
		log_warn("store", "a reader kept the WAL from being truncated",
			 LOG_STR("file", engine->path));
	return failed(engine, status);
}

static enum status
engine_remove(struct engine *base, struct removal *removals, size_t count, bool overwrite,
	      uint64_t *kept)
{
	struct sqlite_engine *engine = engine_of(base);
	if (engine->failed)
		return STATUS_STORAGE_UNAVAILABLE;
	const enum status status =
		remove_content(&engine->remove, removals, count, overwrite, kept);
	publish(engine);
	return status == STATUS_STORAGE_UNAVAILABLE ? failed(engine, status) : status;
}

/* What a sync or a transaction failed on must not be used again, nor stand in the way of the next engine.
 * The eyes stay open: while they are, SQLite keeps the WAL's index, which readers could not make anew on
 * a full disk. */
static void
engine_retire(struct engine *base)
{
	struct sqlite_engine *engine = engine_of(base);
	engine->failed = true;
	if (engine->applier_runs)
		applier_stop(&engine->generations.applier);
	engine->applier_runs = false;
	journal_file_close(&engine->generations.files[0]);
	journal_file_close(&engine->generations.files[1]);
	anchor_close(&engine->anchor);
	state_notes_free(&engine->generations.notes);
	db_close(engine->db); /* before what it reads by its feeds */
	apply_free(engine->apply);
	remove_release(&engine->remove);
	engine->db = NULL;
	engine->apply = NULL;
}

static void
engine_close(struct engine *base)
{
	struct sqlite_engine *engine = engine_of(base);
	engine_retire(base);
	readers_free(engine->readers);
	scrub_close(&engine->scrub);
	rows_free(engine->rows);
	db_close(engine->look_db);
	tail_free(engine->tail);
	damage_free(engine->damage);
	applier_release(&engine->generations.applier);
	free(engine->path);
	free(engine);
}

static enum status
engine_head(struct engine *base, struct text log, const struct hash *genesis, struct head *head)
{
	return readers_head(engine_of(base)->readers, log, genesis, head);
}

static enum status
engine_read(struct engine *base, struct text log, const struct hash *genesis,
	    const struct range *range, row_visitor *visitor, void *cookie, struct position *start,
	    struct position *end)
{
	return readers_read(engine_of(base)->readers, log, genesis, range, visitor, cookie, start,
			    end);
}

static enum status
engine_seek(struct engine *base, struct text log, const struct hash *genesis,
	    const struct hash *link, uint64_t from, uint64_t steps, bool *found, uint64_t *seq)
{
	return readers_seek(engine_of(base)->readers, log, genesis, link, from, steps, found, seq);
}

static enum status
engine_count_begun(struct engine *base, struct text writer, struct text except, uint64_t *count)
{
	return readers_count_begun(engine_of(base)->readers, writer, except, count);
}

static enum status
engine_find_unfinished(struct engine *base, struct unfinished *unfinished)
{
	return readers_find_unfinished(engine_of(base)->readers, unfinished);
}

static enum status
engine_scrub(struct engine *base, struct walk *walk, uint64_t rows_max, struct walked *walked)
{
	return scrub_step(&engine_of(base)->scrub, walk, rows_max, walked);
}

static void
engine_measure(struct engine *base, struct engine_figures *figures)
{
	struct sqlite_engine *engine = engine_of(base);
	const uint64_t since = atomic_load_explicit(&engine->since_msec, memory_order_relaxed);
	const uint64_t now = clock_monotonic_msec();
	*figures = (struct engine_figures){
		.journal_bytes = atomic_load_explicit(&engine->journal_bytes, memory_order_relaxed),
		.tail_bytes = tail_measure(engine->tail),
		.tail_bytes_max = tail_bytes_max(engine->tail),
		.lag_msec = since == 0 || since > now ? 0 : now - since,
		.damaged = damage_count(engine->damage),
	};
}

static enum status
engine_back_up(struct engine *base, const struct backup_order *order)
{
	return applier_back_up(&engine_of(base)->generations.applier, order);
}

static void
engine_look_at_backup(struct engine *base, struct backup_figures *figures)
{
	applier_look_at_backup(&engine_of(base)->generations.applier, figures);
}

static void
engine_end_backup(struct engine *base)
{
	applier_end_backup(&engine_of(base)->generations.applier);
}

const struct engine_ops sqlite_engine_ops = {
	.alone = true,
	.gather = engine_gather,
	.write = engine_write,
	.tend = engine_tend,
	.settle_down = engine_settle_down,
	.load_states = engine_load_states,
	.keep_state = engine_keep_state,
	.remove = engine_remove,
	.retire = engine_retire,
	.close = engine_close,
	.head = engine_head,
	.read = engine_read,
	.seek = engine_seek,
	.count_begun = engine_count_begun,
	.find_unfinished = engine_find_unfinished,
	.scrub = engine_scrub,
	.measure = engine_measure,
	.back_up = engine_back_up,
	.look_at_backup = engine_look_at_backup,
	.end_backup = engine_end_backup,
};
