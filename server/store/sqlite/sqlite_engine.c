#include "store/sqlite/sqlite_engine.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/problem.h"
#include "store/sqlite/anchor.h"
#include "store/sqlite/apply.h"
#include "store/sqlite/damage.h"
#include "store/sqlite/db.h"
#include "store/sqlite/gather.h"
#include "store/sqlite/generations.h"
#include "store/sqlite/reader.h"
#include "store/sqlite/recover.h"
#include "store/sqlite/rows.h"
#include "store/sqlite/scrub.h"
#include "store/sqlite/shard_file.h"
#include "store/sqlite/stage.h"
#include "store/sqlite/tail.h"

/* How long nothing must be written before the engine takes the time to be idle, and the longest
 * that a batch waits to be applied while something always is. */
#define IDLE_MSEC 50
#define FILLING_MSEC 1000

/* When to look again while the applier works, if nothing is to be done, and after readers kept the
 * WAL from being truncated. */
#define APPLYING_MSEC 20
#define REST_MSEC 60000
#define RETRY_MSEC 1000

struct sqlite_engine {
	struct engine engine; /* first */
	struct db *db;	      /* writes the rows; the applier's while that runs */
	struct db *look_db;   /* the writer's eyes */
	struct rows *rows;    /* of look_db */
	struct tail *tail;
	struct damage *damage;
	struct apply *apply;
	struct readers *readers;
	struct scrub scrub;
	struct gatherer gatherer;
	struct stager stager;
	struct generations generations;
	struct anchor anchor;
	bool applier_runs;

	uint64_t written_at, filling_since; /* monotonic milliseconds */
	bool failed;			    /* only closing is left */
};

/* A group on its way to the journal. */
struct group {
	struct tail_batch *first, *last;
	size_t bytes;
};

static struct sqlite_engine *
engine_of(struct engine *engine)
{
	return (struct sqlite_engine *)engine;
}

static enum status
out_of_memory(const struct sqlite_engine *engine)
{
	log_error("store", "out of memory", LOG_STR("file", db_path(engine->db)));
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

static enum status
encode_group(struct sqlite_engine *engine, const struct append *appends, size_t count,
	     struct group *group)
{
	for (size_t i = 0; i < count; i++) {
		struct tail_batch *batch = tail_batch_encode(&appends[i]);
		if (batch == NULL)
			return out_of_memory(engine);
		if (group->first == NULL)
			group->first = batch;
		else
			group->last->next = batch;
		group->last = batch;
		group->bytes += batch->size;
	}
	return STATUS_OK;
}

static void
free_group(struct group *group)
{
	while (group->first != NULL) {
		struct tail_batch *batch = group->first;
		group->first = batch->next;
		tail_batch_free(batch);
	}
}

/* --- writing --- */

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
	struct group group = {0};
	if (engine->failed)
		return STATUS_STORAGE_UNAVAILABLE;
	enum status status = encode_group(engine, appends, count, &group);
	if (status == STATUS_OK)
		status = generations_make_room(&engine->generations, group.bytes);
	/* Only now: what was put in place meanwhile may have found one of these logs damaged. */
	if (status == STATUS_OK)
		status = check_damage(engine, appends, count);
	if (status == STATUS_OK)
		status = stage_group(&engine->stager, group.first, appends, count);
	if (status == STATUS_LOG_DAMAGED) {
		free_group(&group);
		return status;
	}
	if (status == STATUS_OK)
		status = generations_append(&engine->generations, group.first);
	if (status != STATUS_OK) {
		free_group(&group);
		return failed(engine, status);
	}
	engine->written_at = clock_monotonic_msec();
	if (!tail_is_filling(engine->tail))
		engine->filling_since = engine->written_at;
	FAIL_POINT(BEFORE_PUBLISH);
	tail_publish(engine->tail, group.first);
	FAIL_POINT(AFTER_PUBLISH);
	/* The group is on the disk: what fails now fails the next one. */
	if (generations_is_full(&engine->generations))
		engine->failed = generations_hand_over(&engine->generations) != STATUS_OK;
	return STATUS_OK;
}

/* Whether what is filling should be applied now. *wait_msec: else, when to look again. */
static bool
is_time_to_freeze(const struct sqlite_engine *engine, bool idle, uint64_t *wait_msec)
{
	uint64_t now = clock_monotonic_msec();
	uint64_t at = engine->filling_since + FILLING_MSEC;
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
	return STATUS_OK;
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
			 LOG_STR("file", db_path(engine->db)));
	return failed(engine, status);
}

static void
engine_close(struct engine *base)
{
	struct sqlite_engine *engine = engine_of(base);
	if (engine->applier_runs)
		applier_stop(&engine->generations.applier);
	readers_free(engine->readers);
	scrub_close(&engine->scrub);
	rows_free(engine->rows);
	db_close(engine->look_db);
	db_close(engine->db); /* before what it reads by its feeds */
	apply_free(engine->apply);
	tail_free(engine->tail);
	damage_free(engine->damage);
	journal_file_close(&engine->generations.files[0]);
	journal_file_close(&engine->generations.files[1]);
	anchor_close(&engine->anchor);
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
engine_scrub(struct engine *base, struct walk *walk, uint64_t rows_max, struct walked *walked)
{
	return scrub_step(&engine_of(base)->scrub, walk, rows_max, walked);
}

static const struct engine_ops ops = {
	.alone = true,
	.gather = engine_gather,
	.write = engine_write,
	.tend = engine_tend,
	.settle_down = engine_settle_down,
	.close = engine_close,
	.head = engine_head,
	.read = engine_read,
	.seek = engine_seek,
	.scrub = engine_scrub,
};

static enum status
open_file(struct sqlite_engine *engine, const struct sqlite_options *options, unsigned which,
	  const char **problem)
{
	char *path = journal_file_path(options->path, which);
	enum status status = path == NULL ? out_of_memory(engine) : STATUS_OK;
	if (status == STATUS_OK && options->create) {
		status = journal_file_create(path, options->id, problem);
		FAIL_POINT(AFTER_JOURNAL_CREATE);
	}
	if (status == STATUS_OK)
		status = journal_file_open(&engine->generations.files[which], path, options->id,
					   true, problem);
	free(path);
	return status;
}

static enum status
open_anchor(struct sqlite_engine *engine, const struct sqlite_options *options,
	    const char **problem)
{
	char *path = anchor_path(options->path);
	enum status status = path == NULL ? out_of_memory(engine) : STATUS_OK;
	if (status == STATUS_OK && options->create)
		status = anchor_create(path, options->id, 0, problem);
	if (status == STATUS_OK)
		status = anchor_open(&engine->anchor, path, options->id, true, problem);
	free(path);
	return status;
}

static enum status
build(struct sqlite_engine *engine, const struct sqlite_options *options)
{
	engine->tail = tail_new(options->tail_bytes);
	engine->damage = damage_new();
	if (engine->tail == NULL || engine->damage == NULL)
		return out_of_memory(engine);
	engine->readers =
		readers_new(options->path, options->readers, engine->tail, engine->damage);
	if (engine->readers == NULL)
		return out_of_memory(engine);
	engine->scrub = (struct scrub){
		.path = db_path(engine->db), .tail = engine->tail, .damage = engine->damage};
	engine->generations.tail = engine->tail;
	engine->generations.applier.db = engine->db;
	engine->generations.applier.slice_actions = options->slice_actions;
	engine->generations.applier.anchor = &engine->anchor;
	return apply_new(engine->db, engine->tail, engine->damage, &engine->apply);
}

static enum status
recover_journal(struct sqlite_engine *engine, const struct sqlite_options *options,
		const char **problem)
{
	struct recovery recovery = {.db = engine->db,
				    .tail = engine->tail,
				    .apply = engine->apply,
				    .damage = engine->damage,
				    .files = engine->generations.files,
				    .anchor = &engine->anchor,
				    .slice_actions = options->slice_actions,
				    .accept_loss = options->accept_loss};
	recovery.rows = engine->rows;
	enum status status = recover(&recovery, problem);
	if (status != STATUS_OK)
		return status;
	engine->stager.next_log_id = recovery.next_log_id;
	engine->generations.next_id = recovery.next_journal_id;
	FAIL_POINT(BEFORE_FIRST_BEGIN);
	status = generations_begin(&engine->generations, recovery.generation + 1);
	FAIL_POINT(AFTER_FIRST_BEGIN);
	return status;
}

/* The writer looks through eyes of its own: a malformed page that they meet is in the way of no
 * transaction that writes. */
static enum status
open_eyes(struct sqlite_engine *engine, const struct sqlite_options *options, const char **problem)
{
	enum status status = db_open(options->path, DB_READ, &engine->look_db, problem);
	if (status == STATUS_OK)
		status = rows_new(engine->look_db, &engine->rows);
	engine->gatherer = (struct gatherer){engine->rows, engine->tail, engine->damage};
	engine->stager = (struct stager){.rows = engine->rows, .tail = engine->tail};
	return status;
}

static enum status
start_applier(struct sqlite_engine *engine)
{
	engine->generations.applier.apply = engine->apply;
	const enum status status = applier_start(&engine->generations.applier);
	engine->applier_runs = status == STATUS_OK;
	return status;
}

static enum status
open_all(struct sqlite_engine *engine, const struct sqlite_options *options, const char **problem)
{
	struct shard_identity identity = {.number = options->shard, .shards = options->shards};
	memcpy(identity.id, options->id, SHARD_ID_SIZE);
	enum status status =
		shard_file_open(options->path, options->create, &identity, &engine->db, problem);
	for (unsigned which = 0; which < 2 && status == STATUS_OK; which++)
		status = open_file(engine, options, which, problem);
	if (status == STATUS_OK)
		status = open_anchor(engine, options, problem);
	if (status != STATUS_OK)
		return status;
	*problem = problem_format("%s cannot be recovered: the log has the reason; see that its "
				  "disk has room and can be written",
				  options->path);
	status = build(engine, options);
	if (status == STATUS_OK)
		status = open_eyes(engine, options, problem);
	if (status == STATUS_OK)
		status = recover_journal(engine, options, problem);
	return status == STATUS_OK ? start_applier(engine) : status;
}

enum status
sqlite_engine_open(const struct sqlite_options *options, struct engine **out, const char **problem)
{
	CHECK(options->slice_actions >= 1 && options->readers >= 1 && options->tail_bytes >= 1);
	*out = NULL;
	*problem = "out of memory";
	struct sqlite_engine *engine = calloc(1, sizeof(*engine));
	if (engine == NULL)
		return STATUS_STORAGE_UNAVAILABLE;
	engine->engine.ops = &ops;
	engine->generations.files[0].fd = engine->generations.files[1].fd = engine->anchor.fd = -1;
	enum status status = open_all(engine, options, problem);
	if (status != STATUS_OK) {
		engine_close(&engine->engine);
		return status;
	}
	*out = &engine->engine;
	return STATUS_OK;
}
