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

/* Rows of a step: few enough that neither a stop nor a shard that falls waits for them. */
#define STEP_ROWS 256

/* How often a step that failed is tried again, each time on the next log, and when. */
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
		 LOG_U64("damaged", total->damaged),
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

/* False: it is to stop. */
static bool
scrub_shard(struct scrubber *scrubber, struct shard *shard)
{
	struct walk walk = {0};
	struct walked walked = {0};
	for (unsigned faults = 0; faults < FAULTS_MAX && !walked.ended;) {
		const uint64_t rate = take_rate(scrubber);
		const uint64_t began = clock_monotonic_usec();
		if (rate == 0)
			return false;
		struct engine *engine = shard_enter(shard);
		enum status status = STATUS_STORAGE_UNAVAILABLE;
		if (engine != NULL) {
			const uint64_t rows = rate < 4 * STEP_ROWS ? 1 + rate / 4 : STEP_ROWS;
			status = engine->ops->scrub(engine, &walk, rows, &walked);
			shard_leave(shard);
			count(scrubber, &walked);
		}
		uint64_t pause_usec = (walked.actions + walked.logs) * 1000000 / rate;
		if (status != STATUS_OK) {
			faults++;
			pause_usec = UINT64_C(1000) * FAULT_MSEC;
		}
		if (!sleep_until(scrubber, began + pause_usec))
			return false;
	}
	return true;
}

static bool
scrub_round(struct scrubber *scrubber)
{
	bool goes_on = take_rate(scrubber) > 0;
	scrubber->began = scrubber->told = clock_monotonic_msec();
	scrubber->total = (struct walked){0};
	for (unsigned i = 0; i < scrubber->count && goes_on; i++)
		goes_on = scrub_shard(scrubber, scrubber->shards[i]);
	if (!goes_on)
		return false;
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
