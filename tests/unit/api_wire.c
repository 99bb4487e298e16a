/*
 * What a sync request's body may say, and how a fault in it is told: where, and by which rule.
 */
#include "api/json.h"
#include "support/runner.h"
#include "support/wire_body.h"

START_TEST(all_members_are_read)
{
	struct decoded decoded;
	decode(&decoded,
	       "{\"device\":\"phone-7f3a\",\"seq\":41,\"prevHash\":\"$H\",\"actions\":["
	       "{\"ts\":1790000000123,\"type\":\"todo/add\",\"payload\":\"{\\\"a\\\":1}\"},"
	       "{\"device\":\"tablet\",\"ts\":281474976710655,\"type\":\"t\",\"payload\":\"\"}],"
	       "\"stateHash\":\"$H\",\"locator\":[[40,\"$H\"],[7,\"$H\"],[0,\"$G\"]],\"pull\":0,"
	       "\"onConflict\":\"reject\",\"receipt\":true,"
	       "\"state\":{\"seq\":42,\"digest\":\"0af\",\"app\":\"5.1.0+build.7\"}}");
	const struct batch *batch = &decoded.batch;
	ck_assert_msg(decoded.status == STATUS_OK, "%s", decoded.fault.detail);
	ck_assert_uint_eq(batch->base.seq, 41);
	ck_assert_uint_eq(batch->base.link.bytes[0], 0xaa);
	ck_assert_uint_eq(batch->state_hash.bytes[31], 0xaa);
	ck_assert_uint_eq(batch->action_count, 2);
	ck_assert_uint_eq(batch->actions[0].action.ts, 1790000000123);
	ck_assert(text_equal(batch->actions[0].action.type, TEXT("todo/add")));
	ck_assert(text_equal(batch->actions[0].action.payload, TEXT("{\"a\":1}")));
	ck_assert(text_equal(batch->actions[0].action.device, TEXT("phone-7f3a")));
	ck_assert_uint_eq(batch->actions[1].action.ts, TS_MAX);
	ck_assert(text_equal(batch->actions[1].action.device, TEXT("tablet")));
	ck_assert_uint_eq(batch->actions[1].action.payload.size, 0);
	ck_assert_uint_eq(batch->device_count, 2);
	ck_assert(batch->actions[0].device == 0 && batch->actions[1].device == 1);
	ck_assert_uint_eq(batch->locator_count, 3);
	ck_assert_uint_eq(batch->locator[1].seq, 7);
	ck_assert(hash_equal(&batch->locator[2].link, &batch->genesis));
	ck_assert(batch->pull == 0 && batch->reject && batch->receipt);
	ck_assert(text_equal(batch->log, TEXT(LOG)));
	ck_assert_uint_eq(batch->state.seq, 42);
	ck_assert(text_equal(batch->state.digest, TEXT("0af")));
	ck_assert(text_equal(batch->state.app, TEXT("5.1.0+build.7")));
	release(&decoded);
}
END_TEST

START_TEST(what_is_left_out_has_its_default)
{
	struct decoded decoded;
	decode(&decoded, " " PULL "} \n");
	ck_assert_msg(decoded.status == STATUS_OK, "%s", decoded.fault.detail);
	ck_assert_uint_eq(decoded.batch.pull, 500);
	ck_assert(!decoded.batch.reject && !decoded.batch.receipt);
	ck_assert_uint_eq(decoded.batch.action_count, 0);
	ck_assert_uint_eq(decoded.batch.locator_count, 0);
	ck_assert_ptr_null(decoded.batch.state.digest.data);
	release(&decoded);
}
END_TEST

START_TEST(a_hash_may_be_written_with_escapes_and_a_name_too)
{
	struct decoded decoded;
	struct hash hash;
	char escaped[HASH_TEXT_SIZE + 6];
	snprintf(escaped, sizeof(escaped), "\\u0061%s", other + 1);
	char template[512];
	snprintf(template, sizeof(template), "{\"s\\u0065q\":1,\"actions\":[],\"prevHash\":\"%s\"}",
		 escaped);
	decode(&decoded, template);
	ck_assert_msg(decoded.status == STATUS_OK, "%s", decoded.fault.detail);
	ck_assert(hash_from_text(text_of(other), &hash));
	ck_assert(hash_equal(&decoded.batch.base.link, &hash));
	release(&decoded);
	/* The text ends within what would be a hash. */
	decode(&decoded, "{\"prevHash\":\"$H");
	ck_assert_int_eq(decoded.status, STATUS_MALFORMED);
	release(&decoded);
}
END_TEST

START_TEST(the_device_may_stand_behind_the_actions)
{
	struct decoded decoded;
	decode(&decoded, "{" BASE ",\"stateHash\":\"$H\",\"actions\":[" ACTION "," ACTION
			 "],\"device\":\"late\"}");
	ck_assert_msg(decoded.status == STATUS_OK, "%s", decoded.fault.detail);
	ck_assert(text_equal(decoded.batch.actions[1].action.device, TEXT("late")));
	ck_assert_uint_eq(decoded.batch.device_count, 1);
	release(&decoded);
	decode(&decoded, "{" BASE ",\"stateHash\":\"$H\",\"actions\":[{\"device\":\"own\",\"ts\":1,"
			 "\"type\":\"t\",\"payload\":\"\"}]}");
	ck_assert_msg(decoded.status == STATUS_OK, "%s", decoded.fault.detail);
	release(&decoded);
}
END_TEST

START_TEST(a_payload_keeps_its_exact_bytes)
{
	const struct wire_limits wide = {.payload_bytes = 100, .batch_actions = 3};
	struct decoded decoded;
	char *text =
		fill(PUSH("{\"ts\":1,\"payload\":\"\\u0000\\n\\t\\/\xc3\xa9\\u00e9\\ud83d\\ude00"
			  "{ \\\"a\\\" : 1.0 }\",\"type\":\"\\u0074\"}"));
	decode_text(&decoded, &wide, text_of(text));
	ck_assert_msg(decoded.status == STATUS_OK, "%s", decoded.fault.detail);
	const struct action *action = &decoded.batch.actions[0].action;
	ck_assert(text_equal(action->payload,
			     TEXT("\0\n\t/\xc3\xa9\xc3\xa9\xf0\x9f\x98\x80{ \"a\" : 1.0 }")));
	ck_assert(text_equal(action->type, TEXT("t")));
	release(&decoded);
	free(text);
}
END_TEST

START_TEST(text_that_is_not_json_is_malformed_with_line_and_column)
{
	static const struct rule rules[] = {
		{"", "line 1, column 1: the text ends where a value should be (in the body)",
		 NO_INDEX},
		{"\xef\xbb\xbf{}", "byte order mark", NO_INDEX},
		{"{", "line 1, column 2: the text ends too early", NO_INDEX},
		{PULL "} x", "nothing after the value", NO_INDEX},
		{PULL ",}", "no comma before the end", NO_INDEX},
		{"{\n \"seq\": 0,\n \"device\": \"\\x\"}",
		 "line 3, column 13: there is no such escape "
		 "(in device)",
		 NO_INDEX},
		{"{\"device\":\"\xff\"}", "line 1, column 12: these bytes are not UTF-8", NO_INDEX},
		{"{\"receipt\":tru}", "only true, false and null are words", NO_INDEX},
		{PUSH(ACTION ",{\"ts\":1,\"payload\":\"\\ud800\"}"),
		 "a high surrogate needs a low one after it (in actions[1].payload)", 1},
		{PUSH(ACTION ",\n{\"ts\":1,\n\"payload\":\"\t\"}"), "line 3, column 12: a control",
		 1},
		{PUSH(ACTION "," ACTION ",{\"ts\":1 \"type\"}"),
		 "a comma or } should be here (in "
		 "actions[2])",
		 2},
		{PUSH(ACTION " " ACTION), "a comma or ] should be here (in actions)", NO_INDEX},
		{PUSH(ACTION ",x"), "a value should be here", 1},
		{PUSH("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["), "actions[0]: must be an object", 0},
	};
	check_rules(rules, COUNT(rules), STATUS_MALFORMED);
}
END_TEST

START_TEST(each_member_has_its_rule_and_a_fault_its_path)
{
	static const struct rule rules[] = {
		{"[]", "the body: must be an object", NO_INDEX},
		{"{}", "seq: is missing", NO_INDEX},
		{"{\"seq\":0,\"actions\":[]}", "prevHash: is missing", NO_INDEX},
		{"{" BASE "}", "actions: is missing", NO_INDEX},
		{PULL ",\"seq\":0}", "seq: must not be there twice", NO_INDEX},
		{PULL ",\"s\\u0065q\":0}", "seq: must not be there twice", NO_INDEX},
		{PULL ",\"extra\":0}", "\"extra\" is not a member that this server knows",
		 NO_INDEX},
		{PULL ",\"Seq\":0}", "\"Seq\" is not a member", NO_INDEX},
		{PULL ",\"\":0}", "\"\" is not a member", NO_INDEX},
		{PULL ",\"device\":null}", "device: must be a string", NO_INDEX},
		{PULL ",\"device\":\"\"}", "device: must be 1 to 64", NO_INDEX},
		{PULL ",\"device\":\"a b\"}", "device: must be 1 to 64", NO_INDEX},
		{PULL ",\"device\":\"a\\u0000\"}", "device: must be 1 to 64", NO_INDEX},
		{"{\"seq\":\"0\"}", "seq: must be an integer from 0 to 9007199254740991", NO_INDEX},
		{"{\"seq\":-1}", "seq: must be an integer", NO_INDEX},
		{"{\"seq\":1.0}", "written without fraction or exponent", NO_INDEX},
		{"{\"seq\":1e3}", "written without fraction or exponent", NO_INDEX},
		{"{\"seq\":9007199254740992}", "seq: must be an integer", NO_INDEX},
		{"{\"prevHash\":\"abc\"}", "prevHash: must be 64 lower-case hex digits", NO_INDEX},
		{"{\"seq\":0,\"prevHash\":\"$H\",\"actions\":[]}", "prevHash: with seq 0",
		 NO_INDEX},
		{PULL ",\"stateHash\":\"X\"}", "stateHash: must be 64", NO_INDEX},
		{PULL ",\"stateHash\":7}", "stateHash: must be a string", NO_INDEX},
		{"{\"device\":\"d\"," BASE ",\"actions\":[" ACTION "]}",
		 "stateHash: is missing, and there are actions", NO_INDEX},
		{"{\"actions\":{}}", "actions: must be an array", NO_INDEX},
		{PULL ",\"pull\":-5}", "pull: must be an integer from 0", NO_INDEX},
		{PULL ",\"pull\":null}", "pull: must be an integer from 0", NO_INDEX},
		{PULL ",\"onConflict\":\"merge\"}", "onConflict: must be \"rebase\" or", NO_INDEX},
		{PULL ",\"onConflict\":true}", "onConflict: must be a string", NO_INDEX},
		{PULL ",\"receipt\":0}", "receipt: must be true or false", NO_INDEX},
		{PULL ",\"locator\":{}}", "locator: must be an array of pairs", NO_INDEX},
		{PULL ",\"locator\":[1]}", "locator[0]: must be a pair", NO_INDEX},
		{PULL ",\"locator\":[[]]}", "locator[0]: must be a pair", NO_INDEX},
		{PULL ",\"locator\":[[1]]}", "locator[0]: must be a pair", NO_INDEX},
		{PULL ",\"locator\":[[1,\"$H\",2]]}", "locator[0]: must be a pair", NO_INDEX},
		{PULL ",\"locator\":[[\"1\",\"$H\"]]}", "locator[0][0]: must be an integer",
		 NO_INDEX},
		{PULL ",\"locator\":[[5,\"$H\"],[4,4]]}", "locator[1][1]: must be a string",
		 NO_INDEX},
		{PULL ",\"locator\":[[5,\"$H\"],[5,\"$H\"]]}", "locator[1]: must be older",
		 NO_INDEX},
		{PULL ",\"locator\":[[5,\"$H\"],[6,\"$H\"]]}", "locator[1]: must be older",
		 NO_INDEX},
		{PULL ",\"locator\":[[5,\"$H\"],[0,\"$H\"]]}", "genesis link", NO_INDEX},
	};
	check_rules(rules, COUNT(rules), STATUS_MALFORMED);
}
END_TEST

#define STATE(members) PULL ",\"device\":\"d\",\"state\":{" members "}}"
#define D16 "0123456789abcdef"
#define DIGEST ",\"digest\":\"" D16 D16 D16 D16 "\""
#define APP ",\"app\":\"1\""

START_TEST(a_state_has_three_members_and_its_place_in_the_batch)
{
	static const struct rule rules[] = {
		{PULL ",\"state\":7}", "state: must be an object", NO_INDEX},
		{STATE(""), "state.seq: is missing", NO_INDEX},
		{STATE("\"seq\":0" APP), "state.digest: is missing", NO_INDEX},
		{STATE("\"seq\":0" DIGEST), "state.app: is missing", NO_INDEX},
		{STATE("\"seq\":0,\"seq\":0"), "must not be there twice", NO_INDEX},
		{STATE("\"seq\":0,\"device\":\"d\""), "\"device\" is not a member", NO_INDEX},
		{STATE("\"seq\":-1"), "state.seq: must be an integer", NO_INDEX},
		{STATE("\"seq\":0,\"digest\":\"\""), "state.digest: must be 1 to 64", NO_INDEX},
		{STATE("\"seq\":0,\"digest\":\"0" D16 D16 D16 D16 "\""), "state.digest: must be",
		 NO_INDEX},
		{STATE("\"seq\":0,\"digest\":\"AB\""), "state.digest: must be 1 to 64 lower-case",
		 NO_INDEX},
		{STATE("\"seq\":0,\"digest\":\"0g\""), "state.digest: must be", NO_INDEX},
		{STATE("\"seq\":0,\"digest\":12"), "state.digest: must be a string", NO_INDEX},
		{STATE("\"seq\":0,\"app\":\"\""), "state.app: must be 1 to 64", NO_INDEX},
		{STATE("\"seq\":0,\"app\":\"a\\\"b\""), "state.app: must be 1 to 64", NO_INDEX},
		{STATE("\"seq\":0,\"app\":\"a\\nb\""), "state.app: must be 1 to 64", NO_INDEX},
		{PULL ",\"state\":{\"seq\":0" DIGEST APP "}}",
		 "device: is missing, and there is a state", NO_INDEX},
		{STATE("\"seq\":1" DIGEST APP), "state.seq: must be from seq to seq + the number",
		 NO_INDEX},
		{"{\"device\":\"d\",\"seq\":9,\"prevHash\":\"$H\",\"actions\":[],"
		 "\"state\":{\"seq\":8" DIGEST APP "}}",
		 "state.seq: must be from seq", NO_INDEX},
		{"{\"device\":\"d\",\"seq\":9,\"prevHash\":\"$H\",\"stateHash\":\"$H\","
		 "\"actions\":[" ACTION "],\"state\":{\"seq\":11" DIGEST APP "}}",
		 "state.seq: must be from seq", NO_INDEX},
	};
	struct decoded decoded;
	check_rules(rules, COUNT(rules), STATUS_MALFORMED);
	decode(&decoded, STATE("\"seq\":0" DIGEST APP));
	ck_assert_msg(decoded.status == STATUS_OK, "%s", decoded.fault.detail);
	ck_assert_uint_eq(decoded.batch.state.digest.size, STATE_DIGEST_SIZE_MAX);
	release(&decoded);
}
END_TEST

START_TEST(a_fault_inside_an_action_names_its_index)
{
	static const struct rule rules[] = {
		{PUSH("1"), "actions[0]: must be an object", 0},
		{PUSH(ACTION ",{}"), "actions[1].ts: is missing", 1},
		{PUSH("{\"ts\":1,\"payload\":\"\"}"), "actions[0].type: is missing", 0},
		{PUSH("{\"ts\":1,\"type\":\"t\"}"), "actions[0].payload: is missing", 0},
		{PUSH("{\"ts\":0}"), "actions[0].ts: must be an integer from 1 to 281474976710655",
		 0},
		{PUSH("{\"ts\":281474976710656}"), "actions[0].ts: must be an integer from 1", 0},
		{PUSH("{\"ts\":1.5}"),
		 "actions[0].ts: must be an integer from 1 to 281474976710655 (", 0},
		{PUSH("{\"ts\":\"1\"}"), "actions[0].ts: must be an integer", 0},
		{PUSH(ACTION "," ACTION ",{\"ts\":01}"), "must not have leading zeros", 2},
		{PUSH("{\"type\":\"\"}"), "actions[0].type: must be 1 to 128 bytes", 0},
		{PUSH("{\"type\":\"a\\nb\"}"), "actions[0].type: must be", 0},
		{PUSH("{\"type\":\"a\\u0000b\"}"), "actions[0].type: must be", 0},
		{PUSH("{\"type\":[]}"), "actions[0].type: must be a string", 0},
		{PUSH("{\"payload\":{\"a\":1}}"), "actions[0].payload: must be a string", 0},
		{PUSH("{\"payload\":null}"), "actions[0].payload: must be a string", 0},
		{PUSH("{\"device\":\"/\"}"), "actions[0].device: must be 1 to 64", 0},
		{PUSH("{\"ts\":1,\"ts\":1}"), "actions[0].ts: must not be there twice", 0},
		{PUSH("{\"id\":1}"), "actions[0]: \"id\" is not a member", 0},
		{"{" BASE
		 ",\"stateHash\":\"$H\",\"actions\":[{\"device\":\"own\",\"ts\":1,\"type\":\"t\","
		 "\"payload\":\"\"}," ACTION "]}",
		 "actions[1].device: is missing, and the body names no device", 1},
	};
	check_rules(rules, COUNT(rules), STATUS_MALFORMED);
}
END_TEST

START_TEST(an_unknown_name_of_any_length_makes_a_whole_sentence)
{
	struct buffer text;
	buffer_init(&text, 4096);
	buffer_append_text(&text, TEXT("{\""));
	for (int i = 0; i < 500; i++)
		buffer_append_text(&text, TEXT("\xe2\x82\xac"));
	buffer_append_text(&text, TEXT("\":1}"));
	struct decoded decoded;
	decode_text(&decoded, &limits, (struct text){text.data, text.size});
	ck_assert_int_eq(decoded.status, STATUS_MALFORMED);
	ck_assert_ptr_nonnull(strstr(decoded.fault.detail, "…\" is not a member"));
	struct text detail = text_of(decoded.fault.detail);
	while (detail.size > 0) {
		size_t size = text_utf8_size(detail);
		ck_assert_uint_gt(size, 0);
		detail = (struct text){detail.data + size, detail.size - size};
	}
	release(&decoded);
	buffer_release(&text);
}
END_TEST

START_TEST(a_row_is_written_as_the_protocol_shows_it)
{
	struct row row = {.seq = 42,
			  .action = {.device = TEXT("tablet"),
				     .ts = 1790000000123,
				     .type = TEXT("a\"b"),
				     .payload = TEXT("{\"t\":\"\n\"}")},
			  .received_at = 5};
	struct buffer out;
	chain_digest(&row.action, &row.digest);
	memset(&row.link, 0xaa, sizeof(row.link));
	buffer_init(&out, 4096);
	wire_write_row(&out, &row, false);
	ck_assert(text_equal(
		(struct text){out.data, out.size},
		TEXT("{\"seq\":42,\"device\":\"tablet\",\"ts\":1790000000123,\"type\":\"a\\\"b\","
		     "\"payload\":\"{\\\"t\\\":\\\"\\n\\\"}\"}")));
	out.size = 0;
	wire_write_row(&out, &row, true);
	buffer_append(&out, "", 1);
	char tail[200], id[ID_TEXT_SIZE];
	uint8_t bytes[ID_SIZE];
	chain_id(row.action.ts, &row.digest, bytes);
	id_to_text(bytes, id);
	snprintf(tail, sizeof(tail), ",\"id\":\"%.36s\",\"link\":\"%s\",\"receivedAt\":5}", id,
		 other);
	ck_assert_ptr_nonnull(strstr(out.data, tail));
	buffer_release(&out);
}
END_TEST

START_TEST(of_a_redacted_row_its_digest_is_written_and_what_it_had_is_not)
{
	struct row row = {.seq = 17,
			  .action = {.device = TEXT("tablet"),
				     .ts = 1790000000123,
				     .type = TEXT("todo/add"),
				     .payload = TEXT("milk")}};
	char digest[HASH_TEXT_SIZE], wanted[300];
	struct buffer out;
	chain_digest(&row.action, &row.digest);
	action_redact(&row.action, &row.digest, digest);
	buffer_init(&out, 4096);
	wire_write_row(&out, &row, false);
	snprintf(wanted, sizeof(wanted),
		 "{\"seq\":17,\"device\":\"tablet\",\"ts\":1790000000123,\"redacted\":true,"
		 "\"digest\":\"%.*s\"}",
		 HASH_TEXT_SIZE, digest);
	ck_assert(text_equal((struct text){out.data, out.size}, text_of(wanted)));
	buffer_release(&out);
}
END_TEST

/* Short payloads and long ones take different ways. */
START_TEST(rows_of_any_size_are_their_members_one_after_the_other)
{
	static char payload[3000];
	for (size_t size = 0; size <= sizeof(payload); size += size < 990 || size > 1060 ? 13 : 1) {
		for (size_t i = 0; i < size; i++)
			payload[i] = "ab\"\\\n\x01z"[(i * i + size) % 7];
		struct row row = {.seq = size * size * 1000003 + 1,
				  .action = {.device = TEXT("phone-7f3a"),
					     .ts = 1790000000000 + size,
					     .type = TEXT("todo/\"add\""),
					     .payload = {payload, size}}};
		struct buffer out, wanted;
		buffer_init(&out, 100000);
		buffer_init(&wanted, 100000);
		buffer_printf(&wanted,
			      "{\"seq\":%ju,\"device\":\"phone-7f3a\",\"ts\":%ju,"
			      "\"type\":\"todo/\\\"add\\\"\",\"payload\":",
			      (uintmax_t)row.seq, (uintmax_t)row.action.ts);
		json_write_string(&wanted, row.action.payload);
		buffer_append_text(&wanted, TEXT("}"));
		wire_write_row(&out, &row, false);
		ck_assert(!out.failed && !wanted.failed);
		ck_assert(text_equal((struct text){out.data, out.size},
				     (struct text){wanted.data, wanted.size}));
		buffer_release(&out);
		buffer_init(&out, wanted.size - 1);
		wire_write_row(&out, &row, false);
		ck_assert(out.failed);
		buffer_release(&out);
		buffer_release(&wanted);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("api_wire");
	TCase *tests = tcase_create("wire");
	tcase_add_unchecked_fixture(tests, prepare, NULL);
	tcase_add_test(tests, all_members_are_read);
	tcase_add_test(tests, what_is_left_out_has_its_default);
	tcase_add_test(tests, a_hash_may_be_written_with_escapes_and_a_name_too);
	tcase_add_test(tests, the_device_may_stand_behind_the_actions);
	tcase_add_test(tests, a_payload_keeps_its_exact_bytes);
	tcase_add_test(tests, text_that_is_not_json_is_malformed_with_line_and_column);
	tcase_add_test(tests, each_member_has_its_rule_and_a_fault_its_path);
	tcase_add_test(tests, a_state_has_three_members_and_its_place_in_the_batch);
	tcase_add_test(tests, a_fault_inside_an_action_names_its_index);
	tcase_add_test(tests, an_unknown_name_of_any_length_makes_a_whole_sentence);
	tcase_add_test(tests, a_row_is_written_as_the_protocol_shows_it);
	tcase_add_test(tests, of_a_redacted_row_its_digest_is_written_and_what_it_had_is_not);
	tcase_add_test(tests, rows_of_any_size_are_their_members_one_after_the_other);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
