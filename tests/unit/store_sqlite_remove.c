/* Redact, prune, erase: content is gone from every byte of the files, and the chain holds on. */
#include "store/repair.h"
#include "support/runner.h"
#include "support/search.h"
#include "support/store_fixture.h"

#define LOGS 6
#define ROUNDS 12

struct world {
	struct fixture fixture;
	struct model_log logs[LOGS];
	char removed[TOKENS_MAX][TOKEN_SIZE];
	size_t removed_count;
};

static void
world_init(struct world *world)
{
	memset(world, 0, sizeof(*world));
	fixture_init(&world->fixture);
	fixture_open(&world->fixture, true);
	for (int i = 0; i < LOGS; i++) {
		char name[32];
		snprintf(name, sizeof(name), "log-%d", i);
		model_init(&world->logs[i], name);
	}
}

static void
world_release(struct world *world)
{
	for (int i = 0; i < LOGS; i++)
		model_free(&world->logs[i]);
	fixture_remove(&world->fixture);
}

/* A text that no other action has, again and again: a part of it is enough to be found. */
static void
add_action(struct world *world, struct model_log *log, uint64_t copies)
{
	struct fixture *fixture = &world->fixture;
	char token[TOKEN_SIZE], device[16];
	snprintf(token, sizeof(token), "<%s:%06zu:%08x%08x>", log->name, log->count + 1,
		 (unsigned)fixture_random(fixture, UINT32_MAX),
		 (unsigned)fixture_random(fixture, UINT32_MAX));
	const size_t size = strlen(token);
	char *payload = malloc(size * copies + HASH_TEXT_SIZE);
	ck_assert_ptr_nonnull(payload);
	for (uint64_t i = 0; i < copies; i++)
		memcpy(payload + i * size, token, size);
	snprintf(device, sizeof(device), "device-%d", (int)fixture_random(fixture, 3));
	model_add_payload(fixture, log, device, 1000000 + 2 * log->count, payload, size * copies);
}

/* copies: of each action's token; 0: few of most, many of some. */
static void
write_actions_of(struct world *world, int index, size_t count, uint64_t copies)
{
	struct fixture *fixture = &world->fixture;
	struct model_log *log = &world->logs[index];
	struct model_append append;
	const struct head expected = log->head;
	fixture->now++;
	for (size_t i = 0; i < count; i++) {
		const uint64_t most = fixture_random(fixture, 20) == 0 ? 800 : 8;
		add_action(world, log, copies > 0 ? copies : 1 + fixture_random(fixture, most));
	}
	model_append_init(&append, log, count, &expected);
	ck_assert_int_eq(
		world->fixture.engine->ops->write(world->fixture.engine, &append.append, 1),
		STATUS_OK);
	model_append_release(&append);
}

static void
write_actions(struct world *world, int index, size_t count)
{
	write_actions_of(world, index, count, 0);
}

/* Interleaved, so that pages split and rows of all logs move. */
static void
write_some(struct world *world, int groups)
{
	uint64_t wait_msec;
	for (int i = 0; i < groups; i++) {
		write_actions(world, (int)fixture_random(&world->fixture, LOGS),
			      1 + fixture_random(&world->fixture, 9));
		if (fixture_random(&world->fixture, 3) == 0)
			ck_assert_int_eq(world->fixture.engine->ops->tend(world->fixture.engine,
									  false, &wait_msec),
					 STATUS_OK);
	}
}

/* --- what must be nowhere --- */

/* How many of what was removed are in any of the folder's files. */
static size_t
count_found(struct world *world)
{
	return search_folder(world->removed, world->removed_count, world->fixture.dir);
}

/* The model of a redacted action. */
static void
model_redact(struct world *world, struct model_log *log, uint64_t seq)
{
	struct model_action *action = &log->actions[seq - 1];
	if (action->type[0] == '\0')
		return;
	const char *end = memchr(action->payload, '>', action->payload_size);
	ck_assert_uint_lt(world->removed_count, TOKENS_MAX);
	const size_t size = end == NULL ? 0 : (size_t)(end - action->payload) + 1;
	ck_assert_uint_gt(size, 0);
	memcpy(world->removed[world->removed_count++], action->payload, size);
	log->head.bytes -= strlen(action->type) + action->payload_size;
	action->type[0] = '\0';
	hash_to_text(&action->digest, action->payload);
	action->payload_size = HASH_TEXT_SIZE;
}

static enum status
try_remove(struct world *world, struct model_log *log, struct removal *removal, bool overwrite)
{
	uint64_t kept;
	enum status status;
	removal->log = text_of(log->name);
	removal->genesis = &log->genesis;
	do
		status = world->fixture.engine->ops->remove(world->fixture.engine, removal, 1,
							    overwrite, &kept);
	while (status == STATUS_OK && removal->status == STATUS_OK && removal->more);
	ck_assert_int_eq(status, STATUS_OK);
	ck_assert_uint_eq(kept, 0);
	return removal->status;
}

static void
remove_seqs(struct world *world, struct model_log *log, const uint64_t *seqs, size_t count)
{
	struct removal removal = {.kind = REMOVE_ACTIONS, .seqs = seqs, .seq_count = count};
	ck_assert_int_eq(try_remove(world, log, &removal, true), STATUS_OK);
	for (size_t i = 0; i < count; i++)
		model_redact(world, log, seqs[i]);
	ck_assert_uint_eq(removal.removed + removal.gone_before, count);
}

static void
check_all(struct world *world)
{
	for (int i = 0; i < LOGS; i++)
		fixture_check_log(&world->fixture, &world->logs[i]);
}

static void
restart(struct world *world)
{
	fixture_crash(&world->fixture);
	fixture_check_clean(&world->fixture);
	fixture_open(&world->fixture, false);
}

START_TEST(what_is_redacted_is_in_no_byte_of_the_files_and_the_chain_verifies)
{
	struct world *world = calloc(1, sizeof(*world));
	world_init(world);
	for (int round = 0; round < ROUNDS; round++) {
		write_some(world, 30);
		for (int i = 0; i < 4; i++) {
			struct model_log *log = &world->logs[fixture_random(&world->fixture, LOGS)];
			if (log->count == 0)
				continue;
			/* The newest is in the journal and the tail. */
			const uint64_t seqs[] = {log->count,
						 1 + fixture_random(&world->fixture, log->count),
						 1 + fixture_random(&world->fixture, log->count)};
			remove_seqs(world, log, seqs, 3);
		}
		ck_assert_uint_eq(count_found(world), 0);
		check_all(world);
		if (round % 4 == 3)
			restart(world);
	}
	ck_assert_uint_eq(count_found(world), 0);
	check_all(world);
	world_release(world);
	free(world);
}
END_TEST

/* The control: without that step the same look finds something. */
START_TEST(what_is_not_overwritten_can_be_read_from_the_files)
{
	struct world *world = calloc(1, sizeof(*world));
	world_init(world);
	write_some(world, 300);
	for (int i = 0; i < LOGS; i++) {
		struct removal removal = {.kind = REMOVE_ALL, .now_msec = 5};
		ck_assert_int_eq(try_remove(world, &world->logs[i], &removal, false), STATUS_OK);
		for (uint64_t seq = 1; seq <= world->logs[i].count; seq++)
			model_redact(world, &world->logs[i], seq);
	}
	ck_assert_uint_gt(count_found(world), 0);
	uint64_t kept;
	ck_assert_int_eq(
		world->fixture.engine->ops->remove(world->fixture.engine, NULL, 0, true, &kept),
		STATUS_OK);
	ck_assert_uint_eq(count_found(world), 0);
	world_release(world);
	free(world);
}
END_TEST

/* Every action whose seq leaves that rest. */
static void
remove_every_third(struct world *world, uint64_t rest, bool overwrite)
{
	uint64_t seqs[MODEL_ACTIONS_MAX / 8];
	for (int i = 0; i < LOGS; i++) {
		size_t count = 0;
		for (uint64_t seq = 1; seq <= world->logs[i].count; seq++) {
			if (seq % 3 == rest)
				seqs[count++] = seq;
		}
		struct removal removal = {.kind = REMOVE_ACTIONS, .seqs = seqs, .seq_count = count};
		ck_assert_int_eq(try_remove(world, &world->logs[i], &removal, overwrite),
				 STATUS_OK);
		for (size_t k = 0; k < count && overwrite; k++)
			model_redact(world, &world->logs[i], seqs[k]);
	}
}

START_TEST(what_was_overwritten_does_not_come_back_with_what_is_written_to_the_same_pages)
{
	struct world *world = calloc(1, sizeof(*world));
	world_init(world);
	write_some(world, 300);
	remove_every_third(world, 0, true);
	ck_assert_uint_eq(count_found(world), 0);
	/* Nearly every page is changed. */
	remove_every_third(world, 1, false);
	ck_assert_uint_eq(count_found(world), 0);
	world_release(world);
	free(world);
}
END_TEST

/* Now and then SQLite writes a whole page anew, over a part of what was there. */
START_TEST(nothing_is_left_between_many_rows)
{
	struct world *world = calloc(1, sizeof(*world));
	world_init(world);
	for (int i = 0; i < 190; i++)
		write_actions_of(world, (int)fixture_random(&world->fixture, LOGS), 10,
				 1 + fixture_random(&world->fixture, 30));
	for (int i = 0; i < LOGS; i++) {
		struct removal removal = {.kind = REMOVE_ALL, .now_msec = 5};
		for (uint64_t seq = 1; seq <= world->logs[i].count; seq++)
			model_redact(world, &world->logs[i], seq);
		ck_assert_int_eq(try_remove(world, &world->logs[i], &removal, true), STATUS_OK);
	}
	ck_assert_uint_eq(count_found(world), 0);
	world_release(world);
	free(world);
}
END_TEST

START_TEST(a_repeat_of_a_redacted_action_is_still_found)
{
	struct world *world = calloc(1, sizeof(*world));
	world_init(world);
	write_actions(world, 0, 20);
	const uint64_t seqs[] = {7, 20};
	remove_seqs(world, &world->logs[0], seqs, 2);
	const struct model_action *action = &world->logs[0].actions[6];
	const struct lookup lookup = fixture_ask(&world->fixture, &world->logs[0],
						 (struct lookup){.kind = LOOKUP_TAKEN,
								 .device = text_of(action->device),
								 .ts = action->ts});
	ck_assert(lookup.status == STATUS_OK && lookup.taken.found);
	ck_assert_uint_eq(lookup.taken.seq, 7);
	ck_assert(hash_equal(&lookup.taken.digest, &action->digest));
	world_release(world);
	free(world);
}
END_TEST

START_TEST(an_erased_log_says_so_after_a_restart_until_it_is_opened_again)
{
	struct world *world = calloc(1, sizeof(*world));
	world_init(world);
	struct model_log *log = &world->logs[2];
	struct removal erase = {.kind = REMOVE_ALL, .now_msec = 77};
	struct removal reopen = {.kind = REMOVE_NOTHING};
	write_actions(world, 2, 30);
	ck_assert_int_eq(try_remove(world, log, &erase, true), STATUS_OK);
	ck_assert_uint_eq(erase.removed, 30);
	ck_assert_uint_eq(erase.head.gone.erased_at, 77);
	for (uint64_t seq = 1; seq <= 30; seq++)
		model_redact(world, log, seq);
	restart(world);
	struct lookup lookup =
		fixture_ask(&world->fixture, log, (struct lookup){.kind = LOOKUP_HEAD});
	ck_assert_uint_eq(lookup.head.gone.erased_at, 77);
	struct head head;
	ck_assert_int_eq(world->fixture.engine->ops->head(world->fixture.engine, text_of(log->name),
							  &log->genesis, &head),
			 STATUS_OK);
	ck_assert_uint_eq(head.gone.erased_at, 77);
	ck_assert_uint_eq(count_found(world), 0);

	ck_assert_int_eq(try_remove(world, log, &reopen, true), STATUS_OK);
	ck_assert_uint_eq(reopen.head.gone.erased_at, 0);
	write_actions(world, 2, 5);
	fixture_check_log(&world->fixture, log);
	restart(world);
	fixture_check_log(&world->fixture, log);
	world_release(world);
	free(world);
}
END_TEST

START_TEST(what_is_pruned_ends_where_it_was_asked_for_by_seq_and_by_time)
{
	struct world *world = calloc(1, sizeof(*world));
	world_init(world);
	struct model_log *log = &world->logs[1];
	for (int i = 0; i < 10; i++)
		write_actions(world, 1, 10);
	const uint64_t late = log->actions[59].received_at;
	struct removal removal = {.kind = REMOVE_BEFORE, .upto = 43, .received_before = late};
	ck_assert_int_eq(try_remove(world, log, &removal, true), STATUS_OK);
	ck_assert_uint_eq(removal.head.gone.pruned, 43);
	removal = (struct removal){.kind = REMOVE_BEFORE, .upto = 90, .received_before = late};
	ck_assert_int_eq(try_remove(world, log, &removal, true), STATUS_OK);
	ck_assert_uint_eq(removal.head.gone.pruned, 50);
	ck_assert_uint_eq(removal.removed, 7);
	/* Never back. */
	removal = (struct removal){.kind = REMOVE_BEFORE, .upto = 3, .received_before = late};
	ck_assert_int_eq(try_remove(world, log, &removal, true), STATUS_OK);
	ck_assert_uint_eq(removal.head.gone.pruned, 50);
	for (uint64_t seq = 1; seq <= 50; seq++)
		model_redact(world, log, seq);
	ck_assert_uint_eq(count_found(world), 0);
	log->head.gone = removal.head.gone;
	write_actions(world, 1, 3);
	struct head head;
	ck_assert_int_eq(world->fixture.engine->ops->head(world->fixture.engine, text_of(log->name),
							  &log->genesis, &head),
			 STATUS_OK);
	ck_assert_uint_eq(head.gone.pruned, 50);
	restart(world);
	fixture_check_log(&world->fixture, log);
	world_release(world);
	free(world);
}
END_TEST

START_TEST(what_cannot_be_removed_is_said_and_nothing_changes)
{
	struct world *world = calloc(1, sizeof(*world));
	world_init(world);
	write_actions(world, 0, 9);
	const uint64_t beyond[] = {3, 10};
	struct removal removal = {.kind = REMOVE_ACTIONS, .seqs = beyond, .seq_count = 2};
	ck_assert_int_eq(try_remove(world, &world->logs[0], &removal, true), STATUS_UNKNOWN_STATE);
	struct removal open = {.kind = REMOVE_NOTHING};
	struct removal damaged = {.kind = REMOVE_ACTIONS, .seqs = beyond, .seq_count = 1};
	ck_assert_int_eq(try_remove(world, &world->logs[1], &open, true), STATUS_NOT_FOUND);
	ck_assert_uint_eq(removal.removed + open.removed, 0);
	check_all(world);

	fixture_crash(&world->fixture);
	fixture_open(&world->fixture, false);
	ck_assert_int_eq(world->fixture.engine->ops->settle_down(world->fixture.engine), STATUS_OK);
	fixture_crash(&world->fixture);
	fixture_sql(&world->fixture, "UPDATE actions SET payload = 'x' || payload WHERE seq = 3");
	fixture_open(&world->fixture, false);
	ck_assert_int_eq(try_remove(world, &world->logs[0], &damaged, true), STATUS_LOG_DAMAGED);
	fixture_crash(&world->fixture);
	ck_assert_uint_eq(
		fixture_number(&world->fixture, "SELECT count(*) FROM actions WHERE type = ''"), 0);
	world_release(world);
	free(world);
}
END_TEST

START_TEST(rot_neither_opens_an_erased_log_nor_hides_one)
{
	struct world *world = calloc(1, sizeof(*world));
	world_init(world);
	struct removal erase = {.kind = REMOVE_ALL, .now_msec = 77};
	write_actions(world, 0, 9);
	ck_assert_int_eq(try_remove(world, &world->logs[0], &erase, true), STATUS_OK);
	fixture_crash(&world->fixture);
	fixture_sql(&world->fixture, "UPDATE gone SET erased_at = 0");
	struct audit_totals totals;
	const struct findings findings = fixture_audit(&world->fixture, &totals);
	ck_assert_uint_gt(findings.count, 0);
	fixture_open(&world->fixture, false);
	struct lookup lookup =
		fixture_ask(&world->fixture, &world->logs[0], (struct lookup){.kind = LOOKUP_HEAD});
	ck_assert_int_eq(lookup.status, STATUS_LOG_DAMAGED);
	world_release(world);
	free(world);
}
END_TEST

/* What it cannot put right it must not cut off, for the log was pruned or erased. */
static void
repair_log(struct world *world, struct model_log *log)
{
	const struct repair_target target = {
		.path = world->fixture.path, .shards = 1, .id = world->fixture.options.id};
	struct repair *repair;
	const char *problem;
	ck_assert_int_eq(repair_open(&target, text_of(log->name), &repair, &problem), STATUS_OK);
	ck_assert_int_eq(repair_refill(repair), STATUS_OK);
	ck_assert_uint_eq(repair_state(repair)->bad, 0);
	ck_assert_int_eq(repair_end(repair, true), STATUS_OK);
	repair_close(repair);
}

START_TEST(repair_keeps_erased_and_pruned_what_was_so_whose_entry_or_digest_has_rotted)
{
	struct world *world = calloc(1, sizeof(*world));
	world_init(world);
	struct removal erase = {.kind = REMOVE_ALL, .now_msec = 77};
	struct removal prune = {.kind = REMOVE_BEFORE, .upto = 20, .received_before = TS_MAX};
	write_actions(world, 0, 9);
	write_actions(world, 1, 30);
	ck_assert_int_eq(try_remove(world, &world->logs[0], &erase, true), STATUS_OK);
	ck_assert_int_eq(try_remove(world, &world->logs[1], &prune, true), STATUS_OK);
	fixture_crash(&world->fixture);
	fixture_sql(
		&world->fixture,
		"UPDATE gone SET sum = zeroblob(16) WHERE erased_at > 0;"
		"UPDATE actions SET payload = 'x' || substr(payload, 2) WHERE seq = 15 AND log IN"
		" (SELECT id FROM logs WHERE name = 'log-1')");
	repair_log(world, &world->logs[0]);
	repair_log(world, &world->logs[1]);
	fixture_check_clean(&world->fixture);
	fixture_open(&world->fixture, false);
	struct lookup lookup =
		fixture_ask(&world->fixture, &world->logs[0], (struct lookup){.kind = LOOKUP_HEAD});
	ck_assert(lookup.status == STATUS_OK && lookup.head.gone.erased_at == 77);
	lookup =
		fixture_ask(&world->fixture, &world->logs[1], (struct lookup){.kind = LOOKUP_HEAD});
	ck_assert(lookup.status == STATUS_OK && lookup.head.position.seq == 30);
	ck_assert_uint_eq(lookup.head.gone.pruned, 20);
	world_release(world);
	free(world);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store_sqlite_remove");
	TCase *cases = tcase_create("remove");
	tcase_set_timeout(cases, 120);
	tcase_add_test(cases, what_is_redacted_is_in_no_byte_of_the_files_and_the_chain_verifies);
	/* Which pages were read before is the threads' affair. */
	tcase_add_loop_test(
		cases,
		what_was_overwritten_does_not_come_back_with_what_is_written_to_the_same_pages, 0,
		4);
	tcase_add_test(cases, what_is_not_overwritten_can_be_read_from_the_files);
	tcase_add_test(cases, nothing_is_left_between_many_rows);
	tcase_add_test(cases, a_repeat_of_a_redacted_action_is_still_found);
	tcase_add_test(cases, an_erased_log_says_so_after_a_restart_until_it_is_opened_again);
	tcase_add_test(cases, what_is_pruned_ends_where_it_was_asked_for_by_seq_and_by_time);
	tcase_add_test(cases, what_cannot_be_removed_is_said_and_nothing_changes);
	tcase_add_test(cases, rot_neither_opens_an_erased_log_nor_hides_one);
	tcase_add_test(cases,
		       repair_keeps_erased_and_pruned_what_was_so_whose_entry_or_digest_has_rotted);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
