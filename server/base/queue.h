/*
 * queue: a bounded queue of pointers, many producers, one consumer. Here alone the HTTP threads meet a
 * shard's writer, and the thread that keeps snapshots.
 *
 * Threads: queue_push() from any thread, queue_take() from the one consumer.
 */
#ifndef BASE_QUEUE_H
#define BASE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct queue;

/* capacity ≥ 1 pointers. NULL when out of memory. */
struct queue *queue_new(size_t capacity);
void queue_free(struct queue *);

/* False, at once, when the queue is full or closed. */
bool queue_push(struct queue *, void *item);

/*
 * Takes up to max items, oldest first, and waits up to timeout_msec for the first one (0: does not
 * wait). Returns how many; 0 after the time or, at once, when the queue is closed and empty.
 */
size_t queue_take(struct queue *, void **items, size_t max, uint64_t timeout_msec);

/*
 * Waits until so many items are there (or the queue is full, or closed), at most linger_usec: for a
 * consumer that would rather take many at once. Takes nothing. The producers wake it once, at the
 * last one.
 */
void queue_linger(struct queue *, size_t wanted, uint64_t linger_usec);

/* Later pushes fail; what was accepted can still be taken. Wakes the consumer. */
void queue_close(struct queue *);
bool queue_is_closed(struct queue *);

size_t queue_count(struct queue *);

/* Looks at the oldest item, which stays the queue's: ask(item), under the lock, or 0 when there is none. */
uint64_t queue_ask_oldest(struct queue *, uint64_t (*ask)(const void *item));

#endif
