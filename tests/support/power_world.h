/*
 * power_world: a shard that lives under power cuts, and the judge of what they leave.
 *
 *     a life: groups, slices, checkpoints, starts ─▶ moments ─▶ cuts ─▶ judged, in a folder of their own
 *                                                                 ╰─▶ some are kept, and cut again
 *                                                                     while they are recovered
 */
#ifndef SUPPORT_POWER_WORLD_H
#define SUPPORT_POWER_WORLD_H

#include <poll.h>

#include "base/log.h"
#include "support/power.h"
#include "support/store_fixture.h"

#define LOGS 3
#define SECTOR 512
#define PAGE 4096

/* What a cut left, and what was known then. */
struct cut {
	struct cut *next;
	struct power_image image;
	uint64_t acknowledged[LOGS], attempted[LOGS];
};

struct world {
	struct fixture fixture, after; /* after: in the place where cuts are looked at */
	struct model_log logs[LOGS];

	/* What follows is guarded by the disk's lock. */
	uint64_t acknowledged[LOGS], attempted[LOGS];
	struct cut *cuts;     /* not yet looked at */
	unsigned stride;      /* the power goes at each so manieth moment; 0: it stays */
	unsigned ways;	      /* of cutting, at such a moment */
	uint64_t seed;	      /* of the next cut */
	enum power_cut way;   /* of the next cut */
	unsigned moments;     /* so far */
	unsigned count;	      /* cuts so far */
	unsigned keep_stride; /* each so manieth cut is kept for later; 0: none is */
	struct cut *kept;

	unsigned looked; /* cuts looked at */
	unsigned losses; /* cuts that lost something acknowledged */
	char what[700];	 /* of the first */
};

static void
take_cut(struct world *world, enum power_cut way)
{
	struct cut *cut = calloc(1, sizeof(*cut));
	CHECK(cut != NULL);
	memcpy(cut->acknowledged, world->acknowledged, sizeof(cut->acknowledged));
	memcpy(cut->attempted, world->attempted, sizeof(cut->attempted));
	power_cut(&cut->image, way, world->seed++);
	cut->next = world->cuts;
	world->cuts = cut;
	world->count++;
}

static void
on_moment(void *cookie)
{
	struct world *world = cookie;
	if (world->stride == 0 || ++world->moments % world->stride != 0)
		return;
	if (power_is_all_stable()) {
		take_cut(world, CUT_KEEPS_ALL);
		return;
	}
	for (unsigned i = 0; i < world->ways; i++) {
		take_cut(world, world->way);
		world->way = (world->way + 1) % POWER_CUTS;
	}
}

static void
set_stride(struct world *world, unsigned stride)
{
	disk_lock();
	world->stride = stride;
	disk_unlock(0);
}

static void
world_init(struct world *world, size_t unit, uint64_t seed)
{
	static const char *const names[LOGS] = {"anna", "bert", "carl"};
	memset(world, 0, sizeof(*world));
	log_configure(LOG_ERROR, LOG_LOGFMT);
	fixture_init(&world->fixture);
	fixture_init(&world->after);
	world->fixture.random = world->seed = seed;
	world->ways = 1;
	for (size_t i = 0; i < LOGS; i++)
		model_init(&world->logs[i], names[i]);
	disk.moment = on_moment;
	disk.cookie = world;
	power_watch(world->fixture.dir, unit);
}

static void
forget_cut(struct cut *cut)
{
	power_forget(&cut->image);
	free(cut);
}

static void
world_release(struct world *world)
{
	ck_assert_ptr_null(world->cuts);
	ck_assert_ptr_null(world->kept);
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
	view.head = model_head_at(log, (size_t)seq);
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
		    then.head.received_at != head.received_at || then.head.bytes != head.bytes)
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
lost(const struct world *world, const struct cut *cut)
{
	static char what[700];
	struct fixture fixture = world->after;
	struct audit_totals totals;
	const char *problem = "";
	power_lay_out(&cut->image, fixture.dir);
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
	disk_lock();
	struct cut *cuts = world->cuts;
	world->cuts = NULL;
	disk_unlock(0);
	while (cuts != NULL) {
		struct cut *cut = cuts;
		cuts = cut->next;
		const char *wrong = lost(world, cut);
		if (wrong != NULL && world->losses++ == 0)
			snprintf(world->what, sizeof(world->what), "%s", wrong);
		if (world->keep_stride > 0 && ++world->looked % world->keep_stride == 0) {
			cut->next = world->kept;
			world->kept = cut;
		} else {
			forget_cut(cut);
		}
	}
}

/* --- a life; each step is false when something failed --- */

static bool
write_groups(struct world *world, size_t groups)
{
	struct engine *engine = world->fixture.engine;
	for (size_t n = 0; n < groups; n++) {
		const size_t count = 1 + fixture_random(&world->fixture, 4);
		disk_lock();
		for (size_t i = 0; i < LOGS; i++)
			world->attempted[i] = world->logs[i].count + count;
		disk_unlock(0);
		if (fixture_write_group(&world->fixture, world->logs, LOGS, count, 1500) !=
		    STATUS_OK)
			return false;
		disk_lock();
		memcpy(world->acknowledged, world->attempted, sizeof(world->attempted));
		disk_unlock(0);
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
		disk_lock();
		world->acknowledged[i] = world->attempted[i] = view.count;
		disk_unlock(0);
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

/* The power goes again while what a cut left is recovered. */
static void
recover_under_cuts(struct world *world, const struct cut *cut)
{
	const char *problem = "";
	power_unwatch();
	power_lay_out(&cut->image, world->fixture.dir);
	power_watch(world->fixture.dir, disk.unit);
	memcpy(world->acknowledged, cut->acknowledged, sizeof(cut->acknowledged));
	memcpy(world->attempted, cut->attempted, sizeof(cut->attempted));
	world->ways = 1;
	set_stride(world, 3);
	ck_assert_msg(fixture_try_open(&world->fixture, false, &problem) == STATUS_OK, "%s",
		      problem);
	stop(world);
	set_stride(world, 0);
}

#endif
