#include "store/creators.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/map.h"

/*
 *     made ──▶ COUNTING ──▶ COUNTED ──▶ gone, with the last batch
 *                 ╰──▶ UNCOUNTED ──▶ COUNTING, by the next who waits
 */
enum counted { UNCOUNTED, COUNTING, COUNTED };

struct creator {
	struct creators *creators;
	size_t batches; /* under way, and those who wait for the count */
	enum counted counted;
	uint64_t logs;
	UT_hash_handle hh;
	size_t size;
	char subject[];
};

struct creators {
	_Atomic uint64_t logs_max;
	pthread_mutex_t lock;
	pthread_cond_t counted;
	struct creator *all;
};

static void
lock(struct creators *creators)
{
	CHECK(pthread_mutex_lock(&creators->lock) == 0);
}

static void
unlock(struct creators *creators)
{
	CHECK(pthread_mutex_unlock(&creators->lock) == 0);
}

struct creators *
creators_new(uint64_t logs_max)
{
	struct creators *creators = calloc(1, sizeof(*creators));
	if (creators == NULL)
		return NULL;
	atomic_init(&creators->logs_max, logs_max);
	CHECK(pthread_mutex_init(&creators->lock, NULL) == 0);
	CHECK(pthread_cond_init(&creators->counted, NULL) == 0);
	return creators;
}

void
creators_free(struct creators *creators)
{
	if (creators == NULL)
		return;
	CHECK(creators->all == NULL);
	pthread_cond_destroy(&creators->counted);
	pthread_mutex_destroy(&creators->lock);
	free(creators);
}

void
creators_set_max(struct creators *creators, uint64_t logs_max)
{
	creators->logs_max = logs_max;
}

uint64_t
creators_max(const struct creators *creators)
{
	return creators->logs_max;
}

static struct creator *
find_locked(struct creators *creators, struct text subject)
{
	struct creator *creator = NULL;
	HASH_FIND(hh, creators->all, subject.data, subject.size, creator);
	if (creator != NULL)
		return creator;
	creator = calloc(1, sizeof(*creator) + subject.size);
	if (creator == NULL)
		return NULL;
	creator->creators = creators;
	creator->size = subject.size;
	memcpy(creator->subject, subject.data, subject.size);
	HASH_ADD_KEYPTR(hh, creators->all, creator->subject, creator->size, creator);
	if (creator->hh.tbl == NULL) {
		free(creator);
		return NULL;
	}
	return creator;
}

static void
leave_locked(struct creator *creator)
{
	if (--creator->batches > 0)
		return;
	HASH_DEL(creator->creators->all, creator); // NOLINT(clang-analyzer-*): uthash's invariants
	free(creator);
}

/* Without the lock meanwhile. */
static enum status
count_locked(struct creator *creator, creators_counter *counter, void *cookie)
{
	struct creators *creators = creator->creators;
	const struct text subject = {creator->subject, creator->size};
	uint64_t logs = 0;
	creator->counted = COUNTING;
	unlock(creators);
	const enum status status = counter(cookie, subject, &logs);
	lock(creators);
	creator->logs = logs;
	creator->counted = status == STATUS_OK ? COUNTED : UNCOUNTED;
	CHECK(pthread_cond_broadcast(&creators->counted) == 0);
	return status;
}

enum status
creators_enter(struct creators *creators, struct text subject, creators_counter *counter,
	       void *cookie, struct creator **entered)
{
	enum status status = STATUS_OK;
	lock(creators);
	struct creator *creator = find_locked(creators, subject);
	*entered = creator;
	if (creator == NULL) {
		unlock(creators);
		return STATUS_INTERNAL;
	}
	creator->batches++;
	while (creator->counted == COUNTING)
		CHECK(pthread_cond_wait(&creators->counted, &creators->lock) == 0);
	if (creator->counted == UNCOUNTED)
		status = count_locked(creator, counter, cookie);
	if (status != STATUS_OK) {
		leave_locked(creator);
		*entered = NULL;
	}
	unlock(creators);
	return status;
}

void
creators_leave(struct creator *creator)
{
	if (creator == NULL)
		return;
	struct creators *creators = creator->creators;
	lock(creators);
	leave_locked(creator);
	unlock(creators);
}

bool
creators_take(struct creator *creator, uint64_t *limit)
{
	struct creators *creators = creator->creators;
	*limit = creators->logs_max;
	lock(creators);
	CHECK(creator->counted == COUNTED);
	const bool has_room = *limit == 0 || creator->logs < *limit;
	if (has_room)
		creator->logs++;
	unlock(creators);
	return has_room;
}

void
creators_give_back(struct creator *creator)
{
	struct creators *creators = creator->creators;
	lock(creators);
	CHECK(creator->logs > 0);
	creator->logs--;
	unlock(creators);
}
