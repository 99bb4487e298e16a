/* loadtest/users: the batches it writes, and the chain that it keeps of every log. */
#include "loadtest/users.h"

#include <check.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "chain/batch.h"
#include "support/runner.h"

#define ACTIONS_MAX 50

/* A run, and the last body that it wrote, read by another reader. */
struct fixture {
	struct plan plan;
	struct users users;
	char *body;
	size_t size;
	struct expectation expected;
	json_t *json;
	struct batch batch;
	struct batch_action actions[ACTIONS_MAX];
};

static void
set_up(struct fixture *fixture, const char *const *flags)
{
	char *argv[16] = {(char *)"edgereplay-load", (char *)"--fresh"};
	struct plan_values values;
	for (size_t i = 0; flags[i] != NULL; i++)
		argv[2 + i] = (char *)flags[i];
	*fixture = (struct fixture){.size = 0};
	ck_assert_int_eq(plan_read(&fixture->plan, &values, argv, stderr), STATUS_OK);
	ck_assert_int_eq(users_init(&fixture->users, &fixture->plan), STATUS_OK);
	fixture->body = malloc(users_body_size_max(&fixture->users, ACTIONS_MAX));
	ck_assert_ptr_nonnull(fixture->body);
}

static void
tear_down(struct fixture *fixture)
{
	json_decref(fixture->json);
	users_release(&fixture->users);
	free(fixture->body);
}

static struct text
member(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);
	ck_assert_msg(json_is_string(value), "no %s", name);
	return (struct text){json_string_value(value), json_string_length(value)};
}

static void
read_action(struct fixture *fixture, size_t i, const json_t *json)
{
	struct batch_action *to = &fixture->actions[i];
	to->action =
		(struct action){.device = member(fixture->json, "device"),
				.ts = (uint64_t)json_integer_value(json_object_get(json, "ts")),
				.type = member(json, "type"),
				.payload = member(json, "payload")};
	ck_assert(device_is_valid(to->action.device) && type_is_valid(to->action.type));
}

static void
read_body(struct fixture *fixture)
{
	json_error_t error;
	struct batch *batch = &fixture->batch;
	json_decref(fixture->json);
	fixture->json = json_loadb(fixture->body, fixture->size, JSON_REJECT_DUPLICATES, &error);
	ck_assert_msg(fixture->json != NULL, "%s: %.*s", error.text, (int)fixture->size,
		      fixture->body);
	const json_t *actions = json_object_get(fixture->json, "actions");
	*batch = (struct batch){.actions = fixture->actions,
				.action_count = json_array_size(actions)};
	ck_assert_uint_le(batch->action_count, ACTIONS_MAX);
	for (size_t i = 0; i < batch->action_count; i++)
		read_action(fixture, i, json_array_get(actions, i));
	batch->base.seq = (uint64_t)json_integer_value(json_object_get(fixture->json, "seq"));
	ck_assert(hash_from_text(member(fixture->json, "prevHash"), &batch->base.link));
	ck_assert_int_eq(json_object_get(fixture->json, "stateHash") != NULL,
			 batch->action_count > 0);
	if (batch->action_count > 0)
		ck_assert(hash_from_text(member(fixture->json, "stateHash"), &batch->state_hash));
}

/* Writes a request, and checks everything that can be checked of one alone. */
static void
write_batch(struct fixture *fixture, uint32_t index, uint64_t count, bool stale)
{
	const struct users_batch wanted = {.count = count, .stale = stale};
	struct hash actual;
	fixture->size =
		users_write(&fixture->users, index, &wanted, fixture->body, &fixture->expected);
	ck_assert_uint_le(fixture->size, users_body_size_max(&fixture->users, count));
	read_body(fixture);
	struct expectation *expected = &fixture->expected;
	ck_assert_uint_eq(fixture->batch.action_count, count);
	ck_assert_uint_eq(expected->count, count);
	ck_assert_int_eq(batch_verify(&fixture->batch, &actual), STATUS_OK);
	ck_assert_uint_eq(fixture->batch.base.seq, expected->base.seq);
	ck_assert(hash_equal(&fixture->batch.base.link, &expected->base.link));
	ck_assert(hash_equal(batch_end(&fixture->batch), &expected->claimed));
	/* Appended to the head, wherever the base is. */
	struct position head = expected->before;
	for (size_t i = 0; i < count; i++) {
		chain_link(&head.link, &fixture->actions[i].digest, &head.link);
		head.seq++;
	}
	ck_assert_uint_eq(head.seq, expected->head.seq);
	ck_assert(hash_equal(&head.link, &expected->head.link));
}

static const struct users_record *
record_of(const struct fixture *fixture, uint32_t index)
{
	for (size_t i = 0; i < fixture->users.record_count; i++) {
		if (fixture->users.records[i].user == index)
			return &fixture->users.records[i];
	}
	return NULL;
}

START_TEST(what_is_written_verifies_whatever_its_size)
{
	static const char *const payloads[] = {"--payload=0..3", "--payload=28..34", "--payload=80",
					       "--payload=0..2000"};
	const char *const flags[] = {payloads[_i], "--users=3", "--devices=7", "--connections=1",
				     NULL};
	static struct fixture fixture;
	struct position head;
	set_up(&fixture, flags);
	for (uint64_t count = 0; count <= ACTIONS_MAX; count++) {
		uint32_t index = users_take(&fixture.users);
		ck_assert(users_head(&fixture.users, index, &head));
		write_batch(&fixture, index, count, false);
		ck_assert_uint_eq(fixture.expected.base.seq, head.seq);
		ck_assert(hash_equal(&fixture.expected.base.link, &head.link));
		users_acknowledge(&fixture.users, index, &fixture.expected);
		ck_assert(users_head(&fixture.users, index, &head));
		ck_assert(hash_equal(&fixture.expected.head.link, &head.link));
		users_give_back(&fixture.users, index);
	}
	tear_down(&fixture);
}
END_TEST

START_TEST(a_payload_has_the_size_that_was_asked_for)
{
	static struct fixture fixture;
	const char *const flags[] = {"--action-bytes=120", NULL};
	set_up(&fixture, flags);
	uint32_t index = users_take(&fixture.users);
	struct position head;
	ck_assert(users_head(&fixture.users, index, &head));
	write_batch(&fixture, index, 2, false);
	for (size_t i = 0; i < 2; i++) {
		const struct action *action = &fixture.actions[i].action;
		ck_assert_uint_eq(
			8 + action->device.size + action->type.size + action->payload.size, 120);
		json_t *payload = json_loadb(action->payload.data, action->payload.size, 0, NULL);
		ck_assert_ptr_nonnull(payload);
		json_decref(payload);
	}
	tear_down(&fixture);
}
END_TEST

START_TEST(an_empty_log_begins_with_its_genesis)
{
	static struct fixture fixture;
	const char *const flags[] = {"--prefix=a+b@", "--first-user=41", NULL};
	char name[LOG_NAME_SIZE_MAX + 1];
	struct position head;
	struct hash genesis;
	set_up(&fixture, flags);
	struct text log = users_name(&fixture.users, 1, name);
	ck_assert(text_equal(log, TEXT("a+b@42")));
	chain_genesis(log, &genesis);
	ck_assert(users_head(&fixture.users, 1, &head));
	ck_assert_uint_eq(head.seq, 0);
	ck_assert(hash_equal(&head.link, &genesis));
	tear_down(&fixture);
}
END_TEST

START_TEST(a_refused_batch_never_was)
{
	static struct fixture fixture;
	const char *const flags[] = {"--users=1", "--connections=1", NULL};
	struct position head;
	set_up(&fixture, flags);
	uint32_t index = users_take(&fixture.users);
	ck_assert(users_head(&fixture.users, index, &head));
	write_batch(&fixture, index, 5, false);
	users_acknowledge(&fixture.users, index, &fixture.expected);
	uint64_t newest = fixture.expected.newest;
	write_batch(&fixture, index, 7, false);
	ck_assert(users_head(&fixture.users, index, &head));
	ck_assert_uint_eq(head.seq, 5);
	write_batch(&fixture, index, 1, false);
	ck_assert_uint_eq(fixture.expected.base.seq, 5);
	ck_assert_uint_gt(fixture.actions[0].action.ts, newest);
	users_acknowledge(&fixture.users, index, &fixture.expected);
	ck_assert_uint_eq(record_of(&fixture, index)->count, 6);
	tear_down(&fixture);
}
END_TEST

START_TEST(a_refused_batch_may_be_sent_again_until_another_one_is_written)
{
	static struct fixture fixture;
	const char *const flags[] = {"--users=2", "--connections=2", NULL};
	struct position head;
	set_up(&fixture, flags);
	ck_assert(users_head(&fixture.users, 0, &head) && users_head(&fixture.users, 1, &head));
	ck_assert(users_take_this(&fixture.users, 0) && users_take_this(&fixture.users, 1));
	write_batch(&fixture, 0, 3, false);
	const struct expectation refused = fixture.expected;
	write_batch(&fixture, 1, 3, false);
	ck_assert(users_is_newest(&fixture.users, 0, &refused));
	write_batch(&fixture, 0, 3, false);
	ck_assert(!users_is_newest(&fixture.users, 0, &refused));
	ck_assert(users_is_newest(&fixture.users, 0, &fixture.expected));
	tear_down(&fixture);
}
END_TEST

START_TEST(stamps_grow_along_a_log_that_was_known_before)
{
	static struct fixture fixture;
	const char *const flags[] = {"--devices=3", NULL};
	const struct position head = {.seq = 1000};
	uint64_t newest = UINT64_C(9000000000000); /* far ahead of the clock */
	set_up(&fixture, flags);
	uint32_t index = users_take(&fixture.users);
	users_know(&fixture.users, index, &head, newest);
	for (size_t round = 0; round < 20; round++) {
		write_batch(&fixture, index, 3, false);
		for (size_t i = 0; i < 3; i++) {
			ck_assert_uint_gt(fixture.actions[i].action.ts, newest);
			newest = fixture.actions[i].action.ts;
		}
		users_acknowledge(&fixture.users, index, &fixture.expected);
	}
	tear_down(&fixture);
}
END_TEST

START_TEST(a_stale_base_is_an_older_head)
{
	static struct fixture fixture;
	const char *const flags[] = {"--stale=0.5", NULL};
	struct position heads[20];
	set_up(&fixture, flags);
	uint32_t index = users_take(&fixture.users);
	ck_assert(users_head(&fixture.users, index, &heads[0]));
	write_batch(&fixture, index, 1, true); /* there is no older one */
	ck_assert_uint_eq(fixture.expected.base.seq, 0);
	for (size_t round = 1; round < 20; round++) {
		users_acknowledge(&fixture.users, index, &fixture.expected);
		ck_assert(users_head(&fixture.users, index, &heads[round]));
		write_batch(&fixture, index, 2, true);
		bool found = false;
		for (size_t i = round > USERS_OLDER ? round - USERS_OLDER : 0; i < round; i++)
			found |= heads[i].seq == fixture.expected.base.seq &&
				 hash_equal(&heads[i].link, &fixture.expected.base.link);
		ck_assert_msg(found, "round %zu: base %llu", round,
			      (unsigned long long)fixture.expected.base.seq);
		ck_assert(!hash_equal(&fixture.expected.claimed, &fixture.expected.head.link));
	}
	tear_down(&fixture);
}
END_TEST

START_TEST(a_log_has_one_request_under_way_and_all_get_their_turn)
{
	static const char *const orders[] = {"--order=cycle", "--order=random"};
	const char *const flags[] = {orders[_i], "--users=100", NULL};
	static struct fixture fixture;
	bool taken[100] = {false};
	set_up(&fixture, flags);
	for (size_t i = 0; i < 100; i++) {
		uint32_t index = users_take(&fixture.users);
		ck_assert_uint_lt(index, 100);
		ck_assert(!taken[index]);
		ck_assert(!users_take_this(&fixture.users, index));
		taken[index] = true;
	}
	ck_assert_uint_eq(users_take(&fixture.users), USERS_NONE);
	users_give_back(&fixture.users, 42);
	ck_assert_uint_eq(users_take(&fixture.users), 42);
	tear_down(&fixture);
}
END_TEST

START_TEST(the_records_hold_what_was_acknowledged_of_logs_drawn_among_all)
{
	static struct fixture fixture;
	const char *const flags[] = {"--users=1000", "--sample=50", NULL};
	struct position head;
	uint32_t late = 0;
	set_up(&fixture, flags);
	for (size_t round = 0; round < 2000; round++) {
		uint32_t index = users_take(&fixture.users);
		ck_assert(users_head(&fixture.users, index, &head));
		write_batch(&fixture, index, 2, false);
		users_acknowledge(&fixture.users, index, &fixture.expected);
		users_give_back(&fixture.users, index);
	}
	ck_assert_uint_eq(fixture.users.record_count, 50);
	for (size_t i = 0; i < 50; i++) {
		const struct users_record *record = &fixture.users.records[i];
		char name[LOG_NAME_SIZE_MAX + 1];
		struct hash link;
		bool known;
		ck_assert_uint_eq(record->count, 4);
		chain_genesis(users_name(&fixture.users, record->user, name), &link);
		for (size_t j = 0; j < record->count; j++)
			chain_link(&link, &record->digests[j], &link);
		users_expected(&fixture.users, record, &head, &known);
		ck_assert(known && head.seq == 4 && hash_equal(&head.link, &link));
		ck_assert_ptr_eq(record_of(&fixture, record->user), record);
		late += record->user >= 500;
	}
	/* 25 expected, a deviation of 3.5. */
	ck_assert_uint_gt(late, 10);
	ck_assert_uint_lt(late, 40);
	tear_down(&fixture);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("loadtest_users");
	TCase *tests = tcase_create("users");
	tcase_add_loop_test(tests, what_is_written_verifies_whatever_its_size, 0, 4);
	tcase_add_test(tests, a_payload_has_the_size_that_was_asked_for);
	tcase_add_test(tests, an_empty_log_begins_with_its_genesis);
	tcase_add_test(tests, a_refused_batch_never_was);
	tcase_add_test(tests, a_refused_batch_may_be_sent_again_until_another_one_is_written);
	tcase_add_test(tests, stamps_grow_along_a_log_that_was_known_before);
	tcase_add_test(tests, a_stale_base_is_an_older_head);
	tcase_add_loop_test(tests, a_log_has_one_request_under_way_and_all_get_their_turn, 0, 2);
	tcase_add_test(tests, the_records_hold_what_was_acknowledged_of_logs_drawn_among_all);
	suite_add_tcase(suite, tests);
	return runner_run(srunner_create(suite));
}
