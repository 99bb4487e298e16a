#include "store/sqlite/damage.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "base/map.h"
#include "base/metrics.h"

struct damaged_log {
	struct hash genesis; /* the key */
	struct head good;
	bool gone_is_told; /* by who removed: later than what any mark says of it */
	UT_hash_handle hh;
};

struct damage {
	pthread_mutex_t lock;
	struct damaged_log *logs;
};

struct damage *
damage_new(void)
{
	struct damage *damage = calloc(1, sizeof(*damage));
	if (damage != NULL)
		CHECK(pthread_mutex_init(&damage->lock, NULL) == 0);
	return damage;
}

void
damage_free(struct damage *damage)
{
	if (damage == NULL)
		return;
	struct damaged_log *log = damage->logs;
	HASH_CLEAR(hh, damage->logs);
	while (log != NULL) {
		struct damaged_log *next = log->hh.next;
		free(log);
		log = next;
	}
	pthread_mutex_destroy(&damage->lock);
	free(damage);
}

static struct damaged_log *
find_locked(struct damage *damage, const struct hash *genesis)
{
	struct damaged_log *log = NULL;
	if (damage->logs != NULL)
		HASH_FIND(hh, damage->logs, genesis, sizeof(*genesis), log);
	return log;
}

bool
damage_find(struct damage *damage, const struct hash *genesis, struct head *good)
{
	CHECK(pthread_mutex_lock(&damage->lock) == 0);
	const struct damaged_log *log = find_locked(damage, genesis);
	if (log != NULL)
		*good = log->good;
	CHECK(pthread_mutex_unlock(&damage->lock) == 0);
	return log != NULL;
}

uint64_t
damage_count(struct damage *damage)
{
	CHECK(pthread_mutex_lock(&damage->lock) == 0);
	const uint64_t count = HASH_COUNT(damage->logs);
	CHECK(pthread_mutex_unlock(&damage->lock) == 0);
	return count;
}

static struct damaged_log *
add_locked(struct damage *damage, const struct hash *genesis, const struct head *good)
{
	struct damaged_log *log = calloc(1, sizeof(*log));
	if (log == NULL)
		return NULL;
	log->genesis = *genesis;
	log->good = *good;
	HASH_ADD(hh, damage->logs, genesis, sizeof(log->genesis), log);
	if (log->hh.tbl == NULL) {
		free(log);
		return NULL;
	}
	return log;
}

/* Who met this may have read the log before it was erased. */
static void
lower_locked(struct damaged_log *log, const struct head *good)
{
	const struct gone gone = log->good.gone;
	log->good = *good;
	if (log->gone_is_told || gone.erased_at > 0)
		log->good.gone = gone;
}

enum status
damage_mark(struct damage *damage, struct text name, const struct hash *genesis, struct head *good,
	    const char *what)
{
	CHECK(pthread_mutex_lock(&damage->lock) == 0);
	struct damaged_log *log = find_locked(damage, genesis);
	const bool first = log == NULL;
	const bool lowered = !first && good->position.seq < log->good.position.seq;
	if (first)
		log = add_locked(damage, genesis, good);
	else if (lowered)
		lower_locked(log, good);
	if (log != NULL)
		*good = log->good;
	CHECK(pthread_mutex_unlock(&damage->lock) == 0);

	if (first)
		counter_add(COUNTER_DAMAGED, 1);
	if (first || lowered)
		log_error("store", "log damaged", LOG_TEXT("log", name), LOG_STR("what", what),
			  LOG_U64("good", good->position.seq));
	if (log == NULL) {
		log_error("store", "out of memory", LOG_STR("op", "mark a damaged log"));
		return STATUS_STORAGE_UNAVAILABLE;
	}
	return STATUS_OK;
}

void
damage_set_gone(struct damage *damage, const struct hash *genesis, const struct gone *gone)
{
	CHECK(pthread_mutex_lock(&damage->lock) == 0);
	struct damaged_log *log = find_locked(damage, genesis);
	if (log != NULL) {
		log->good.gone = *gone;
		log->gone_is_told = true;
	}
	CHECK(pthread_mutex_unlock(&damage->lock) == 0);
}

enum status
damage_doubt(struct text log)
{
	log_limited(LOG_ERROR, "store",
		    "an index is damaged, and what it does not lead to is in doubt",
		    LOG_TEXT("log", log));
	return STATUS_INDEX_DAMAGED;
}
