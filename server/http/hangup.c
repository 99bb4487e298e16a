#include "http/hangup.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "base/check.h"

#define INTERVAL_NSEC (250L * 1000 * 1000)

static void
look_locked(struct hangup *hangup)
{
	int found = poll(hangup->sockets, hangup->count, 0);
	for (size_t i = 0; i < hangup->count && found > 0; i++) {
		if (hangup->sockets[i].revents == 0)
			continue;
		found--;
		if ((hangup->sockets[i].revents & POLLRDHUP) != 0)
			(void)shutdown(hangup->sockets[i].fd, SHUT_RD);
	}
}

static void
wait_locked(struct hangup *hangup)
{
	struct timespec until;
	if (hangup->count == 0) {
		(void)pthread_cond_wait(&hangup->changed, &hangup->lock);
		return;
	}
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += INTERVAL_NSEC;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	while (!hangup->stopping &&
	       pthread_cond_timedwait(&hangup->changed, &hangup->lock, &until) == 0)
		;
}

static void *
hangup_main(void *cookie)
{
	struct hangup *hangup = cookie;
	(void)pthread_mutex_lock(&hangup->lock);
	while (!hangup->stopping) {
		look_locked(hangup);
		wait_locked(hangup);
	}
	(void)pthread_mutex_unlock(&hangup->lock);
	return NULL;
}

static int
init_condition(pthread_cond_t *condition)
{
	pthread_condattr_t attributes;
	int error = pthread_condattr_init(&attributes);
	if (error != 0)
		return error;
	error = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	if (error == 0)
		error = pthread_cond_init(condition, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	return error;
}

enum status
hangup_start(struct hangup *hangup, size_t capacity)
{
	*hangup = (struct hangup){.capacity = capacity};
	hangup->sockets = calloc(capacity, sizeof(*hangup->sockets));
	hangup->places = calloc(capacity, sizeof(*hangup->places));
	if (hangup->sockets == NULL || hangup->places == NULL)
		goto free_tables;
	if (pthread_mutex_init(&hangup->lock, NULL) != 0)
		goto free_tables;
	if (init_condition(&hangup->changed) != 0)
		goto destroy_lock;
	if (pthread_create(&hangup->thread, NULL, hangup_main, hangup) != 0)
		goto destroy_condition;
	return STATUS_OK;

destroy_condition:
	(void)pthread_cond_destroy(&hangup->changed);
destroy_lock:
	(void)pthread_mutex_destroy(&hangup->lock);
free_tables:
	free(hangup->sockets);
	free(hangup->places);
	return STATUS_INTERNAL;
}

void
hangup_stop(struct hangup *hangup)
{
	(void)pthread_mutex_lock(&hangup->lock);
	CHECK(hangup->count == 0);
	hangup->stopping = true;
	(void)pthread_cond_signal(&hangup->changed);
	(void)pthread_mutex_unlock(&hangup->lock);
	(void)pthread_join(hangup->thread, NULL);
	(void)pthread_cond_destroy(&hangup->changed);
	(void)pthread_mutex_destroy(&hangup->lock);
	free(hangup->sockets);
	free(hangup->places);
}

void
hangup_add(struct hangup *hangup, int fd, void **place)
{
	(void)pthread_mutex_lock(&hangup->lock);
	*place = NULL;
	if (hangup->count < hangup->capacity) {
		*place = &hangup->sockets[hangup->count];
		hangup->sockets[hangup->count] = (struct pollfd){.fd = fd, .events = POLLRDHUP};
		hangup->places[hangup->count] = place;
		hangup->count++;
		if (hangup->count == 1)
			(void)pthread_cond_signal(&hangup->changed);
	}
	(void)pthread_mutex_unlock(&hangup->lock);
}

/* The last one moves into the gap. */
void
hangup_remove(struct hangup *hangup, void **place)
{
	(void)pthread_mutex_lock(&hangup->lock);
	if (*place != NULL) {
		size_t index = (size_t)((struct pollfd *)*place - hangup->sockets);
		CHECK(index < hangup->count && hangup->places[index] == place);
		hangup->count--;
		hangup->sockets[index] = hangup->sockets[hangup->count];
		hangup->places[index] = hangup->places[hangup->count];
		*hangup->places[index] = *place;
		*place = NULL;
	}
	(void)pthread_mutex_unlock(&hangup->lock);
}
