#include "store/sqlite/sqlite_engine.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/problem.h"
#include "store/sqlite/apply.h"
#include "store/sqlite/checkpoint.h"
#include "store/sqlite/damage.h"
#include "store/sqlite/db.h"
#include "store/sqlite/gather.h"
#include "store/sqlite/reader.h"
#include "store/sqlite/records.h"
#include "store/sqlite/recover.h"
#include "store/sqlite/rows.h"
#include "store/sqlite/shard_file.h"
#include "store/sqlite/tail.h"

/* Below this many actions it is not worth touching the rows' pages: what is owed is saved up. */
#define APPLY_ACTIONS_MIN 512

/* Into how many a slice is divided that is applied only because there is time. */
#define UNHURRIED_PARTS 4

/* How long nothing must be written before the engine takes the time to be idle, and the longest
 * that a batch waits to be applied while something always is. */
#define IDLE_MSEC 50
#define FILLING_MSEC 1000

/* When to ask again if nothing is to be done, and after readers kept the WAL from being truncated.
 */
#define REST_MSEC 60000
#define RETRY_MSEC 1000

struct sqlite_engine {
	struct engine engine; /* first */
	struct db *db;
	struct rows *rows; /* the writer's */
	struct tail *tail;
	struct damage *damage;
	struct apply *apply;
	struct readers *readers;
	struct gatherer gatherer;
	struct checkpointer checkpointer;
	struct records records;
	size_t slice_actions;

	uint64_t next_journal_id;
	uint64_t next_log_id;
	size_t owed; /* actions appended since the tail was three quarters full, not yet paid for */
	uint64_t written_at, filling_since; /* monotonic milliseconds */
	bool wal_is_empty;
	bool failed; /* only closing is left */
};

/* A group on its way to the journal. */
struct group {
	struct tail_batch *first, *last;
	size_t bytes, actions;
	size_t slice; /* actions of older groups to be put in place with it */
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
		batch->journal_id = engine->next_journal_id + i;
		if (group->first == NULL)
			group->first = batch;
		else
			group->last->next = batch;
		group->last = batch;
		group->bytes += batch->size;
		group->actions += batch->action_count;
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

/* A batch larger than the whole tail is taken when the tail is empty. */
static enum status
make_room(struct sqlite_engine *engine, const struct group *group)
{
	enum status status = STATUS_OK;
	while (status == STATUS_OK && tail_bytes(engine->tail) > 0 &&
	       tail_bytes(engine->tail) + group->bytes > tail_bytes_max(engine->tail))
		status = apply_step(engine->apply, engine->slice_actions);
	return status;
}

/* From three quarters full on the tail is applied as fast as it grows. */
static size_t
pay_from(const struct sqlite_engine *engine)
{
	return tail_bytes_max(engine->tail) / 4 * 3;
}

/* From three quarters full on, as many actions are applied as are appended: *slice in the group's
 * own commit, what is more in commits before it. The tail then stays about that full, so the
 * generation that is frozen next is as large as that: the larger, the more actions share a page. */
static enum status
pay(struct sqlite_engine *engine, struct group *group)
{
	const size_t from = pay_from(engine);
	const size_t hurry = from + from / 6;
	const size_t bytes = tail_bytes(engine->tail) + group->bytes;
	if (bytes < from || tail_bytes(engine->tail) == 0) {
		engine->owed = 0;
		return STATUS_OK;
	}
	engine->owed += group->actions;
	enum status status = STATUS_OK;
	while (status == STATUS_OK && engine->owed > engine->slice_actions &&
	       tail_bytes(engine->tail) > 0) {
		status = apply_step(engine->apply, engine->slice_actions);
		engine->owed -= engine->slice_actions;
	}
	if (status != STATUS_OK || tail_bytes(engine->tail) == 0)
		return status;
	if (engine->owed < APPLY_ACTIONS_MIN && engine->owed < engine->slice_actions &&
	    bytes < hurry)
		return STATUS_OK;
	group->slice = engine->owed;
	engine->owed = 0;
	if (!tail_is_applying(engine->tail))
		tail_freeze(engine->tail);
	return STATUS_OK;
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

/* A log that comes into the tail needs its id; a log that is new gets one, which its row will have
 * when its first action is in place. */
static enum status
stage(struct sqlite_engine *engine, struct tail_batch *batch, const struct append *append)
{
	const struct batch *from = append->batch;
	struct log_row log = {0};
	const struct tail_log *in_tail = tail_find(engine->tail, &from->genesis);
	if (in_tail == NULL) {
		enum status status = rows_log(engine->rows, from->log, &from->genesis, &log);
		if (status != STATUS_OK)
			return STATUS_STORAGE_UNAVAILABLE;
		if (log.head.position.seq != append->expected.position.seq ||
		    !hash_equal(&log.head.position.link, &append->expected.position.link)) {
			log_error("store", "a log's row has changed on disk",
				  LOG_STR("file", db_path(engine->db)), LOG_TEXT("log", from->log),
				  LOG_U64("seq", log.head.position.seq),
				  LOG_U64("expected", append->expected.position.seq));
			return STATUS_STORAGE_UNAVAILABLE;
		}
		if (!log.found)
			log.id = engine->next_log_id++;
	}
	if (!tail_stage(engine->tail, batch, &from->genesis, log.id, !log.found))
		return out_of_memory(engine);
	return STATUS_OK;
}

static enum status
append_group(struct sqlite_engine *engine, struct group *group, const struct append *appends)
{
	enum status status = STATUS_OK;
	struct tail_batch *batch = group->first;
	for (size_t i = 0; batch != NULL && status == STATUS_OK; i++, batch = batch->next)
		status = stage(engine, batch, &appends[i]);
	return status == STATUS_OK ? records_insert(&engine->records, group->first) : status;
}

static enum status
commit_group(struct sqlite_engine *engine)
{
#ifdef EDGEREPLAY_BREAK_ACK_BEFORE_COMMIT
	/* The control of the kill test: acknowledges first, and commits with the next group. */
	(void)engine;
	return STATUS_OK;
#else
	return db_commit(engine->db);
#endif
}

/* One commit for the group and a slice of what is older. When the slice finds one of the group's logs
 * damaged, it is committed alone: STATUS_LOG_DAMAGED. */
static enum status
write_group(struct sqlite_engine *engine, struct group *group, const struct append *appends,
	    size_t count)
{
	enum status found = STATUS_OK;
	enum status status = db_sync_commits(engine->db, true);
	if (status == STATUS_OK)
		status = db_begin(engine->db, true);
	if (status == STATUS_OK && group->slice > 0) {
		status = apply_slice(engine->apply, group->slice);
		found = check_damage(engine, appends, count);
	}
	if (status == STATUS_OK && found == STATUS_OK)
		status = append_group(engine, group, appends);
	if (status == STATUS_OK)
		status = commit_group(engine);
	if (status != STATUS_OK) {
		db_rollback(engine->db);
		return status;
	}
	if (group->slice > 0)
		apply_committed(engine->apply);
	return found;
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
		status = make_room(engine, &group);
	if (status == STATUS_OK)
		status = pay(engine, &group);
	/* Only now: what was applied to make room may have found one of these logs damaged. */
	if (status == STATUS_OK)
		status = check_damage(engine, appends, count);
	if (status == STATUS_OK)
		status = write_group(engine, &group, appends, count);
	if (status != STATUS_OK) {
		free_group(&group);
		return status == STATUS_LOG_DAMAGED ? status : failed(engine, status);
	}
	engine->written_at = clock_monotonic_msec();
	if (!tail_is_filling(engine->tail))
		engine->filling_since = engine->written_at;
	engine->next_journal_id += count;
	engine->wal_is_empty = false;
	tail_publish(engine->tail, group.first);
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

static enum status
rest(struct sqlite_engine *engine, bool idle, uint64_t *wait_msec)
{
	*wait_msec = REST_MSEC;
	if (engine->wal_is_empty)
		return STATUS_OK;
	*wait_msec = IDLE_MSEC;
	if (!idle || clock_monotonic_msec() < engine->written_at + IDLE_MSEC)
		return STATUS_OK;
	enum status status = checkpoint_all(&engine->checkpointer, &engine->wal_is_empty);
	*wait_msec = engine->wal_is_empty ? REST_MSEC : RETRY_MSEC;
	return status;
}

/* A long slice shares more pages, a short one keeps the next group waiting for less. */
static size_t
unhurried_slice(const struct sqlite_engine *engine)
{
	const bool hurry = tail_bytes(engine->tail) >= pay_from(engine);
	const size_t part = hurry ? 1 : UNHURRIED_PARTS;
	return (engine->slice_actions + part - 1) / part;
}

static enum status
engine_tend(struct engine *base, bool idle, uint64_t *wait_msec)
{
	struct sqlite_engine *engine = engine_of(base);
	if (engine->failed)
		return STATUS_STORAGE_UNAVAILABLE;
#ifdef EDGEREPLAY_BREAK_ACK_BEFORE_COMMIT
	*wait_msec = REST_MSEC;
	return STATUS_OK; /* the last group stays open until the next one begins */
#endif
	enum status status = checkpoint_if_due(&engine->checkpointer);
	if (status != STATUS_OK)
		return failed(engine, status);
	bool is_empty = !tail_is_applying(engine->tail) && !tail_is_filling(engine->tail);
	if (is_empty)
		return failed(engine, rest(engine, idle, wait_msec));
	if (!tail_is_applying(engine->tail) && !is_time_to_freeze(engine, idle, wait_msec))
		return STATUS_OK;
	*wait_msec = 0;
	status = apply_step(engine->apply, unhurried_slice(engine));
	engine->wal_is_empty = false;
	return failed(engine, status);
}

static enum status
apply_all(struct sqlite_engine *engine)
{
	enum status status = STATUS_OK;
	while (status == STATUS_OK &&
	       (tail_is_applying(engine->tail) || tail_is_filling(engine->tail)))
		status = apply_step(engine->apply, engine->slice_actions);
	return status;
}

static enum status
engine_settle_down(struct engine *base)
{
	struct sqlite_engine *engine = engine_of(base);
	if (engine->failed)
		return STATUS_STORAGE_UNAVAILABLE;
	enum status status = apply_all(engine);
	if (status == STATUS_OK)
		status = checkpoint_all(&engine->checkpointer, &engine->wal_is_empty);
	if (status == STATUS_OK && !engine->wal_is_empty)
		log_warn("store", "a reader kept the WAL from being truncated",
			 LOG_STR("file", db_path(engine->db)));
	return failed(engine, status);
}

static void
engine_close(struct engine *base)
{
	struct sqlite_engine *engine = engine_of(base);
	readers_free(engine->readers);
	rows_free(engine->rows);
	db_close(engine->db); /* before what it reads by its feeds */
	apply_free(engine->apply);
	tail_free(engine->tail);
	damage_free(engine->damage);
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
};

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
	enum status status = rows_new(engine->db, &engine->rows);
	if (status == STATUS_OK)
		status = apply_new(engine->db, engine->tail, engine->damage, &engine->apply);
	if (status == STATUS_OK)
		status = records_prepare(&engine->records, engine->db);
	engine->slice_actions = options->slice_actions;
	engine->gatherer = (struct gatherer){engine->rows, engine->tail, engine->damage};
	checkpointer_init(&engine->checkpointer, engine->db);
	return status;
}

static enum status
recover_journal(struct sqlite_engine *engine)
{
	struct recovery recovery = {.db = engine->db,
				    .rows = engine->rows,
				    .tail = engine->tail,
				    .apply = engine->apply,
				    .damage = engine->damage,
				    .slice_actions = engine->slice_actions};
	enum status status = recover(&recovery);
	engine->next_journal_id = recovery.next_journal_id;
	engine->next_log_id = recovery.next_log_id;
	if (status == STATUS_OK)
		status = checkpoint_all(&engine->checkpointer, &engine->wal_is_empty);
	return status;
}

enum status
sqlite_engine_open(const struct sqlite_options *options, struct engine **out, const char **problem)
{
	CHECK(options->slice_actions >= 1 && options->readers >= 1 && options->tail_bytes >= 1);
	*out = NULL;
	struct sqlite_engine *engine = calloc(1, sizeof(*engine));
	if (engine == NULL) {
		*problem = "out of memory";
		return STATUS_STORAGE_UNAVAILABLE;
	}
	engine->engine.ops = &ops;
	struct shard_identity identity = {.number = options->shard, .shards = options->shards};
	memcpy(identity.id, options->id, SHARD_ID_SIZE);
	enum status status =
		shard_file_open(options->path, options->create, &identity, &engine->db, problem);
	if (status != STATUS_OK) {
		free(engine);
		return status;
	}
	status = build(engine, options);
	if (status == STATUS_OK)
		status = recover_journal(engine);
	if (status != STATUS_OK) {
		*problem = problem_format("%s cannot be recovered: the log has the reason; see "
					  "that its disk has room and can be written, or restore "
					  "the data directory from a backup",
					  options->path);
		engine_close(&engine->engine);
		return status;
	}
	*out = &engine->engine;
	return STATUS_OK;
}
