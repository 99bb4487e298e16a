#include "api/places.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/map.h"

struct holder {
	size_t count; /* there while it is not 0 */
	UT_hash_handle hh;
	size_t size;
	char subject[];
};

struct places {
	pthread_mutex_t lock;
	size_t max, subject_max;
	size_t taken;
	struct holder *holders;
};

struct places *
places_new(size_t max, size_t subject_max)
{
	struct places *places = calloc(1, sizeof(*places));
	if (!places)
		return NULL;
	places->max = max;
	places->subject_max = subject_max;
	if (pthread_mutex_init(&places->lock, NULL) == 0)
		return places;
	free(places);
	return NULL;
}

void
places_free(struct places *places)
{
	if (!places)
		return;
	CHECK(places->taken == 0 && !places->holders);
	pthread_mutex_destroy(&places->lock);
	free(places);
}

void
places_set_max(struct places *places, size_t max, size_t subject_max)
{
	pthread_mutex_lock(&places->lock);
	places->max = max;
	places->subject_max = subject_max;
	pthread_mutex_unlock(&places->lock);
}

/* Made if need be; NULL when memory is out. */
static struct holder *
find_locked(struct places *places, struct text subject)
{
	struct holder *holder;
	HASH_FIND(hh, places->holders, subject.data, (unsigned)subject.size, holder);
	if (holder)
		return holder;
	holder = calloc(1, sizeof(*holder) + subject.size);
	if (!holder)
		return NULL;
	holder->size = subject.size;
	memcpy(holder->subject, subject.data, subject.size);
	HASH_ADD_KEYPTR(hh, places->holders, holder->subject, (unsigned)subject.size, holder);
	if (!holder->hh.tbl) {
		free(holder);
		return NULL;
	}
	return holder;
}

static void
forget_if_empty_locked(struct places *places, struct holder *holder)
{
	if (holder->count > 0)
		return;
	CHECK(places->holders);
	HASH_DEL(places->holders, holder);
	free(holder);
}

static enum places_outcome
enter_locked(struct places *places, struct text subject, struct holder **found)
{
	*found = NULL;
	if (places->taken >= places->max)
		return PLACES_TAKEN;
	if (subject.size > 0) {
		struct holder *holder = find_locked(places, subject);
		if (!holder)
			return PLACES_TAKEN;
		if (holder->count >= places->subject_max) {
			forget_if_empty_locked(places, holder);
			return PLACES_TOO_MANY;
		}
		holder->count++;
		*found = holder;
	}
	places->taken++;
	return PLACES_GIVEN;
}

enum places_outcome
places_enter(struct places *places, struct text subject, struct holder **holder)
{
	pthread_mutex_lock(&places->lock);
	const enum places_outcome outcome = enter_locked(places, subject, holder);
	pthread_mutex_unlock(&places->lock);
	return outcome;
}

void
places_leave(struct places *places, struct holder *holder)
{
	pthread_mutex_lock(&places->lock);
	CHECK(places->taken > 0);
	places->taken--;
	if (holder) {
		holder->count--;
		forget_if_empty_locked(places, holder);
	}
	pthread_mutex_unlock(&places->lock);
}

size_t
places_taken(struct places *places)
{
	pthread_mutex_lock(&places->lock);
	const size_t taken = places->taken;
	pthread_mutex_unlock(&places->lock);
	return taken;
}

size_t
places_max(struct places *places)
{
	pthread_mutex_lock(&places->lock);
	const size_t max = places->max;
	pthread_mutex_unlock(&places->lock);
	return max;
}
