#include "auth/key_source.h"

#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "auth/fetch.h"
#include "auth/file.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/problem.h"

#define LOOK_MSEC 1000 /* how often the file is looked at */

struct key_source {
	struct key_source_options options;
	struct fetch *fetch; /* NULL: a file */
	pthread_t thread;
	atomic_bool stopping;
	_Atomic uint64_t generation;

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t changed;
	struct keys *keys;
	uint8_t digest[crypto_generichash_BYTES]; /* of the text they were read from */
	bool secrets;				  /* and whether it could have some */
	struct file_stamp stamp;		  /* of the file, also where it was refused */
	bool wanted;				  /* a fetch, as soon as it may be */
	bool forced;				  /* a fetch at once */
	bool fetching;
	uint64_t begun_msec; /* the last fetch; 0: none */
	uint64_t good_msec;  /* the last that succeeded, or the start */
	uint64_t due_msec;
};

struct keys *
key_source_keys(struct key_source *source)
{
	pthread_mutex_lock(&source->lock);
	struct keys *keys = source->keys ? keys_hold(source->keys) : NULL;
	pthread_mutex_unlock(&source->lock);
	return keys;
}

uint64_t
key_source_generation(const struct key_source *source)
{
	return atomic_load(&source->generation);
}

/* The same text again changes nothing: what was remembered of its keys stays good. */
static enum status
take(struct key_source *source, struct text text, bool secrets, const char **problem)
{
	uint8_t digest[crypto_generichash_BYTES];
	struct keys *keys = NULL;
	const struct keys_policy policy = {.algorithms = source->options.algorithms,
					   .secrets = secrets};
	crypto_generichash(digest, sizeof(digest), (const uint8_t *)text.data, text.size, NULL, 0);
	pthread_mutex_lock(&source->lock);
	const bool same = source->keys && source->secrets == secrets &&
			  memcmp(digest, source->digest, sizeof(digest)) == 0;
	pthread_mutex_unlock(&source->lock);
	if (same)
		return STATUS_OK;
	const enum status status = keys_read(text, &policy, &keys, problem);
	if (status != STATUS_OK)
		return status;
	pthread_mutex_lock(&source->lock);
	struct keys *before = source->keys;
	const uint64_t generation = atomic_load(&source->generation) + 1;
	keys_set_generation(keys, generation);
	source->keys = keys;
	source->secrets = secrets;
	memcpy(source->digest, digest, sizeof(digest));
	atomic_store(&source->generation, generation);
	pthread_mutex_unlock(&source->lock);
	keys_release(before);
	log_info("auth", "keys taken over", LOG_U64("generation", generation));
	return STATUS_OK;
}

static enum status
read_path(struct key_source *source, const char **problem)
{
	struct buffer text;
	struct file file = {0};
	buffer_init(&text, JWKS_SIZE_MAX);
	enum status status = file_read(source->options.path, &text, &file, problem);
	pthread_mutex_lock(&source->lock);
	source->stamp = file.stamp;
	pthread_mutex_unlock(&source->lock);
	if (status == STATUS_OK && !file.is_guarded)
		status = problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
				     "%s can be written by its group or by others, who could put a "
				     "key there and make tokens of anybody: chmod go-w",
				     source->options.path);
	if (status == STATUS_OK) {
		status =
			take(source, (struct text){text.data, text.size}, file.is_private, problem);
		if (status != STATUS_OK)
			*problem = problem_within(source->options.path, *problem);
		sodium_memzero(text.data, text.size);
	}
	buffer_release(&text);
	return status;
}

static void
read_path_again(struct key_source *source)
{
	const char *problem = NULL;
	if (read_path(source, &problem) != STATUS_OK)
		log_limited(LOG_ERROR, "auth", "keys not taken over, the old ones stay",
			    LOG_STR("problem", problem));
}

static void
fetch_again(struct key_source *source)
{
	struct buffer text;
	const char *problem = NULL;
	buffer_init(&text, JWKS_SIZE_MAX);
	enum status status = fetch_run(source->fetch, &source->stopping, &text, &problem);
	if (status == STATUS_OK)
		status = take(source, (struct text){text.data, text.size}, false, &problem);
	if (status != STATUS_OK && !atomic_load(&source->stopping))
		log_limited(LOG_ERROR, "auth", "keys not fetched, the old ones stay",
			    LOG_STR("url", source->options.url), LOG_STR("problem", problem));
	buffer_release(&text);
	const uint64_t next_sec = status == STATUS_OK ? source->options.refresh_sec
						      : source->options.min_interval_sec;
	pthread_mutex_lock(&source->lock);
	source->fetching = false;
	if (status == STATUS_OK)
		source->good_msec = clock_monotonic_msec();
	source->due_msec = clock_monotonic_msec() + 1000 * next_sec;
	pthread_mutex_unlock(&source->lock);
}

/* When the thread has to do something next. */
static uint64_t
next_msec_locked(const struct key_source *source)
{
	if (!source->fetch)
		return clock_monotonic_msec() + LOOK_MSEC;
	if (source->forced)
		return 0;
	const uint64_t soonest = source->begun_msec + 1000 * source->options.min_interval_sec;
	return source->wanted && soonest < source->due_msec ? soonest : source->due_msec;
}

/* Sleeps until there is something to do; false: stop. */
static bool
sleep_until_due(struct key_source *source)
{
	pthread_mutex_lock(&source->lock);
	const uint64_t look = clock_monotonic_msec() + LOOK_MSEC;
	while (!atomic_load(&source->stopping)) {
		const uint64_t due = source->fetch ? next_msec_locked(source) : look;
		if (clock_monotonic_msec() >= due)
			break;
		const struct timespec until = {.tv_sec = (time_t)(due / 1000),
					       .tv_nsec = (long)(due % 1000) * 1000000};
		pthread_cond_timedwait(&source->changed, &source->lock, &until);
	}
	if (source->fetch) {
		source->fetching = true;
		source->forced = false;
		source->wanted = false;
		source->begun_msec = clock_monotonic_msec();
	}
	pthread_mutex_unlock(&source->lock);
	return !atomic_load(&source->stopping);
}

static void *
follow(void *cookie)
{
	struct key_source *source = cookie;
	while (sleep_until_due(source)) {
		if (source->fetch) {
			fetch_again(source);
			continue;
		}
		pthread_mutex_lock(&source->lock);
		const struct file_stamp stamp = source->stamp;
		pthread_mutex_unlock(&source->lock);
		if (file_has_changed(source->options.path, &stamp))
			read_path_again(source);
	}
	return NULL;
}

static void
source_free(struct key_source *source)
{
	fetch_free(source->fetch);
	keys_release(source->keys);
	pthread_cond_destroy(&source->changed);
	pthread_mutex_destroy(&source->lock);
	free(source);
}

enum status
key_source_start(const struct key_source_options *options, struct key_source **made,
		 const char **problem)
{
	pthread_condattr_t monotonic;
	struct key_source *source = calloc(1, sizeof(*source));
	if (!source)
		return problem_set(problem, STATUS_INTERNAL, "memory is out");
	source->options = *options;
	source->good_msec = clock_monotonic_msec();
	atomic_init(&source->stopping, false);
	atomic_init(&source->generation, 0);
	pthread_mutex_init(&source->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&source->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	enum status status =
		options->url[0] ? fetch_new(options->url, options->ca_file, &source->fetch, problem)
				: read_path(source, problem);
	if (status == STATUS_OK && pthread_create(&source->thread, NULL, follow, source) != 0)
		status = problem_set(problem, STATUS_INTERNAL, "no thread can be made");
	if (status != STATUS_OK) {
		source_free(source);
		return status;
	}
	*made = source;
	return STATUS_OK;
}

void
key_source_stop(struct key_source *source)
{
	if (!source)
		return;
	pthread_mutex_lock(&source->lock);
	atomic_store(&source->stopping, true);
	pthread_cond_signal(&source->changed);
	pthread_mutex_unlock(&source->lock);
	pthread_join(source->thread, NULL);
	source_free(source);
}

void
key_source_reload(struct key_source *source)
{
	if (!source->fetch) {
		read_path_again(source);
		return;
	}
	pthread_mutex_lock(&source->lock);
	source->forced = true;
	pthread_cond_signal(&source->changed);
	pthread_mutex_unlock(&source->lock);
}

bool
key_source_measure(struct key_source *source, struct key_figures *figures)
{
	if (!source->fetch)
		return false;
	pthread_mutex_lock(&source->lock);
	*figures = (struct key_figures){.age_msec = clock_monotonic_msec() - source->good_msec,
					.refresh_msec = 1000 * source->options.refresh_sec};
	pthread_mutex_unlock(&source->lock);
	return true;
}

bool
key_source_miss(struct key_source *source)
{
	if (!source->fetch)
		return false;
	pthread_mutex_lock(&source->lock);
	const uint64_t soonest = source->begun_msec + 1000 * source->options.min_interval_sec;
	if (!source->fetching && !source->forced && clock_monotonic_msec() >= soonest) {
		source->wanted = true;
		pthread_cond_signal(&source->changed);
	}
	const bool soon = source->fetching || source->forced || source->wanted;
	pthread_mutex_unlock(&source->lock);
	return soon;
}
