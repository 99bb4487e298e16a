#include "store/shard.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/queue.h"
#include "store/group.h"

/* What gathering and settling one group may take; far beyond any group that the queue can hold. */
#define GROUP_ARENA_BYTES (UINT64_C(1) << 30)
#define REOPEN_MSEC 1000

/* About what is kept of a job and of each of its actions besides their texts. */
#define JOB_SIZE 384
#define ACTION_SIZE 64

struct shard {
	struct shard_options options;
	struct queue *queue;
	struct job **jobs; /* the group under way */
	pthread_t writer;

	/* The engine is replaced under the write lock, by the writer; readers hold the read lock.
	 */
	pthread_rwlock_t engine_lock;
	struct engine *engine; /* NULL while the shard is down */
	uint64_t reopen_at;    /* monotonic msec */
	bool refused;	       /* it stays down: the writer's */

	pthread_mutex_t clock_lock;
	struct clock_policy clock;

	/* the writer's own */
	struct facts_cache facts;
	struct arena arena;
	size_t wanted; /* jobs that a group waits for */
	bool at_rest;  /* written by the writer at its end */
};

struct engine *
shard_enter(struct shard *shard)
{
	pthread_rwlock_rdlock(&shard->engine_lock);
	if (shard->engine == NULL) {
		pthread_rwlock_unlock(&shard->engine_lock);
		return NULL;
	}
	return shard->engine;
}

void
shard_leave(struct shard *shard)
{
	pthread_rwlock_unlock(&shard->engine_lock);
}

/* The engine failed: nothing that was remembered can be relied on, for a commit that failed is
 * unknown. */
static void
shard_fall(struct shard *shard)
{
	counter_add(COUNTER_STORAGE_FAULTS, 1);
	log_error("store", "shard closed after a fault, starts again",
		  LOG_U64("shard", shard->options.number));
	facts_forget(&shard->facts);
	pthread_rwlock_wrlock(&shard->engine_lock);
	shard->engine->ops->close(shard->engine);
	shard->engine = NULL;
	pthread_rwlock_unlock(&shard->engine_lock);
	/* At once, unless it has just risen: a disk whose writes fail has starts that do not. */
	const uint64_t now = clock_monotonic_msec();
	if (shard->reopen_at < now)
		shard->reopen_at = now;
}

static void
shard_stay_down(struct shard *shard, enum status status, const char *problem)
{
	shard->refused = status == STATUS_LOG_DAMAGED;
	if (shard->refused)
		log_error("store", "shard refused", LOG_U64("shard", shard->options.number),
			  LOG_STR("problem", problem));
	else
		log_limited(LOG_ERROR, "store", "shard cannot be opened",
			    LOG_U64("shard", shard->options.number), LOG_STR("problem", problem));
}

/* Starts the shard again, at most once in REOPEN_MSEC. */
static void
shard_rise(struct shard *shard)
{
	const uint64_t now = clock_monotonic_msec();
	if (shard->refused || now < shard->reopen_at)
		return;
	shard->reopen_at = now + REOPEN_MSEC;
	struct engine *engine = NULL;
	const char *problem = NULL;
	const enum status status = shard->options.open(shard->options.open_cookie,
						       shard->options.number, &engine, &problem);
	if (status != STATUS_OK) {
		shard_stay_down(shard, status, problem);
		return;
	}
	pthread_rwlock_wrlock(&shard->engine_lock);
	shard->engine = engine;
	pthread_rwlock_unlock(&shard->engine_lock);
	log_info("store", "shard serves again", LOG_U64("shard", shard->options.number));
}

static void
finish(struct shard *shard, struct job **jobs, size_t count, enum status failed)
{
	for (size_t i = 0; i < count; i++) {
		struct job *job = jobs[i];
		if (failed != STATUS_OK)
			job->status = failed;
		else if (job->status == STATUS_OK && job->verdict.status == STATUS_OK &&
			 job->verdict.applied > 0 && shard->options.committed != NULL)
			shard->options.committed(shard->options.committed_cookie,
						 &job->batch->genesis, &job->verdict.head);
		job->more = i + 1 < count;
		job->done(job);
	}
}

static struct clock_policy
shard_clock(struct shard *shard)
{
	pthread_mutex_lock(&shard->clock_lock);
	const struct clock_policy clock = shard->clock;
	pthread_mutex_unlock(&shard->clock_lock);
	return clock;
}

static void
run_group(struct shard *shard, struct job **jobs, size_t count)
{
	if (shard->engine == NULL) {
		finish(shard, jobs, count, STATUS_STORAGE_UNAVAILABLE);
		return;
	}
	const struct clock_policy clock = shard_clock(shard);
	const struct group group = {.engine = shard->engine,
				    .facts = &shard->facts,
				    .arena = &shard->arena,
				    .clock = &clock};
	const enum status status = group_run(&group, jobs, count);
	if (status == STATUS_STORAGE_UNAVAILABLE)
		shard_fall(shard);
	else if (status != STATUS_OK)
		facts_forget(&shard->facts);
	finish(shard, jobs, count, status);
	facts_trim(&shard->facts);
	arena_reset(&shard->arena);
}

static size_t
job_size(const struct job *job)
{
	size_t size = JOB_SIZE;
	for (size_t i = 0; i < job->batch->action_count; i++) {
		const struct action *action = &job->batch->actions[i].action;
		size += ACTION_SIZE + action->device.size + action->type.size +
			action->payload.size;
	}
	return size;
}

/* Runs what was taken from the queue, in groups that the journal's tail can hold. */
static void
run_jobs(struct shard *shard, size_t count)
{
	size_t first = 0, size = 0;
	for (size_t i = 0; i < count; i++) {
		const size_t more = job_size(shard->jobs[i]);
		if (i > first && size + more > shard->options.group_bytes) {
			run_group(shard, shard->jobs + first, i - first);
			first = i;
			size = 0;
		}
		size += more;
	}
	if (count > first)
		run_group(shard, shard->jobs + first, count - first);
}

/*
 * Takes the next group. A commit costs as much as handling many requests, so where several clients
 * are at work a group waits a moment for as many jobs as came lately. How many that is, is found by
 * asking for more as long as more come. A lone client never waits.
 */
static size_t
take_group(struct shard *shard, uint64_t wait_msec)
{
	const size_t max = shard->options.group_jobs;
	size_t count = queue_take(shard->queue, (void **)shard->jobs, 1, wait_msec);
	if (count == 0)
		return 0;
	if (shard->wanted > 1)
		queue_linger(shard->queue, shard->wanted - 1, shard->options.linger_usec);
	if (max > 1)
		count += queue_take(shard->queue, (void **)shard->jobs + 1, max - 1, 0);
	if (count == 1)
		shard->wanted = 1;
	else if (count >= shard->wanted)
		shard->wanted = count + count / 2 < max ? count + count / 2 : max;
	else
		shard->wanted = count;
	return count;
}

static void *
writer_main(void *cookie)
{
	struct shard *shard = cookie;
	uint64_t wait_msec = 0;
	for (;;) {
		/* Asked before the jobs are taken: a last one may come just before it closes. */
		const bool closed = queue_is_closed(shard->queue);
		const size_t count = take_group(shard, wait_msec);
		if (count == 0 && closed)
			break;
		if (shard->engine == NULL)
			shard_rise(shard);
		run_jobs(shard, count);
		wait_msec = REOPEN_MSEC;
		if (shard->engine != NULL &&
		    shard->engine->ops->tend(shard->engine, count == 0, &wait_msec) != STATUS_OK) {
			shard_fall(shard);
			wait_msec = 0;
		}
	}
	shard->at_rest =
		shard->refused || (shard->engine != NULL &&
				   shard->engine->ops->settle_down(shard->engine) == STATUS_OK);
	return NULL;
}

static struct shard *
shard_new(const struct shard_options *options)
{
	struct shard *shard = calloc(1, sizeof(*shard));
	if (shard == NULL)
		return NULL;
	shard->options = *options;
	shard->clock = options->clock;
	shard->queue = queue_new(options->queue_jobs);
	shard->jobs = calloc(options->group_jobs, sizeof(struct job *));
	if (shard->queue == NULL || shard->jobs == NULL) {
		queue_free(shard->queue);
		free(shard->jobs);
		free(shard);
		return NULL;
	}
	pthread_rwlockattr_t attributes;
	pthread_rwlockattr_init(&attributes);
	/* Readers come without end; a shard that fell must get its turn. */
	pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	CHECK(pthread_rwlock_init(&shard->engine_lock, &attributes) == 0);
	pthread_rwlockattr_destroy(&attributes);
	CHECK(pthread_mutex_init(&shard->clock_lock, NULL) == 0);
	facts_init(&shard->facts, options->cache_logs);
	arena_init(&shard->arena, GROUP_ARENA_BYTES);
	return shard;
}

static void
shard_free(struct shard *shard)
{
	if (shard->engine != NULL)
		shard->engine->ops->close(shard->engine);
	facts_forget(&shard->facts);
	arena_release(&shard->arena);
	pthread_rwlock_destroy(&shard->engine_lock);
	pthread_mutex_destroy(&shard->clock_lock);
	queue_free(shard->queue);
	free(shard->jobs);
	free(shard);
}

enum status
shard_open(const struct shard_options *options, struct shard **opened, const char **problem)
{
	struct shard *shard = shard_new(options);
	*opened = NULL;
	if (shard == NULL) {
		*problem = "out of memory";
		return STATUS_STORAGE_UNAVAILABLE;
	}
	const enum status status =
		options->open(options->open_cookie, options->number, &shard->engine, problem);
	if (status != STATUS_OK) {
		shard_stay_down(shard, status, *problem);
		shard->reopen_at = clock_monotonic_msec() + REOPEN_MSEC;
	}
	if (pthread_create(&shard->writer, NULL, writer_main, shard) != 0) {
		*problem = "cannot start a thread";
		shard_free(shard);
		return STATUS_STORAGE_UNAVAILABLE;
	}
	*opened = shard;
	return status;
}

void
shard_quiesce(struct shard *shard)
{
	queue_close(shard->queue);
}

bool
shard_stop(struct shard *shard)
{
	CHECK(queue_is_closed(shard->queue));
	CHECK(pthread_join(shard->writer, NULL) == 0);
	return shard->at_rest;
}

void
shard_close(struct shard *shard)
{
	shard_free(shard);
}

void
shard_set_clock(struct shard *shard, const struct clock_policy *clock)
{
	pthread_mutex_lock(&shard->clock_lock);
	shard->clock = *clock;
	pthread_mutex_unlock(&shard->clock_lock);
}

enum status
shard_submit(struct shard *shard, struct job *job)
{
	return queue_push(shard->queue, job) ? STATUS_OK : STATUS_BACKPRESSURE;
}

unsigned
shard_load_percent(struct shard *shard)
{
	return (unsigned)(100 * queue_count(shard->queue) / shard->options.queue_jobs);
}
