/*
 * A subject begins as many logs as it may, whatever shards they are in and whoever asks at the same time; a
 * log's first writer is counted wherever the batch is: in the tail, in place, after a crash.
 */
#include <pthread.h>

#include "store/creators.h"
#include "store/shard.h"
#include "support/runner.h"
#include "support/scripted_engine.h"
#include "support/store_fixture.h"

#define SUBJECT TEXT("anna")
#define OWN TEXT("u:anna")

/* --- the engine counts --- */

#define WRITERS 3
#define LOGS 40

static const char *const writers[WRITERS] = {"anna", "ben", ""};

struct begun_log {
	struct model_log log;
	int writer; /* of its first batch */
};

static void
write_log(struct fixture *fixture, struct begun_log *begun, int writer)
{
	struct model_append append;
	const struct head expected = begun->log.head;
	if (expected.position.seq == 0)
		begun->writer = writer;
	fixture->now++;
	model_add_random(fixture, &begun->log, 1 + fixture_random(fixture, 9), 30);
	model_append_init(&append, &begun->log, begun->log.count - (size_t)expected.position.seq,
			  &expected);
	append.append.writer = text_of(writers[writer]);
	ck_assert_int_eq(fixture->engine->ops->write(fixture->engine, &append.append, 1),
			 STATUS_OK);
	model_append_release(&append);
}

static void
check_counts(struct fixture *fixture, const struct begun_log *logs)
{
	for (int writer = 0; writer < WRITERS; writer++) {
		const size_t except = fixture_random(fixture, LOGS);
		uint64_t all = 0, others = 0, count;
		for (size_t i = 0; i < LOGS; i++) {
			const bool is_own = logs[i].log.count > 0 && logs[i].writer == writer;
			all += is_own;
			others += is_own && i != except;
		}
		const struct engine_ops *ops = fixture->engine->ops;
		const struct text name = text_of(writers[writer]);
		ck_assert_int_eq(ops->count_begun(fixture->engine, name, TEXT(""), &count),
				 STATUS_OK);
		ck_assert_uint_eq(count, all);
		ck_assert_int_eq(ops->count_begun(fixture->engine, name,
						  text_of(logs[except].log.name), &count),
				 STATUS_OK);
		ck_assert_uint_eq(count, others);
	}
}

START_TEST(logs_are_counted_by_who_began_them)
{
	struct fixture fixture;
	struct begun_log logs[LOGS];
	fixture_init(&fixture);
	fixture.random = (uint64_t)_i + 1;
	for (size_t i = 0; i < LOGS; i++) {
		char name[32];
		snprintf(name, sizeof(name), "log-%zu", i);
		model_init(&logs[i].log, name);
	}
	fixture_open(&fixture, true);
	for (int step = 0; step < 150; step++) {
		struct engine *engine = fixture.engine;
		uint64_t wait_msec;
		write_log(&fixture, &logs[fixture_random(&fixture, LOGS)],
			  (int)fixture_random(&fixture, WRITERS));
		check_counts(&fixture, logs);
		if (fixture_random(&fixture, 3) == 0)
			ck_assert_int_eq(engine->ops->tend(engine, true, &wait_msec), STATUS_OK);
		if (fixture_random(&fixture, 12) == 0)
			ck_assert_int_eq(engine->ops->settle_down(engine), STATUS_OK);
		if (fixture_random(&fixture, 12) == 0) {
			fixture_crash(&fixture);
			fixture_open(&fixture, false);
		}
		check_counts(&fixture, logs);
	}
	for (size_t i = 0; i < LOGS; i++)
		model_free(&logs[i].log);
	fixture_remove(&fixture);
}
END_TEST

/* --- a batch of one action that begins a log --- */

struct sent {
	struct job job;
	struct batch batch;
	struct batch_action action;
	struct outcome outcome;
	char log[32];
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool is_done;
};

static void
sent_done(struct job *job)
{
	struct sent *sent = job->cookie;
	pthread_mutex_lock(&sent->lock);
	sent->is_done = true;
	pthread_cond_signal(&sent->changed);
	pthread_mutex_unlock(&sent->lock);
}

static void
sent_init(struct sent *sent, const char *log, struct text writer)
{
	memset(sent, 0, sizeof(*sent));
	pthread_mutex_init(&sent->lock, NULL);
	pthread_cond_init(&sent->changed, NULL);
	snprintf(sent->log, sizeof(sent->log), "%s", log);
	sent->batch.log = text_of(sent->log);
	chain_genesis(sent->batch.log, &sent->batch.genesis);
	sent->batch.base = (struct position){0, sent->batch.genesis};
	sent->action.action = (struct action){.device = TEXT("phone"), .ts = 1, .type = TEXT("t")};
	sent->action.device = (unsigned)batch_device(&sent->batch, TEXT("phone"));
	sent->batch.actions = &sent->action;
	sent->batch.action_count = 1;
	(void)!batch_verify(&sent->batch, &sent->batch.state_hash);
	sent->job = (struct job){.batch = &sent->batch,
				 .outcomes = &sent->outcome,
				 .done = sent_done,
				 .cookie = sent,
				 .writer = writer,
				 .own_log = OWN,
				 .counts = writer.size > 0 && !text_equal(sent->batch.log, OWN)};
}

static enum status
sent_wait(struct sent *sent)
{
	pthread_mutex_lock(&sent->lock);
	while (!sent->is_done)
		pthread_cond_wait(&sent->changed, &sent->lock);
	pthread_mutex_unlock(&sent->lock);
	return sent->job.status != STATUS_OK ? sent->job.status : sent->job.verdict.status;
}

/* What becomes of it. */
static enum status
send_to(struct store *store, const char *log, struct text writer)
{
	struct sent sent;
	sent_init(&sent, log, writer);
	ck_assert_int_eq(store_submit(store, &sent.job), STATUS_OK);
	const enum status status = sent_wait(&sent);
	if (status == STATUS_QUOTA_EXCEEDED)
		ck_assert_int_eq(sent.job.verdict.quota, QUOTA_SUBJECT_LOGS);
	return status;
}

/* --- a store of several shards --- */

struct world {
	char dir[512];
	struct store *store;
	struct store_options options;
};

static void
world_open(struct world *world, uint64_t subject_logs)
{
	const char *problem = "";
	world->options = (struct store_options){.dir = world->dir,
						.shards = 4,
						.queue_jobs = 256,
						.tail_bytes = 1 << 20,
						.group_jobs = 64,
						.slice_actions = 100,
						.cache_logs = 1000,
						.readers = 4,
						.quota = {.subject_logs = subject_logs}};
	ck_assert_msg(store_open(&world->options, &world->store, &problem) == STATUS_OK, "%s",
		      problem);
	ck_assert_msg(store_start(world->store, &problem) == STATUS_OK, "%s", problem);
}

static void
world_close(struct world *world)
{
	ck_assert(store_stop(world->store));
	store_close(world->store);
}

static void
world_init(struct world *world, uint64_t subject_logs)
{
	const char *tmp = getenv("TMPDIR");
	snprintf(world->dir, sizeof(world->dir), "%s/quota.XXXXXX", tmp == NULL ? "/tmp" : tmp);
	ck_assert_ptr_nonnull(mkdtemp(world->dir));
	world_open(world, subject_logs);
}

static void
world_remove(struct world *world)
{
	char command[600];
	world_close(world);
	snprintf(command, sizeof(command), "rm -r '%s'", world->dir);
	ck_assert_int_eq(system(command), 0); // NOLINT(cert-env33-c,concurrency-mt-unsafe)
}

START_TEST(a_subject_begins_so_many_logs_and_no_more)
{
	struct world world = {.store = NULL};
	world_init(&world, 2);
	ck_assert_int_eq(send_to(world.store, "a", SUBJECT), STATUS_OK);
	ck_assert_int_eq(send_to(world.store, "b", TEXT("ben")), STATUS_OK);
	ck_assert_int_eq(send_to(world.store, "c", SUBJECT), STATUS_OK);
	ck_assert_int_eq(send_to(world.store, "d", SUBJECT), STATUS_QUOTA_EXCEEDED);
	/* A retry of what began a log, a log of another's, the own one, and who is not counted. */
	ck_assert_int_eq(send_to(world.store, "a", SUBJECT), STATUS_OK);
	ck_assert_int_eq(send_to(world.store, "b", SUBJECT), STATUS_OK);
	ck_assert_int_eq(send_to(world.store, "u:anna", SUBJECT), STATUS_OK);
	ck_assert_int_eq(send_to(world.store, "e", TEXT("")), STATUS_OK);
	ck_assert_int_eq(send_to(world.store, "d", SUBJECT), STATUS_QUOTA_EXCEEDED);

	world_close(&world);
	world_open(&world, 2);
	ck_assert_int_eq(send_to(world.store, "d", SUBJECT), STATUS_QUOTA_EXCEEDED);
	store_set_quota(world.store, &(struct quota){.subject_logs = 3});
	ck_assert_int_eq(send_to(world.store, "d", SUBJECT), STATUS_OK);
	ck_assert_int_eq(send_to(world.store, "f", SUBJECT), STATUS_QUOTA_EXCEEDED);
	store_set_quota(world.store, &(struct quota){.subject_logs = 0});
	ck_assert_int_eq(send_to(world.store, "f", SUBJECT), STATUS_OK);
	/* It was counted nowhere when it was begun, and counts. */
	store_set_quota(world.store, &(struct quota){.subject_logs = 4});
	ck_assert_int_eq(send_to(world.store, "g", SUBJECT), STATUS_QUOTA_EXCEEDED);
	world_remove(&world);
}
END_TEST

#define THREADS 8
#define EACH 25
#define LIMIT 17

struct crowd {
	struct world world;
	pthread_barrier_t barrier;
	_Atomic unsigned begun, refused;
};

struct one {
	struct crowd *crowd;
	unsigned number;
	pthread_t thread;
};

/* Two threads want each log, so that one of them finds it begun. */
static void *
begin_logs(void *cookie)
{
	struct one *one = cookie;
	for (unsigned i = 0; i < EACH; i++) {
		char log[32];
		struct sent sent;
		snprintf(log, sizeof(log), "log-%u-%u", one->number / 2, i);
		sent_init(&sent, log, SUBJECT);
		pthread_barrier_wait(&one->crowd->barrier);
		if (store_submit(one->crowd->world.store, &sent.job) != STATUS_OK)
			return "not taken";
		const enum status status = sent_wait(&sent);
		if (status == STATUS_OK && sent.job.verdict.applied > 0)
			one->crowd->begun++;
		else if (status == STATUS_QUOTA_EXCEEDED)
			one->crowd->refused++;
		else if (status != STATUS_OK)
			return "neither begun nor refused";
	}
	return NULL;
}

START_TEST(those_who_begin_logs_at_the_same_time_do_not_pass_the_limit)
{
	struct crowd crowd = {.begun = 0};
	struct one ones[THREADS];
	world_init(&crowd.world, LIMIT);
	pthread_barrier_init(&crowd.barrier, NULL, THREADS);
	for (unsigned i = 0; i < THREADS; i++) {
		ones[i] = (struct one){.crowd = &crowd, .number = i};
		ck_assert_int_eq(pthread_create(&ones[i].thread, NULL, begin_logs, &ones[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		void *wrong;
		ck_assert_int_eq(pthread_join(ones[i].thread, &wrong), 0);
		ck_assert_msg(wrong == NULL, "%s", (const char *)wrong);
	}
	ck_assert_uint_eq(crowd.begun, LIMIT);
	ck_assert_uint_gt(crowd.refused, 0);
	pthread_barrier_destroy(&crowd.barrier);
	world_remove(&crowd.world);
}
END_TEST

/* --- what fails on the way --- */

static struct script script;
static struct shard *shard;
static struct creators *creators;

static enum status
count_script(void *cookie, struct text subject, uint64_t *logs)
{
	const enum status *status = cookie;
	ck_assert(text_equal(subject, SUBJECT));
	pthread_mutex_lock(&script.lock);
	for (size_t i = 0; i < script.log_count; i++)
		*logs += script.logs[i].head.position.seq > 0;
	pthread_mutex_unlock(&script.lock);
	return *status;
}

static void
open_shard(void)
{
	const char *problem = NULL;
	memset(&script, 0, sizeof(script));
	pthread_mutex_init(&script.lock, NULL);
	pthread_cond_init(&script.changed, NULL);
	const struct shard_options options = {.queue_jobs = 16,
					      .group_jobs = 16,
					      .group_bytes = 1 << 20,
					      .cache_logs = 4,
					      .open = script_open,
					      .open_cookie = &script};
	ck_assert_int_eq(shard_open(&options, &shard, &problem), STATUS_OK);
	creators = creators_new(1);
	ck_assert_ptr_nonnull(creators);
}

static void
close_shard(void)
{
	shard_quiesce(shard);
	ck_assert(shard_stop(shard));
	shard_close(shard);
	creators_free(creators);
}

static void
enter(struct sent *sent)
{
	enum status counted = STATUS_OK;
	ck_assert_int_eq(
		creators_enter(creators, SUBJECT, count_script, &counted, &sent->job.creator),
		STATUS_OK);
}

/* As store_submit does, of one shard. */
static enum status
send_counted(struct sent *sent, const char *log)
{
	sent_init(sent, log, SUBJECT);
	enter(sent);
	ck_assert_int_eq(shard_submit(shard, &sent->job), STATUS_OK);
	return sent_wait(sent);
}

START_TEST(a_place_whose_log_may_be_stored_stays_taken_while_others_are_under_way)
{
	struct sent first, second, waiting;
	open_shard();
	script.fail_writes = 1;
	sent_init(&waiting, "waiting", SUBJECT);
	enter(&waiting);
	ck_assert_int_eq(send_counted(&first, "a"), STATUS_STORAGE_UNAVAILABLE);
	ck_assert_int_eq(send_counted(&second, "b"), STATUS_QUOTA_EXCEEDED);
	ck_assert_uint_eq(second.job.verdict.limit, 1);
	/* Nobody is there any more: it is counted anew, and was not stored. */
	creators_leave(waiting.job.creator);
	ck_assert_int_eq(send_counted(&second, "b"), STATUS_OK);
	ck_assert_int_eq(send_counted(&first, "a"), STATUS_QUOTA_EXCEEDED);
	close_shard();
}
END_TEST

START_TEST(a_group_that_is_settled_again_takes_its_places_once)
{
	struct sent first, waiting;
	uint64_t limit;
	open_shard();
	creators_set_max(creators, 2);
	script.move_heads = 3;
	sent_init(&waiting, "waiting", SUBJECT);
	enter(&waiting);
	ck_assert_int_eq(send_counted(&first, "a"), STATUS_OK);
	ck_assert(creators_take(waiting.job.creator, &limit));
	ck_assert(!creators_take(waiting.job.creator, &limit));
	creators_leave(waiting.job.creator);
	close_shard();
}
END_TEST

START_TEST(a_batch_that_begins_nothing_needs_no_place)
{
	struct sent first, waiting;
	uint64_t limit;
	open_shard();
	sent_init(&waiting, "waiting", SUBJECT);
	enter(&waiting);
	/* Its action is refused: it is stamped far ahead. */
	const struct clock_policy clock = {.max_skew_msec = 1};
	shard_set_clock(shard, &clock);
	sent_init(&first, "a", SUBJECT);
	first.action.action.ts = TS_MAX;
	(void)!batch_verify(&first.batch, &first.batch.state_hash);
	enter(&first);
	ck_assert_int_eq(shard_submit(shard, &first.job), STATUS_OK);
	ck_assert_int_eq(sent_wait(&first), STATUS_OK);
	ck_assert_uint_eq(first.job.verdict.refused, 1);
	ck_assert(creators_take(waiting.job.creator, &limit));
	creators_leave(waiting.job.creator);
	close_shard();
}
END_TEST

START_TEST(a_subject_that_cannot_be_counted_is_counted_by_the_next)
{
	struct creator *creator;
	enum status counted = STATUS_INDEX_DAMAGED;
	open_shard();
	ck_assert_int_eq(creators_enter(creators, SUBJECT, count_script, &counted, &creator),
			 STATUS_INDEX_DAMAGED);
	ck_assert_ptr_null(creator);
	counted = STATUS_OK;
	ck_assert_int_eq(creators_enter(creators, SUBJECT, count_script, &counted, &creator),
			 STATUS_OK);
	creators_leave(creator);
	close_shard();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("quota");
	TCase *tests = tcase_create("quota");
	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, logs_are_counted_by_who_began_them, 0, 6);
	tcase_add_test(tests, a_subject_begins_so_many_logs_and_no_more);
	tcase_add_test(tests, those_who_begin_logs_at_the_same_time_do_not_pass_the_limit);
	tcase_add_test(tests,
		       a_place_whose_log_may_be_stored_stays_taken_while_others_are_under_way);
	tcase_add_test(tests, a_group_that_is_settled_again_takes_its_places_once);
	tcase_add_test(tests, a_batch_that_begins_nothing_needs_no_place);
	tcase_add_test(tests, a_subject_that_cannot_be_counted_is_counted_by_the_next);
	suite_add_tcase(suite, tests);
	return runner_run(srunner_create(suite));
}
