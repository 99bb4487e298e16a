#include "store/scrubber.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"

#define NICENESS 10
#define ROUND_MSEC 3600000
#define PROGRESS_MSEC 600000

/* A step: short enough that neither a stop nor a shard that starts again waits for it, on a disk that is
 * slow, too. */
#define STEP_ROWS 256
#define STEP_USEC 10000

/* How many steps in a row may fail, each on the next log, before the shard is given up, and when the next
 * one is tried. */
#define FAULTS_MAX 3
#define FAULT_MSEC 1000

struct scrubber {
	struct shard *const *shards;
	unsigned count;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;

	/* guarded by lock */
	uint64_t rate;
	bool stopping;

	/* the thread's: of this round */
	uint64_t began, told; /* monotonic milliseconds */
	struct walked total;
	unsigned given_up; /* shards */
	/* of this step */
	uint64_t deadline; /* monotonic microseconds */
};

static void
lock(struct scrubber *scrubber)
{
	CHECK(pthread_mutex_lock(&scrubber->lock) == 0);
}

static void
unlock(struct scrubber *scrubber)
{
	CHECK(pthread_mutex_unlock(&scrubber->lock) == 0);
}

/* Until a time on the monotonic clock. False: it is to stop. */
static bool
sleep_until(struct scrubber *scrubber, uint64_t usec)
{
	const struct timespec time = {.tv_sec = (time_t)(usec / 1000000),
				      .tv_nsec = (long)(usec % 1000000) * 1000};
	int error = 0;
	lock(scrubber);
	while (!scrubber->stopping && error != ETIMEDOUT)
		error = pthread_cond_timedwait(&scrubber->changed, &scrubber->lock, &time);
	const bool goes_on = !scrubber->stopping;
	unlock(scrubber);
	return goes_on;
}

/* Waits while there is none. 0: it is to stop. */
static uint64_t
take_rate(struct scrubber *scrubber)
{
	lock(scrubber);
	while (!scrubber->stopping && scrubber->rate == 0)
		CHECK(pthread_cond_wait(&scrubber->changed, &scrubber->lock) == 0);
	const uint64_t rate = scrubber->stopping ? 0 : scrubber->rate;
	unlock(scrubber);
	return rate;
}

static void
report(struct scrubber *scrubber, const char *event)
{
	const struct walked *total = &scrubber->total;
	const uint64_t now = clock_monotonic_msec();
	log_info("store", event, LOG_U64("logs", total->logs), LOG_U64("actions", total->actions),
		 LOG_U64("damaged", total->damaged), LOG_U64("given_up", scrubber->given_up),
		 LOG_U64("seconds", (now - scrubber->began) / 1000));
	scrubber->told = now;
}

static void
count(struct scrubber *scrubber, const struct walked *walked)
{
	scrubber->total.logs += walked->logs;
	scrubber->total.actions += walked->actions;
	scrubber->total.damaged += walked->damaged;
	counter_add(COUNTER_SCRUBBED, walked->actions);
	if (clock_monotonic_msec() >= scrubber->told + PROGRESS_MSEC)
		report(scrubber, "scrub goes on");
}

static bool
is_in_time(void *cookie)
{
	const struct scrubber *scrubber = cookie;
	return clock_monotonic_usec() < scrubber->deadline;
}

static enum status
scrub_step(struct scrubber *scrubber, struct shard *shard, uint64_t rate, struct walk *walk,
	   struct walked *walked)
{
	*walked = (struct walked){0};
	struct engine *engine = shard_enter(shard);
	if (engine == NULL)
		return STATUS_STORAGE_UNAVAILABLE;
	const uint64_t rows = rate < 4 * STEP_ROWS ? 1 + rate / 4 : STEP_ROWS;
	const enum status status = engine->ops->scrub(engine, walk, rows, walked);
	shard_leave(shard);
	count(scrubber, walked);
	return status;
}

uint64_t
scrubber_pause_usec(uint64_t rows, uint64_t rate, uint64_t took_usec)
{
	const uint64_t due = rows * 1000000 / rate;
	return due > 2 * took_usec ? due - took_usec : took_usec;
}

/* False: it is to stop. */
static bool
scrub_shard(struct scrubber *scrubber, struct shard *shard)
{
	struct walk walk = {.goes_on = is_in_time, .cookie = scrubber};
	struct walked walked = {0};
	unsigned faults = 0;
	while (faults < FAULTS_MAX && !walked.ended) {
		const uint64_t rate = take_rate(scrubber);
		if (rate == 0)
			return false;
		const uint64_t began = clock_monotonic_usec();
		scrubber->deadline = began + STEP_USEC;
		const enum status status = scrub_step(scrubber, shard, rate, &walk, &walked);
		const uint64_t ended = clock_monotonic_usec();
		uint64_t pause = UINT64_C(1000) * FAULT_MSEC;
		if (status == STATUS_OK)
			pause = scrubber_pause_usec(walked.actions + walked.logs, rate,
						    ended - began);
		faults = status == STATUS_OK ? 0 : faults + 1;
		if (!sleep_until(scrubber, ended + pause))
			return false;
	}
	scrubber->given_up += walked.ended ? 0 : 1;
	return true;
}

static bool
scrub_round(struct scrubber *scrubber)
{
	bool goes_on = take_rate(scrubber) > 0;
	scrubber->began = scrubber->told = clock_monotonic_msec();
	scrubber->total = (struct walked){0};
	scrubber->given_up = 0;
	for (unsigned i = 0; i < scrubber->count && goes_on; i++)
		goes_on = scrub_shard(scrubber, scrubber->shards[i]);
	if (!goes_on)
		return false;
	if (scrubber->given_up == 0)
		counter_add(COUNTER_SCRUB_ROUNDS, 1);
	report(scrubber, "scrub round ended");
	return sleep_until(scrubber, 1000 * (scrubber->began + ROUND_MSEC));
}

static void *
scrubber_main(void *cookie)
{
	struct scrubber *scrubber = cookie;
	/* Nobody waits for it. Linux has a priority for each thread. */
	(void)setpriority(PRIO_PROCESS, 0, NICENESS);
	while (scrub_round(scrubber))
		continue;
	return NULL;
}

static void
scrubber_free(struct scrubber *scrubber)
{
	(void)pthread_mutex_destroy(&scrubber->lock);
	(void)pthread_cond_destroy(&scrubber->changed);
	free(scrubber);
}

enum status
scrubber_start(struct shard *const *shards, unsigned count, uint64_t rate, struct scrubber **out)
{
	struct scrubber *scrubber = calloc(1, sizeof(*scrubber));
	if (scrubber == NULL)
		return STATUS_STORAGE_UNAVAILABLE;
	scrubber->shards = shards;
	scrubber->count = count;
	scrubber->rate = rate;
	pthread_condattr_t attributes;
	CHECK(pthread_condattr_init(&attributes) == 0);
	CHECK(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
	CHECK(pthread_cond_init(&scrubber->changed, &attributes) == 0);
	CHECK(pthread_condattr_destroy(&attributes) == 0);
	CHECK(pthread_mutex_init(&scrubber->lock, NULL) == 0);
	if (pthread_create(&scrubber->thread, NULL, scrubber_main, scrubber) != 0) {
		scrubber_free(scrubber);
		return STATUS_STORAGE_UNAVAILABLE;
	}
	*out = scrubber;
	return STATUS_OK;
}

void
scrubber_set_rate(struct scrubber *scrubber, uint64_t rate)
{
	lock(scrubber);
	scrubber->rate = rate;
	CHECK(pthread_cond_broadcast(&scrubber->changed) == 0);
	unlock(scrubber);
}

void
scrubber_stop(struct scrubber *scrubber)
{
	if (scrubber == NULL)
		return;
	lock(scrubber);
	scrubber->stopping = true;
	CHECK(pthread_cond_broadcast(&scrubber->changed) == 0);
	unlock(scrubber);
	CHECK(pthread_join(scrubber->thread, NULL) == 0);
	scrubber_free(scrubber);
}
