/*
 * The limits of a sync request's body: at and over them, and which of several faults is told.
 */
#include "support/runner.h"
#include "support/wire_body.h"

#define LONG_PAYLOAD "{\"ts\":1,\"type\":\"t\",\"payload\":\"123456789012345678901\"}"

START_TEST(limits_hold_at_and_over)
{
	static const struct rule payload[] = {
		{PUSH(ACTION "," LONG_PAYLOAD "," LONG_PAYLOAD),
		 "actions[1].payload: has 21 bytes, at most 20 are allowed", 1},
	};
	static const struct rule batch[] = {
		{PUSH(ACTION "," ACTION "," ACTION "," ACTION "," ACTION),
		 "actions: there are 5, at most 3 are allowed", NO_INDEX},
	};
	struct decoded decoded;
	check_rules(payload, 1, STATUS_PAYLOAD_TOO_LARGE);
	check_rules(batch, 1, STATUS_BATCH_TOO_LARGE);
	decode(&decoded, PUSH(ACTION "," ACTION ",{\"ts\":1,\"type\":\"t\",\"payload\":"
				     "\"1234567890123456789\\u0031\"}"));
	ck_assert_msg(decoded.status == STATUS_OK, "%s", decoded.fault.detail);
	release(&decoded);
	decode(&decoded, payload[0].body);
	ck_assert(decoded.fault.has_limit && decoded.fault.limit == 20);
	release(&decoded);
	decode(&decoded, batch[0].body);
	ck_assert(decoded.fault.has_limit && decoded.fault.limit == 3);
	release(&decoded);
}
END_TEST

START_TEST(malformed_comes_before_too_large_wherever_it_stands)
{
	static const struct rule malformed[] = {
		{PUSH(LONG_PAYLOAD "," ACTION ",{\"ts\":0}"), "actions[2].ts", 2},
		{PUSH(ACTION "," ACTION "," ACTION "," ACTION ",{\"ts\":0}"), "actions[4].ts", 4},
		{PUSH(LONG_PAYLOAD) "x", "nothing after", NO_INDEX},
		{"{" BASE ",\"actions\":[" LONG_PAYLOAD "]}", "stateHash: is missing", NO_INDEX},
		{"{" BASE ",\"stateHash\":\"$H\",\"actions\":[" LONG_PAYLOAD "]}",
		 "actions[0].device: is missing", 0},
		{"{\"device\":\"d\",\"actions\":[" ACTION "," ACTION "," ACTION "," ACTION
		 "],\"stateHash\":\"$H\",\"seq\":0,\"prevHash\":\"$H\"}",
		 "genesis wrongly", NO_INDEX},
	};
	static const struct rule batch[] = {
		{PUSH(LONG_PAYLOAD "," ACTION "," ACTION "," ACTION), "actions: there are 4",
		 NO_INDEX},
		{PUSH(ACTION "," ACTION "," ACTION "," LONG_PAYLOAD), "actions: there are 4",
		 NO_INDEX},
	};
	check_rules(malformed, COUNT(malformed), STATUS_MALFORMED);
	check_rules(batch, COUNT(batch), STATUS_BATCH_TOO_LARGE);
}
END_TEST

/* A body with so many actions, each of the next of so many devices, and so many locator pairs. */
static void
decode_many(struct decoded *decoded, size_t actions, size_t devices, size_t pairs)
{
	const struct wire_limits many = {.payload_bytes = 20, .batch_actions = 5000};
	struct buffer text;
	buffer_init(&text, 16 << 20);
	buffer_printf(&text, "{\"seq\":0,\"prevHash\":\"%s\",\"stateHash\":\"%s\",\"actions\":[",
		      genesis, other);
	for (size_t i = 0; i < actions; i++)
		buffer_printf(
			&text,
			"%s{\"device\":\"d%zu\",\"ts\":%zu,\"type\":\"t\",\"payload\":\"p%zu\"}",
			i > 0 ? "," : "", i % devices, i + 1, i);
	buffer_printf(&text, "],\"locator\":[");
	for (size_t i = 0; i < pairs; i++)
		buffer_printf(&text, "%s[%zu,\"%s\"]", i > 0 ? "," : "", 1000 - i, other);
	buffer_printf(&text, "]}");
	ck_assert(!text.failed);
	decode_text(decoded, &many, (struct text){text.data, text.size});
	buffer_release(&text);
}

START_TEST(a_batch_has_at_most_64_devices_and_a_locator_64_pairs)
{
	struct decoded decoded;
	decode_many(&decoded, 200, 64, 64);
	ck_assert_msg(decoded.status == STATUS_OK, "%s", decoded.fault.detail);
	ck_assert_uint_eq(decoded.batch.device_count, 64);
	ck_assert_uint_eq(decoded.batch.locator_count, 64);
	ck_assert_uint_eq(decoded.batch.actions[130].device, 2);
	release(&decoded);
	decode_many(&decoded, 200, 65, 0);
	ck_assert_int_eq(decoded.status, STATUS_BATCH_TOO_LARGE);
	ck_assert(decoded.fault.has_limit && decoded.fault.limit == 64);
	release(&decoded);
	decode_many(&decoded, 1, 1, 65);
	ck_assert_int_eq(decoded.status, STATUS_MALFORMED);
	ck_assert_ptr_nonnull(strstr(decoded.fault.detail, "locator: must have at most 64 pairs"));
	release(&decoded);
}
END_TEST

START_TEST(a_full_batch_fits_the_arena_it_was_promised)
{
	static const size_t counts[] = {1, 8, 9, 16, 17, 4096, 4097, 5000};
	for (size_t i = 0; i < COUNT(counts); i++) {
		struct decoded decoded;
		decode_many(&decoded, counts[i], 3, 2);
		ck_assert_msg(decoded.status == STATUS_OK, "%s", decoded.fault.detail);
		ck_assert_uint_eq(decoded.batch.action_count, counts[i]);
		for (size_t at = 0; at < counts[i]; at++)
			ck_assert_uint_eq(decoded.batch.actions[at].action.ts, at + 1);
		release(&decoded);
	}
}
END_TEST

START_TEST(an_arena_that_is_too_small_is_an_internal_fault)
{
	struct decoded decoded;
	char *text = fill(PUSH(ACTION));
	arena_init(&decoded.arena, 16);
	decoded.status = wire_read_sync(text, strlen(text), TEXT(LOG), &limits, &decoded.arena,
					&decoded.batch, &decoded.fault);
	ck_assert_int_eq(decoded.status, STATUS_INTERNAL);
	arena_release(&decoded.arena);
	free(text);
}
END_TEST

/* No reader may look behind the body: it is cut at every byte, in memory of exactly that size. */
START_TEST(every_cut_of_a_body_is_malformed)
{
	char *text = fill(
		"{\"device\":\"d\",\"seq\":41,\"prevHash\":\"$H\",\"actions\":[" ACTION
		",{\"ts\":2,\"type\":\"\\u00e9\",\"payload\":\"\\ud83d\\ude00\xc3\xa9\"}],"
		"\"stateHash\":\"$H\",\"locator\":[[40,\"$H\"]],\"pull\":1,\"receipt\":false}");
	for (size_t size = 0; size < strlen(text); size++) {
		struct wire_fault fault;
		struct arena arena;
		struct batch batch;
		char *cut = malloc(size > 0 ? size : 1);
		ck_assert_ptr_nonnull(cut);
		memcpy(cut, text, size);
		arena_init(&arena, wire_arena_bytes(&limits));
		ck_assert_int_eq(
			wire_read_sync(cut, size, TEXT(LOG), &limits, &arena, &batch, &fault),
			STATUS_MALFORMED);
		arena_release(&arena);
		free(cut);
	}
	free(text);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("api_wire_limits");
	TCase *tests = tcase_create("wire");
	tcase_add_unchecked_fixture(tests, prepare, NULL);
	tcase_add_test(tests, limits_hold_at_and_over);
	tcase_add_test(tests, malformed_comes_before_too_large_wherever_it_stands);
	tcase_add_test(tests, a_batch_has_at_most_64_devices_and_a_locator_64_pairs);
	tcase_add_test(tests, a_full_batch_fits_the_arena_it_was_promised);
	tcase_add_test(tests, an_arena_that_is_too_small_is_an_internal_fault);
	tcase_add_test(tests, every_cut_of_a_body_is_malformed);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
