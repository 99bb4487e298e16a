/* The n-th allocation of a start, of a group on its way to the journal, of a read, of what is put in
 * place fails, for every n: it says so and neither crashes nor leaks, and the next try works. */
#include "base/log.h"
#include "support/fault.h"
#include "support/memory.h"
#include "support/runner.h"
#include "support/store_fixture.h"
#include "support/sanitizer.h"
#include "support/sweep.h"

#define LOGS 2

#define SWEEP_STEP BY_SANITIZER(1, 29, 61)

#define memory_check(condition)                                                                    \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: allocation %u: " #condition "\n", __FILE__,        \
				__LINE__, (unsigned)memory.nth);                                   \
			_exit(EXIT_FAILURE);                                                       \
		}                                                                                  \
	} while (0)

struct scene {
	struct fixture fixture;
	struct model_log logs[LOGS];
	struct model_append appends[LOGS]; /* of the group that is written under the fault */
	struct head before[LOGS];
};

static void
write_groups(struct scene *scene, int groups)
{
	for (int i = 0; i < groups; i++)
		memory_check(fixture_write_group(&scene->fixture, scene->logs, LOGS, 5, 900) ==
			     STATUS_OK);
}

/* What there is no memory for is lost, and nothing else. */
static void
keep_states(struct scene *scene)
{
	struct engine *engine = scene->fixture.engine;
	for (int i = 0; i < LOGS; i++) {
		const struct position *at = &scene->logs[i].head.position;
		const struct drift_report report = {
			.device = TEXT("phone"),
			.link = at->link,
			.state = {.seq = at->seq, .digest = TEXT("0a"), .app = TEXT("1")}};
		const struct kept_state kept = {
			.report = &report, .below = at->seq, .from = UINT64_MAX};
		engine->ops->keep_state(engine, text_of(scene->logs[i].name), &kept);
	}
}

static void
see_state(void *cookie, const struct drift_report *report)
{
	const struct model_log *log = cookie;
	memory_check(report->state.seq >= 1 && report->state.seq <= log->count &&
		     hash_equal(&report->link, &log->actions[report->state.seq - 1].link) &&
		     text_equal(report->state.digest, TEXT("0a")));
}

/* --- what is done under the fault; each with what was before --- */

static void
crash_with_a_journal(struct scene *scene)
{
	write_groups(scene, 2);
	memory_check(scene->fixture.engine->ops->settle_down(scene->fixture.engine) == STATUS_OK);
	write_groups(scene, 3);
	fixture_crash(&scene->fixture);
}

static enum status
start(struct scene *scene)
{
	const char *problem = NULL;
	const enum status status = fixture_try_open(&scene->fixture, false, &problem);
	memory_check(status == STATUS_OK || problem != NULL);
	return status;
}

static void
make_group(struct scene *scene)
{
	write_groups(scene, 1);
	scene->fixture.now++;
	for (int i = 0; i < LOGS; i++) {
		scene->before[i] = scene->logs[i].head;
		model_add_random(&scene->fixture, &scene->logs[i], 5, 900);
		model_append_init(&scene->appends[i], &scene->logs[i], 5, &scene->before[i]);
	}
}

static enum status
write_group(struct scene *scene)
{
	struct append group[LOGS];
	for (int i = 0; i < LOGS; i++)
		group[i] = scene->appends[i].append;
	const enum status status =
		scene->fixture.engine->ops->write(scene->fixture.engine, group, LOGS);
	if (status == STATUS_OK)
		keep_states(scene);
	return status;
}

static void
fill_rows_and_tail(struct scene *scene)
{
	write_groups(scene, 3);
	keep_states(scene);
	memory_check(scene->fixture.engine->ops->settle_down(scene->fixture.engine) == STATUS_OK);
	write_groups(scene, 3);
}

static void
fill_tail(struct scene *scene)
{
	write_groups(scene, 4);
	keep_states(scene);
}

static enum status
settle_down(struct scene *scene)
{
	return scene->fixture.engine->ops->settle_down(scene->fixture.engine);
}

struct reading {
	const struct model_log *log;
	uint64_t seq;
	bool wrong;
};

static bool
visit(void *cookie, const struct row *row)
{
	struct reading *reading = cookie;
	reading->wrong |= row->seq != ++reading->seq ||
			  !hash_equal(&row->link, &reading->log->actions[row->seq - 1].link);
	return true;
}

static enum status
read_logs(struct scene *scene)
{
	struct engine *engine = scene->fixture.engine;
	enum status status = STATUS_OK;
	for (int i = 0; i < LOGS && status == STATUS_OK; i++) {
		const struct model_log *log = &scene->logs[i];
		const struct text name = text_of(log->name);
		const struct range range = {.upto = log->count, .rows_max = log->count};
		struct reading reading = {.log = log};
		struct position first, last;
		struct head head;
		status = engine->ops->head(engine, name, &log->genesis, &head);
		if (status == STATUS_OK)
			status = engine->ops->read(engine, name, &log->genesis, &range, visit,
						   &reading, &first, &last);
		memory_check(!reading.wrong);
		memory_check(status != STATUS_OK || reading.seq == log->count);
	}
	return status;
}

static enum status
look_up(struct scene *scene)
{
	struct lookup lookups[2 * LOGS];
	for (int i = 0; i < LOGS; i++) {
		const struct model_log *log = &scene->logs[i];
		lookups[2 * i] = (struct lookup){.kind = LOOKUP_TAKEN,
						 .log = text_of(log->name),
						 .genesis = &log->genesis,
						 .device = text_of(log->actions[0].device),
						 .ts = log->actions[0].ts};
		lookups[2 * i + 1] = lookups[2 * i];
		lookups[2 * i + 1].kind = LOOKUP_NEWEST;
	}
	enum status status =
		scene->fixture.engine->ops->gather(scene->fixture.engine, lookups, 2 * LOGS);
	for (int i = 0; i < 2 * LOGS && status == STATUS_OK; i++)
		status = lookups[i].status;
	memory_check(status != STATUS_OK || (lookups[0].taken.found && lookups[0].taken.seq == 1));
	for (int i = 0; i < LOGS; i++)
		scene->fixture.engine->ops->load_states(scene->fixture.engine,
							text_of(scene->logs[i].name), see_state,
							&scene->logs[i]);
	return status;
}

struct act {
	const char *name;
	void (*before)(struct scene *);
	enum status (*act)(struct scene *);
	bool for_good;
};

static const struct act acts[] = {
	{"memory out, a start", crash_with_a_journal, start, false},
	{"memory out, a group", make_group, write_group, false},
	{"memory out, a read", fill_rows_and_tail, read_logs, false},
	{"memory out, facts", fill_rows_and_tail, look_up, false},
	{"memory out, into place", fill_tail, settle_down, false},
	{"memory out for good, a start", crash_with_a_journal, start, true},
	{"memory out for good, a group", make_group, write_group, true},
	{"memory out for good, a read", fill_rows_and_tail, read_logs, true},
	{"memory out for good, facts", fill_rows_and_tail, look_up, true},
	{"memory out for good, into place", fill_tail, settle_down, true},
};

/* --- afterwards --- */

/* A group that was acknowledged is there; one that failed as a whole or not at all. */
static void
find_group(struct scene *scene, bool acknowledged)
{
	struct engine *engine = scene->fixture.engine;
	bool is_there[LOGS];
	for (int i = 0; i < LOGS; i++) {
		struct model_log *log = &scene->logs[i];
		struct head head;
		memory_check(engine->ops->head(engine, text_of(log->name), &log->genesis, &head) ==
			     STATUS_OK);
		is_there[i] = head.position.seq == log->count;
		memory_check(is_there[i] || head.position.seq == scene->before[i].position.seq);
		memory_check(is_there[i] == is_there[0]);
		memory_check(is_there[i] || !acknowledged);
		if (!is_there[i]) {
			model_truncate(log, (size_t)head.position.seq);
			log->head = head;
		}
	}
}

static void
compare(struct scene *scene)
{
	for (int i = 0; i < LOGS; i++)
		fixture_check_log(&scene->fixture, &scene->logs[i]);
}

static void
run(const struct act *act, unsigned nth, enum status *status, unsigned *fired)
{
	static struct scene scene;
	memset(&scene, 0, sizeof(scene));
	fixture_init(&scene.fixture);
	fixture_open(&scene.fixture, true);
	model_init(&scene.logs[0], "anna");
	model_init(&scene.logs[1], "bert");
	act->before(&scene);
	memory_fail(nth, act->for_good);
	*status = act->act(&scene);
	*fired = memory.fired;
	memory_check(*status == STATUS_OK || (*fired > 0 && *status == STATUS_STORAGE_UNAVAILABLE));
	memory_release();
	for (int i = 0; i < LOGS && act->act == write_group; i++)
		model_append_release(&scene.appends[i]);
	if (*status != STATUS_OK && act->act == read_logs)
		memory_check(read_logs(&scene) == STATUS_OK);
	if (scene.fixture.engine != NULL)
		fixture_crash(&scene.fixture);
	fixture_check_clean(&scene.fixture);
	fixture_open(&scene.fixture, false);
	if (act->act == write_group)
		find_group(&scene, *status == STATUS_OK);
	compare(&scene);
	write_groups(&scene, 1);
	compare(&scene);
	fixture_remove(&scene.fixture);
	for (int i = 0; i < LOGS; i++)
		model_free(&scene.logs[i]);
}

static bool
fail_at(const void *cookie, unsigned nth, struct sweep_counts *counts)
{
	static bool is_warm;
	enum status status = STATUS_OK;
	unsigned fired = 0;
	long left = 1;
	for (int i = 0; i < 2 && !is_warm; i++) /* what is made once is there then */
		run(cookie, 0, &status, &fired);
	is_warm = true;
	for (int i = 0; i < MEMORY_RUNS && left > 0; i++) {
		const long before = memory.live;
		run(cookie, nth, &status, &fired);
		left = memory.live - before;
	}
	if (left > 0) {
		fprintf(stderr, "allocation %u: %ld were not freed\n", nth, left);
		_exit(EXIT_FAILURE);
	}
	counts->noticed += status != STATUS_OK;
	return fired > 0;
}

START_TEST(memory_that_runs_out_anywhere_is_said_and_survived)
{
	const struct sweep sweep = {.name = acts[_i].name,
				    .point = fail_at,
				    .cookie = &acts[_i],
				    .workers = 4,
				    .stride = SWEEP_STEP};
	memory_init();
	log_configure(LOG_ERROR + 1, LOG_LOGFMT);
	const struct sweep_counts counts = sweep_run(&sweep);
	/* What is small does without SQLite. */
	ck_assert(counts.points > 0 || MEMORY_IS_SQLITES);
	ck_assert(counts.noticed > 0 || MEMORY_IS_SQLITES);
}
END_TEST

/* One allocation that is not freed where another failed: that must be seen. */
static void *volatile memory_leaked;

static enum status
read_and_leak(struct scene *scene)
{
	const enum status status = read_logs(scene);
	memory_release();
	if (status != STATUS_OK)
		memory_leaked = sqlite3_malloc(100);
	return status;
}

START_TEST(a_leak_is_caught)
{
	const struct act act = {"control", fill_rows_and_tail, read_and_leak, false};
	struct sweep_counts counts = {0};
	int result = 0;
	memory_init();
	log_configure(LOG_ERROR + 1, LOG_LOGFMT);
	fflush(stdout);
	const pid_t child = fork();
	ck_assert_int_ne(child, -1);
	if (child == 0) {
		for (unsigned nth = 1; nth < 100; nth++)
			(void)fail_at(&act, nth, &counts);
		_exit(EXIT_SUCCESS);
	}
	ck_assert_int_eq(waitpid(child, &result, 0), child);
	ck_assert(WIFEXITED(result) && WEXITSTATUS(result) == EXIT_FAILURE);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store_memory");
	TCase *tests = tcase_create("memory");
	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, memory_that_runs_out_anywhere_is_said_and_survived, 0,
			    sizeof(acts) / sizeof(acts[0]));
	tcase_add_test(tests, a_leak_is_caught);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
