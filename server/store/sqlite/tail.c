#include "store/sqlite/tail.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "store/sqlite/tail_stamps.h"

struct generation {
	struct tail_batch **items;
	size_t count, capacity;
};

struct tail {
	pthread_mutex_t lock;
	struct tail_log *logs;
	struct tail_batch *first; /* the newest of those that begin their logs */
	size_t bytes, bytes_max;

	/* The writer's. */
	size_t staged;
	struct generation filling, applying;
	size_t left; /* how many of applying have left */
};

struct tail *
tail_new(size_t bytes_max)
{
	struct tail *tail = calloc(1, sizeof(*tail));
	if (tail == NULL)
		return NULL;
	tail->bytes_max = bytes_max;
	CHECK(pthread_mutex_init(&tail->lock, NULL) == 0);
	return tail;
}

static void
free_log(struct tail_log *log)
{
	tail_stamps_free(log->stamps);
	free(log->items);
	free(log);
}

void
tail_free(struct tail *tail)
{
	if (tail == NULL)
		return;
	struct tail_log *log = tail->logs;
	HASH_CLEAR(hh, tail->logs);
	while (log != NULL) {
		struct tail_log *next = log->hh.next;
		for (size_t i = 0; i < log->count; i++)
			tail_batch_free(log->items[log->first + i]);
		free_log(log);
		log = next;
	}
	pthread_mutex_destroy(&tail->lock);
	free(tail->filling.items);
	free(tail->applying.items);
	free(tail);
}

static void
lock(struct tail *tail)
{
	CHECK(pthread_mutex_lock(&tail->lock) == 0);
}

static void
unlock(struct tail *tail)
{
	CHECK(pthread_mutex_unlock(&tail->lock) == 0);
}

size_t
tail_bytes(const struct tail *tail)
{
	return tail->bytes;
}

size_t
tail_bytes_max(const struct tail *tail)
{
	return tail->bytes_max;
}

struct tail_log *
tail_find(struct tail *tail, const struct hash *genesis)
{
	struct tail_log *log = NULL;
	if (tail->logs != NULL)
		HASH_FIND(hh, tail->logs, genesis, sizeof(*genesis), log);
	return log;
}

/* Room for one more than count in a list whose used part begins at first. */
static bool
reserve(struct tail_batch ***items, size_t *first, size_t count, size_t *capacity)
{
	if (*first + count < *capacity)
		return true;
	if (*first > 0 && count < *capacity / 2) {
		memmove(*items, *items + *first, count * sizeof(**items));
		*first = 0;
		return true;
	}
	size_t larger = *capacity == 0 ? 4 : 2 * *capacity;
	struct tail_batch **grown = calloc(larger, sizeof(*grown));
	if (grown == NULL)
		return false;
	if (count > 0)
		memcpy(grown, *items + *first, count * sizeof(*grown));
	free(*items);
	*items = grown;
	*first = 0;
	*capacity = larger;
	return true;
}

static struct tail_log *
add_log_locked(struct tail *tail, const struct hash *genesis, uint64_t id, bool is_new)
{
	struct tail_log *log = calloc(1, sizeof(*log));
	if (log == NULL)
		return NULL;
	log->genesis = *genesis;
	log->id = id;
	log->is_new = is_new;
	HASH_ADD(hh, tail->logs, genesis, sizeof(log->genesis), log);
	if (log->hh.tbl == NULL) {
		free(log);
		return NULL;
	}
	return log;
}

bool
tail_stage(struct tail *tail, struct tail_batch *batch, const struct hash *genesis, uint64_t id,
	   bool is_new)
{
	lock(tail);
	struct tail_log *log = tail_find(tail, genesis);
	if (log == NULL)
		log = add_log_locked(tail, genesis, id, is_new);
	bool reserved = log != NULL &&
			reserve(&log->items, &log->first, log->count + log->staged, &log->capacity);
	unlock(tail);
	if (!reserved)
		return false;
	if (log->count + log->staged > 0)
		CHECK(batch->first_seq == log->end.seq + 1 &&
		      hash_equal(&batch->before, &log->end.link));
	log->end.seq = tail_batch_last_seq(batch);
	log->end.link = batch->actions[batch->action_count - 1].link;
	log->staged++;
	batch->log = log;
	size_t first = 0;
	struct generation *filling = &tail->filling;
	if (!reserve(&filling->items, &first, filling->count + tail->staged, &filling->capacity))
		return false;
	tail->staged++;
	return true;
}

static void
add_first_locked(struct tail *tail, struct tail_batch *batch)
{
	batch->older = tail->first;
	if (tail->first != NULL)
		tail->first->newer = batch;
	tail->first = batch;
}

static void
drop_first_locked(struct tail *tail, struct tail_batch *batch)
{
	if (batch->newer != NULL)
		batch->newer->older = batch->older;
	else
		tail->first = batch->older;
	if (batch->older != NULL)
		batch->older->newer = batch->newer;
}

static void
publish_locked(struct tail *tail, struct tail_batch *batch)
{
	struct tail_log *log = batch->log;
	CHECK(log->first + log->count < log->capacity);
	log->items[log->first + log->count++] = batch;
	log->staged--;
	log->head.position.seq = tail_batch_last_seq(batch);
	log->head.position.link = batch->actions[batch->action_count - 1].link;
	log->head.received_at = batch->received_at;
	log->head.bytes = batch->log_bytes;
	log->head.gone = batch->gone;
	tail->bytes += batch->size;
	if (batch->first_seq == 1)
		add_first_locked(tail, batch);
}

void
tail_publish(struct tail *tail, struct tail_batch *first)
{
	for (struct tail_batch *batch = first; batch != NULL; batch = batch->next) {
		CHECK(tail->filling.count < tail->filling.capacity);
		tail->filling.items[tail->filling.count++] = batch;
		tail->staged--;
	}
	lock(tail);
	for (struct tail_batch *batch = first; batch != NULL; batch = batch->next)
		publish_locked(tail, batch);
	unlock(tail);
}

/* Index into items of the first batch that ends at or after seq; first + count if none does. */
static size_t
search(const struct tail_log *log, uint64_t seq)
{
	size_t low = log->first, high = log->first + log->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (tail_batch_last_seq(log->items[middle]) < seq)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct tail_batch *
tail_batch_at(const struct tail_log *log, uint64_t seq)
{
	size_t index = search(log, seq);
	if (index == log->first + log->count || log->items[index]->first_seq > seq)
		return NULL;
	return log->items[index];
}

bool
tail_is_filling(const struct tail *tail)
{
	return tail->filling.count > 0;
}

bool
tail_is_applying(const struct tail *tail)
{
	return tail->applying.count > 0;
}

static int
compare_places(const void *a, const void *b)
{
	const struct tail_batch *left = *(struct tail_batch *const *)a;
	const struct tail_batch *right = *(struct tail_batch *const *)b;
	if (left->log->id != right->log->id)
		return left->log->id < right->log->id ? -1 : 1;
	return left->first_seq < right->first_seq ? -1 : left->first_seq > right->first_seq;
}

void
tail_freeze(struct tail *tail)
{
	CHECK(tail->applying.count == 0 && tail->filling.count > 0 && tail->staged == 0);
	struct generation empty = tail->applying;
	tail->applying = tail->filling;
	tail->filling = empty;
	tail->left = 0;
}

void
tail_sort(struct tail *tail)
{
	qsort(tail->applying.items, tail->applying.count, sizeof(struct tail_batch *),
	      compare_places);
}

struct tail_batch **
tail_applying(struct tail *tail, size_t *count)
{
	*count = tail->applying.count;
	return tail->applying.items;
}

static void
unref_locked(struct tail_batch *batch)
{
	if (--batch->refs == 0)
		tail_batch_free(batch);
}

static void
leave_locked(struct tail *tail, struct tail_batch *batch)
{
	struct tail_log *log = batch->log;
	CHECK(log->count > 0 && log->items[log->first] == batch);
	log->first++;
	log->count--;
	tail->bytes -= batch->size;
	if (batch->first_seq == 1)
		drop_first_locked(tail, batch);
	tail_stamps_leave(log, tail_batch_last_seq(batch));
	unref_locked(batch);
	if (log->count + log->staged == 0) {
		CHECK(tail->logs != NULL);
		HASH_DEL(tail->logs, log);
		free_log(log);
	}
}

void
tail_leave(struct tail *tail, size_t upto)
{
	CHECK(upto <= tail->applying.count);
	lock(tail);
	for (size_t i = tail->left; i < upto; i++)
		leave_locked(tail, tail->applying.items[i]);
	unlock(tail);
	if (upto > tail->left)
		tail->left = upto;
}

void
tail_finish(struct tail *tail)
{
	CHECK(tail->left == tail->applying.count);
	tail->applying.count = 0;
	tail->left = 0;
}

size_t
tail_measure(struct tail *tail)
{
	lock(tail);
	const size_t bytes = tail->bytes;
	unlock(tail);
	return bytes;
}

bool
tail_head(struct tail *tail, const struct hash *genesis, struct head *head)
{
	lock(tail);
	const struct tail_log *log = tail_find(tail, genesis);
	bool present = log != NULL && log->count > 0;
	if (present)
		*head = log->head;
	unlock(tail);
	return present;
}

static bool
begins(const struct tail_batch *batch, struct text writer, struct text except)
{
	return text_equal(batch->writer, writer) && !text_equal(batch->log_name, except);
}

bool
tail_begun(struct tail *tail, struct text writer, struct text except, uint64_t **logs,
	   size_t *count)
{
	size_t found = 0;
	*logs = NULL;
	*count = 0;
	lock(tail);
	for (const struct tail_batch *first = tail->first; first != NULL; first = first->older)
		found += begins(first, writer, except);
	if (found > 0)
		*logs = calloc(found, sizeof(**logs));
	if (*logs != NULL)
		for (const struct tail_batch *first = tail->first; first; first = first->older)
			if (begins(first, writer, except))
				(*logs)[(*count)++] = first->log->id;
	unlock(tail);
	return *count == found;
}

static bool
pin_locked(const struct tail_log *log, const struct range *range, struct tail_pin *pin)
{
	pin->present = true;
	pin->head = log->head;
	pin->first_seq = log->items[log->first]->first_seq;
	size_t end = log->first + log->count, from = search(log, range->after + 1), count = 0;
	if (from == end)
		return true;
	do
		count++;
	while (from + count < end && count < range->rows_max &&
	       log->items[from + count]->first_seq <= range->upto);
	pin->batches = calloc(count, sizeof(struct tail_batch *));
	if (pin->batches == NULL)
		return false;
	for (; pin->count < count; pin->count++) {
		pin->batches[pin->count] = log->items[from + pin->count];
		pin->batches[pin->count]->refs++;
	}
	return true;
}

bool
tail_pin(struct tail *tail, const struct hash *genesis, const struct range *range,
	 struct tail_pin *pin)
{
	*pin = (struct tail_pin){0};
	lock(tail);
	const struct tail_log *log = tail_find(tail, genesis);
	bool pinned = log == NULL || log->count == 0 || pin_locked(log, range, pin);
	unlock(tail);
	return pinned;
}

void
tail_unpin(struct tail *tail, struct tail_pin *pin)
{
	lock(tail);
	for (size_t i = 0; i < pin->count; i++)
		unref_locked(pin->batches[i]);
	unlock(tail);
	free(pin->batches);
	*pin = (struct tail_pin){0};
}
