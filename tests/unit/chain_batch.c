/* A batch and its verification: protocol 4.1, steps 1 and 2. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chain/batch.h"
#include "support/runner.h"

#define ACTION_COUNT 3

struct fixture {
	struct batch batch;
	struct batch_action actions[ACTION_COUNT];
	char payloads[ACTION_COUNT][8];
};

/* Three actions on the base (41, …), chained by hand as a client does. */
static void
set_up(struct fixture *fixture)
{
	struct batch *batch = &fixture->batch;
	struct hash link;

	*fixture = (struct fixture){.batch.log = TEXT("user-1"), .batch.base.seq = 41};
	chain_genesis(batch->log, &batch->genesis);
	memset(&batch->base.link, 0x41, sizeof(batch->base.link));
	link = batch->base.link;
	for (size_t i = 0; i < ACTION_COUNT; i++) {
		struct batch_action *action = &fixture->actions[i];
		struct hash digest;

		snprintf(fixture->payloads[i], sizeof(fixture->payloads[i]), "pay-%zu", i);
		action->action = (struct action){.device = TEXT("phone"),
						 .ts = 1000 + i,
						 .type = TEXT("todo/add"),
						 .payload = {fixture->payloads[i], 5}};
		action->device = (unsigned)batch_device(batch, action->action.device);
		chain_digest(&action->action, &digest);
		chain_link(&link, &digest, &link);
	}
	batch->actions = fixture->actions;
	batch->action_count = ACTION_COUNT;
	batch->state_hash = link;
}

static void
assert_broken(struct fixture *fixture, const char *what)
{
	struct hash actual, link = fixture->batch.base.link, digest;

	ck_assert_msg(batch_verify(&fixture->batch, &actual) == STATUS_CHAIN_BROKEN, "%s", what);
	for (size_t i = 0; i < fixture->batch.action_count; i++) {
		chain_digest(&fixture->actions[i].action, &digest);
		chain_link(&link, &digest, &link);
	}
	ck_assert_msg(hash_equal(&actual, &link), "%s: actual is what the actions give", what);
	ck_assert(!hash_equal(&actual, &fixture->batch.state_hash));
}

START_TEST(a_batch_that_chains_to_its_claim_is_ok)
{
	struct fixture fixture;
	struct hash actual, link, digest;

	set_up(&fixture);
	ck_assert_int_eq(batch_verify(&fixture.batch, &actual), STATUS_OK);
	link = fixture.batch.base.link;
	for (size_t i = 0; i < ACTION_COUNT; i++) {
		ck_assert(hash_equal(batch_link_before(&fixture.batch, i), &link));
		chain_digest(&fixture.actions[i].action, &digest);
		chain_link(&link, &digest, &link);
		ck_assert(hash_equal(&fixture.actions[i].digest, &digest));
		ck_assert(hash_equal(&fixture.actions[i].link, &link));
	}
	ck_assert(hash_equal(batch_end(&fixture.batch), &link));
}
END_TEST

START_TEST(a_changed_dropped_added_or_moved_action_breaks_the_chain)
{
	struct fixture fixture;

	for (size_t i = 0; i < ACTION_COUNT; i++) {
		struct action *action;

		set_up(&fixture);
		action = &fixture.actions[i].action;
		fixture.payloads[i][4] ^= 1;
		assert_broken(&fixture, "payload");
		set_up(&fixture);
		action->ts++;
		assert_broken(&fixture, "ts");
		set_up(&fixture);
		action->type = TEXT("todo/adD");
		assert_broken(&fixture, "type");
		set_up(&fixture);
		action->device = TEXT("phonf");
		assert_broken(&fixture, "device");
	}
	for (size_t i = 1; i < ACTION_COUNT; i++) {
		struct batch_action moved;

		set_up(&fixture);
		moved = fixture.actions[i];
		fixture.actions[i] = fixture.actions[i - 1];
		fixture.actions[i - 1] = moved;
		assert_broken(&fixture, "order");
	}
	set_up(&fixture);
	fixture.batch.action_count--;
	assert_broken(&fixture, "last one dropped");
}
END_TEST

START_TEST(another_base_or_another_claim_breaks_the_chain)
{
	struct fixture fixture;

	for (size_t bit = 0; bit < 8 * HASH_SIZE; bit++) {
		set_up(&fixture);
		fixture.batch.base.link.bytes[bit / 8] ^= (uint8_t)(1 << (bit % 8));
		assert_broken(&fixture, "prevHash");
		set_up(&fixture);
		fixture.batch.state_hash.bytes[bit / 8] ^= (uint8_t)(1 << (bit % 8));
		assert_broken(&fixture, "stateHash");
	}
}
END_TEST

START_TEST(an_empty_batch_claims_nothing_and_ends_at_its_base)
{
	struct fixture fixture;
	struct hash actual;

	set_up(&fixture);
	fixture.batch.action_count = 0;
	ck_assert_int_eq(batch_verify(&fixture.batch, &actual), STATUS_OK);
	ck_assert(hash_equal(batch_end(&fixture.batch), &fixture.batch.base.link));
}
END_TEST

START_TEST(a_batch_knows_64_different_devices_and_no_more)
{
	struct fixture fixture;
	char names[BATCH_DEVICES_MAX + 1][8];

	set_up(&fixture);
	fixture.batch.device_count = 0;
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < BATCH_DEVICES_MAX; i++) {
			int size = snprintf(names[i], sizeof(names[i]), "d%d", i);
			struct text name = {names[i], (size_t)size};

			ck_assert_int_eq(batch_device(&fixture.batch, name), i);
		}
		ck_assert_uint_eq(fixture.batch.device_count, BATCH_DEVICES_MAX);
		ck_assert_int_eq(batch_device(&fixture.batch, TEXT("d64")), -1);
		ck_assert_int_eq(batch_device(&fixture.batch, TEXT("d")), -1);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("chain_batch");
	TCase *tests = tcase_create("batch");
	SRunner *runner;

	tcase_add_test(tests, a_batch_that_chains_to_its_claim_is_ok);
	tcase_add_test(tests, a_changed_dropped_added_or_moved_action_breaks_the_chain);
	tcase_add_test(tests, another_base_or_another_claim_breaks_the_chain);
	tcase_add_test(tests, an_empty_batch_claims_nothing_and_ends_at_its_base);
	tcase_add_test(tests, a_batch_knows_64_different_devices_and_no_more);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	return runner_run(runner);
}
