#include "base/queue.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"

struct queue {
	pthread_mutex_t lock;
	pthread_cond_t arrived;
	bool waiting; /* the consumer sleeps on arrived; without it a push needs no signal */
	bool closed;
	size_t first; /* the oldest item's place in the ring */
	size_t count;
	size_t capacity;
	void *items[];
};

struct queue *
queue_new(size_t capacity)
{
	pthread_condattr_t attributes;
	CHECK(capacity >= 1);
	if (capacity > (SIZE_MAX - sizeof(struct queue)) / sizeof(void *))
		return NULL;
	struct queue *queue = calloc(1, sizeof(*queue) + capacity * sizeof(void *));
	if (queue == NULL)
		return NULL;
	queue->capacity = capacity;
	/* The wall clock may be set while the consumer waits. */
	if (pthread_condattr_init(&attributes) != 0)
		goto free_queue;
	CHECK(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
	int error = pthread_cond_init(&queue->arrived, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	if (error != 0)
		goto free_queue;
	if (pthread_mutex_init(&queue->lock, NULL) != 0)
		goto destroy_condition;
	return queue;

destroy_condition:
	(void)pthread_cond_destroy(&queue->arrived);
free_queue:
	free(queue);
	return NULL;
}

void
queue_free(struct queue *queue)
{
	if (queue == NULL)
		return;
	CHECK(pthread_cond_destroy(&queue->arrived) == 0);
	CHECK(pthread_mutex_destroy(&queue->lock) == 0);
	free(queue);
}

static void
queue_lock(struct queue *queue)
{
	CHECK(queue != NULL && pthread_mutex_lock(&queue->lock) == 0);
}

static void
queue_unlock(struct queue *queue)
{
	CHECK(pthread_mutex_unlock(&queue->lock) == 0);
}

bool
queue_push(struct queue *queue, void *item)
{
	queue_lock(queue);
	bool accepted = !queue->closed && queue->count < queue->capacity;
	bool wake = accepted && queue->waiting;
	if (accepted) {
		size_t place = queue->first + queue->count;
		if (place >= queue->capacity)
			place -= queue->capacity;
		queue->items[place] = item;
		queue->count++;
		/* One signal is enough: the consumer takes all that is there when it runs. */
		queue->waiting = false;
	}
	/* Under the lock: once it is given up, the consumer may empty and free the queue. */
	if (wake)
		CHECK(pthread_cond_signal(&queue->arrived) == 0);
	queue_unlock(queue);
	return accepted;
}

/* A time too far away for struct timespec is as good as a year. */
static struct timespec
deadline_after(uint64_t timeout_msec)
{
	const uint64_t year_msec = UINT64_C(365) * 24 * 3600 * 1000;
	struct timespec time;
	CHECK(clock_gettime(CLOCK_MONOTONIC, &time) != -1);
	if (timeout_msec > year_msec)
		timeout_msec = year_msec;
	time.tv_sec += (time_t)(timeout_msec / 1000);
	time.tv_nsec += (long)(timeout_msec % 1000) * 1000000;
	if (time.tv_nsec >= 1000000000) {
		time.tv_sec++;
		time.tv_nsec -= 1000000000;
	}
	return time;
}

static void
queue_wait_locked(struct queue *queue, uint64_t timeout_msec)
{
	struct timespec deadline = deadline_after(timeout_msec);
	int error = 0;
	while (queue->count == 0 && !queue->closed && error == 0) {
		queue->waiting = true;
		error = pthread_cond_timedwait(&queue->arrived, &queue->lock, &deadline);
		CHECK(error == 0 || error == ETIMEDOUT);
	}
	queue->waiting = false;
}

size_t
queue_take(struct queue *queue, void **items, size_t max, uint64_t timeout_msec)
{
	queue_lock(queue);
	if (queue->count == 0 && !queue->closed && timeout_msec > 0)
		queue_wait_locked(queue, timeout_msec);
	size_t taken = queue->count < max ? queue->count : max;
	for (size_t i = 0; i < taken; i++) {
		items[i] = queue->items[queue->first];
		if (++queue->first == queue->capacity)
			queue->first = 0;
	}
	queue->count -= taken;
	queue_unlock(queue);
	return taken;
}

void
queue_close(struct queue *queue)
{
	queue_lock(queue);
	queue->closed = true;
	CHECK(pthread_cond_broadcast(&queue->arrived) == 0);
	queue_unlock(queue);
}

bool
queue_is_closed(struct queue *queue)
{
	queue_lock(queue);
	bool closed = queue->closed;
	queue_unlock(queue);
	return closed;
}

size_t
queue_count(struct queue *queue)
{
	queue_lock(queue);
	size_t count = queue->count;
	queue_unlock(queue);
	return count;
}
