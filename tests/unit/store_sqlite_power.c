/* The power goes at every moment of a shard's life in turn: what was acknowledged is there, of the
 * group under way a beginning, and the shard goes on. */
#include <poll.h>

#include "base/log.h"
#include "support/disk.h"
#include "support/runner.h"
#include "support/store_fixture.h"

#define LOGS 3
#define SECTOR 512
#define PAGE 4096

/* The power goes at each so manieth moment. Threads take their time with ThreadSanitizer. */
#ifdef __SANITIZE_THREAD__
#define STRIDE 40
#else
#define STRIDE 4
#endif

/* What a cut left, and what was known then. */
struct cut {
	struct cut *next;
	struct disk_image image;
	uint64_t acknowledged[LOGS], attempted[LOGS];
};

struct world {
	struct fixture fixture, after; /* after: in the place where cuts are looked at */
	struct model_log logs[LOGS];

	/* What follows is guarded by the disk's lock. */
	uint64_t acknowledged[LOGS], attempted[LOGS];
	struct cut *cuts;	 /* not yet looked at */
	unsigned stride;	 /* the power goes at each so manieth moment; 0: it stays */
	unsigned moments, count; /* so far; cuts so far */

	unsigned losses; /* cuts that lost something acknowledged */
	char what[700];	 /* of the first */
};

static void
lock(void)
{
	ck_assert_int_eq(pthread_mutex_lock(&disk.lock), 0);
}

static void
unlock(void)
{
	ck_assert_int_eq(pthread_mutex_unlock(&disk.lock), 0);
}

static void
on_moment(void *cookie)
{
	struct world *world = cookie;
	if (world->stride == 0 || ++world->moments % world->stride != 0)
		return;
	struct cut *cut = calloc(1, sizeof(*cut));
	CHECK(cut != NULL);
	memcpy(cut->acknowledged, world->acknowledged, sizeof(cut->acknowledged));
	memcpy(cut->attempted, world->attempted, sizeof(cut->attempted));
	disk_cut_power(&cut->image, world->count++);
	cut->next = world->cuts;
	world->cuts = cut;
}

static void
set_stride(struct world *world, unsigned stride)
{
	lock();
	world->stride = stride;
	unlock();
}

static void
world_init(struct world *world, size_t unit)
{
	static const char *const names[LOGS] = {"anna", "bert", "carl"};
	memset(world, 0, sizeof(*world));
	log_configure(LOG_ERROR, LOG_LOGFMT);
	fixture_init(&world->fixture);
	fixture_init(&world->after);
	for (size_t i = 0; i < LOGS; i++)
		model_init(&world->logs[i], names[i]);
	disk.moment = on_moment;
	disk.cookie = world;
	disk_watch(world->fixture.dir, unit);
}

static void
world_release(struct world *world)
{
	ck_assert_ptr_null(world->cuts);
	disk.moment = NULL;
	disk.liar = NULL;
	for (size_t i = 0; i < LOGS; i++)
		model_free(&world->logs[i]);
	fixture_remove(&world->fixture);
	fixture_remove(&world->after);
}

/* --- what is left --- */

/* The log as it was when it had so many actions. */
static struct model_log
model_at(const struct model_log *log, uint64_t seq)
{
	struct model_log view = *log;
	view.count = (size_t)seq;
	view.head = (struct head){.position = {seq, log->genesis}};
	if (seq > 0)
		view.head = (struct head){.position = {seq, log->actions[seq - 1].link},
					  .received_at = log->actions[seq - 1].received_at};
	return view;
}

/* NULL, or what is wrong with a shard that has been opened. */
static const char *
compare_logs(const struct world *world, const struct cut *cut, struct fixture *fixture)
{
	bool torn = false;
	for (size_t i = 0; i < LOGS; i++) {
		const struct model_log *log = &world->logs[i];
		struct head head;
		if (fixture->engine->ops->head(fixture->engine, text_of(log->name), &log->genesis,
					       &head) != STATUS_OK)
			return "a log is damaged";
		const uint64_t seq = head.position.seq;
		if (seq < cut->acknowledged[i])
			return "acknowledged actions are lost";
		if (seq != cut->acknowledged[i] && seq != cut->attempted[i])
			return "a batch is there in part";
		if (seq == cut->attempted[i] && seq != cut->acknowledged[i] && torn)
			return "a group has a later batch and not an earlier one";
		torn |= seq != cut->attempted[i];
		/* The audit has chained the rows up to it. */
		const struct model_log then = model_at(log, seq);
		if (!hash_equal(&then.head.position.link, &head.position.link) ||
		    then.head.received_at != head.received_at)
			return "other actions are there";
	}
	return NULL;
}

static const char *
go_on(struct fixture *fixture)
{
	struct model_log other;
	size_t sizes[2];
	model_init(&other, "dora");
	enum status status = fixture_write(fixture, &other, 2, 30);
	if (status == STATUS_OK)
		status = fixture->engine->ops->settle_down(fixture->engine);
	model_free(&other);
	fixture_crash(fixture);
	if (status != STATUS_OK)
		return "it does not go on";
	for (unsigned which = 0; which < 2; which++)
		free(fixture_journal(fixture, which, &sizes[which]));
	if (sizes[0] != 64 || sizes[1] != 64)
		return "the journal is not empty at rest";
	return fixture_number(fixture, "SELECT count(*) FROM journal") > 0 ? "a record is kept"
									   : NULL;
}

/* NULL, or what was lost. */
static const char *
lost(const struct world *world, struct cut *cut)
{
	static char what[700];
	struct fixture fixture = world->after;
	struct audit_totals totals;
	const char *problem = "";
	disk_lay_out(&cut->image, fixture.dir);
	const struct findings findings = fixture_audit(&fixture, &totals);
	if (findings.count > 0)
		snprintf(what, sizeof(what), "audit: %s %ju: %s", findings.log,
			 (uintmax_t)findings.seq, findings.what);
	const char *wrong = findings.count > 0 ? what : NULL;
	if (wrong == NULL && fixture_try_open(&fixture, false, &problem) != STATUS_OK)
		wrong = problem;
	if (wrong == NULL)
		wrong = compare_logs(world, cut, &fixture);
	if (wrong == NULL)
		wrong = go_on(&fixture);
	if (fixture.engine != NULL)
		fixture_crash(&fixture);
	return wrong;
}

/* Looks at what the cuts since the last time left. */
static void
look(struct world *world)
{
	lock();
	struct cut *cuts = world->cuts;
	world->cuts = NULL;
	unlock();
	while (cuts != NULL) {
		struct cut *cut = cuts;
		const char *wrong = lost(world, cut);
		if (wrong != NULL && world->losses++ == 0)
			snprintf(world->what, sizeof(world->what), "%s", wrong);
		cuts = cut->next;
		free(cut);
	}
}

/* --- a life; each step is false when something failed --- */

static bool
write_groups(struct world *world, size_t groups)
{
	struct engine *engine = world->fixture.engine;
	for (size_t n = 0; n < groups; n++) {
		const size_t count = 1 + fixture_random(&world->fixture, 4);
		lock();
		for (size_t i = 0; i < LOGS; i++)
			world->attempted[i] = world->logs[i].count + count;
		unlock();
		if (fixture_write_group(&world->fixture, world->logs, LOGS, count, 1500) !=
		    STATUS_OK)
			return false;
		lock();
		memcpy(world->acknowledged, world->attempted, sizeof(world->attempted));
		unlock();
		uint64_t wait_msec;
		if (engine->ops->tend(engine, false, &wait_msec) != STATUS_OK)
			return false;
		look(world);
	}
	return true;
}

/* What is there once it is open stays there. */
static bool
start(struct world *world, bool create)
{
	const char *problem = "";
	if (fixture_try_open(&world->fixture, create, &problem) != STATUS_OK)
		return false;
	look(world);
	for (size_t i = 0; i < LOGS; i++) {
		struct model_log *log = &world->logs[i];
		struct head head;
		ck_assert_int_eq(world->fixture.engine->ops->head(world->fixture.engine,
								  text_of(log->name), &log->genesis,
								  &head),
				 STATUS_OK);
		ck_assert_uint_ge(head.position.seq, world->acknowledged[i]);
		ck_assert_uint_le(head.position.seq, log->count);
		const struct model_log view = model_at(log, head.position.seq);
		model_truncate(log, view.count);
		log->head = view.head;
		lock();
		world->acknowledged[i] = world->attempted[i] = view.count;
		unlock();
	}
	return true;
}

static bool
settle_down(struct world *world)
{
	struct engine *engine = world->fixture.engine;
	const enum status status = engine->ops->settle_down(engine);
	look(world);
	return status == STATUS_OK;
}

/* Until everything is in place and in the file because nothing else is to be done. */
static bool
rest(struct world *world)
{
	struct engine *engine = world->fixture.engine;
	enum status status = STATUS_OK;
	uint64_t wait_msec = 0;
	for (int i = 0; i < 1000 && status == STATUS_OK && wait_msec < 1000; i++) {
		(void)poll(NULL, 0, (int)wait_msec);
		status = engine->ops->tend(engine, true, &wait_msec);
	}
	ck_assert(status != STATUS_OK || wait_msec >= 1000);
	look(world);
	return status == STATUS_OK;
}

static void
stop(struct world *world)
{
	if (world->fixture.engine != NULL)
		fixture_crash(&world->fixture);
	look(world);
}

static bool
live(struct world *world)
{
	if (!write_groups(world, 10) || !settle_down(world) || !write_groups(world, 7))
		return false;
	stop(world);
	if (!start(world, false) || !write_groups(world, 7) || !rest(world) ||
	    !write_groups(world, 2))
		return false;
	stop(world);
	return start(world, false) && settle_down(world);
}

START_TEST(a_power_cut_at_any_moment_loses_nothing_acknowledged)
{
	struct world world;
	world_init(&world, _i == 0 ? SECTOR : PAGE);
	ck_assert(start(&world, true));
	set_stride(&world, STRIDE);
	ck_assert(live(&world));
	stop(&world);
	ck_assert_msg(world.losses == 0, "%u of %u: %s", world.losses, world.count, world.what);
	ck_assert_uint_gt(world.count, 400 / STRIDE);
	world_release(&world);
}
END_TEST

/* SQLite does not see every sync that fails while a file is new; it must not matter. */
START_TEST(a_first_start_is_on_the_disk_or_refused)
{
	unsigned refused = 0;
	bool failed = true;
	for (unsigned nth = 1; failed; nth++) {
		struct world world;
		world_init(&world, PAGE);
		disk.failing_sync = disk.syncs + nth;
		const bool started = start(&world, true);
		failed = disk.syncs >= disk.failing_sync;
		ck_assert(started || failed);
		disk.failing_sync = 0;
		refused += !started;
		for (int i = 0; i < 5 && started; i++) {
			lock();
			world.stride = 1;
			on_moment(&world);
			world.stride = 0;
			unlock();
		}
		stop(&world);
		ck_assert_msg(world.losses == 0, "sync %u: %s", nth, world.what);
		world_release(&world);
	}
	ck_assert_uint_ge(refused, 5);
}
END_TEST

/* A file's syncs do nothing: that must be seen, or these tests show nothing. */
START_TEST(a_disk_that_lies_is_caught)
{
	static const char *const liars[] = {".journal-0", ".journal-1", ".db-wal", ".db"};
	struct world world;
	world_init(&world, PAGE);
	ck_assert(start(&world, true));
	disk.liar = liars[_i];
	set_stride(&world, STRIDE);
	ck_assert(live(&world));
	stop(&world);
	ck_assert_uint_gt(world.losses, 0);
	world_release(&world);
}
END_TEST

/* A sync fails, the daemon starts again, and then the power goes. */
START_TEST(a_sync_that_fails_loses_nothing_acknowledged)
{
	unsigned faults = 0;
	for (bool failed = true; failed; faults += failed) {
		struct world world;
		world_init(&world, faults % 2 == 0 ? SECTOR : PAGE);
		ck_assert(start(&world, true));
		disk.failing_sync = disk.syncs + 1 + faults;
		const bool lived = live(&world);
		/* One that fails while the engine is being closed is nobody's to see. */
		failed = disk.syncs >= disk.failing_sync;
		ck_assert(lived || failed);
		disk.failing_sync = 0;
		world.moments = faults;
		set_stride(&world, 3 * STRIDE);
		stop(&world);
		ck_assert(start(&world, false) && write_groups(&world, 2) && settle_down(&world));
		stop(&world);
		ck_assert_msg(world.losses == 0, "sync %u, %u of %u: %s", faults, world.losses,
			      world.count, world.what);
		world_release(&world);
	}
	ck_assert_uint_gt(faults, 30);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store_sqlite_power");
	TCase *tests = tcase_create("sqlite_power");
	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, a_power_cut_at_any_moment_loses_nothing_acknowledged, 0, 2);
	tcase_add_test(tests, a_first_start_is_on_the_disk_or_refused);
	tcase_add_loop_test(tests, a_disk_that_lies_is_caught, 0, 4);
	tcase_add_test(tests, a_sync_that_fails_loses_nothing_acknowledged);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
