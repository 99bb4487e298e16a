#include "store/shard.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/queue.h"
#include "store/creators.h"
#include "store/group.h"
#include "store/states.h"

/* What gathering and settling one group may take; far beyond any group that the queue can hold. */
#define GROUP_ARENA_BYTES (UINT64_C(1) << 30)
#define RISE_MSEC 1000

/* About what is kept of a job and of each of its actions besides their texts. */
#define JOB_SIZE 384
#define ACTION_SIZE 64

/*
 *     start ──▶ SERVING ── shard_fall ──▶ DOWN ── shard_rise ──▶ SERVING
 *          ╰──▶ DOWN                          ╰──▶ REFUSED, for good
 *          ╰──▶ REFUSED
 */
struct shard {
	struct shard_options options;
	struct queue *queue;
	struct job **jobs; /* the group under way */
	pthread_t writer;

	/* The engine is replaced under the write lock, by the writer; readers hold the read lock.
	 * DOWN: the one that failed, for readers, or NULL when none was ever opened. */
	pthread_rwlock_t engine_lock;
	struct engine *engine;

	/* the writer's, for others to see */
	_Atomic enum shard_state state;
	_Atomic uint64_t group_usec; /* since when a group is under way; 0: none is */

	pthread_mutex_t policy_lock;
	struct clock_policy clock;
	struct quota quota;

	/* the writer's own */
	uint64_t rise_at; /* no sooner; monotonic msec */
	struct facts_cache facts;
	struct states states;
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
 * unknown. What was acknowledged before can be read on. */
static void
shard_fall(struct shard *shard)
{
	counter_add(COUNTER_STORAGE_FAULTS, 1);
	log_error("store", "shard closed after a fault, starts again",
		  LOG_U64("shard", shard->options.number));
	facts_forget(&shard->facts);
	states_forget(&shard->states);
	shard->engine->ops->retire(shard->engine);
	shard->state = SHARD_DOWN;
}

/* engine may be NULL. */
static void
replace_engine(struct shard *shard, struct engine *engine)
{
	pthread_rwlock_wrlock(&shard->engine_lock);
	struct engine *before = shard->engine;
	shard->engine = engine;
	pthread_rwlock_unlock(&shard->engine_lock);
	if (before != NULL)
		before->ops->close(before);
}

/* Opens the engine. What came of it is what the shard is from now on. */
static enum status
shard_start(struct shard *shard, const char **problem)
{
	const struct shard_options *options = &shard->options;
	struct engine *engine = NULL;
	const enum status status =
		options->open(options->open_cookie, options->number, &engine, problem);
	if (status == STATUS_OK) {
		replace_engine(shard, engine);
		shard->state = SHARD_SERVING;
	} else if (status == STATUS_STORAGE_UNAVAILABLE) {
		shard->state = SHARD_DOWN;
		shard->rise_at = clock_monotonic_msec() + RISE_MSEC;
		log_limited(LOG_ERROR, "store", "shard cannot be opened",
			    LOG_U64("shard", options->number), LOG_STR("problem", *problem));
	} else {
		shard->state = SHARD_REFUSED;
		replace_engine(shard, NULL);
		log_error("store", "shard refused", LOG_U64("shard", options->number),
			  LOG_STR("problem", *problem));
	}
	return status;
}

/* Starts the shard again: at once, unless that was just tried, for a disk whose writes fail has starts
 * that do not. */
static void
shard_rise(struct shard *shard)
{
	const uint64_t now = clock_monotonic_msec();
	const char *problem = NULL;
	if (now < shard->rise_at)
		return;
	shard->rise_at = now + RISE_MSEC;
	if (shard_start(shard, &problem) == STATUS_OK)
		log_info("store", "shard serves again", LOG_U64("shard", shard->options.number));
}

static void
tell(struct shard *shard, const struct job *job)
{
	const struct committed committed = {.log = job->batch->log,
					    .genesis = &job->batch->genesis,
					    .head = &job->verdict.head,
					    .origin = &job->origin};
	shard->options.committed(shard->options.committed_cookie, &committed);
}

static void
finish(struct shard *shard, struct job **jobs, size_t count, enum status failed)
{
	const uint64_t now = clock_monotonic_usec();
	const uint64_t taken = atomic_load_explicit(&shard->group_usec, memory_order_relaxed);
	for (size_t i = 0; i < count; i++) {
		struct job *job = jobs[i];
		if (failed != STATUS_OK)
			job->status = failed;
		else if (job->status == STATUS_OK && job->verdict.status == STATUS_OK &&
			 job->verdict.applied > 0 && shard->options.committed != NULL)
			tell(shard, job);
		job->taken_usec = taken;
		job->done_usec = now;
		job->more = i + 1 < count;
		creators_leave(job->creator);
		job->done(job);
	}
}

static void
get_policies(struct shard *shard, struct clock_policy *clock, struct quota *quota)
{
	pthread_mutex_lock(&shard->policy_lock);
	*clock = shard->clock;
	*quota = shard->quota;
	pthread_mutex_unlock(&shard->policy_lock);
}

static void
run_group(struct shard *shard, struct job **jobs, size_t count)
{
	atomic_store_explicit(&shard->group_usec, clock_monotonic_usec(), memory_order_relaxed);
	histogram_add(HISTOGRAM_GROUP, count);
	if (shard->state != SHARD_SERVING) {
		finish(shard, jobs, count, STATUS_STORAGE_UNAVAILABLE);
		return;
	}
	struct clock_policy clock;
	struct quota quota;
	get_policies(shard, &clock, &quota);
	const struct group group = {.engine = shard->engine,
				    .facts = &shard->facts,
				    .arena = &shard->arena,
				    .clock = &clock,
				    .quota = &quota};
	const enum status status = group_run(&group, jobs, count);
	if (status == STATUS_STORAGE_UNAVAILABLE)
		shard_fall(shard);
	else if (status != STATUS_OK)
		facts_forget(&shard->facts);
	else
		states_judge(&shard->states, shard->engine, jobs, count);
	finish(shard, jobs, count, status);
	facts_trim(&shard->facts);
	arena_reset(&shard->arena);
}

/* Who waits for a log hears that it is erased. */
static void
tell_erased(struct shard *shard, const struct removals *removals)
{
	for (size_t i = 0; i < removals->count; i++) {
		const struct removal *removal = &removals->items[i];
		const struct committed erased = {.log = removal->log,
						 .genesis = removal->genesis,
						 .head = &removal->head,
						 .erased = true};
		if (removal->kind == REMOVE_ALL && removal->head.gone.erased_at > 0 &&
		    removal->status == STATUS_OK && shard->options.committed != NULL)
			shard->options.committed(shard->options.committed_cookie, &erased);
	}
}

static void
run_removals(struct shard *shard, struct job *job)
{
	struct removals *removals = job->removals;
	job->status = STATUS_STORAGE_UNAVAILABLE;
	atomic_store_explicit(&shard->group_usec, clock_monotonic_usec(), memory_order_relaxed);
	if (shard->state == SHARD_SERVING)
		job->status =
			shard->engine->ops->remove(shard->engine, removals->items, removals->count,
						   removals->overwrite, &removals->kept);
	/* What is remembered of a log's head says what is gone of it, and its bytes. */
	facts_forget(&shard->facts);
	for (size_t i = 0; i < removals->count; i++)
		states_forget_log(&shard->states, removals->items[i].genesis);
	if (job->status == STATUS_STORAGE_UNAVAILABLE && shard->state == SHARD_SERVING)
		shard_fall(shard);
	else
		tell_erased(shard, removals);
	finish(shard, &job, 1, job->status);
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
		if (shard->jobs[i]->removals != NULL) {
			if (i > first)
				run_group(shard, shard->jobs + first, i - first);
			run_removals(shard, shard->jobs[i]);
			first = i + 1;
			size = 0;
			continue;
		}
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
	atomic_store_explicit(&shard->group_usec, 0, memory_order_relaxed);
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
		if (shard->state == SHARD_DOWN)
			shard_rise(shard);
		run_jobs(shard, count);
		wait_msec = RISE_MSEC;
		if (shard->state == SHARD_SERVING &&
		    shard->engine->ops->tend(shard->engine, count == 0, &wait_msec) != STATUS_OK) {
			shard_fall(shard);
			wait_msec = 0;
		}
	}
	shard->at_rest = shard->state == SHARD_REFUSED ||
			 (shard->state == SHARD_SERVING &&
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
	shard->quota = options->quota;
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
	CHECK(pthread_mutex_init(&shard->policy_lock, NULL) == 0);
	facts_init(&shard->facts, options->cache_logs);
	states_init(&shard->states, &options->states, options->states_bytes);
	arena_init(&shard->arena, GROUP_ARENA_BYTES);
	return shard;
}

static void
shard_free(struct shard *shard)
{
	if (shard->engine != NULL)
		shard->engine->ops->close(shard->engine);
	facts_forget(&shard->facts);
	states_forget(&shard->states);
	arena_release(&shard->arena);
	pthread_rwlock_destroy(&shard->engine_lock);
	pthread_mutex_destroy(&shard->policy_lock);
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
	const enum status status = shard_start(shard, problem);
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
	pthread_mutex_lock(&shard->policy_lock);
	shard->clock = *clock;
	pthread_mutex_unlock(&shard->policy_lock);
}

void
shard_set_quota(struct shard *shard, const struct quota *quota)
{
	pthread_mutex_lock(&shard->policy_lock);
	shard->quota = *quota;
	pthread_mutex_unlock(&shard->policy_lock);
}

enum status
shard_submit(struct shard *shard, struct job *job)
{
	return queue_push(shard->queue, job) ? STATUS_OK : STATUS_BACKPRESSURE;
}

static uint64_t
submitted_usec(const void *item)
{
	return ((const struct job *)item)->submitted_usec;
}

/* Of the oldest job that has no answer yet. */
static uint64_t
queue_msec(struct shard *shard)
{
	const uint64_t group = atomic_load_explicit(&shard->group_usec, memory_order_relaxed);
	uint64_t oldest = queue_ask_oldest(shard->queue, submitted_usec);
	const uint64_t now = clock_monotonic_usec();
	if (oldest == 0 || (group != 0 && group < oldest))
		oldest = group;
	return oldest == 0 || oldest > now ? 0 : (now - oldest) / 1000;
}

/* Who closes an engine that failed may be held up by the same disk. */
void
shard_measure(struct shard *shard, struct shard_figures *figures)
{
	*figures = (struct shard_figures){
		.state = shard->state,
		.queued = queue_count(shard->queue),
		.queued_max = shard->options.queue_jobs,
		.queue_msec = queue_msec(shard),
	};
	if (figures->state != SHARD_SERVING || pthread_rwlock_tryrdlock(&shard->engine_lock) != 0)
		return;
	if (shard->engine != NULL)
		shard->engine->ops->measure(shard->engine, &figures->engine);
	pthread_rwlock_unlock(&shard->engine_lock);
}

unsigned
shard_load_percent(struct shard *shard)
{
	return (unsigned)(100 * queue_count(shard->queue) / shard->options.queue_jobs);
}
