/* The disk refuses to grow, or a sync fails, at every point of a run in turn: nothing acknowledged is
 * lost, and nothing is acknowledged that was not synced. */
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "support/runner.h"
#include "support/store_fixture.h"

#define STEPS 30

static unsigned syncs;	      /* so far, in this process */
static unsigned failing_sync; /* the one that fails; 0: none does */

/* Takes the place of the library's: SQLite syncs through here. */
int
fdatasync(int fd) // NOLINT(readability-inconsistent-*): glibc's name is reserved
{
	if (++syncs == failing_sync) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

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

START_TEST(a_disk_that_stops_growing_anywhere_loses_nothing_acknowledged)
{
	bool failed = true;
	int faults = 0;
	log_configure(LOG_ERROR, LOG_LOGFMT);
	signal(SIGXFSZ, SIG_IGN);
	for (rlim_t size = 100 * 1024; failed; size += 7000) {
		struct fixture fixture;
		struct model_log log;
		size_t attempted;
		fixture_init(&fixture);
		fixture_open(&fixture, true);
		model_init(&log, "alice");
		limit_files(size);
		failed = run_to_fault(&fixture, &log, &attempted);
		limit_files(RLIM_INFINITY);
		faults += failed;
		check_after_run(&fixture, &log, attempted, failed);
	}
	ck_assert_int_gt(faults, 10);
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
		failing_sync = syncs + nth;
		failed = run_to_fault(&fixture, &log, &attempted);
		ck_assert_int_eq(failed, syncs >= failing_sync);
		failing_sync = 0;
		faults += failed;
		check_after_run(&fixture, &log, attempted, failed);
	}
	ck_assert_uint_ge(faults, STEPS);
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
		const unsigned before = syncs;
		ck_assert_int_eq(fixture_write(&fixture, &log, 4, 900), STATUS_OK);
		ck_assert_uint_gt(syncs, before);
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
	tcase_add_test(tests, a_disk_that_stops_growing_anywhere_loses_nothing_acknowledged);
	tcase_add_test(tests, no_sync_fails_unseen);
	tcase_add_test(tests, each_acknowledged_group_was_synced);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
