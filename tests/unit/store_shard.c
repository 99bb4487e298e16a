/*
 * The shard's promises against an engine that fails, waits and moves heads on demand: each accepted
 * job is done once, a full queue answers at once, a failed group is told so, and the shard starts
 * again.
 */
#include <check.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "store/shard.h"
#include "support/runner.h"
#include "support/scripted_engine.h"

#define GROUP_BYTES ((size_t)1 << 20)
#define MANY 7000 /* actions of a large batch */

/* One action by one device, extending what the test knows of the log. */
struct sent {
	struct job job;
	struct batch batch;
	struct batch_action action;
	struct outcome outcome;
	struct script *script; /* whose lock and condition guard done_count */
	unsigned done_count;
};

static void
sent_done(struct job *job)
{
	struct sent *sent = job->cookie;
	pthread_mutex_lock(&sent->script->lock);
	sent->done_count++;
	pthread_cond_broadcast(&sent->script->changed);
	pthread_mutex_unlock(&sent->script->lock);
}

static void
sent_init(struct sent *sent, struct script *script, const char *log, uint64_t ts)
{
	struct hash actual;
	memset(sent, 0, sizeof(*sent));
	sent->script = script;
	sent->batch.log = text_of(log);
	chain_genesis(sent->batch.log, &sent->batch.genesis);
	sent->batch.base = (struct position){0, sent->batch.genesis};
	sent->action.action = (struct action){.device = TEXT("phone"), .ts = ts, .type = TEXT("t")};
	sent->action.device = (unsigned)batch_device(&sent->batch, TEXT("phone"));
	sent->batch.actions = &sent->action;
	sent->batch.action_count = 1;
	(void)!batch_verify(&sent->batch, &actual);
	sent->batch.state_hash = actual;
	sent->job = (struct job){.batch = &sent->batch,
				 .outcomes = &sent->outcome,
				 .done = sent_done,
				 .cookie = sent};
}

/* Makes it many actions, each as small as can be. */
static void
sent_multiply(struct sent *sent, struct batch_action *actions, struct outcome *outcomes)
{
	for (size_t i = 0; i < MANY; i++) {
		actions[i] = sent->action;
		actions[i].action.ts += i;
	}
	sent->batch.actions = actions;
	sent->batch.action_count = MANY;
	sent->job.outcomes = outcomes;
	(void)!batch_verify(&sent->batch, &sent->batch.state_hash);
}

static void
sent_wait(struct sent *sent)
{
	pthread_mutex_lock(&sent->script->lock);
	while (sent->done_count == 0)
		pthread_cond_wait(&sent->script->changed, &sent->script->lock);
	pthread_mutex_unlock(&sent->script->lock);
}

static struct script script;
static struct shard *shard;

static void
open_shard(bool alone, size_t queue_jobs)
{
	memset(&script, 0, sizeof(script));
	pthread_mutex_init(&script.lock, NULL);
	pthread_cond_init(&script.changed, NULL);
	script.alone = alone;
	const struct shard_options options = {.queue_jobs = queue_jobs,
					      .group_jobs = 16,
					      .group_bytes = GROUP_BYTES,
					      .cache_logs = 4,
					      .open = script_open,
					      .open_cookie = &script};
	const char *problem = NULL;
	ck_assert_int_eq(shard_open(&options, &shard, &problem), STATUS_OK);
}

static void
close_shard(void)
{
	shard_quiesce(shard);
	ck_assert(shard_stop(shard));
	shard_close(shard);
	ck_assert_uint_eq(script.opened, script.closed);
}

/* The writer waits in the write of this job. */
static void
hold_writer(struct sent *blocker)
{
	sent_init(blocker, &script, "z", 1);
	script_set_hold(&script, true);
	ck_assert_int_eq(shard_submit(shard, &blocker->job), STATUS_OK);
	script_wait_for(&script, &script.writes_held);
}

START_TEST(a_full_queue_answers_at_once_while_accepted_work_goes_on)
{
	struct sent first, second, third;
	open_shard(true, 1);
	sent_init(&second, &script, "b", 1);
	sent_init(&third, &script, "c", 1);
	hold_writer(&first);
	ck_assert_int_eq(shard_submit(shard, &second.job), STATUS_OK);
	ck_assert_uint_eq(shard_load_percent(shard), 100);
	ck_assert_int_eq(shard_submit(shard, &third.job), STATUS_BACKPRESSURE);
	ck_assert_uint_eq(first.done_count, 0);
	script_set_hold(&script, false);
	sent_wait(&first);
	sent_wait(&second);
	ck_assert_int_eq(second.job.status, STATUS_OK);
	close_shard();
	ck_assert_uint_eq(third.done_count, 0);
}
END_TEST

START_TEST(a_failed_write_acknowledges_nothing_and_the_shard_starts_again)
{
	struct sent first, again;
	open_shard(true, 8);
	sent_init(&first, &script, "a", 1);
	sent_init(&again, &script, "a", 1);
	script.fail_writes = 1;
	ck_assert_int_eq(shard_submit(shard, &first.job), STATUS_OK);
	sent_wait(&first);
	ck_assert_int_eq(first.job.status, STATUS_STORAGE_UNAVAILABLE);
	/* The retry finds the shard down for at most a second; until then it is told so. */
	for (unsigned attempt = 0; attempt < 1000 && again.done_count == 0; attempt++) {
		ck_assert_int_eq(shard_submit(shard, &again.job), STATUS_OK);
		sent_wait(&again);
		if (again.job.status == STATUS_OK)
			break;
		ck_assert_int_eq(again.job.status, STATUS_STORAGE_UNAVAILABLE);
		again.done_count = 0;
	}
	ck_assert_int_eq(again.job.verdict.status, STATUS_OK);
	ck_assert_uint_eq(again.job.verdict.applied, 1);
	ck_assert_uint_eq(again.job.verdict.head.position.seq, 1);
	close_shard();
	ck_assert_uint_eq(script.opened, 2);
}
END_TEST

/* A start writes and syncs: it must not be what each request costs. */
START_TEST(a_shard_whose_writes_go_on_failing_starts_once_a_second_at_most)
{
	const uint64_t began = clock_monotonic_msec();
	open_shard(true, 8);
	script.fail_writes = 100;
	for (unsigned i = 0; i < 100; i++) {
		struct sent sent;
		sent_init(&sent, &script, "a", 1);
		ck_assert_int_eq(shard_submit(shard, &sent.job), STATUS_OK);
		sent_wait(&sent);
		ck_assert_int_eq(sent.job.status, STATUS_STORAGE_UNAVAILABLE);
	}
	/* The first, one at once after the first fault, and then one a second. */
	ck_assert_uint_le(script.opened, 2 + (clock_monotonic_msec() - began) / 1000);
	script.fail_writes = 0;
	struct sent last = {.job.status = STATUS_STORAGE_UNAVAILABLE};
	while (last.job.status != STATUS_OK) {
		sent_init(&last, &script, "a", 1);
		ck_assert_int_eq(shard_submit(shard, &last.job), STATUS_OK);
		sent_wait(&last);
	}
	close_shard();
}
END_TEST

/* A shard that cannot be opened; how a job on it ends. */
static enum status
open_in_vain(enum status why)
{
	const char *problem = NULL;
	const struct shard_options options = {.queue_jobs = 16,
					      .group_jobs = 16,
					      .group_bytes = GROUP_BYTES,
					      .cache_logs = 4,
					      .open = script_open,
					      .open_cookie = &script};
	struct sent sent;
	memset(&script, 0, sizeof(script));
	pthread_mutex_init(&script.lock, NULL);
	pthread_cond_init(&script.changed, NULL);
	script.alone = true;
	script.fail_open = why;
	ck_assert_int_eq(shard_open(&options, &shard, &problem), why);
	ck_assert_ptr_nonnull(shard);
	ck_assert_str_eq(problem, "as the script says");
	ck_assert_ptr_null(shard_enter(shard));
	sent_init(&sent, &script, "a", 1);
	ck_assert_int_eq(shard_submit(shard, &sent.job), STATUS_OK);
	sent_wait(&sent);
	return sent.job.status;
}

START_TEST(a_shard_that_cannot_be_opened_tries_again)
{
	struct sent sent = {.job.status = STATUS_STORAGE_UNAVAILABLE};
	ck_assert_int_eq(open_in_vain(STATUS_STORAGE_UNAVAILABLE), STATUS_STORAGE_UNAVAILABLE);
	pthread_mutex_lock(&script.lock);
	script.fail_open = STATUS_OK;
	pthread_mutex_unlock(&script.lock);
	while (sent.job.status != STATUS_OK) {
		sent_init(&sent, &script, "a", 1);
		ck_assert_int_eq(shard_submit(shard, &sent.job), STATUS_OK);
		sent_wait(&sent);
	}
	close_shard();
}
END_TEST

/* Because files lack what they had, or are of a version that is not known. */
START_TEST(a_shard_that_is_refused_does_not_try_again)
{
	static const enum status reasons[] = {STATUS_LOG_DAMAGED, STATUS_MALFORMED};
	const uint64_t began = clock_monotonic_msec();
	ck_assert_int_eq(open_in_vain(reasons[_i]), STATUS_STORAGE_UNAVAILABLE);
	/* Beyond the time after which another one would. */
	while (clock_monotonic_msec() < began + 2500) {
		struct sent sent;
		sent_init(&sent, &script, "a", 1);
		ck_assert_int_eq(shard_submit(shard, &sent.job), STATUS_OK);
		sent_wait(&sent);
		ck_assert_int_eq(sent.job.status, STATUS_STORAGE_UNAVAILABLE);
		ck_assert_ptr_null(shard_enter(shard));
		(void)poll(NULL, 0, 10);
	}
	ck_assert_uint_eq(script.attempts, 1);
	/* It was not touched: that is a clean stop. */
	close_shard();
}
END_TEST

START_TEST(jobs_of_one_group_see_what_earlier_ones_did)
{
	struct sent blocker, sent[4];
	open_shard(true, 8);
	hold_writer(&blocker);
	for (unsigned i = 0; i < 4; i++) {
		sent_init(&sent[i], &script, "a", 1 + i / 2);
		ck_assert_int_eq(shard_submit(shard, &sent[i].job), STATUS_OK);
	}
	script_set_hold(&script, false);
	for (unsigned i = 0; i < 4; i++) {
		sent_wait(&sent[i]);
		ck_assert_int_eq(sent[i].job.verdict.status, STATUS_OK);
		ck_assert_uint_eq(sent[i].job.verdict.applied, i % 2 == 0);
		ck_assert_uint_eq(sent[i].outcome.seq, 1 + i / 2);
	}
	close_shard();
	ck_assert_uint_eq(script.writes, 2);
}
END_TEST

START_TEST(many_small_actions_make_a_group_large)
{
	static struct batch_action actions[4][MANY];
	static struct outcome outcomes[4][MANY];
	struct sent blocker, sent[4];
	const char *names[] = {"a", "b", "c", "d"};
	open_shard(true, 8);
	hold_writer(&blocker);
	for (unsigned i = 0; i < 4; i++) {
		sent_init(&sent[i], &script, names[i], 1);
		sent_multiply(&sent[i], actions[i], outcomes[i]);
		ck_assert_int_eq(shard_submit(shard, &sent[i].job), STATUS_OK);
	}
	script_set_hold(&script, false);
	for (unsigned i = 0; i < 4; i++) {
		sent_wait(&sent[i]);
		ck_assert_uint_eq(sent[i].job.verdict.applied, MANY);
	}
	close_shard();
	/* Of each a link and where it is are kept, at least. */
	ck_assert_uint_le(script.largest_write * (sizeof(struct hash) + 8), GROUP_BYTES);
	ck_assert_uint_gt(script.largest_write, MANY);
}
END_TEST

START_TEST(a_group_whose_head_was_moved_by_another_writer_is_settled_again)
{
	struct sent sent;
	open_shard(false, 8);
	sent_init(&sent, &script, "a", 1);
	script.move_heads = 3;
	ck_assert_int_eq(shard_submit(shard, &sent.job), STATUS_OK);
	sent_wait(&sent);
	ck_assert_int_eq(sent.job.status, STATUS_OK);
	ck_assert_uint_eq(sent.job.verdict.applied, 1);
	ck_assert_uint_eq(script.writes, 4);
	close_shard();
}
END_TEST

START_TEST(heads_are_looked_up_once_and_again_after_eviction)
{
	struct sent sent[6], evicted;
	const char *names[] = {"a", "a", "b", "c", "d", "e"};
	open_shard(true, 8);
	for (unsigned i = 0; i < 6; i++) {
		sent_init(&sent[i], &script, names[i], 1 + i);
		ck_assert_int_eq(shard_submit(shard, &sent[i].job), STATUS_OK);
		sent_wait(&sent[i]);
	}
	ck_assert_uint_eq(script.lookups, 5 * 2); /* a head and a newest stamp a log */
	sent_init(&evicted, &script, "a", 9);
	ck_assert_int_eq(shard_submit(shard, &evicted.job), STATUS_OK);
	sent_wait(&evicted);
	ck_assert_uint_eq(evicted.job.verdict.head.position.seq, 3);
	ck_assert_uint_gt(script.lookups, 5 * 2);
	close_shard();
}
END_TEST

START_TEST(a_damaged_log_refuses_the_job_and_nothing_is_written)
{
	struct sent sent;
	open_shard(true, 8);
	sent_init(&sent, &script, "a", 1);
	script.damaged = true;
	ck_assert_int_eq(shard_submit(shard, &sent.job), STATUS_OK);
	sent_wait(&sent);
	ck_assert_int_eq(sent.job.status, STATUS_LOG_DAMAGED);
	ck_assert_uint_eq(script.writes, 0);
	close_shard();
}
END_TEST

START_TEST(damage_that_a_write_finds_is_not_hidden_by_a_remembered_head)
{
	struct sent first, second;
	open_shard(true, 8);
	sent_init(&first, &script, "a", 1);
	sent_init(&second, &script, "a", 2);
	ck_assert_int_eq(shard_submit(shard, &first.job), STATUS_OK);
	sent_wait(&first);
	ck_assert_int_eq(first.job.status, STATUS_OK);
	pthread_mutex_lock(&script.lock);
	script.damage_at_write = true;
	pthread_mutex_unlock(&script.lock);
	ck_assert_int_eq(shard_submit(shard, &second.job), STATUS_OK);
	sent_wait(&second);
	ck_assert_int_eq(second.job.status, STATUS_LOG_DAMAGED);
	ck_assert_uint_eq(script.logs[0].head.position.seq, 1);
	close_shard();
}
END_TEST

START_TEST(a_job_accepted_just_before_the_stop_is_done)
{
	/* The writer looks at the queue all the time, so often just before the job comes. */
	tend_wait_msec = 0;
	for (unsigned round = 0; round < 200; round++) {
		struct sent sent;
		open_shard(true, 8);
		sent_init(&sent, &script, "a", 1);
		script_wait_for(&script, &script.tends);
		ck_assert_int_eq(shard_submit(shard, &sent.job), STATUS_OK);
		close_shard();
		ck_assert_uint_eq(sent.done_count, 1);
		ck_assert_int_eq(sent.job.status, STATUS_OK);
	}
	tend_wait_msec = 1000;
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("shard");
	TCase *cases = tcase_create("shard");
	tcase_set_timeout(cases, 60);
	tcase_add_test(cases, a_full_queue_answers_at_once_while_accepted_work_goes_on);
	tcase_add_test(cases, a_failed_write_acknowledges_nothing_and_the_shard_starts_again);
	tcase_add_test(cases, a_shard_whose_writes_go_on_failing_starts_once_a_second_at_most);
	tcase_add_test(cases, a_shard_that_cannot_be_opened_tries_again);
	tcase_add_loop_test(cases, a_shard_that_is_refused_does_not_try_again, 0, 2);
	tcase_add_test(cases, jobs_of_one_group_see_what_earlier_ones_did);
	tcase_add_test(cases, many_small_actions_make_a_group_large);
	tcase_add_test(cases, a_group_whose_head_was_moved_by_another_writer_is_settled_again);
	tcase_add_test(cases, heads_are_looked_up_once_and_again_after_eviction);
	tcase_add_test(cases, a_damaged_log_refuses_the_job_and_nothing_is_written);
	tcase_add_test(cases, damage_that_a_write_finds_is_not_hidden_by_a_remembered_head);
	tcase_add_test(cases, a_job_accepted_just_before_the_stop_is_done);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
