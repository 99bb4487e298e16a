/*
 * settle against the model, over all combinations of base, locator, actions, mode, clock policy or
 * quota, and what else is in the group.
 */
#include <check.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/runner.h"
#include "support/settle_group.h"

#define LOG TEXT("user-1")
#define PHONE TEXT("phone")
#define NOW_MSEC 1000000
#define SKEW_MSEC 600000
#define AHEAD_MSEC (NOW_MSEC + 4 * SKEW_MSEC)
#define ACTIONS_MAX 3

/*
 * The log before the group, or nothing:       the group's earlier job, where there is one:
 *
 *     1 phone  1000                               5 desk  5000
 *     2 tablet, far ahead                         6 phone 4500
 *     3 phone  3000
 *     4 phone  4000
 */
static const struct action *
known_actions(void)
{
	static struct action actions[6];

	actions[0] = (struct action){PHONE, 1000, TEXT("t"), TEXT("one")};
	actions[1] = (struct action){TEXT("tablet"), AHEAD_MSEC, TEXT("t"), TEXT("two")};
	actions[2] = (struct action){PHONE, 3000, TEXT("t"), TEXT("three")};
	actions[3] = (struct action){PHONE, 4000, TEXT("t"), TEXT("four")};
	actions[4] = (struct action){TEXT("desk"), 5000, TEXT("t"), TEXT("five")};
	actions[5] = (struct action){PHONE, 4500, TEXT("t"), TEXT("six")};
	return actions;
}

enum kind {
	KIND_NEW,
	KIND_DUPLICATE_AFTER,  /* in the log after the older base: 3, then 4 */
	KIND_DUPLICATE_BEFORE, /* in the log before it */
	KIND_TAKEN,	       /* the stamp of 3 with another payload */
	KIND_EARLIER,	       /* a free stamp before the device's newest; the second: far before */
	KIND_FAR_FUTURE,       /* the second: too far, and yet earlier than the tablet's newest */
	KIND_REPEATED,	       /* the action before it in the batch; the first: the group's 6 */
	KIND_RESTAMPED,	       /* the stamp of that one with another payload */
	KIND_OTHER_DEVICE,     /* one that has not written */
	KIND_COUNT
};

enum base {
	BASE_HEAD,
	BASE_OLDER,
	BASE_ZERO,
	BASE_WRONG,
	BASE_WRONG_ZERO,
	BASE_BEYOND,
	BASE_GROUP_MIDDLE, /* after 5: beyond, where there is no earlier job */
	BASE_GROUP_HEAD,   /* after 6 */
	BASE_GROUP_WRONG,  /* 5 with another link */
	BASE_COUNT
};

enum { LOCATOR_NONE, LOCATOR_NEWEST_FIRST, LOCATOR_UNORDERED, LOCATOR_COUNT };
enum { FULL_NEVER, FULL_SOON, FULL_LATER, FULL_OF_BYTES, FULL_OF_LOGS, FULL_COUNT };
enum { CLOCK_OFF, CLOCK_SKEWED, CLOCK_MONOTONIC, CLOCK_BOTH, CLOCK_COUNT };

/* What is in the group besides one batch: nothing, or an earlier job, and the batch again. */
enum { GROUP_EARLIER = 1, GROUP_TWICE = 2, GROUP_COUNT = 4 };

struct world {
	struct model model;
	size_t rows_before;
	struct position known[7]; /* after each of known_actions, chained on the log before */
	struct position wrong;
	struct batch earlier;
	struct batch_action earlier_actions[2];

	struct batch batch;
	struct batch_action actions[ACTIONS_MAX];
	struct arena arena;
	struct settle_group group;
	size_t combinations;
	size_t statuses[STATUS_COUNT]; /* of the last job of each combination */
	size_t refusals[STATUS_COUNT];
};

static void
world_init(struct world *world, size_t rows_before)
{
	const struct action *actions = known_actions();

	memset(world, 0, sizeof(*world));
	arena_init(&world->arena, 1 << 20);
	model_init(&world->model, LOG);
	world->rows_before = rows_before;
	world->known[0].link = world->model.genesis;
	for (size_t i = 0; i < 6; i++) {
		if (i < rows_before || i >= 4)
			model_append(&world->model, &actions[i], 100 + i);
		world->known[i + 1].seq = world->model.count;
		world->known[i + 1].link = *model_link(&world->model, world->model.count);
	}
	memset(&world->wrong.link, 0x77, sizeof(world->wrong.link));

	known_batch_begin(&world->earlier, LOG, world->earlier_actions, &world->known[4]);
	batch_add(&world->earlier, &actions[4]);
	batch_add(&world->earlier, &actions[5]);
	batch_finish(&world->earlier);
}

static struct position
base_position(const struct world *world, enum base base)
{
	struct position position = world->wrong;

	switch (base) {
	case BASE_HEAD:
		return world->known[4];
	case BASE_OLDER:
		return world->known[2];
	case BASE_ZERO:
		return world->known[0];
	case BASE_GROUP_MIDDLE:
		return world->known[5];
	case BASE_GROUP_HEAD:
		return world->known[6];
	case BASE_WRONG:
		position.seq = world->known[2].seq;
		break;
	case BASE_GROUP_WRONG:
		position.seq = world->known[5].seq;
		break;
	case BASE_BEYOND:
		position.seq = 100;
		break;
	default:
		position.seq = 0;
	}
	return position;
}

static void
set_locator(struct world *world, int locator)
{
	static const struct {
		size_t known;
		bool right;
	} pairs[LOCATOR_COUNT][6] = {
		[LOCATOR_NEWEST_FIRST] =
			{{6, false}, {5, true}, {3, true}, {2, false}, {1, true}, {0, true}},
		[LOCATOR_UNORDERED] =
			{{1, true}, {4, false}, {2, true}, {2, false}, {0, false}, {6, false}},
	};
	struct batch *batch = &world->batch;

	batch->locator_count = locator == LOCATOR_NONE ? 0 : 6;
	for (size_t i = 0; i < batch->locator_count; i++) {
		batch->locator[i] = world->known[pairs[locator][i].known];
		if (!pairs[locator][i].right)
			batch->locator[i].link = world->wrong.link;
	}
}

static struct action
action_of_kind(const struct world *world, enum kind kind)
{
	static const char *const numbers[ACTIONS_MAX] = {"a", "b", "c"};
	const struct action *known = known_actions();
	const struct batch *batch = &world->batch;
	size_t i = batch->action_count;
	const struct action *previous = i == 0 ? &known[5] : &batch->actions[i - 1].action;
	struct action action = {PHONE, 6000 + i, TEXT("t"), {numbers[i], 1}};

	switch (kind) {
	case KIND_DUPLICATE_AFTER:
		return i > 0 && previous->ts == known[2].ts ? known[3] : known[2];
	case KIND_DUPLICATE_BEFORE:
		return known[0];
	case KIND_REPEATED:
		return *previous;
	case KIND_TAKEN:
		action.ts = known[2].ts;
		break;
	case KIND_EARLIER:
		action.device = i == 1 ? TEXT("tablet") : PHONE;
		action.ts = 1500 + i;
		break;
	case KIND_FAR_FUTURE:
		action.device = i == 1 ? TEXT("tablet") : PHONE;
		action.ts = NOW_MSEC + 2 * SKEW_MSEC + i;
		break;
	case KIND_RESTAMPED:
		action.device = previous->device;
		action.ts = previous->ts;
		break;
	case KIND_OTHER_DEVICE:
		action.device = TEXT("laptop");
		action.ts = 10 + i;
		break;
	default:
		break;
	}
	return action;
}

/* With the group's earlier job the log is full, or has room for one more. */
static struct quota
quota_of(const struct world *world, int full)
{
	const uint64_t bytes = model_bytes(&world->model, world->rows_before);

	switch (full) {
	case FULL_SOON:
		return (struct quota){.log_actions = world->rows_before + 2};
	case FULL_LATER:
		return (struct quota){.log_actions = world->rows_before + 3,
				      .log_bytes = bytes + 30};
	case FULL_OF_BYTES: /* for one new action of the phone's, or two */
		return (struct quota){.log_bytes = bytes + 7 + 7};
	case FULL_OF_LOGS:
		return (struct quota){.subject_logs = 12, .log_actions = world->rows_before + 5};
	default:
		return (struct quota){0};
	}
}

static bool
run_group(struct world *world, int clock, int composition)
{
	const struct clock_policy policy = {
		.max_skew_msec = clock == CLOCK_SKEWED || clock == CLOCK_BOTH ? SKEW_MSEC : 0,
		.monotonic = clock == CLOCK_MONOTONIC || clock == CLOCK_BOTH};
	struct settle_group *group = &world->group;

	world->model.count = world->rows_before;
	group_begin(group, &world->model, &policy, &world->arena);
	world->combinations++;
	/* The clock is set back a little from job to job. */
	if ((composition & GROUP_EARLIER) && !group_settle(group, &world->earlier, NOW_MSEC + 7))
		return false;
	if (!group_settle(group, &world->batch, NOW_MSEC))
		return false;
	if ((composition & GROUP_TWICE) && !group_settle(group, &world->batch, NOW_MSEC - 3))
		return false;
	world->statuses[group->verdict.status]++;
	for (size_t i = 0; group->verdict.status == STATUS_OK && i < world->batch.action_count; i++)
		if (group->outcomes[group->job_count - 1][i].kind == OUTCOME_REFUSED)
			world->refusals[group->outcomes[group->job_count - 1][i].refusal]++;
	return true;
}

/* The clock off: what the quota does. */
static bool
run_quotas(struct world *world)
{
	bool same = true;

	set_locator(world, LOCATOR_NONE);
	for (int variant = 0; same && variant < 2 * (FULL_COUNT - 1) * GROUP_COUNT; variant++) {
		world->batch.reject = variant % 2 == 1;
		world->model.quota = quota_of(world, 1 + variant / 2 % (FULL_COUNT - 1));
		same = run_group(world, variant % 3 == 0 ? CLOCK_BOTH : CLOCK_OFF,
				 variant / 2 / (FULL_COUNT - 1));
	}
	world->model.quota = (struct quota){0};
	return same;
}

/* Every locator, mode, policy and group for the batch that is set up. */
static bool
run_batch(struct world *world)
{
	for (int locator = 0; locator < LOCATOR_COUNT; locator++)
		for (int variant = 0; variant < 2 * CLOCK_COUNT * GROUP_COUNT; variant++) {
			set_locator(world, locator);
			world->batch.reject = variant % 2 == 1;
			if (!run_group(world, variant / 2 % CLOCK_COUNT, variant / 2 / CLOCK_COUNT))
				return false;
		}
	return run_quotas(world);
}

/* Every batch of 0 to 3 actions: its number, read in the base KIND_COUNT, names their kinds. */
static bool
run_base(struct world *world, enum base base)
{
	const struct position position = base_position(world, base);
	size_t batches = 1;

	for (size_t action_count = 0; action_count <= ACTIONS_MAX; action_count++) {
		for (size_t number = 0; number < batches; number++) {
			size_t digits = number;

			known_batch_begin(&world->batch, LOG, world->actions, &position);
			while (world->batch.action_count < action_count) {
				struct action action =
					action_of_kind(world, (enum kind)(digits % KIND_COUNT));

				batch_add(&world->batch, &action);
				digits /= KIND_COUNT;
			}
			batch_finish(&world->batch);
			world->batch.state = (struct state_report){
				.seq = position.seq + number % (action_count + 1),
				.digest = TEXT("d"),
				.app = TEXT("a")};
			if (!run_batch(world))
				return false;
		}
		batches *= KIND_COUNT;
	}
	return true;
}

static void
run_all(size_t rows_before)
{
	struct world *world = malloc(sizeof(*world));

	ck_assert_ptr_nonnull(world);
	world_init(world, rows_before);
	for (int base = 0; base < BASE_COUNT; base++)
		ck_assert_msg(run_base(world, (enum base)base), "base %d, combination %zu: %s",
			      base, world->combinations, world->group.difference);
	printf("# %zu combinations on a log of %zu:", world->combinations, rows_before);
	for (size_t status = 0; status < STATUS_COUNT; status++)
		if (world->statuses[status] + world->refusals[status] > 0)
			printf(" %zu %s", world->statuses[status] + world->refusals[status],
			       status_info((enum status)status)->code);
	printf("\n");

	/* Whatever settle can answer was among the answers. */
	ck_assert_uint_gt(world->statuses[STATUS_OK], 0);
	ck_assert_uint_gt(world->statuses[STATUS_SERVER_BEHIND], 0);
	ck_assert_uint_gt(world->statuses[STATUS_HASH_MISMATCH], 0);
	ck_assert_uint_gt(world->statuses[STATUS_CONFLICT], 0);
	ck_assert_uint_gt(world->statuses[STATUS_QUOTA_EXCEEDED], 0);
	for (int status = STATUS_TIMESTAMP_TAKEN; status <= STATUS_NON_MONOTONIC_TIMESTAMP;
	     status++) {
		ck_assert_uint_gt(world->statuses[status], 0);
		ck_assert_uint_gt(world->refusals[status], 0);
	}
	arena_release(&world->arena);
	free(world);
}

START_TEST(every_combination_on_a_log_with_history_is_settled_as_the_model_does)
{
	run_all(4);
}
END_TEST

START_TEST(every_combination_on_an_empty_log_is_settled_as_the_model_does)
{
	run_all(0);
}
END_TEST

START_TEST(a_model_with_a_flaw_is_noticed)
{
	struct world *world = malloc(sizeof(*world));
	size_t noticed = 0;

	ck_assert_ptr_nonnull(world);
	for (int flaw = FLAW_NONE + 1; flaw < FLAW_COUNT; flaw++) {
		bool same = true;

		world_init(world, 4);
		world->model.flaw = (enum flaw)flaw;
		for (int base = 0; base < BASE_COUNT && same; base++)
			same = run_base(world, (enum base)base);
		ck_assert_msg(!same, "flaw %d passed for right", flaw);
		noticed++;
		arena_release(&world->arena);
	}
	printf("# %zu wrong models, each noticed\n", noticed);
	free(world);
}
END_TEST

/* How an action stamped ts, of a device whose newest stamp is that, is refused, or STATUS_OK. */
static enum status
refusal_after(uint64_t newest, uint64_t ts, const struct clock_policy *policy)
{
	struct world *world = malloc(sizeof(*world));
	const struct action old = {PHONE, newest, TEXT("t"), TEXT("old")};
	const struct action new = {PHONE, ts, TEXT("t"), TEXT("new")};

	ck_assert_ptr_nonnull(world);
	world_init(world, 0);
	world->model.count = 0;
	model_append(&world->model, &old, 100);
	known_batch_begin(&world->batch, LOG, world->actions, &world->known[0]);
	batch_add(&world->batch, &new);
	batch_finish(&world->batch);
	group_begin(&world->group, &world->model, policy, &world->arena);
	ck_assert_msg(group_settle(&world->group, &world->batch, NOW_MSEC), "%s",
		      world->group.difference);
	const enum status refusal = world->group.outcomes[0][0].refusal;
	arena_release(&world->arena);
	free(world);
	return refusal;
}

START_TEST(a_stamp_from_a_clock_that_was_ahead_locks_no_device_out)
{
	const struct clock_policy both = {.max_skew_msec = SKEW_MSEC, .monotonic = true};
	const struct clock_policy one = {.monotonic = true};
	const uint64_t limit = NOW_MSEC + SKEW_MSEC, year = UINT64_C(31536000000);

	ck_assert_int_eq(refusal_after(NOW_MSEC + year, NOW_MSEC, &both), STATUS_OK);
	ck_assert_int_eq(refusal_after(limit + 1, 1, &both), STATUS_OK);
	ck_assert_int_eq(refusal_after(limit + 1, limit + 1, &both), STATUS_TIMESTAMP_TAKEN);
	ck_assert_int_eq(refusal_after(limit + 1, limit + 2, &both), STATUS_CLOCK_SKEW);
	/* As far ahead as may be it counts, and there is a stamp after it a moment later. */
	ck_assert_int_eq(refusal_after(limit, NOW_MSEC, &both), STATUS_NON_MONOTONIC_TIMESTAMP);
	ck_assert_int_eq(refusal_after(limit - 1, limit, &both), STATUS_OK);
	/* Without a limit nothing is too far ahead. */
	ck_assert_int_eq(refusal_after(NOW_MSEC + year, NOW_MSEC, &one),
			 STATUS_NON_MONOTONIC_TIMESTAMP);
}
END_TEST

/* What a batch from a base on comes to, when so much of the log's four actions is gone. */
static enum status
status_on(const struct gone *gone, uint64_t base, bool right)
{
	struct world *world = malloc(sizeof(*world));
	struct verdict verdict;
	struct outcome outcome;
	struct facts facts = {.devices = {NULL}};
	struct device_facts device = {0};
	const struct clock_policy off = {0};
	const struct action new = {PHONE, 9000, TEXT("t"), TEXT("new")};
	struct settle_log log;

	ck_assert_ptr_nonnull(world);
	world_init(world, 4);
	const struct head head = {.position = world->known[4], .gone = *gone};
	known_batch_begin(&world->batch, LOG, world->actions, &world->known[base]);
	if (!right)
		world->batch.base.link = world->wrong.link;
	batch_add(&world->batch, &new);
	batch_finish(&world->batch);
	facts.devices[0] = &device;
	facts.links[0] = base == 4 ? &head.position.link : &world->known[base].link;
	settle_log_init(&log, &head, &world->arena);
	ck_assert_int_eq(settle(&log, &world->batch, &facts, &off, NOW_MSEC, &verdict, &outcome),
			 STATUS_OK);
	ck_assert_uint_eq(log.row_count, verdict.status == STATUS_OK ? 1 : 0);
	ck_assert_uint_eq(verdict.head.gone.pruned, gone->pruned);
	const enum status status = verdict.status;
	arena_release(&world->arena);
	free(world);
	return status;
}

START_TEST(of_what_is_pruned_no_base_is_taken_and_of_what_is_erased_none_at_all)
{
	const struct gone pruned = {.pruned = 3}, erased = {.erased_at = 1, .pruned = 3};

	for (uint64_t base = 0; base < 3; base++)
		ck_assert_int_eq(status_on(&pruned, base, true), STATUS_PRUNED);
	ck_assert_int_eq(status_on(&pruned, 2, false), STATUS_PRUNED);
	ck_assert_int_eq(status_on(&pruned, 3, true), STATUS_OK);
	ck_assert_int_eq(status_on(&pruned, 3, false), STATUS_HASH_MISMATCH);
	ck_assert_int_eq(status_on(&pruned, 4, true), STATUS_OK);
	for (uint64_t base = 0; base <= 4; base++)
		ck_assert_int_eq(status_on(&erased, base, base % 2 == 0), STATUS_ERASED);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("chain_settle");
	TCase *tests = tcase_create("settle");
	SRunner *runner;

	if (sodium_init() == -1)
		return EXIT_FAILURE;
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, every_combination_on_a_log_with_history_is_settled_as_the_model_does);
	tcase_add_test(tests, every_combination_on_an_empty_log_is_settled_as_the_model_does);
	tcase_add_test(tests, a_stamp_from_a_clock_that_was_ahead_locks_no_device_out);
	tcase_add_test(tests, of_what_is_pruned_no_base_is_taken_and_of_what_is_erased_none_at_all);
	tcase_add_test(tests, a_model_with_a_flaw_is_noticed);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	return runner_run(runner);
}
