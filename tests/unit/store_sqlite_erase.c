/* Erasures: over damage to their end, of what was there for those that a kept list has, and what a log is that
 * was opened again. */
#include "support/runner.h"
#include "support/store_fixture.h"

#define ACTIONS 30
#define PAYLOAD_MAX 20

struct world {
	struct fixture fixture;
	struct model_log log, other;
};

static void
world_init(struct world *world)
{
	fixture_init(&world->fixture);
	fixture_open(&world->fixture, true);
	model_init(&world->log, "notes");
	model_init(&world->other, "other");
	fixture_write(&world->fixture, &world->log, ACTIONS, PAYLOAD_MAX);
	fixture_write(&world->fixture, &world->other, ACTIONS, PAYLOAD_MAX);
	ck_assert_int_eq(world->fixture.engine->ops->settle_down(world->fixture.engine), STATUS_OK);
	fixture_crash(&world->fixture);
}

static void
world_release(struct world *world)
{
	model_free(&world->log);
	model_free(&world->other);
	fixture_remove(&world->fixture);
}

static enum status
take(struct world *world, const struct model_log *log, struct removal *removal)
{
	struct engine *engine = world->fixture.engine;
	uint64_t kept;
	removal->log = text_of(log->name);
	removal->genesis = &log->genesis;
	const enum status status = engine->ops->remove(engine, removal, 1, true, &kept);
	return status == STATUS_OK ? removal->status : status;
}

/* Actions of a log that have content. */
static uint64_t
content(struct world *world, const struct model_log *log)
{
	char sql[200];
	snprintf(sql, sizeof(sql),
		 "SELECT count(*) FROM actions JOIN logs ON logs.id = actions.log"
		 " WHERE name = '%s' AND type <> ''",
		 log->name);
	return fixture_number(&world->fixture, sql);
}

static uint64_t
content_of_all(struct world *world)
{
	return fixture_number(&world->fixture, "SELECT sum(type <> '' AND link IS NOT '')"
					       " FROM actions NOT INDEXED");
}

/* Damage to the first log, as what a crash or a rotten page leaves. */
static const char *const damages[] = {
	"DELETE FROM actions WHERE log = 1 AND seq = 12",
	"DELETE FROM actions WHERE log = 1 AND seq IN (1, 2, 30)",
	"UPDATE actions SET payload = 'rotten' WHERE log = 1 AND seq = 12",
	"UPDATE actions SET link = zeroblob(32) WHERE log = 1 AND seq = 12",
	"UPDATE actions SET link = x'00' WHERE log = 1 AND seq = 12",
	"UPDATE actions SET type = hex(zeroblob(200)) WHERE log = 1 AND seq = 12",
	"UPDATE logs SET link = zeroblob(32) WHERE id = 1",
	"UPDATE logs SET seq = 12 WHERE id = 1",
};

START_TEST(an_erasure_takes_what_does_not_verify_and_goes_on_over_what_is_missing)
{
	struct world world;
	struct removal erase = {.kind = REMOVE_ALL, .now_msec = 77};
	struct head head;
	world_init(&world);
	fixture_sql(&world.fixture, damages[_i]);
	fixture_open(&world.fixture, false);
	struct engine *engine = world.fixture.engine;
	if (_i % 2 == 1) {
		/* Somebody has met it before. */
		const struct range all = {.upto = SEQ_MAX, .rows_max = 0};
		struct position start, end;
		(void)!engine->ops->head(engine, text_of(world.log.name), &world.log.genesis,
					 &head);
		(void)!engine->ops->read(engine, text_of(world.log.name), &world.log.genesis, &all,
					 NULL, NULL, &start, &end);
	}
	ck_assert_int_eq(take(&world, &world.log, &erase), STATUS_OK);
	ck_assert(!erase.more);
	ck_assert_uint_eq(erase.head.gone.erased_at, 77);
	(void)!engine->ops->head(engine, text_of(world.log.name), &world.log.genesis, &head);
	ck_assert_uint_eq(head.gone.erased_at, 77);
	fixture_crash(&world.fixture);
	ck_assert_uint_eq(content(&world, &world.log), 0);
	ck_assert_uint_eq(content(&world, &world.other), ACTIONS);
	fixture_open(&world.fixture, false);
	fixture_check_log(&world.fixture, &world.other);
	world_release(&world);
}
END_TEST

START_TEST(an_erasure_that_was_cut_off_is_ended_over_damage)
{
	struct world world;
	struct removal erase = {.kind = REMOVE_ALL, .now_msec = 77};
	struct removal begun = {.kind = REMOVE_BEGUN};
	world_init(&world);
	fixture_open(&world.fixture, false);
	ck_assert_int_eq(take(&world, &world.log, &erase), STATUS_OK);
	fixture_crash(&world.fixture);
	/* As if it had not come to these. */
	fixture_sql(&world.fixture, "UPDATE actions SET type = 'secret' WHERE log = 1 AND seq > 9");
	fixture_sql(&world.fixture, damages[_i]);
	fixture_open(&world.fixture, false);
	ck_assert_int_eq(take(&world, &world.log, &begun), STATUS_OK);
	fixture_crash(&world.fixture);
	ck_assert_uint_eq(content(&world, &world.log), 0);
	ck_assert_uint_eq(content(&world, &world.other), ACTIONS);
	world_release(&world);
}
END_TEST

START_TEST(a_redacted_row_of_which_the_type_has_rotted_keeps_its_digest)
{
	struct world world;
	struct removal erase = {.kind = REMOVE_ALL, .now_msec = 77}, again = erase;
	world_init(&world);
	fixture_open(&world.fixture, false);
	ck_assert_int_eq(take(&world, &world.log, &erase), STATUS_OK);
	fixture_crash(&world.fixture);
	fixture_sql(&world.fixture, "UPDATE actions SET type = 'x' WHERE log = 1 AND seq = 9");
	fixture_open(&world.fixture, false);
	ck_assert_int_eq(take(&world, &world.log, &again), STATUS_OK);
	ck_assert_uint_eq(again.removed, 1);
	fixture_crash(&world.fixture);
	fixture_check_clean(&world.fixture);
	world_release(&world);
}
END_TEST

static bool
pass(void *cookie, const struct row *row)
{
	(void)cookie;
	(void)row;
	return true;
}

START_TEST(an_erased_log_is_erased_still_when_a_reader_finds_it_damaged)
{
	const struct range all = {.upto = SEQ_MAX, .rows_max = 100};
	struct world world;
	struct removal erase = {.kind = REMOVE_ALL, .now_msec = 77};
	struct position start, end;
	struct head head;
	world_init(&world);
	fixture_open(&world.fixture, false);
	ck_assert_int_eq(take(&world, &world.log, &erase), STATUS_OK);
	fixture_crash(&world.fixture);
	fixture_sql(&world.fixture, damages[2]);
	fixture_open(&world.fixture, false);
	struct engine *engine = world.fixture.engine;
	ck_assert_int_eq(engine->ops->read(engine, text_of(world.log.name), &world.log.genesis,
					   &all, pass, NULL, &start, &end),
			 STATUS_LOG_DAMAGED);
	ck_assert_int_eq(
		engine->ops->head(engine, text_of(world.log.name), &world.log.genesis, &head),
		STATUS_LOG_DAMAGED);
	ck_assert_uint_eq(head.gone.erased_at, 77);
	world_release(&world);
}
END_TEST

START_TEST(a_damaged_log_is_not_redacted_or_pruned)
{
	struct world world;
	const uint64_t seqs[] = {12};
	struct removal redact = {.kind = REMOVE_ACTIONS, .seqs = seqs, .seq_count = 1};
	struct removal prune = {.kind = REMOVE_BEFORE, .upto = 20, .received_before = TS_MAX};
	world_init(&world);
	fixture_sql(&world.fixture, damages[2]);
	fixture_open(&world.fixture, false);
	ck_assert_int_eq(take(&world, &world.log, &redact), STATUS_LOG_DAMAGED);
	ck_assert_int_eq(take(&world, &world.log, &prune), STATUS_LOG_DAMAGED);
	fixture_crash(&world.fixture);
	ck_assert_uint_eq(content(&world, &world.log), ACTIONS);
	world_release(&world);
}
END_TEST

/* The number of the log that a row says it is of, and its seq, before device. */
static void
rot_key(struct world *world, const struct model_action *action, uint8_t log, uint8_t seq)
{
	size_t size;
	uint8_t *bytes = fixture_file(&world->fixture, ".db", &size);
	const uint8_t *link = memmem(bytes, size, action->link.bytes, HASH_SIZE);
	ck_assert_ptr_nonnull(link);
	uint8_t *at = bytes + (link - bytes);
	while (memcmp(at, "device-", 7) != 0)
		at--;
	/* The number 1 takes no byte in a record: only one that does can become another. */
	ck_assert_uint_eq(at[-2], 2);
	at[-2] = log;
	if (seq > 0)
		at[-1] = seq;
	fixture_set_file(&world->fixture, ".db", bytes, size);
	free(bytes);
}

/* A row that says it is of another log is that one's only where its key leads to it. */
START_TEST(no_row_of_another_log_goes_with_an_erasure)
{
	struct world world;
	struct removal erase = {.kind = REMOVE_ALL, .now_msec = 77};
	world_init(&world);
	rot_key(&world, &world.other.actions[_i], 1, 0);
	fixture_open(&world.fixture, false);
	const enum status status = take(&world, &world.log, &erase);
	ck_assert(!erase.more);
	fixture_crash(&world.fixture);
	ck_assert_uint_eq(content_of_all(&world), status == STATUS_OK ? ACTIONS : 2 * ACTIONS);
	world_release(&world);
}
END_TEST

/* Behind a row whose key has rotted no range finds any: what cannot be found is not said to be gone. */
START_TEST(an_erasure_does_not_end_where_a_key_has_rotted)
{
	struct world world;
	struct removal erase = {.kind = REMOVE_ALL, .now_msec = 77};
	world_init(&world);
	rot_key(&world, &world.other.actions[_i], 3, 0);
	fixture_open(&world.fixture, false);
	ck_assert_int_eq(take(&world, &world.other, &erase), STATUS_LOG_DAMAGED);
	fixture_crash(&world.fixture);
	ck_assert_uint_eq(content(&world, &world.log), ACTIONS);
	world_release(&world);
}
END_TEST

/* Whatever a key has become: what is said to be gone is, and where it is not nothing went. */
static void
judge_rotten_key(size_t index, uint8_t log, uint8_t seq, struct removal removal)
{
	struct world world;
	world_init(&world);
	rot_key(&world, &world.other.actions[index], log, seq);
	fixture_open(&world.fixture, false);
	const enum status status = take(&world, &world.other, &removal);
	ck_assert(status == STATUS_OK || status == STATUS_LOG_DAMAGED);
	fixture_crash(&world.fixture);
	ck_assert_uint_eq(content_of_all(&world), status == STATUS_OK ? ACTIONS : 2 * ACTIONS);
	world_release(&world);
}

static const struct removal whole_ranges[] = {
	{.kind = REMOVE_ALL, .now_msec = 77},
	{.kind = REMOVE_BEFORE, .upto = ACTIONS, .received_before = TS_MAX},
};

START_TEST(what_a_row_of_another_log_hides_is_not_said_to_be_gone)
{
	for (size_t index = 1; index < ACTIONS - 1; index++) {
		judge_rotten_key(index, 1, 0, whole_ranges[_i]);
		judge_rotten_key(index, 3, 0, whole_ranges[_i]);
	}
}
END_TEST

START_TEST(what_a_row_with_another_seq_hides_is_not_said_to_be_gone)
{
	for (size_t index = 1; index < ACTIONS - 1; index += 5) {
		for (uint8_t seq = 2; seq < ACTIONS + 10; seq++) {
			if (seq != index + 1)
				judge_rotten_key(index, 2, seq, whole_ranges[_i]);
		}
	}
}
END_TEST

START_TEST(a_payload_goes_though_its_type_has_rotted_to_nothing)
{
	struct world world;
	struct removal erase = {.kind = REMOVE_ALL, .now_msec = 77};
	struct removal prune = {.kind = REMOVE_BEFORE, .upto = 20, .received_before = TS_MAX};
	world_init(&world);
	fixture_sql(&world.fixture, "UPDATE actions SET type = '' WHERE log = 1 AND seq = 12");
	fixture_open(&world.fixture, false);
	ck_assert_int_eq(take(&world, &world.log, &prune), STATUS_LOG_DAMAGED);
	ck_assert_int_eq(take(&world, &world.log, &erase), STATUS_OK);
	ck_assert_uint_eq(erase.removed, ACTIONS);
	fixture_crash(&world.fixture);
	ck_assert_uint_eq(fixture_number(&world.fixture,
					 "SELECT count(*) FROM actions WHERE log = 1"
					 " AND length(payload) <> 64"),
			  0);
	world_release(&world);
}
END_TEST

/* --- erasures that a kept list has --- */

static enum status
replay(struct world *world, uint64_t upto, uint64_t before, bool stays_open, struct removal *out)
{
	*out = (struct removal){.kind = REMOVE_ALL,
				.now_msec = 77,
				.erased_link = upto == 0 ? &world->log.genesis
							 : &world->log.actions[upto - 1].link,
				.upto = upto,
				.received_before = before,
				.stays_open = stays_open};
	return take(world, &world->log, out);
}

START_TEST(what_was_received_before_an_erasure_goes_though_the_erased_log_had_less)
{
	static const uint64_t uptos[] = {0, 10, 20};
	struct world world;
	struct removal erase;
	world_init(&world);
	fixture_open(&world.fixture, false);
	const uint64_t after = world.log.actions[ACTIONS - 1].received_at + 1;
	ck_assert_int_eq(replay(&world, uptos[_i], after, false, &erase), STATUS_OK);
	ck_assert_uint_eq(erase.head.gone.erased_at, 77);
	ck_assert_uint_eq(erase.removed, ACTIONS);
	ck_assert_uint_eq(erase.absent, 0);
	world_release(&world);
}
END_TEST

START_TEST(what_was_received_after_an_erasure_keeps_the_log_open)
{
	static const uint64_t uptos[] = {0, 10, 20};
	struct world world;
	struct removal erase;
	world_init(&world);
	fixture_open(&world.fixture, false);
	const uint64_t before = world.log.actions[0].received_at;
	ck_assert_int_eq(replay(&world, uptos[_i], before, false, &erase), STATUS_OK);
	ck_assert_uint_eq(erase.head.gone.erased_at, 0);
	ck_assert_uint_eq(erase.removed, uptos[_i]);
	world_release(&world);
}
END_TEST

START_TEST(of_a_log_that_was_opened_again_nothing_behind_the_position_goes)
{
	struct world world;
	struct removal erase;
	world_init(&world);
	fixture_open(&world.fixture, false);
	ck_assert_int_eq(replay(&world, 10, TS_MAX, true, &erase), STATUS_OK);
	ck_assert_uint_eq(erase.head.gone.erased_at, 0);
	ck_assert_uint_eq(erase.removed, 10);
	ck_assert_int_eq(replay(&world, 0, TS_MAX, true, &erase), STATUS_OK);
	ck_assert_uint_eq(erase.removed, 0);
	world_release(&world);
}
END_TEST

/* Of an erasure while the clock was ahead, and a list that does not know of the opening. */
START_TEST(what_came_after_an_opening_stays_though_the_clock_is_behind)
{
	const uint64_t ahead = UINT64_C(4000000000000);
	struct world world;
	struct removal erase = {.kind = REMOVE_ALL, .now_msec = ahead};
	struct removal reopen = {.kind = REMOVE_NOTHING};
	world_init(&world);
	fixture_open(&world.fixture, false);
	ck_assert_int_eq(take(&world, &world.log, &erase), STATUS_OK);
	ck_assert_int_eq(take(&world, &world.log, &reopen), STATUS_OK);
	world.log.head.bytes = reopen.head.bytes;
	fixture_write(&world.fixture, &world.log, 10, PAYLOAD_MAX);
	ck_assert_uint_lt(world.log.actions[ACTIONS].received_at, ahead);
	ck_assert_int_eq(replay(&world, ACTIONS, ahead + 1, false, &erase), STATUS_OK);
	ck_assert_uint_eq(erase.removed, 0);
	ck_assert_uint_eq(erase.head.gone.erased_at, 0);
	fixture_crash(&world.fixture);
	ck_assert_uint_eq(content(&world, &world.log), 10);
	world_release(&world);
}
END_TEST

/* Of as many transactions as it takes. */
START_TEST(a_replay_that_leaves_a_log_open_takes_all_that_was_received_before_the_erasure)
{
	struct world world;
	struct removal erase;
	world_init(&world);
	fixture_open(&world.fixture, false);
	for (int i = 0; i < 6; i++)
		fixture_write(&world.fixture, &world.log, 1000, PAYLOAD_MAX);
	world.fixture.now++;
	fixture_write(&world.fixture, &world.log, 10, PAYLOAD_MAX);
	const uint64_t later = world.log.actions[world.log.count - 1].received_at;
	ck_assert_int_eq(replay(&world, 10, later, false, &erase), STATUS_OK);
	ck_assert(!erase.more);
	ck_assert_uint_eq(erase.head.gone.erased_at, 0);
	ck_assert_uint_eq(erase.removed, world.log.count - 10);
	ck_assert_uint_eq(erase.head.gone.cleared, world.log.count - 10);
	world_release(&world);
}
END_TEST

START_TEST(a_log_that_was_pruned_and_erased_begins_with_its_first_action_when_opened)
{
	struct world world;
	struct removal prune = {.kind = REMOVE_BEFORE, .upto = 10, .received_before = TS_MAX};
	struct removal erase = {.kind = REMOVE_ALL, .now_msec = 77};
	struct removal reopen = {.kind = REMOVE_NOTHING};
	world_init(&world);
	fixture_open(&world.fixture, false);
	ck_assert_int_eq(take(&world, &world.log, &prune), STATUS_OK);
	ck_assert_int_eq(take(&world, &world.log, &erase), STATUS_OK);
	ck_assert_uint_eq(erase.head.gone.pruned, 10);
	ck_assert_int_eq(take(&world, &world.log, &reopen), STATUS_OK);
	ck_assert_uint_eq(reopen.head.gone.pruned, 0);
	ck_assert_uint_eq(reopen.head.gone.erased_at, 0);
	ck_assert_uint_eq(reopen.head.gone.cleared, ACTIONS);
	world_release(&world);
}
END_TEST

int
main(void)
{
	const int damage_count = (int)(sizeof(damages) / sizeof(damages[0]));
	Suite *suite = suite_create("store_sqlite_erase");
	TCase *tests = tcase_create("erase");
	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests,
			    an_erasure_takes_what_does_not_verify_and_goes_on_over_what_is_missing,
			    0, damage_count);
	tcase_add_loop_test(tests, an_erasure_that_was_cut_off_is_ended_over_damage, 0,
			    damage_count);
	tcase_add_test(tests, a_redacted_row_of_which_the_type_has_rotted_keeps_its_digest);
	tcase_add_test(tests, an_erased_log_is_erased_still_when_a_reader_finds_it_damaged);
	tcase_add_test(tests, a_damaged_log_is_not_redacted_or_pruned);
	tcase_add_loop_test(tests, no_row_of_another_log_goes_with_an_erasure, 1, ACTIONS - 1);
	tcase_add_loop_test(tests, an_erasure_does_not_end_where_a_key_has_rotted, 1, ACTIONS - 1);
	tcase_add_loop_test(tests, what_a_row_of_another_log_hides_is_not_said_to_be_gone, 0, 2);
	tcase_add_loop_test(tests, what_a_row_with_another_seq_hides_is_not_said_to_be_gone, 0, 2);
	tcase_add_test(tests, a_payload_goes_though_its_type_has_rotted_to_nothing);
	tcase_add_loop_test(tests,
			    what_was_received_before_an_erasure_goes_though_the_erased_log_had_less,
			    0, 3);
	tcase_add_loop_test(tests, what_was_received_after_an_erasure_keeps_the_log_open, 0, 3);
	tcase_add_test(tests, what_came_after_an_opening_stays_though_the_clock_is_behind);
	tcase_add_test(
		tests,
		a_replay_that_leaves_a_log_open_takes_all_that_was_received_before_the_erasure);
	tcase_add_test(tests, of_a_log_that_was_opened_again_nothing_behind_the_position_goes);
	tcase_add_test(tests,
		       a_log_that_was_pruned_and_erased_begins_with_its_first_action_when_opened);
	suite_add_tcase(suite, tests);
	return runner_run(srunner_create(suite));
}
