#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/problem.h"
#include "store/sqlite/engine_inside.h"
#include "store/sqlite/recover.h"
#include "store/sqlite/shard_file.h"

/* Enough for what a journal file holds at a time: less only means more slices, of as many rows as the
 * daemon's. */
#define TOOL_TAIL_BYTES ((size_t)64 << 20)
#define TOOL_SLICE_ACTIONS 2000

static enum status
out_of_memory(const struct sqlite_engine *engine)
{
	log_error("store", "out of memory", LOG_STR("file", engine->path));
	return STATUS_STORAGE_UNAVAILABLE;
}

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
		.path = engine->path, .tail = engine->tail, .damage = engine->damage};
	engine->generations.tail = engine->tail;
	engine->generations.applier.db = engine->db;
	engine->remove = (struct remove){.db = engine->db,
					 .generations = &engine->generations,
					 .damage = engine->damage,
					 .next_log_id = &engine->stager.next_log_id};
	engine->generations.applier.slice_actions = options->slice_actions;
	engine->generations.applier.anchor = &engine->anchor;
	engine->generations.applier.state_rows = &engine->state_rows;
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
	if (status == STATUS_OK)
		status = state_reader_prepare(&engine->state_reader, engine->look_db);
	engine->gatherer = (struct gatherer){engine->rows, engine->tail, engine->damage};
	engine->stager = (struct stager){.rows = engine->rows, .tail = engine->tail};
	return status;
}

static enum status
start_applier(struct sqlite_engine *engine)
{
	engine->generations.applier.apply = engine->apply;
	enum status status = state_rows_prepare(&engine->state_rows, engine->db);
	if (status != STATUS_OK)
		return status;
	status = applier_start(&engine->generations.applier);
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
	engine->engine.ops = &sqlite_engine_ops;
	applier_init(&engine->generations.applier);
	engine->generations.files[0].fd = engine->generations.files[1].fd = engine->anchor.fd = -1;
	engine->path = strdup(options->path);
	enum status status = engine->path == NULL ? STATUS_STORAGE_UNAVAILABLE
						  : open_all(engine, options, problem);
	if (status != STATUS_OK) {
		sqlite_engine_ops.close(&engine->engine);
		return status;
	}
	*out = &engine->engine;
	return STATUS_OK;
}

struct sqlite_options
sqlite_options_of_tool(const char *path, unsigned shard, unsigned shards,
		       const uint8_t id[SHARD_ID_SIZE])
{
	struct sqlite_options options = {.path = path,
					 .shard = shard,
					 .shards = shards,
					 .tail_bytes = TOOL_TAIL_BYTES,
					 .slice_actions = TOOL_SLICE_ACTIONS,
					 .readers = 1};
	memcpy(options.id, id, SHARD_ID_SIZE);
	return options;
}

enum status
sqlite_engine_settle(const struct sqlite_options *options, const char **problem)
{
	struct engine *engine;
	enum status status = sqlite_engine_open(options, &engine, problem);
	if (status != STATUS_OK)
		return status;
	status = engine->ops->settle_down(engine);
	engine->ops->close(engine);
	if (status != STATUS_OK)
		*problem = problem_format("%s could not be brought to rest: the log has the reason",
					  options->path);
	return status;
}
