#include "base/queue.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"

struct queue {
	pthread_mutex_t lock;
	pthread_cond_t arrived;
	size_t wanted; /* the consumer sleeps until so many are there; 0: it does not sleep */
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
	bool wake = false;
	if (accepted) {
		size_t place = queue->first + queue->count;
		if (place >= queue->capacity)
			place -= queue->capacity;
		queue->items[place] = item;
		queue->count++;
		wake = queue->wanted > 0 && (queue->count >= queue->wanted);
		/* One signal is enough: the consumer takes all that is there when it runs. */
		if (wake)
			queue->wanted = 0;
	}
	/* Under the lock: once it is given up, the consumer may empty and free the queue. */
	if (wake)
		CHECK(pthread_cond_signal(&queue->arrived) == 0);
	queue_unlock(queue);
	return accepted;
}

/* A time too far away for struct timespec is as good as a year. */
static struct timespec
deadline_after(uint64_t timeout_usec)
{
	const uint64_t year_usec = UINT64_C(365) * 24 * 3600 * 1000000;
	struct timespec time;
	CHECK(clock_gettime(CLOCK_MONOTONIC, &time) != -1);
	if (timeout_usec > year_usec)
		timeout_usec = year_usec;
	time.tv_sec += (time_t)(timeout_usec / 1000000);
	time.tv_nsec += (long)(timeout_usec % 1000000) * 1000;
	if (time.tv_nsec >= 1000000000) {
		time.tv_sec++;
		time.tv_nsec -= 1000000000;
	}
	return time;
}

/* Sleeps until so many items are there, the queue is full or closed, or the time is over. */
static void
queue_wait_locked(struct queue *queue, size_t wanted, uint64_t timeout_usec)
{
	if (wanted > queue->capacity)
		wanted = queue->capacity;
	if (queue->count >= wanted || queue->closed || timeout_usec == 0)
		return;
	struct timespec deadline = deadline_after(timeout_usec);
	int error = 0;
	while (queue->count < wanted && !queue->closed && error == 0) {
		queue->wanted = wanted;
		error = pthread_cond_timedwait(&queue->arrived, &queue->lock, &deadline);
		CHECK(error == 0 || error == ETIMEDOUT);
	}
	queue->wanted = 0;
}

size_t
queue_take(struct queue *queue, void **items, size_t max, uint64_t timeout_msec)
{
	queue_lock(queue);
	queue_wait_locked(queue, 1,
			  timeout_msec > UINT64_MAX / 1000 ? UINT64_MAX : 1000 * timeout_msec);
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
queue_linger(struct queue *queue, size_t wanted, uint64_t linger_usec)
{
	queue_lock(queue);
	queue_wait_locked(queue, wanted, linger_usec);
	queue_unlock(queue);
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

uint64_t
queue_ask_oldest(struct queue *queue, uint64_t (*ask)(const void *item))
{
	queue_lock(queue);
	const uint64_t answer = queue->count == 0 ? 0 : ask(queue->items[queue->first]);
	queue_unlock(queue);
	return answer;
}

size_t
queue_count(struct queue *queue)
{
	queue_lock(queue);
	size_t count = queue->count;
	queue_unlock(queue);
	return count;
}
