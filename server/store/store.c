#include "store/store.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/problem.h"
#include "store/directory.h"
#include "store/scrubber.h"
#include "store/shard.h"

struct store {
	struct store_options options;
	struct directory directory;
	struct shard *shards[SHARDS_MAX];
	unsigned opened; /* of them */
	struct scrubber *scrubber;
	unsigned down; /* of those, at start */
};

/* The first bits of the genesis link: doubling the shards splits each in two by one more bit. */
static struct shard *
shard_of(const struct store *store, const struct hash *genesis)
{
	const unsigned first = genesis->bytes[0];
	return store->shards[first * store->directory.shards / 256];
}

static void
add_advice(const struct store *store, unsigned number, const char **problem)
{
	char *what = strdup(*problem); /* stands where the sentence is made */
	if (what != NULL)
		*problem = problem_format(
			"%s. Put the shard's files back, all from one copy; or accept the loss, "
			"which phones then heal: edgereplay accept-loss %s --shard=%u",
			what, store->directory.path, number);
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
	free(path);
	if (status == STATUS_LOG_DAMAGED)
		add_advice(store, number, problem);
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
						    .committed = options->committed,
						    .committed_cookie = options->committed_cookie,
						    .open = open_engine,
						    .open_cookie = store};
		const enum status status = shard_open(&shard, &store->shards[number], problem);
		store->opened += store->shards[number] != NULL;
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
	enum status status =
		directory_open(&store->directory, options->dir, options->shards, problem);
	if (status != STATUS_OK) {
		free(store);
		return status;
	}
	status = open_shards(store, problem);
	if (status == STATUS_OK) {
		*problem = "cannot start a thread";
		status = scrubber_start(store->shards, store->directory.shards, options->scrub_rate,
					&store->scrubber);
	}
	if (status != STATUS_OK) {
		store_stop(store);
		store_close(store);
		return status;
	}
	log_write(store->down == 0 ? LOG_INFO : LOG_ERROR, "store", "store opened",
		  (struct log_field[]){LOG_STR("dir", options->dir),
				       LOG_U64("shards", store->directory.shards),
				       LOG_U64("down", store->down)},
		  3);
	*opened = store;
	return STATUS_OK;
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
store_set_scrub_rate(struct store *store, uint64_t rate)
{
	scrubber_set_rate(store->scrubber, rate);
}

enum status
store_submit(struct store *store, struct job *job)
{
	return shard_submit(shard_of(store, &job->batch->genesis), job);
}

uint64_t
store_backoff_msec(struct store *store, const struct hash *genesis)
{
	struct shard *shard = shard_of(store, genesis);
	const unsigned load = shard_load_percent(shard);
	return load < 50 ? 0 : 20 * (uint64_t)(load - 50);
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
