#include "store/pruner.h"

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
#include "store/snapshot_removal.h"
#include "store/snapshot_walk.h"

#define NICENESS 10

/* A damaged log wants a repair, for which the daemon is stopped: until then it is only named each round, and
 * tried again once in a day of the default pace, in case it was a read that went wrong. Of more such logs than
 * are remembered the oldest are tried each round. */
#define DAMAGED_ROUNDS 24
#define DAMAGED_MAX 256

struct pruner {
	struct store *store;
	struct snapshots *snapshots;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;

	/* guarded by lock */
	struct pruner_pace pace;
	bool stopping;
	bool done; /* the step that was asked for */

	/* the thread's */
	struct clock_belief clock;

	/* the thread's: of this round */
	uint64_t received_before; /* milliseconds; 0: nothing is that old */
	uint64_t logs, actions;	  /* that were pruned */

	/* the thread's */
	uint64_t round;
	struct {
		struct hash genesis;
		uint64_t round; /* in which it is tried again; 0: none */
	} damaged[DAMAGED_MAX];
	size_t next_damaged;
};

static void
lock(struct pruner *pruner)
{
	CHECK(pthread_mutex_lock(&pruner->lock) == 0);
}

static void
unlock(struct pruner *pruner)
{
	CHECK(pthread_mutex_unlock(&pruner->lock) == 0);
}

static bool
is_stopping(struct pruner *pruner)
{
	lock(pruner);
	const bool stopping = pruner->stopping;
	unlock(pruner);
	return stopping;
}

/* --- damaged logs --- */

static bool
is_put_off(const struct pruner *pruner, const struct removal *removal)
{
	for (size_t i = 0; i < DAMAGED_MAX; i++) {
		if (pruner->damaged[i].round > pruner->round &&
		    hash_equal(&pruner->damaged[i].genesis, removal->genesis))
			return true;
	}
	return false;
}

static void
put_off(struct pruner *pruner, const struct removal *removal)
{
	const size_t place = pruner->next_damaged++ % DAMAGED_MAX;
	pruner->damaged[place].genesis = *removal->genesis;
	pruner->damaged[place].round = pruner->round + DAMAGED_ROUNDS;
}

/* --- one log --- */

struct first {
	uint64_t received_before;
	bool is_old;
};

static bool
look_at_first(void *cookie, const struct row *row)
{
	struct first *first = cookie;
	first->is_old = row->received_at < first->received_before;
	return false;
}

/* Whether there is anything to remove: before a whole snapshot is read to find out whether it stands. */
static bool
has_old(struct pruner *pruner, const struct removal *removal, uint64_t upto)
{
	struct first first = {.received_before = pruner->received_before};
	struct position start, end;
	const struct head *head = &removal->head;
	if (pruner->received_before == 0 || head->gone.erased_at > 0 || head->gone.pruned >= upto)
		return false;
	const struct range range = {
		.after = head->gone.pruned, .upto = head->position.seq, .rows_max = 1};
	return store_read(pruner->store, removal->log, removal->genesis, &range, look_at_first,
			  &first, &start, &end) == STATUS_OK &&
	       first.is_old;
}

static enum status
has_position(void *cookie, const struct removal *removal, const struct position *position)
{
	struct head head;
	return store_has(cookie, removal->log, removal->genesis, position, &head);
}

/* On the shard's writer. */
static void
tell(struct job *job)
{
	struct pruner *pruner = job->cookie;
	lock(pruner);
	pruner->done = true;
	CHECK(pthread_cond_broadcast(&pruner->changed) == 0);
	unlock(pruner);
}

static enum status
run_step(struct pruner *pruner, struct removal *removal, bool overwrite)
{
	struct removals removals = {.items = removal, .count = 1, .overwrite = overwrite};
	struct job job = {.removals = &removals,
			  .done = tell,
			  .cookie = pruner,
			  .submitted_usec = clock_monotonic_usec()};
	pruner->done = false;
	const enum status status = store_submit_removals(
		pruner->store, store_shard_of(pruner->store, removal->genesis), &job);
	if (status != STATUS_OK)
		return status;
	lock(pruner);
	while (!pruner->done)
		CHECK(pthread_cond_wait(&pruner->changed, &pruner->lock) == 0);
	unlock(pruner);
	return job.status == STATUS_OK ? removal->status : job.status;
}

static enum status
run(struct pruner *pruner, struct removal *removal, bool overwrite)
{
	enum status status = STATUS_OK;
	do
		status = run_step(pruner, removal, overwrite);
	while (status == STATUS_OK && removal->more && !is_stopping(pruner));
	if (status == STATUS_LOG_DAMAGED)
		put_off(pruner, removal);
	if (status == STATUS_OK && !removal->more)
		status = snapshots_follow(pruner->snapshots, removal);
	return status;
}

static void
warn(const struct removal *removal, enum status status)
{
	if (status != STATUS_OK)
		log_warn("store", "content of a log could not be removed",
			 LOG_TEXT("log", removal->log), LOG_STR("code", status_info(status)->code));
}

static void
remove_old(struct pruner *pruner, struct removal *removal)
{
	enum status status = STATUS_LOG_DAMAGED;
	if (!is_put_off(pruner, removal))
		status = snapshots_stand_for(pruner->snapshots, removal, has_position,
					     pruner->store);
	if (status == STATUS_OK)
		status = run(pruner, removal, false);
	warn(removal, status);
	pruner->logs += removal->removed > 0;
	pruner->actions += removal->removed;
	counter_add(COUNTER_PRUNED, removal->removed);
}

/* What was killed between the last row and the snapshots. */
static bool
has_left(const struct gone *gone, const struct snapshot_facts *oldest)
{
	return gone->erased_at > 0 || oldest->position.seq < gone->pruned;
}

static bool
prune_log(void *cookie, const struct snapshot_facts *oldest)
{
	struct pruner *pruner = cookie;
	struct removal removal = {.kind = REMOVE_BEFORE,
				  .log = {oldest->log.data, oldest->log.size},
				  .genesis = &oldest->genesis,
				  .upto = SEQ_MAX,
				  .received_before = pruner->received_before};
	if (store_head(pruner->store, removal.log, removal.genesis, &removal.head) != STATUS_OK)
		return !is_stopping(pruner);
	if (has_old(pruner, &removal, oldest->position.seq)) {
		remove_old(pruner, &removal);
	} else if (has_left(&removal.head.gone, oldest)) {
		removal.kind = REMOVE_BEGUN;
		warn(&removal, snapshots_follow(pruner->snapshots, &removal));
	}
	return !is_stopping(pruner);
}

/* --- what was begun --- */

static void
end_removal(struct pruner *pruner, const struct unfinished *unfinished)
{
	struct hash genesis;
	struct removal removal = {.kind = REMOVE_BEGUN,
				  .log = {unfinished->name, unfinished->name_size},
				  .genesis = &genesis};
	chain_genesis(removal.log, &genesis);
	enum status status = STATUS_LOG_DAMAGED;
	if (!is_put_off(pruner, &removal))
		status = run(pruner, &removal, unfinished->erased);
	warn(&removal, status);
	if (removal.removed > 0)
		log_info("store", "removal went on", LOG_TEXT("log", removal.log),
			 LOG_U64("removed", removal.removed),
			 LOG_STR("end", status == STATUS_OK && !removal.more ? "yes" : "no"));
	if (!unfinished->erased)
		counter_add(COUNTER_PRUNED, removal.removed);
}

/* What cannot be looked at now is looked at in the next round. */
static void
end_removals(struct pruner *pruner)
{
	for (unsigned shard = 0; shard < store_shards(pruner->store); shard++) {
		struct unfinished unfinished = {.log = 0};
		while (!is_stopping(pruner) &&
		       store_find_unfinished(pruner->store, shard, &unfinished) == STATUS_OK &&
		       unfinished.found)
			end_removal(pruner, &unfinished);
	}
}

/* --- rounds --- */

static void
prune_all(struct pruner *pruner, uint64_t after_sec)
{
	const uint64_t now = clock_believed_msec(&pruner->clock);
	pruner->received_before =
		after_sec > 0 && now > 1000 * after_sec ? now - 1000 * after_sec : 0;
	pruner->logs = pruner->actions = 0;
	/* What of the folder cannot be read was logged. */
	(void)!snapshots_logs(pruner->snapshots, NULL, prune_log, pruner);
	if (pruner->logs > 0)
		log_info("store", "logs pruned", LOG_U64("logs", pruner->logs),
			 LOG_U64("actions", pruner->actions));
}

/* Until it is time for the next round, or the pace is another one. *after_sec is 0 when nothing is to be pruned.
 * False: it is to stop. */
static bool
wait_for_round(struct pruner *pruner, uint64_t began_msec, uint64_t *after_sec)
{
	struct timespec time;
	int error = 0;
	lock(pruner);
	const uint64_t every_sec = pruner->pace.every_sec;
	time = (struct timespec){.tv_sec = (time_t)(began_msec / 1000 + every_sec),
				 .tv_nsec = (long)(began_msec % 1000) * 1000000};
	while (!pruner->stopping && error != ETIMEDOUT && pruner->pace.every_sec == every_sec)
		error = pthread_cond_timedwait(&pruner->changed, &pruner->lock, &time);
	*after_sec = pruner->pace.after_sec;
	const bool goes_on = !pruner->stopping;
	unlock(pruner);
	return goes_on;
}

static void *
pruner_main(void *cookie)
{
	struct pruner *pruner = cookie;
	uint64_t began = clock_monotonic_msec(), after_sec;
	/* Nobody waits for it. Linux has a priority for each thread. */
	(void)setpriority(PRIO_PROCESS, 0, NICENESS);
	(void)clock_believed_msec(&pruner->clock); /* what is believed at first */
	end_removals(pruner);
	while (wait_for_round(pruner, began, &after_sec)) {
		began = clock_monotonic_msec();
		pruner->round++;
		end_removals(pruner);
		prune_all(pruner, after_sec);
	}
	return NULL;
}

static void
pruner_free(struct pruner *pruner)
{
	(void)pthread_mutex_destroy(&pruner->lock);
	(void)pthread_cond_destroy(&pruner->changed);
	free(pruner);
}

enum status
pruner_start(struct store *store, struct snapshots *snapshots, const struct pruner_pace *pace,
	     struct pruner **started)
{
	struct pruner *pruner = calloc(1, sizeof(*pruner));
	pthread_condattr_t attributes;
	if (pruner == NULL)
		return STATUS_STORAGE_UNAVAILABLE;
	pruner->store = store;
	pruner->snapshots = snapshots;
	pruner->pace = *pace;
	CHECK(pthread_condattr_init(&attributes) == 0);
	CHECK(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
	CHECK(pthread_cond_init(&pruner->changed, &attributes) == 0);
	CHECK(pthread_condattr_destroy(&attributes) == 0);
	CHECK(pthread_mutex_init(&pruner->lock, NULL) == 0);
	if (pthread_create(&pruner->thread, NULL, pruner_main, pruner) != 0) {
		pruner_free(pruner);
		return STATUS_STORAGE_UNAVAILABLE;
	}
	*started = pruner;
	return STATUS_OK;
}

void
pruner_set(struct pruner *pruner, const struct pruner_pace *pace)
{
	lock(pruner);
	pruner->pace = *pace;
	CHECK(pthread_cond_broadcast(&pruner->changed) == 0);
	unlock(pruner);
}

void
pruner_stop(struct pruner *pruner)
{
	if (pruner == NULL)
		return;
	lock(pruner);
	pruner->stopping = true;
	CHECK(pthread_cond_broadcast(&pruner->changed) == 0);
	unlock(pruner);
	CHECK(pthread_join(pruner->thread, NULL) == 0);
	pruner_free(pruner);
}
