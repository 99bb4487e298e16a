#include "store/store.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/problem.h"
#include "store/creators.h"
#include "store/directory.h"
#include "store/engine_has.h"
#include "store/free_space.h"
#include "store/reshard.h"
#include "store/salvage_place.h"
#include "store/scrubber.h"
#include "store/shard.h"

struct store {
	struct store_options options;
	struct directory directory;
	struct shard *shards[SHARDS_MAX];
	_Atomic unsigned opened; /* of them: those that are there */
	struct scrubber *scrubber;
	struct creators *creators;
	struct free_space free_space;
	unsigned down; /* of those, at start */
};

/* The first bits of the genesis link: doubling the shards splits each in two by one more bit. */
unsigned
store_shard_of(const struct store *store, const struct hash *genesis)
{
	return directory_shard_of(genesis, store->directory.shards);
}

static struct shard *
shard_of(const struct store *store, const struct hash *genesis)
{
	return store->shards[store_shard_of(store, genesis)];
}

static void
add_advice(const struct store *store, unsigned number, const char *path, const char **problem)
{
	char *what = strdup(*problem); /* stands where the sentence is made */
	if (what != NULL && salvage_is_cut_off(path))
		*problem = problem_format(
			"%s, for a repair was cut off, which kept it: edgereplay repair %s with a "
			"log of this shard puts it back and begins again",
			what, store->directory.path);
	else if (what != NULL)
		*problem = problem_format(
			"%s. Put the shard's files back, all from one copy, and move away what "
			"that has not, above all an old %s-wal, which would spoil them; or accept "
			"the loss, which phones then heal: edgereplay accept-loss %s --shard=%u",
			what, path, store->directory.path, number);
	free(what);
}

static enum status
open_engine(void *cookie, unsigned number, struct engine **engine, const char **problem)
{
	const struct store *store = cookie;
	char *path = directory_shard_path(&store->directory, number);
	if (path == NULL) {
		*problem = "out of memory";
		return STATUS_STORAGE_UNAVAILABLE;
	}
	struct sqlite_options options = {.path = path,
					 .shard = number,
					 .shards = store->directory.shards,
					 .create = store->directory.is_new,
					 .tail_bytes = store->options.tail_bytes,
					 .slice_actions = store->options.slice_actions,
					 .readers = store->options.readers};
	for (unsigned i = 0; i < SHARD_ID_SIZE; i++)
		options.id[i] = store->directory.ids[number][i];
	const enum status status = sqlite_engine_open(&options, engine, problem);
	if (status == STATUS_LOG_DAMAGED)
		add_advice(store, number, path, problem);
	free(path);
	return status;
}

static enum status
open_shards(struct store *store, const char **problem)
{
	const struct store_options *options = &store->options;
	for (unsigned number = 0; number < store->directory.shards; number++) {
		const struct shard_options shard = {.number = number,
						    .queue_jobs = options->queue_jobs,
						    .group_jobs = options->group_jobs,
						    .group_bytes = options->tail_bytes / 4,
						    .linger_usec = options->linger_usec,
						    .cache_logs = options->cache_logs,
						    .clock = options->clock,
						    .quota = options->quota,
						    .states = options->states,
						    .states_bytes = options->states_bytes,
						    .committed = options->committed,
						    .committed_cookie = options->committed_cookie,
						    .open = open_engine,
						    .open_cookie = store};
		const enum status status = shard_open(&shard, &store->shards[number], problem);
		if (store->shards[number] != NULL)
			atomic_store(&store->opened, number + 1);
		store->down += status != STATUS_OK;
		/* The others serve, unless there are none, or the directory is not yet one. */
		if (status != STATUS_OK &&
		    (store->shards[number] == NULL || store->directory.is_new ||
		     store->down == store->directory.shards))
			return status;
	}
	return store->directory.is_new ? directory_commit(&store->directory, problem) : STATUS_OK;
}

enum status
store_open(const struct store_options *options, struct store **opened, const char **problem)
{
	struct store *store = calloc(1, sizeof(*store));
	if (store == NULL) {
		*problem = "out of memory";
		return STATUS_STORAGE_UNAVAILABLE;
	}
	store->options = *options;
	store->creators = creators_new(options->quota.subject_logs);
	*problem = "out of memory";
	enum status status =
		store->creators == NULL
			? STATUS_STORAGE_UNAVAILABLE
			: directory_open(&store->directory, options->dir, options->shards, problem);
	if (status != STATUS_OK) {
		creators_free(store->creators);
		free(store);
		return status;
	}
	free_space_init(&store->free_space, store->directory.path, options->free_min);
	*opened = store;
	return STATUS_OK;
}

enum status
store_start(struct store *store, const char **problem)
{
	const struct store_options *options = &store->options;
	enum status status = open_shards(store, problem);
	if (status == STATUS_OK) {
		*problem = "cannot start a thread";
		status = scrubber_start(store->shards, store->directory.shards, options->scrub_rate,
					&store->scrubber);
	}
	if (status != STATUS_OK) {
		store_stop(store);
		return status;
	}
	LOG_EVENT(store->down == 0 ? LOG_INFO : LOG_ERROR, "store", "store opened",
		  LOG_STR("dir", options->dir), LOG_U64("shards", store->directory.shards),
		  LOG_U64("down", store->down));
	return STATUS_OK;
}

unsigned
store_shards(const struct store *store)
{
	return store->directory.shards;
}

const char *
store_dir(const struct store *store)
{
	return store->directory.path;
}

void
store_measure_shard(struct store *store, unsigned shard, struct shard_figures *figures)
{
	*figures = (struct shard_figures){.state = SHARD_OPENING};
	if (shard < atomic_load(&store->opened))
		shard_measure(store->shards[shard], figures);
}

void
store_drop_copies(struct store *store)
{
	bool all_whole = store->down == 0;
	for (unsigned number = 0; number < store->directory.shards && all_whole; number++) {
		struct shard_figures figures;
		store_measure_shard(store, number, &figures);
		all_whole = figures.state == SHARD_SERVING && figures.engine.damaged == 0;
	}
	if (all_whole)
		reshard_drop(&store->directory);
}

bool
store_measure_disk(const struct store *store, struct disk_figures *figures)
{
	struct statvfs disk;
	if (statvfs(store->directory.path, &disk) == -1)
		return false;
	figures->free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
	figures->bytes = (uint64_t)disk.f_blocks * disk.f_frsize;
	return true;
}

unsigned
store_down(const struct store *store)
{
	return store->down;
}

bool
store_stop(struct store *store)
{
	bool at_rest = true;
	scrubber_stop(store->scrubber);
	store->scrubber = NULL;
	for (unsigned number = 0; number < store->opened; number++)
		shard_quiesce(store->shards[number]);
	for (unsigned number = 0; number < store->opened; number++) {
		if (!shard_stop(store->shards[number]))
			at_rest = false;
	}
	return at_rest;
}

void
store_close(struct store *store)
{
	for (unsigned number = 0; number < store->opened; number++)
		shard_close(store->shards[number]);
	creators_free(store->creators);
	directory_close(&store->directory);
	free(store);
}

void
store_set_clock(struct store *store, const struct clock_policy *clock)
{
	for (unsigned number = 0; number < store->directory.shards; number++)
		shard_set_clock(store->shards[number], clock);
}

void
store_set_quota(struct store *store, const struct quota *quota)
{
	creators_set_max(store->creators, quota->subject_logs);
	for (unsigned number = 0; number < store->directory.shards; number++)
		shard_set_quota(store->shards[number], quota);
}

void
store_set_scrub_rate(struct store *store, uint64_t rate)
{
	scrubber_set_rate(store->scrubber, rate);
}

void
store_set_free_min(struct store *store, uint64_t bytes)
{
	free_space_set_mark(&store->free_space, bytes);
}

bool
store_has_room(struct store *store)
{
	return !free_space_is_low(&store->free_space, clock_monotonic_msec());
}

struct counting {
	struct store *store;
	struct text own_log;
};

static enum status
count_begun(void *cookie, struct text subject, uint64_t *logs)
{
	const struct counting *counting = cookie;
	struct store *store = counting->store;
	enum status status = STATUS_OK;
	for (unsigned i = 0; i < store->directory.shards && status == STATUS_OK; i++) {
		struct engine *engine = shard_enter(store->shards[i]);
		uint64_t count = 0;
		if (engine == NULL)
			continue;
		status = engine->ops->count_begun(engine, subject, counting->own_log, &count);
		shard_leave(store->shards[i]);
		*logs += count;
	}
	return status;
}

/* Only a batch that goes on from nothing begins a log. */
static enum status
enter(struct store *store, struct job *job)
{
	struct counting counting = {.store = store, .own_log = job->own_log};
	job->creator = NULL;
	if (!job->counts || job->batch->base.seq > 0 || job->batch->action_count == 0 ||
	    creators_max(store->creators) == 0)
		return STATUS_OK;
	return creators_enter(store->creators, job->writer, count_begun, &counting, &job->creator);
}

enum status
store_submit(struct store *store, struct job *job)
{
	enum status status = enter(store, job);
	if (status == STATUS_OK)
		status = shard_submit(shard_of(store, &job->batch->genesis), job);
	if (status != STATUS_OK)
		creators_leave(job->creator);
	return status;
}

enum status
store_submit_removals(struct store *store, unsigned shard, struct job *job)
{
	if (shard >= atomic_load(&store->opened))
		return STATUS_BACKPRESSURE;
	return shard_submit(store->shards[shard], job);
}

uint64_t
store_backoff_msec(struct store *store, const struct hash *genesis)
{
	struct shard *shard = shard_of(store, genesis);
	const unsigned load = shard_load_percent(shard);
	return load < 50 ? 0 : 20 * (uint64_t)(load - 50);
}

/* NULL while it has not been opened, or has no engine; else to be left. */
static struct engine *
enter_opened(struct store *store, unsigned shard)
{
	return shard < atomic_load(&store->opened) ? shard_enter(store->shards[shard]) : NULL;
}

enum status
store_back_up(struct store *store, unsigned shard, const struct backup_order *order)
{
	struct engine *engine = enter_opened(store, shard);
	if (engine == NULL)
		return STATUS_STORAGE_UNAVAILABLE;
	const enum status status = engine->ops->back_up(engine, order);
	shard_leave(store->shards[shard]);
	return status;
}

void
store_look_at_backup(struct store *store, unsigned shard, struct backup_figures *figures)
{
	struct engine *engine = enter_opened(store, shard);
	*figures = (struct backup_figures){.state = BACKUP_NONE};
	if (engine == NULL)
		return;
	engine->ops->look_at_backup(engine, figures);
	shard_leave(store->shards[shard]);
}

void
store_end_backup(struct store *store, unsigned shard)
{
	struct engine *engine = enter_opened(store, shard);
	if (engine == NULL)
		return;
	engine->ops->end_backup(engine);
	shard_leave(store->shards[shard]);
}

enum status
store_head(struct store *store, struct text log, const struct hash *genesis, struct head *head)
{
	struct shard *shard = shard_of(store, genesis);
	struct engine *engine = shard_enter(shard);
	if (engine == NULL)
		return STATUS_STORAGE_UNAVAILABLE;
	const enum status status = engine->ops->head(engine, log, genesis, head);
	shard_leave(shard);
	return status;
}

enum status
store_read(struct store *store, struct text log, const struct hash *genesis,
	   const struct range *range, row_visitor *visitor, void *cookie, struct position *start,
	   struct position *end)
{
	struct shard *shard = shard_of(store, genesis);
	struct engine *engine = shard_enter(shard);
	if (engine == NULL)
		return STATUS_STORAGE_UNAVAILABLE;
	const enum status status =
		engine->ops->read(engine, log, genesis, range, visitor, cookie, start, end);
	shard_leave(shard);
	return status;
}

enum status
store_seek(struct store *store, struct text log, const struct hash *genesis,
	   const struct hash *link, uint64_t from, uint64_t steps, bool *found, uint64_t *seq)
{
	struct shard *shard = shard_of(store, genesis);
	struct engine *engine = shard_enter(shard);
	if (engine == NULL)
		return STATUS_STORAGE_UNAVAILABLE;
	const enum status status =
		engine->ops->seek(engine, log, genesis, link, from, steps, found, seq);
	shard_leave(shard);
	return status;
}

enum status
store_find_unfinished(struct store *store, unsigned shard, struct unfinished *unfinished)
{
	struct engine *engine = shard_enter(store->shards[shard]);
	if (engine == NULL)
		return STATUS_STORAGE_UNAVAILABLE;
	const enum status status = engine->ops->find_unfinished(engine, unfinished);
	shard_leave(store->shards[shard]);
	return status;
}

enum status
store_has(struct store *store, struct text log, const struct hash *genesis,
	  const struct position *position, struct head *head)
{
	struct shard *shard = shard_of(store, genesis);
	struct engine *engine = shard_enter(shard);
	if (engine == NULL)
		return STATUS_STORAGE_UNAVAILABLE;
	const enum status status = engine_has(engine, log, genesis, position, head);
	shard_leave(shard);
	return status;
}
