/*
 * scripted_engine: an engine in memory that fails, waits and moves heads on demand.
 *
 * Threads: the shard's writer and the test's own, under the script's lock.
 */
#ifndef SUPPORT_SCRIPTED_ENGINE_H
#define SUPPORT_SCRIPTED_ENGINE_H

#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "store/engine.h"

#define LOGS_MAX 8

static uint64_t tend_wait_msec = 1000; /* of engines opened from now on */

/* An engine whose storage outlives it: what a commit stored is there after the shard opened it
 * again. */
struct script {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool hold_writes;      /* write() waits while set */
	unsigned writes_held;  /* how many wait or waited */
	unsigned fail_writes;  /* so many writes fail */
	enum status fail_open; /* what opening comes to */
	unsigned attempts;     /* to open */
	unsigned move_heads;   /* so many writes find a head moved */
	bool damaged;	       /* every head is damaged */
	bool damage_at_write;  /* becomes damaged when the next write looks */
	bool alone;
	unsigned tends;
	unsigned opened, closed, writes, lookups;
	size_t largest_write; /* actions */
	struct {
		struct hash genesis;
		struct head head;
		char last_device[DEVICE_SIZE_MAX];
		uint64_t newest;
	} logs[LOGS_MAX];
	size_t log_count;
};

struct scripted_engine {
	struct engine engine;
	struct engine_ops ops;
	struct script *script;
};

static size_t
script_log(struct script *script, const struct hash *genesis)
{
	for (size_t i = 0; i < script->log_count; i++) {
		if (hash_equal(&script->logs[i].genesis, genesis))
			return i;
	}
	ck_assert_uint_lt(script->log_count, LOGS_MAX);
	script->logs[script->log_count].genesis = *genesis;
	script->logs[script->log_count].head = (struct head){.position = {0, *genesis}};
	return script->log_count++;
}

static enum status
script_gather(struct engine *engine, struct lookup *lookups, size_t count)
{
	struct script *script = ((struct scripted_engine *)engine)->script;
	pthread_mutex_lock(&script->lock);
	for (size_t i = 0; i < count; i++) {
		const size_t log = script_log(script, lookups[i].genesis);
		script->lookups++;
		if (lookups[i].kind == LOOKUP_HEAD) {
			lookups[i].head = script->logs[log].head;
			if (script->damaged)
				lookups[i].status = STATUS_LOG_DAMAGED;
		} else if (lookups[i].kind == LOOKUP_NEWEST) {
			lookups[i].newest = script->logs[log].newest;
		}
	}
	pthread_mutex_unlock(&script->lock);
	return STATUS_OK;
}

static enum status
script_write(struct engine *engine, const struct append *appends, size_t count)
{
	struct script *script = ((struct scripted_engine *)engine)->script;
	enum status status = STATUS_OK;
	size_t actions = 0;
	for (size_t i = 0; i < count; i++)
		actions += appends[i].applied;
	pthread_mutex_lock(&script->lock);
	if (actions > script->largest_write)
		script->largest_write = actions;
	script->writes_held++;
	pthread_cond_broadcast(&script->changed);
	while (script->hold_writes)
		pthread_cond_wait(&script->changed, &script->lock);
	script->writes++;
	if (script->fail_writes > 0) {
		script->fail_writes--;
		status = STATUS_STORAGE_UNAVAILABLE;
	} else if (script->move_heads > 0) {
		script->move_heads--;
		status = STATUS_CONFLICT;
	} else if (script->damage_at_write) {
		script->damaged = true;
		script->damage_at_write = false;
		status = STATUS_LOG_DAMAGED;
	}
	for (size_t i = 0; i < count && status == STATUS_OK; i++) {
		const struct batch *batch = appends[i].batch;
		const size_t log = script_log(script, &batch->genesis);
		ck_assert_uint_eq(appends[i].expected.position.seq,
				  script->logs[log].head.position.seq);
		script->logs[log].head = appends[i].head;
		for (size_t a = 0; a < batch->action_count; a++) {
			if (batch->actions[a].action.ts > script->logs[log].newest)
				script->logs[log].newest = batch->actions[a].action.ts;
		}
	}
	pthread_mutex_unlock(&script->lock);
	return status;
}

static enum status
script_tend(struct engine *engine, bool idle, uint64_t *wait_msec)
{
	struct script *script = ((struct scripted_engine *)engine)->script;
	(void)idle;
	pthread_mutex_lock(&script->lock);
	*wait_msec = tend_wait_msec;
	script->tends++;
	pthread_cond_broadcast(&script->changed);
	pthread_mutex_unlock(&script->lock);
	return STATUS_OK;
}

static enum status
script_settle_down(struct engine *engine)
{
	(void)engine;
	return STATUS_OK;
}

static void
script_retire(struct engine *engine)
{
	(void)engine;
}

static void
script_close(struct engine *engine)
{
	struct script *script = ((struct scripted_engine *)engine)->script;
	pthread_mutex_lock(&script->lock);
	script->closed++;
	pthread_mutex_unlock(&script->lock);
	free(engine);
}

static enum status
script_open(void *cookie, unsigned number, struct engine **opened, const char **problem)
{
	struct script *script = cookie;
	(void)number;
	pthread_mutex_lock(&script->lock);
	script->attempts++;
	const enum status fail_open = script->fail_open;
	pthread_mutex_unlock(&script->lock);
	*problem = "as the script says";
	if (fail_open != STATUS_OK)
		return fail_open;
	struct scripted_engine *engine = calloc(1, sizeof(*engine));
	ck_assert_ptr_nonnull(engine);
	engine->script = script;
	engine->ops = (struct engine_ops){.alone = script->alone,
					  .gather = script_gather,
					  .write = script_write,
					  .tend = script_tend,
					  .settle_down = script_settle_down,
					  .retire = script_retire,
					  .close = script_close};
	engine->engine.ops = &engine->ops;
	pthread_mutex_lock(&script->lock);
	script->opened++;
	pthread_mutex_unlock(&script->lock);
	*opened = &engine->engine;
	return STATUS_OK;
}

__attribute__((unused)) static void
script_set_hold(struct script *script, bool hold)
{
	pthread_mutex_lock(&script->lock);
	script->hold_writes = hold;
	pthread_cond_broadcast(&script->changed);
	pthread_mutex_unlock(&script->lock);
}

__attribute__((unused)) static void
script_wait_for(struct script *script, const unsigned *count)
{
	pthread_mutex_lock(&script->lock);
	while (*count == 0)
		pthread_cond_wait(&script->changed, &script->lock);
	pthread_mutex_unlock(&script->lock);
}

#endif
