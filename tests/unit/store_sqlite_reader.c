/* What readers see of a group that is under way: nothing before it is on the disk, and then everything,
 * once, also when it leaves the tail for the rows while they read. */
#include <dlfcn.h>
#include <errno.h>
#include <sys/syscall.h>

#include "support/runner.h"
#include "support/store_fixture.h"

#define IN_PLACE 5
#define IN_TAIL 5

/* When the statement that begins so has taken its first step, everything is put in place. */
static _Thread_local struct meanwhile {
	struct fixture *fixture; /* NULL: nothing happens */
	const char *statement;
} meanwhile;

static bool
is_meant(sqlite3_stmt *statement)
{
	const char *sql = sqlite3_sql(statement); /* NULL for some of the library's own */
	return meanwhile.fixture != NULL && sql != NULL &&
	       strncmp(sql, meanwhile.statement, strlen(meanwhile.statement)) == 0;
}

/* In the place of the library's. */
int
sqlite3_step(sqlite3_stmt *statement)
{
	int (*real)(sqlite3_stmt *);
	*(void **)&real = dlsym(RTLD_NEXT, "sqlite3_step");
	const int code = real(statement);
	if (is_meant(statement)) {
		struct engine *engine = meanwhile.fixture->engine;
		meanwhile.fixture = NULL;
		ck_assert_int_eq(engine->ops->settle_down(engine), STATUS_OK);
	}
	return code;
}

/* Some in place, some in the tail. */
static void
fill(struct fixture *fixture, struct model_log *log)
{
	struct engine *engine;
	fixture_init(fixture);
	fixture_open(fixture, true);
	model_init(log, "alice");
	engine = fixture->engine;
	ck_assert_int_eq(fixture_write(fixture, log, IN_PLACE, 100), STATUS_OK);
	ck_assert_int_eq(engine->ops->settle_down(engine), STATUS_OK);
	ck_assert_int_eq(fixture_write(fixture, log, IN_TAIL, 100), STATUS_OK);
}

/* Before it has its snapshot, when it has it, which the first look brings, and when it is among rows. */
START_TEST(a_reader_sees_once_what_leaves_the_tail_meanwhile)
{
	static const char *const statements[] = {"BEGIN", "SELECT entry.id, log.seq",
						 "SELECT seq, device"};
	struct fixture fixture;
	struct model_log log;
	struct position start, end;
	fill(&fixture, &log);
	struct engine *engine = fixture.engine;
	struct reading_check check = {&log, 1};
	const struct range range = {.after = 0, .upto = log.count, .rows_max = 100};
	meanwhile = (struct meanwhile){&fixture, statements[_i]};
	ck_assert_int_eq(engine->ops->read(engine, TEXT("alice"), &log.genesis, &range, check_row,
					   &check, &start, &end),
			 STATUS_OK);
	ck_assert_ptr_null(meanwhile.fixture);
	ck_assert_uint_eq(end.seq, IN_PLACE + IN_TAIL);
	ck_assert_uint_eq(check.next, IN_PLACE + IN_TAIL + 1);
	fixture_check_log(&fixture, &log);
	model_free(&log);
	fixture_remove(&fixture);
}
END_TEST

/* What is asked and answered while the journal is synced. */
static _Thread_local struct sync_hook {
	struct fixture *fixture; /* NULL: it is a plain sync */
	const struct model_log *log;
	uint64_t seen; /* the log's newest, as readers see it */
	bool fails;
} sync_hook;

/* In the place of the library's. */
int
fdatasync(int fd) // NOLINT(readability-inconsistent-*)
{
	struct fixture *fixture = sync_hook.fixture;
	struct head head;
	if (fixture == NULL)
		return (int)syscall(SYS_fdatasync, fd);
	sync_hook.fixture = NULL;
	ck_assert_int_eq(fixture->engine->ops->head(fixture->engine, TEXT("alice"),
						    &sync_hook.log->genesis, &head),
			 STATUS_OK);
	sync_hook.seen = head.position.seq;
	errno = EIO;
	return sync_hook.fails ? -1 : (int)syscall(SYS_fdatasync, fd);
}

START_TEST(nobody_sees_what_is_not_yet_on_the_disk)
{
	struct fixture fixture;
	struct model_log log;
	struct head head;
	fill(&fixture, &log);
	struct engine *engine = fixture.engine;
	sync_hook = (struct sync_hook){.fixture = &fixture, .log = &log, .fails = _i == 1};
	ck_assert_int_eq(fixture_write(&fixture, &log, 3, 100),
			 _i == 1 ? STATUS_STORAGE_UNAVAILABLE : STATUS_OK);
	ck_assert_ptr_null(sync_hook.fixture);
	ck_assert_uint_eq(sync_hook.seen, IN_PLACE + IN_TAIL);
	ck_assert_int_eq(engine->ops->head(engine, TEXT("alice"), &log.genesis, &head), STATUS_OK);
	ck_assert_uint_eq(head.position.seq, IN_PLACE + IN_TAIL + (_i == 1 ? 0 : 3));
	model_free(&log);
	fixture_remove(&fixture);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store_sqlite_reader");
	TCase *tests = tcase_create("sqlite_reader");
	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, a_reader_sees_once_what_leaves_the_tail_meanwhile, 0, 3);
	tcase_add_loop_test(tests, nobody_sees_what_is_not_yet_on_the_disk, 0, 2);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
