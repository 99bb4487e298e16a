/* The disk refuses to grow, or a sync fails, at every point of a run in turn: nothing acknowledged is
 * lost, and nothing is acknowledged that was not synced. */
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/log.h"
#include "support/disk.h"
#include "support/runner.h"
#include "support/sanitizer.h"
#include "support/store_fixture.h"

#define STEPS 30

static void
limit_files(rlim_t size)
{
	struct rlimit limit;
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = size;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* Writes and tends until something fails; returns whether it did. The log then holds what was
 * acknowledged, *attempted what the last write would have made of it. */
static bool
run_to_fault(struct fixture *fixture, struct model_log *log, size_t *attempted)
{
	struct engine *engine = fixture->engine;
	for (int step = 0; step < STEPS; step++) {
		struct head before = log->head;
		size_t count = log->count;
		enum status status = fixture_write(fixture, log, 4, 900);
		*attempted = log->count;
		if (status != STATUS_OK) {
			ck_assert_int_eq(status, STATUS_STORAGE_UNAVAILABLE);
			log->count = count;
			log->head = before;
			return true;
		}
		uint64_t wait_msec;
		status = engine->ops->tend(engine, true, &wait_msec);
		if (status != STATUS_OK) {
			ck_assert_int_eq(status, STATUS_STORAGE_UNAVAILABLE);
			return true;
		}
	}
	return engine->ops->settle_down(engine) != STATUS_OK;
}

/* Opens again after a run: what was acknowledged is there, and of the write that failed all or
 * nothing, for a failed commit is unknown and not absent. */
static void
check_after_run(struct fixture *fixture, struct model_log *log, size_t attempted, bool failed)
{
	struct head head;
	if (failed) {
		/* Only closing is left. */
		struct model_log other;
		model_init(&other, "bob");
		ck_assert_int_eq(fixture_write(fixture, &other, 1, 1), STATUS_STORAGE_UNAVAILABLE);
		model_free(&other);
	}
	fixture_crash(fixture);
	fixture_check_clean(fixture);
	fixture_open(fixture, false);
	ck_assert_int_eq(
		fixture->engine->ops->head(fixture->engine, TEXT("alice"), &log->genesis, &head),
		STATUS_OK);
	if (head.position.seq != log->count) {
		ck_assert_uint_eq(head.position.seq, attempted);
		log->count = attempted;
		log->head = head;
	}
	fixture_check_log(fixture, log);
	log->count = attempted;
	model_free(log);
	fixture_remove(fixture);
}

#define LIMITS 60

/* Each limit in a process of its own: the runner's messages are in a file that must grow, too. */
START_TEST(a_disk_that_stops_growing_anywhere_loses_nothing_acknowledged)
{
	struct fixture fixture;
	struct model_log log;
	size_t attempted;
	log_configure(LOG_ERROR, LOG_LOGFMT);
	signal(SIGXFSZ, SIG_IGN);
	fixture_init(&fixture);
	fixture_open(&fixture, true);
	model_init(&log, "alice");
	limit_files(100 * 1024 + 40000 * (rlim_t)_i);
	const bool failed = run_to_fault(&fixture, &log, &attempted);
	limit_files(RLIM_INFINITY);
	check_after_run(&fixture, &log, attempted, failed);
	if (_i == 0 || _i == LIMITS - 1)
		ck_assert_int_eq(failed, _i == 0);
}
END_TEST

#define JOURNAL_LIMITS 50

/* Everything stays in the tail, so that it is the journal that cannot grow. */
START_TEST(a_journal_that_stops_growing_anywhere_loses_nothing_acknowledged)
{
	struct fixture fixture;
	struct model_log log;
	size_t attempted;
	log_configure(LOG_ERROR, LOG_LOGFMT);
	signal(SIGXFSZ, SIG_IGN);
	fixture_init(&fixture);
	fixture.options.tail_bytes = 1024 * 1024;
	fixture_open(&fixture, true);
	model_init(&log, "alice");
	limit_files(100 + 997 * (rlim_t)_i);
	const bool failed = run_to_fault(&fixture, &log, &attempted);
	limit_files(RLIM_INFINITY);
	ck_assert(failed);
	check_after_run(&fixture, &log, attempted, failed);
}
END_TEST

START_TEST(no_sync_fails_unseen)
{
	bool failed = true;
	unsigned faults = 0;
	log_configure(LOG_ERROR, LOG_LOGFMT);
	for (unsigned nth = 1; failed; nth++) {
		struct fixture fixture;
		struct model_log log;
		size_t attempted;
		fixture_init(&fixture);
		fixture_open(&fixture, true);
		model_init(&log, "alice");
		disk.failing_sync = disk.syncs + nth;
		failed = run_to_fault(&fixture, &log, &attempted);
		ck_assert_int_eq(failed, disk.syncs >= disk.failing_sync);
		disk.failing_sync = 0;
		faults += failed;
		check_after_run(&fixture, &log, attempted, failed);
	}
	ck_assert_uint_ge(faults, STEPS);
}
END_TEST

/* A snapshot of what the file holds. */
static sqlite3 *
begin_to_read(struct fixture *fixture)
{
	sqlite3 *db = fixture_sqlite(fixture);
	ck_assert_int_eq(sqlite3_exec(db, "BEGIN; SELECT count(*) FROM logs", NULL, NULL, NULL),
			 SQLITE_OK);
	return db;
}

/* Of a start, too: the next one has everything. The second time a reader keeps the WAL from going
 * into the file: what the start put in place rests on its commits alone. */
START_TEST(no_sync_of_a_start_fails_unseen)
{
	bool failed = true;
	unsigned faults = 0;
	log_configure(LOG_ERROR, LOG_LOGFMT);
	for (unsigned nth = 1; failed; nth++) {
		struct fixture fixture;
		struct model_log log;
		const char *problem = NULL;
		fixture_init(&fixture);
		fixture_open(&fixture, true);
		model_init(&log, "alice");
		for (int i = 0; i < 5; i++)
			ck_assert_int_eq(fixture_write(&fixture, &log, 4, 900), STATUS_OK);
		fixture_crash(&fixture);
		sqlite3 *reader = _i == 0 ? NULL : begin_to_read(&fixture);
		disk.failing_sync = disk.syncs + nth;
		failed = fixture_try_open(&fixture, false, &problem) != STATUS_OK;
		ck_assert_int_eq(failed, disk.syncs >= disk.failing_sync);
		ck_assert(!failed || problem != NULL);
		disk.failing_sync = 0;
		faults += failed;
		if (!failed)
			fixture_crash(&fixture);
		ck_assert_int_eq(sqlite3_close(reader), SQLITE_OK);
		fixture_check_clean(&fixture);
		fixture_open(&fixture, false);
		fixture_check_log(&fixture, &log);
		model_free(&log);
		fixture_remove(&fixture);
	}
	/* What is written again, each slice, and that the rows are in place. */
	ck_assert_uint_ge(faults, 3 + 20 / SLICE_ACTIONS + 1 + 1);
}
END_TEST

#define GROUPS 14

#define STRIDE BY_SANITIZER(1, 3, 40) /* each so manieth write */

/* Each assertion tells Check in a file that both processes write. What one dies in the middle of, Check
 * could not read. */
static void
stop_telling_check(void)
{
	const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
	ck_assert_int_ne(nowhere, -1);
	for (int fd = 3; fd < nowhere; fd++) {
		struct stat info;
		if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_nlink == 0)
			ck_assert_int_eq(dup2(nowhere, fd), fd);
	}
}

/* In a process of its own: groups, and all of them put in place. */
static void
write_and_die(struct fixture *fixture, unsigned nth, uint64_t *acknowledged)
{
	struct model_log log;
	stop_telling_check();
	fixture_open(fixture, false);
	model_init(&log, "alice");
	disk.fatal_write = disk.writes + nth;
	for (int i = 0; i < GROUPS; i++) {
		if (fixture_write(fixture, &log, 6, 700) != STATUS_OK)
			_exit(EXIT_FAILURE);
		*acknowledged = log.count;
	}
	_exit(fixture->engine->ops->settle_down(fixture->engine) == STATUS_OK ? EXIT_SUCCESS
									      : EXIT_FAILURE);
}

static void
check_after_death(struct fixture *fixture, uint64_t acknowledged)
{
	struct model_log log;
	struct head head;
	model_init(&log, "alice");
	for (int i = 0; i < GROUPS; i++) {
		fixture->now++;
		model_add_random(fixture, &log, 6, 700);
	}
	fixture_check_clean(fixture);
	fixture_open(fixture, false);
	struct engine *engine = fixture->engine;
	ck_assert_int_eq(engine->ops->head(engine, TEXT("alice"), &log.genesis, &head), STATUS_OK);
	ck_assert_uint_ge(head.position.seq, acknowledged);
	ck_assert_uint_eq(head.position.seq % 6, 0);
	const size_t all = log.count;
	log.count = (size_t)head.position.seq;
	log.head = head;
	fixture_check_log(fixture, &log);
	log.count = all;
	model_free(&log);
}

START_TEST(a_process_that_dies_at_any_write_loses_nothing_acknowledged)
{
	/* The child writes it, and dies. */
	const int shared = memfd_create("acknowledged", MFD_CLOEXEC);
	ck_assert_int_ne(shared, -1);
	ck_assert_int_eq(ftruncate(shared, sizeof(uint64_t)), 0);
	uint64_t *acknowledged =
		mmap(NULL, sizeof(*acknowledged), PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0);
	int result = 0;
	unsigned deaths = 0;
	bool died = true;
	ck_assert_ptr_ne(acknowledged, MAP_FAILED);
	log_configure(LOG_ERROR, LOG_LOGFMT);
	for (unsigned nth = 1; died; nth += STRIDE) {
		struct fixture fixture;
		fixture_init(&fixture);
		fixture.options.slice_actions = 5;
		fixture_open(&fixture, true);
		fixture_crash(&fixture);
		*acknowledged = 0;
		const pid_t child = fork();
		ck_assert_int_ne(child, -1);
		if (child == 0)
			write_and_die(&fixture, nth, acknowledged);
		ck_assert_int_eq(waitpid(child, &result, 0), child);
		died = WIFEXITED(result) && WEXITSTATUS(result) == DISK_DEATH;
		ck_assert(died || result == EXIT_SUCCESS);
		deaths += died;
		check_after_death(&fixture, *acknowledged);
		fixture_remove(&fixture);
	}
	ck_assert_uint_gt(deaths, 20 / STRIDE);
	ck_assert_int_eq(munmap(acknowledged, sizeof(*acknowledged)), 0);
	close(shared);
}
END_TEST

START_TEST(each_acknowledged_group_was_synced)
{
	struct fixture fixture;
	struct model_log log;
	fixture_init(&fixture);
	fixture_open(&fixture, true);
	model_init(&log, "alice");
	for (int step = 0; step < STEPS; step++) {
		const unsigned before = disk.syncs;
		ck_assert_int_eq(fixture_write(&fixture, &log, 4, 900), STATUS_OK);
		ck_assert_uint_gt(disk.syncs, before);
	}
	model_free(&log);
	fixture_remove(&fixture);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store_sqlite_faults");
	TCase *tests = tcase_create("sqlite_faults");
	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, a_disk_that_stops_growing_anywhere_loses_nothing_acknowledged, 0,
			    LIMITS);
	tcase_add_loop_test(tests, a_journal_that_stops_growing_anywhere_loses_nothing_acknowledged,
			    0, JOURNAL_LIMITS);
	tcase_add_test(tests, no_sync_fails_unseen);
	tcase_add_loop_test(tests, no_sync_of_a_start_fails_unseen, 0, 2);
	tcase_add_test(tests, a_process_that_dies_at_any_write_loses_nothing_acknowledged);
	tcase_add_test(tests, each_acknowledged_group_was_synced);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
