/*
 * settle in long groups: random ones against the model, a very large one, and one that runs out of
 * memory at every possible place.
 */
#include <check.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "support/runner.h"
#include "support/settle_group.h"

#define LOG TEXT("shared:document")
#define SKEW_MSEC 200000

static uint64_t random_state;

/* splitmix64: the same numbers everywhere for the same seed. */
static uint64_t
random_u64(void)
{
	uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static uint64_t
random_below(uint64_t bound)
{
	return random_u64() % bound;
}

static bool
random_percent(unsigned percent)
{
	return random_below(100) < percent;
}

struct job {
	struct batch batch;
	struct batch_action actions[GROUP_ACTIONS_MAX];
};

/* Two groups' worth: a job may come again in the group after its own. */
struct world {
	struct model model;
	struct job jobs[2][GROUP_JOBS_MAX];
	size_t job_counts[2];
	struct arena arena;
	struct settle_group group;
	uint64_t now_msec;
	size_t settled, answers[STATUS_COUNT];
};

static void
batch_begin(struct job *job, const struct position *base)
{
	struct batch *batch = &job->batch;

	memset(batch, 0, sizeof(*batch));
	batch->log = LOG;
	chain_genesis(LOG, &batch->genesis);
	batch->base = *base;
	batch->actions = job->actions;
}

static struct position
random_position(const struct model *model)
{
	struct position position = {.seq = random_below(model->count + 1)};

	if (random_percent(50))
		position.seq = model->count - random_below(model->count < 8 ? model->count + 1 : 8);
	position.link = *model_link(model, position.seq);
	if (random_percent(15))
		position.seq += random_below(5);
	if (random_percent(10))
		position.link.bytes[random_below(HASH_SIZE)] ^= 1;
	return position;
}

/* Few devices, few stamps, few payloads, so that they meet. */
static struct action
random_action(const struct world *world)
{
	static const char *const devices[] = {"phone", "tablet", "laptop", "p"};
	static const char *const payloads[] = {"a", "b", ""};
	const struct model *model = &world->model;
	struct action action;

	if (model->count > 0 && random_percent(25))
		return model->rows[random_below(model->count)].action;
	action = (struct action){.device = text_of(devices[random_below(4)]),
				 .type = TEXT("t"),
				 .payload = text_of(payloads[random_below(3)])};
	if (random_percent(10)) /* at the edge of the policy, and of what counts as ahead */
		action.ts = world->now_msec + (random_percent(50) ? SKEW_MSEC : 300000) +
			    random_below(2);
	else if (random_percent(40))
		action.ts = 1 + model_newest(model, model->count, action.device);
	else
		action.ts = 100000 * (1 + random_below(40));
	return action;
}

static void
make_job(struct world *world, struct job *job)
{
	const struct model *model = &world->model;
	struct batch *batch = &job->batch;
	struct position base = {.seq = model->count, .link = *model_link(model, model->count)};
	size_t count = random_below(GROUP_ACTIONS_MAX + 1);

	if (random_percent(60))
		count = random_below(5);
	if (random_percent(50))
		base = random_position(model);
	batch_begin(job, &base);
	/* A retry of what was accepted, with something new behind it. */
	for (uint64_t seq = base.seq + 1;
	     seq <= model->count && batch->action_count < count && random_percent(80); seq++)
		batch_add(batch, &model->rows[seq - 1].action);
	while (batch->action_count < count) {
		struct action action = random_action(world);

		if (batch->action_count > 0 && random_percent(15))
			action = batch->actions[random_below(batch->action_count)].action;
		batch_add(batch, &action);
	}
	batch->reject = random_percent(50);
	if (random_percent(50))
		batch->state = (struct state_report){.seq = base.seq + random_below(count + 1),
						     .digest = TEXT("d"),
						     .app = TEXT("a")};
	batch->locator_count = random_percent(50) ? 0 : random_below(9);
	for (size_t i = 0; i < batch->locator_count; i++)
		batch->locator[i] = random_position(model);
	batch_finish(batch);
}

static bool
settle_job(struct world *world, const struct batch *batch)
{
	if (!group_settle(&world->group, batch, world->now_msec))
		return false;
	world->settled++;
	world->answers[world->group.verdict.status]++;
	return true;
}

/* As a rule there is room for some of the group. */
static struct quota
random_quota(const struct model *model)
{
	struct quota quota = {0};

	if (random_percent(20))
		quota.log_actions = 1 + model->count + random_below(30);
	if (random_percent(20))
		quota.log_bytes = 1 + model_bytes(model, model->count) + random_below(150);
	if (random_percent(5))
		quota.subject_logs = 1 + random_below(3);
	return quota;
}

static bool
run_random_group(struct world *world)
{
	const struct clock_policy clock = {
		.max_skew_msec = random_percent(50) ? SKEW_MSEC : 0,
		.monotonic = random_percent(30),
	};
	size_t count = 1 + random_below(GROUP_JOBS_MAX);

	if (world->model.count > 150)
		world->model.count = 0;
	world->model.quota = random_quota(&world->model);
	memcpy(world->jobs[1], world->jobs[0], sizeof(world->jobs[0]));
	for (size_t i = 0; i < world->job_counts[0]; i++)
		world->jobs[1][i].batch.actions = world->jobs[1][i].actions;
	world->job_counts[1] = world->job_counts[0];
	group_begin(&world->group, &world->model, &clock, &world->arena);
	for (size_t i = 0; i < count; i++) {
		size_t old = random_below(2);
		size_t again = i;

		world->job_counts[0] = i;
		world->now_msec += random_below(2000);
		world->now_msec -= random_below(1000);
		if (world->job_counts[old] > 0 && random_percent(20))
			again = random_below(world->job_counts[old]);
		else
			old = 0;
		if (old == 0 && again == i)
			make_job(world, &world->jobs[0][i]);
		else
			world->jobs[0][i] = world->jobs[old][again];
		world->jobs[0][i].batch.actions = world->jobs[0][i].actions;
		if (!settle_job(world, &world->jobs[0][i].batch))
			return false;
	}
	world->job_counts[0] = count;
	return true;
}

/* The number of groups that were settled as the model does, at most count. */
static size_t
run_random_groups(struct world *world, enum flaw flaw, size_t count)
{
	size_t done = 0;

	memset(world, 0, sizeof(*world));
	arena_init(&world->arena, 1 << 20);
	model_init(&world->model, LOG);
	world->model.flaw = flaw;
	world->now_msec = 1500000;
	while (done < count && run_random_group(world))
		done++;
	arena_release(&world->arena);
	return done;
}

static uint64_t
seed(void)
{
	const char *text = getenv("EDGEREPLAY_SEED");

	return text == NULL ? 20260722 : strtoull(text, NULL, 10);
}

START_TEST(random_groups_of_many_jobs_on_one_log_are_settled_as_the_model_does)
{
	const size_t count = 20000;
	struct world *world = malloc(sizeof(*world));
	size_t done;

	ck_assert_ptr_nonnull(world);
	random_state = seed();
	done = run_random_groups(world, FLAW_NONE, count);
	printf("# seed %" PRIu64 ": %zu groups, %zu jobs:", seed(), done, world->settled);
	for (size_t status = 0; status < STATUS_COUNT; status++)
		if (world->answers[status] > 0)
			printf(" %zu %s", world->answers[status],
			       status_info((enum status)status)->code);
	printf("\n");
	ck_assert_msg(done == count, "group %zu: %s", done, world->group.difference);
	ck_assert_uint_gt(world->answers[STATUS_OK], 0);
	for (int status = STATUS_SERVER_BEHIND; status <= STATUS_QUOTA_EXCEEDED; status++)
		ck_assert_msg(world->answers[status] > 0, "no %s",
			      status_info((enum status)status)->code);
	free(world);
}
END_TEST

START_TEST(random_groups_notice_a_model_with_a_flaw)
{
	const size_t count = 20000;
	struct world *world = malloc(sizeof(*world));
	size_t latest = 0;

	ck_assert_ptr_nonnull(world);
	for (int flaw = FLAW_NONE + 1; flaw < FLAW_COUNT; flaw++) {
		size_t done;

		random_state = seed();
		done = run_random_groups(world, (enum flaw)flaw, count);
		ck_assert_msg(done < count, "flaw %d passed for right", flaw);
		latest = done > latest ? done : latest;
	}
	printf("# %d wrong models, each noticed within %zu groups\n", FLAW_COUNT - 1, latest + 1);
	free(world);
}
END_TEST

/* A group as large as a shard may take it. */
#define LARGE_JOBS 256
#define LARGE_ACTIONS 1000
#define LARGE_NEWEST (UINT64_C(1) << 40)

struct large {
	struct settle_log log;
	struct arena group; /* settle's own */
	struct arena rest;
	struct device_facts newest;
	struct hash genesis;
	struct verdict verdict;
};

static void
large_init(struct large *large, size_t group_max)
{
	struct head head = {.received_at = 0};

	memset(large, 0, sizeof(*large));
	chain_genesis(LOG, &large->genesis);
	head.position.link = large->genesis;
	arena_init(&large->group, group_max);
	arena_init(&large->rest, SIZE_MAX / 2);
	settle_log_init(&large->log, &head, &large->group);
	large->newest.newest = LARGE_NEWEST;
}

static void
large_release(struct large *large)
{
	arena_release(&large->group);
	arena_release(&large->rest);
}

/* Stamps first_ts, first_ts - 1, …: all before the device's newest, so each is looked up. */
static struct batch *
large_batch(struct large *large, uint64_t first_ts, size_t count)
{
	struct batch *batch = arena_calloc(&large->rest, 1, sizeof(*batch));

	ck_assert_ptr_nonnull(batch);
	batch->log = LOG;
	batch->genesis = large->genesis;
	batch->base = large->log.head.position;
	batch->actions = arena_calloc(&large->rest, count, sizeof(*batch->actions));
	ck_assert_ptr_nonnull(batch->actions);
	for (size_t i = 0; i < count; i++) {
		struct action action = {TEXT("phone"), first_ts - i, TEXT("t"), TEXT("p")};

		batch_add(batch, &action);
	}
	batch_finish(batch);
	return batch;
}

static enum status
large_settle(struct large *large, struct batch *batch)
{
	const struct clock_policy clock = {.max_skew_msec = 0};
	struct outcome *outcomes =
		arena_calloc(&large->rest, batch->action_count, sizeof(*outcomes));
	struct facts facts = {
		.taken = arena_calloc(&large->rest, batch->action_count, sizeof(*facts.taken)),
		.devices = {&large->newest}};

	ck_assert_ptr_nonnull(outcomes);
	ck_assert_ptr_nonnull(facts.taken);
	if (batch->base.seq == 0)
		facts.links[0] = &large->genesis;
	return settle(&large->log, batch, &facts, &clock, LARGE_NEWEST, &large->verdict, outcomes);
}

/*
 * Of four jobs the first appends, the second is its retry, the third fails at its last action and
 * is rolled back, the fourth appends again, from an old base.
 */
static void
run_large_job(struct large *large, struct batch **last, size_t number)
{
	uint64_t first_ts = LARGE_NEWEST - number * LARGE_ACTIONS;
	size_t rows = large->log.row_count;
	struct batch *batch = number % 4 == 1 ? *last : large_batch(large, first_ts, LARGE_ACTIONS);

	if (number % 4 == 2) {
		batch->reject = true;
		batch->actions[LARGE_ACTIONS - 1].action.ts = LARGE_NEWEST;
		batch->actions[LARGE_ACTIONS - 1].action.payload = TEXT("another");
		batch_finish(batch);
	}
	if (number % 4 == 3) {
		batch->base = (struct position){.seq = 0, .link = large->genesis};
		batch_finish(batch);
	}
	ck_assert_int_eq(large_settle(large, batch), STATUS_OK);
	if (number % 4 == 2) {
		ck_assert_int_eq(large->verdict.status, STATUS_TIMESTAMP_TAKEN);
		ck_assert_uint_eq(large->verdict.index, LARGE_ACTIONS - 1);
		ck_assert_uint_eq(large->log.row_count, rows);
	} else {
		ck_assert_int_eq(large->verdict.status, STATUS_OK);
		ck_assert_uint_eq(large->verdict.duplicates, number % 4 == 1 ? LARGE_ACTIONS : 0);
		ck_assert_uint_eq(large->verdict.applied, number % 4 == 1 ? 0 : LARGE_ACTIONS);
		ck_assert_uint_eq(large->verdict.late, large->verdict.applied);
		ck_assert_uint_eq(large->log.row_count, rows + large->verdict.applied);
	}
	*last = batch;
}

START_TEST(a_group_of_256_jobs_of_1000_actions_on_one_log_takes_memory_in_proportion)
{
	struct large large;
	struct batch *last = NULL;
	clock_t start = clock();

	large_init(&large, SIZE_MAX / 2);
	for (size_t number = 0; number < LARGE_JOBS; number++)
		run_large_job(&large, &last, number);
	ck_assert_uint_eq(large.log.row_count, LARGE_JOBS / 2 * LARGE_ACTIONS);
	ck_assert_uint_eq(large.log.head.position.seq, LARGE_JOBS / 2 * LARGE_ACTIONS);
	/* Rows and their index, each with all its smaller predecessors. */
	ck_assert_uint_le(large.group.used, 128 * large.log.row_count);
	printf("# 256 jobs of 1000 actions on one log: %.0f ms, %zu bytes a row\n",
	       1000.0 * (double)(clock() - start) / CLOCKS_PER_SEC,
	       large.group.used / large.log.row_count);
	large_release(&large);
}
END_TEST

/* Three appending jobs and a retry; false when memory ran out on the way. */
static bool
run_with_memory(size_t group_max)
{
	struct large large;
	enum status status = STATUS_OK;
	struct batch *batch;

	large_init(&large, group_max);
	batch = large_batch(&large, LARGE_NEWEST, 100);
	for (size_t number = 0; number < 4 && status == STATUS_OK; number++) {
		if (number == 1 || number == 2)
			batch = large_batch(&large, LARGE_NEWEST - number * 100, 100);
		status = large_settle(&large, batch);
	}
	if (status == STATUS_OK) {
		ck_assert_uint_eq(large.log.row_count, 300);
		ck_assert_uint_eq(large.verdict.duplicates, 100);
	} else {
		ck_assert_int_eq(status, STATUS_INTERNAL);
	}
	large_release(&large);
	return status == STATUS_OK;
}

START_TEST(a_group_that_runs_out_of_memory_anywhere_says_so)
{
	size_t group_max = 0;

	while (!run_with_memory(group_max))
		group_max += 16;
	ck_assert_uint_gt(group_max, 300 * sizeof(struct settled_row));
	printf("# out of memory at every bound below %zu bytes\n", group_max);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("chain_settle_groups");
	TCase *tests = tcase_create("groups");
	SRunner *runner;

	if (sodium_init() == -1)
		return EXIT_FAILURE;
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, random_groups_of_many_jobs_on_one_log_are_settled_as_the_model_does);
	tcase_add_test(tests, random_groups_notice_a_model_with_a_flaw);
	tcase_add_test(tests,
		       a_group_of_256_jobs_of_1000_actions_on_one_log_takes_memory_in_proportion);
	tcase_add_test(tests, a_group_that_runs_out_of_memory_anywhere_says_so);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	return runner_run(runner);
}
