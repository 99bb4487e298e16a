/* What is rotten is found, marks its own log and no other, and what was acknowledged is kept. */
#include "store/sqlite/damage.h"
#include "support/runner.h"
#include "support/store_fixture.h"

struct world {
	struct fixture fixture;
	struct model_log good, bad;
};

/* Two logs of forty actions, in place, the file closed. */
static void
world_init(struct world *world)
{
	fixture_init(&world->fixture);
	model_init(&world->good, "good");
	model_init(&world->bad, "bad");
	fixture_open(&world->fixture, true);
	for (int i = 0; i < 8; i++) {
		ck_assert_int_eq(fixture_write(&world->fixture, &world->good, 5, 60), STATUS_OK);
		ck_assert_int_eq(fixture_write(&world->fixture, &world->bad, 5, 60), STATUS_OK);
	}
	struct engine *engine = world->fixture.engine;
	ck_assert_int_eq(engine->ops->settle_down(engine), STATUS_OK);
	fixture_crash(&world->fixture);
}

static void
world_release(struct world *world)
{
	model_free(&world->good);
	model_free(&world->bad);
	fixture_remove(&world->fixture);
}

static void
rot(struct world *world, const char *sql)
{
	fixture_sql(&world->fixture, sql);
	fixture_open(&world->fixture, false);
}

/* Reads all of the bad log and expects to get as far as the last good position. */
static void
expect_good_to(struct world *world, uint64_t good)
{
	struct engine *engine = world->fixture.engine;
	struct range range = {.after = 0, .upto = world->bad.count, .rows_max = 1000};
	for (int again = 0; again < 2; again++) {
		struct reading_check check = {&world->bad, 1};
		struct position start, end;
		ck_assert_int_eq(engine->ops->read(engine, TEXT("bad"), &world->bad.genesis, &range,
						   check_row, &check, &start, &end),
				 STATUS_LOG_DAMAGED);
		ck_assert_uint_eq(end.seq, good);
		ck_assert_uint_eq(check.next, good + 1);
	}
	struct head head;
	ck_assert_int_eq(engine->ops->head(engine, TEXT("bad"), &world->bad.genesis, &head),
			 STATUS_LOG_DAMAGED);
	ck_assert_uint_eq(head.position.seq, good);
	struct lookup lookup =
		fixture_ask(&world->fixture, &world->bad, (struct lookup){.kind = LOOKUP_HEAD});
	ck_assert_int_eq(lookup.status, STATUS_LOG_DAMAGED);
	ck_assert_uint_eq(lookup.head.position.seq, good);
	/* Up to there it is read as ever. */
	struct reading_check check = {&world->bad, 1};
	struct position start, end;
	range.upto = good;
	ck_assert_int_eq(engine->ops->read(engine, TEXT("bad"), &world->bad.genesis, &range,
					   check_row, &check, &start, &end),
			 STATUS_OK);
	ck_assert_uint_eq(end.seq, good);
	/* The other log goes on. */
	fixture_check_log(&world->fixture, &world->good);
	fixture_check_facts(&world->fixture, &world->good);
	ck_assert_int_eq(fixture_write(&world->fixture, &world->good, 3, 60), STATUS_OK);
	fixture_check_log(&world->fixture, &world->good);
}

START_TEST(a_rotten_payload_is_found_when_it_is_read)
{
	struct world world;
	world_init(&world);
	rot(&world, "UPDATE actions SET payload = 'x' || payload WHERE seq = 17 AND log ="
		    " (SELECT id FROM logs WHERE name = 'bad')");
	struct head head;
	struct engine *engine = world.fixture.engine;
	ck_assert_int_eq(engine->ops->head(engine, TEXT("bad"), &world.bad.genesis, &head),
			 STATUS_OK);
	expect_good_to(&world, 16);
	world_release(&world);
}
END_TEST

/* Rows are verified several at a time: the bad one may be any of them. */
START_TEST(a_bad_row_ends_a_page_wherever_it_stands)
{
	static const char *const harms[] = {
		"UPDATE actions SET payload = payload || ' '",
		"UPDATE actions SET payload = hex(zeroblob(2000))",
		"UPDATE actions SET link = zeroblob(32)",
		"UPDATE actions SET link = x'00'",
		"DELETE FROM actions",
	};
	for (size_t harm = 0; harm < sizeof(harms) / sizeof(harms[0]); harm++) {
		for (uint64_t seq = 1; seq <= 18; seq++) {
			struct world world;
			char sql[200];
			world_init(&world);
			uint64_t id = fixture_number(&world.fixture,
						     "SELECT id FROM logs WHERE name = 'bad'");
			ck_assert_int_lt(snprintf(sql, sizeof(sql),
						  "%s WHERE log = %ju AND seq = %ju", harms[harm],
						  (uintmax_t)id, (uintmax_t)seq),
					 (int)sizeof(sql));
			rot(&world, sql);
			expect_good_to(&world, seq - 1);
			world_release(&world);
		}
	}
}
END_TEST

START_TEST(a_missing_row_is_found_when_it_is_read)
{
	struct world world;
	world_init(&world);
	rot(&world, "DELETE FROM actions WHERE seq = 20 AND log ="
		    " (SELECT id FROM logs WHERE name = 'bad')");
	expect_good_to(&world, 19);
	world_release(&world);
}
END_TEST

START_TEST(a_rotten_newest_row_is_found_when_the_head_is_asked)
{
	struct world world;
	world_init(&world);
	rot(&world, "UPDATE actions SET ts = ts + 1 WHERE seq = 40 AND log ="
		    " (SELECT id FROM logs WHERE name = 'bad')");
	struct lookup lookup =
		fixture_ask(&world.fixture, &world.bad, (struct lookup){.kind = LOOKUP_HEAD});
	ck_assert_int_eq(lookup.status, STATUS_LOG_DAMAGED);
	ck_assert_uint_eq(lookup.head.position.seq, 39);
	expect_good_to(&world, 39);
	world_release(&world);
}
END_TEST

START_TEST(a_head_that_is_not_the_newest_row_is_found_by_readers)
{
	struct world world;
	world_init(&world);
	rot(&world, "UPDATE logs SET link = zeroblob(32) WHERE name = 'bad'");
	struct head head;
	struct engine *engine = world.fixture.engine;
	ck_assert_int_eq(engine->ops->head(engine, TEXT("bad"), &world.bad.genesis, &head),
			 STATUS_LOG_DAMAGED);
	ck_assert_uint_eq(head.position.seq, 40);
	fixture_check_log(&world.fixture, &world.good);
	world_release(&world);
}
END_TEST

START_TEST(a_rotten_row_is_not_blamed_on_a_phone)
{
	struct world world;
	world_init(&world);
	rot(&world, "UPDATE actions SET type = 'other' WHERE seq = 12 AND log ="
		    " (SELECT id FROM logs WHERE name = 'bad')");
	struct lookup lookup = fixture_ask(&world.fixture, &world.bad,
					   (struct lookup){.kind = LOOKUP_LINK, .seq = 13});
	ck_assert_int_eq(lookup.status, STATUS_OK);
	lookup = fixture_ask(&world.fixture, &world.bad,
			     (struct lookup){.kind = LOOKUP_LINK, .seq = 12});
	ck_assert_int_eq(lookup.status, STATUS_LOG_DAMAGED);
	ck_assert_uint_eq(lookup.head.position.seq, 11);
	expect_good_to(&world, 11);
	world_release(&world);
}
END_TEST

START_TEST(a_rotten_row_is_not_taken_for_a_stamp)
{
	struct world world;
	world_init(&world);
	rot(&world, "UPDATE actions SET payload = 'x' || payload WHERE seq = 9 AND log ="
		    " (SELECT id FROM logs WHERE name = 'bad')");
	const struct model_action *action = &world.bad.actions[8];
	struct lookup lookup = fixture_ask(&world.fixture, &world.bad,
					   (struct lookup){.kind = LOOKUP_TAKEN,
							   .device = text_of(action->device),
							   .ts = action->ts});
	ck_assert_int_eq(lookup.status, STATUS_LOG_DAMAGED);
	expect_good_to(&world, 8);
	world_release(&world);
}
END_TEST

START_TEST(a_page_that_sqlite_cannot_read_is_damage_and_no_fault)
{
	struct world world;
	world_init(&world);
	uint64_t page = fixture_number(&world.fixture,
				       "SELECT rootpage FROM sqlite_schema WHERE name = 'actions'");
	uint64_t page_size = fixture_number(&world.fixture, "PRAGMA page_size");
	FILE *file = fopen(world.fixture.path, "r+");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fseek(file, (long)((page - 1) * page_size), SEEK_SET), 0);
	ck_assert_int_eq(fputc(0xee, file), 0xee);
	ck_assert_int_eq(fclose(file), 0);
	fixture_open(&world.fixture, false);
	struct head head;
	struct engine *engine = world.fixture.engine;
	ck_assert_int_eq(engine->ops->head(engine, TEXT("bad"), &world.bad.genesis, &head),
			 STATUS_LOG_DAMAGED);
	ck_assert_uint_eq(head.position.seq, 0);
	world_release(&world);
}
END_TEST

/* An acknowledged batch meets rows that are not what they should be. */
START_TEST(an_action_that_does_not_fit_keeps_its_journal_and_stops_its_log)
{
	struct world world;
	world_init(&world);
	fixture_open(&world.fixture, false);
	struct engine *engine = world.fixture.engine;
	struct lookup lookup =
		fixture_ask(&world.fixture, &world.bad, (struct lookup){.kind = LOOKUP_HEAD});
	ck_assert_int_eq(lookup.status, STATUS_OK);
	ck_assert_int_eq(fixture_write(&world.fixture, &world.bad, 3, 60), STATUS_OK);
	ck_assert_int_eq(fixture_write(&world.fixture, &world.good, 3, 60), STATUS_OK);
	/* Another hand takes the seq of the second while the batch waits in the tail. */
	fixture_sql(&world.fixture,
		    "INSERT INTO actions SELECT id, 42, 'thief', 1, zeroblob(32), 't', ''"
		    " FROM logs WHERE name = 'bad'");
	ck_assert_int_eq(engine->ops->settle_down(engine), STATUS_OK);
	struct head head;
	ck_assert_int_eq(engine->ops->head(engine, TEXT("bad"), &world.bad.genesis, &head),
			 STATUS_LOG_DAMAGED);
	ck_assert_uint_eq(head.position.seq, 41);
	fixture_check_log(&world.fixture, &world.good);
	ck_assert_uint_eq(fixture_number(&world.fixture, "SELECT count(*) FROM journal"), 1);
	/* Nothing more is taken for it, and that costs no other log anything. */
	ck_assert_int_eq(fixture_write(&world.fixture, &world.bad, 1, 60), STATUS_LOG_DAMAGED);
	ck_assert_int_eq(fixture_write(&world.fixture, &world.good, 1, 60), STATUS_OK);
	fixture_crash(&world.fixture);
	/* It is the same after a restart. */
	fixture_open(&world.fixture, false);
	engine = world.fixture.engine;
	ck_assert_int_eq(engine->ops->head(engine, TEXT("bad"), &world.bad.genesis, &head),
			 STATUS_LOG_DAMAGED);
	fixture_check_log(&world.fixture, &world.good);
	ck_assert_uint_eq(fixture_number(&world.fixture, "SELECT count(*) FROM journal"), 1);
	world_release(&world);
}
END_TEST

START_TEST(a_log_that_gets_stuck_while_room_is_made_for_it_refuses_and_costs_nobody_else)
{
	struct world world;
	world_init(&world);
	fixture_open(&world.fixture, false);
	struct engine *engine = world.fixture.engine;
	ck_assert_int_eq(fixture_write(&world.fixture, &world.bad, 3, 60), STATUS_OK);
	ck_assert_int_eq(fixture_write(&world.fixture, &world.good, 3, 60), STATUS_OK);
	fixture_sql(&world.fixture,
		    "INSERT INTO actions SELECT id, 42, 'thief', 1, zeroblob(32), 't', ''"
		    " FROM logs WHERE name = 'bad'");
	/* More than the whole tail: everything that waits is applied first. */
	ck_assert_int_eq(fixture_write(&world.fixture, &world.bad, 300, 1000), STATUS_LOG_DAMAGED);
	fixture_check_log(&world.fixture, &world.good);
	ck_assert_int_eq(fixture_write(&world.fixture, &world.good, 3, 60), STATUS_OK);
	ck_assert_int_eq(engine->ops->settle_down(engine), STATUS_OK);
	fixture_check_log(&world.fixture, &world.good);
	ck_assert_uint_eq(fixture_number(&world.fixture, "SELECT count(*) FROM journal"), 1);
	world_release(&world);
}
END_TEST

/* The applier finds it while groups go on: what was acknowledged by then is in place or kept. */
START_TEST(a_log_found_stuck_while_it_grows_loses_nothing_acknowledged)
{
	struct world world;
	world_init(&world);
	fixture_open(&world.fixture, false);
	struct engine *engine = world.fixture.engine;
	ck_assert_int_eq(fixture_write(&world.fixture, &world.bad, 3, 60), STATUS_OK);
	ck_assert_int_eq(fixture_write(&world.fixture, &world.good, 3, 60), STATUS_OK);
	fixture_sql(&world.fixture,
		    "INSERT INTO actions SELECT id, 42, 'thief', 1, zeroblob(32), 't', ''"
		    " FROM logs WHERE name = 'bad'");
	enum status status = STATUS_OK;
	uint64_t groups = 0;
	for (; status == STATUS_OK && groups < 100000; groups++)
		status = fixture_write(&world.fixture, &world.bad, SLICE_ACTIONS, 100);
	ck_assert_int_eq(status, STATUS_LOG_DAMAGED);
	ck_assert_int_eq(fixture_write(&world.fixture, &world.good, 3, 60), STATUS_OK);
	ck_assert_int_eq(engine->ops->settle_down(engine), STATUS_OK);
	fixture_check_log(&world.fixture, &world.good);
	/* The first group, which is partly in place, and all but the last, which was refused. */
	ck_assert_uint_eq(fixture_number(&world.fixture, "SELECT count(*) FROM journal"), groups);
	world_release(&world);
}
END_TEST

/* Three journal records of the bad log and one of the good, of which one rots: so many bytes of the
 * n-th, from an offset (before its end, if that is negative). */
static void
crash_with_rotten_journal(struct world *world, size_t n, ssize_t offset, const char *rotten)
{
	size_t size, record_size;
	world_init(world);
	fixture_open(&world->fixture, false);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(fixture_write(&world->fixture, &world->bad, 2, 60), STATUS_OK);
	ck_assert_int_eq(fixture_write(&world->fixture, &world->good, 2, 60), STATUS_OK);
	fixture_crash(&world->fixture);
	uint8_t *bytes = fixture_journal(&world->fixture, 0, &size);
	uint8_t *record = bytes + fixture_frame(bytes, n, &record_size) + FRAME_SIZE;
	memcpy(offset < 0 ? record + record_size + offset : record + offset, rotten,
	       strlen(rotten));
	fixture_set_journal(&world->fixture, 0, bytes, size);
	free(bytes);
	fixture_open(&world->fixture, false);
}

START_TEST(a_rotten_journal_row_and_those_behind_it_are_kept)
{
	struct world world;
	/* The last byte is of the last link: the name can be read. */
	crash_with_rotten_journal(&world, 1, -1, "\x99");
	expect_good_to(&world, 42);
	ck_assert_uint_eq(fixture_number(&world.fixture, "SELECT count(*) FROM journal"), 2);
	fixture_crash(&world.fixture);
	fixture_open(&world.fixture, false);
	expect_good_to(&world, 42);
	world_release(&world);
}
END_TEST

START_TEST(a_journal_row_that_says_nothing_marks_its_log_by_the_row_behind_it)
{
	struct world world;
	crash_with_rotten_journal(&world, 0, 0, "\xff");
	expect_good_to(&world, 40);
	ck_assert_uint_eq(fixture_number(&world.fixture, "SELECT min(id) FROM journal"), 17);
	world_release(&world);
}
END_TEST

START_TEST(a_rotten_name_in_the_journal_marks_no_other_log)
{
	struct world world;
	/* "bad" becomes "god": no such log, and not "good". */
	crash_with_rotten_journal(&world, 2, 19, "god");
	struct hash genesis;
	struct head head;
	struct engine *engine = world.fixture.engine;
	chain_genesis(TEXT("god"), &genesis);
	ck_assert_int_eq(engine->ops->head(engine, TEXT("god"), &genesis, &head), STATUS_OK);
	ck_assert_uint_eq(head.position.seq, 0);
	ck_assert_int_eq(engine->ops->head(engine, TEXT("bad"), &world.bad.genesis, &head),
			 STATUS_OK);
	ck_assert_uint_eq(head.position.seq, 44);
	fixture_check_log(&world.fixture, &world.good);
	ck_assert_uint_ge(fixture_number(&world.fixture, "SELECT count(*) FROM journal"), 1);
	world_release(&world);
}
END_TEST

START_TEST(a_mark_by_who_has_read_the_log_before_it_was_erased_does_not_open_it)
{
	const struct gone erased = {.erased_at = 77, .cleared = 30}, reopened = {.cleared = 30};
	struct hash genesis;
	struct head good = {.position.seq = 20}, lower = {.position.seq = 10};
	struct damage *damage = damage_new();
	ck_assert_ptr_nonnull(damage);
	chain_genesis(TEXT("bad"), &genesis);
	ck_assert_int_eq(damage_mark(damage, TEXT("bad"), &genesis, &good, "x"), STATUS_OK);
	damage_set_gone(damage, &genesis, &erased);
	ck_assert_int_eq(damage_mark(damage, TEXT("bad"), &genesis, &lower, "x"), STATUS_OK);
	ck_assert_uint_eq(lower.position.seq, 10);
	ck_assert_uint_eq(lower.gone.erased_at, 77);
	/* Nor does one of before it was opened erase it. */
	damage_set_gone(damage, &genesis, &reopened);
	struct head lowest = {.position.seq = 5, .gone = erased};
	ck_assert_int_eq(damage_mark(damage, TEXT("bad"), &genesis, &lowest, "x"), STATUS_OK);
	ck_assert_uint_eq(lowest.position.seq, 5);
	ck_assert_uint_eq(lowest.gone.erased_at, 0);
	damage_free(damage);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store_sqlite_damage");
	TCase *tests = tcase_create("sqlite_damage");
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, a_rotten_payload_is_found_when_it_is_read);
	tcase_add_test(tests, a_bad_row_ends_a_page_wherever_it_stands);
	tcase_add_test(tests, a_missing_row_is_found_when_it_is_read);
	tcase_add_test(tests, a_rotten_newest_row_is_found_when_the_head_is_asked);
	tcase_add_test(tests, a_head_that_is_not_the_newest_row_is_found_by_readers);
	tcase_add_test(tests, a_rotten_row_is_not_blamed_on_a_phone);
	tcase_add_test(tests, a_rotten_row_is_not_taken_for_a_stamp);
	tcase_add_test(tests, a_page_that_sqlite_cannot_read_is_damage_and_no_fault);
	tcase_add_test(tests, an_action_that_does_not_fit_keeps_its_journal_and_stops_its_log);
	tcase_add_test(
		tests,
		a_log_that_gets_stuck_while_room_is_made_for_it_refuses_and_costs_nobody_else);
	tcase_add_test(tests, a_log_found_stuck_while_it_grows_loses_nothing_acknowledged);
	tcase_add_test(tests, a_rotten_journal_row_and_those_behind_it_are_kept);
	tcase_add_test(tests, a_journal_row_that_says_nothing_marks_its_log_by_the_row_behind_it);
	tcase_add_test(tests, a_rotten_name_in_the_journal_marks_no_other_log);
	tcase_add_test(tests, a_mark_by_who_has_read_the_log_before_it_was_erased_does_not_open_it);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
