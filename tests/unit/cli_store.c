/* The phone's state file: what a process that starts again finds in it. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/phone_clock.h"
#include "cli/phone_store.h"

static char folder[] = "cli-store-XXXXXX";
static char path[64];
static struct phone_store *store;

static void
reopen(void)
{
	phone_store_close(store);
	store = NULL;
	ck_assert_int_eq(phone_store_open(path, "log", NULL, &store), STATUS_OK);
}

static void
setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/state", folder);
	ck_assert_int_eq(phone_store_open(path, "log", "phone", &store), STATUS_OK);
}

static void
teardown(void)
{
	static const char *const NAMES[] = {"state", "state-lock", "state-wal", "state-shm"};
	char name[80];

	phone_store_close(store);
	store = NULL;
	for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
		snprintf(name, sizeof(name), "%s/%s", folder, NAMES[i]);
		unlink(name);
	}
	ck_assert_int_eq(rmdir(folder), 0);
}

static struct action
action_of(uint64_t ts, const char *payload)
{
	return (struct action){
		.device = TEXT("phone"), .ts = ts, .type = TEXT("t"), .payload = text_of(payload)};
}

static void
enqueue(uint64_t ts, const char *payload)
{
	struct action action = action_of(ts, payload);

	ck_assert_int_eq(phone_store_begin(store), STATUS_OK);
	ck_assert_int_eq(phone_store_enqueue(store, &action), STATUS_OK);
	ck_assert_int_eq(phone_store_commit(store), STATUS_OK);
}

static void
confirm(uint64_t ts, const char *payload)
{
	struct phone_action kept = {.action = action_of(ts, payload)};

	phone_action_digest(&kept);
	ck_assert_int_eq(phone_store_begin(store), STATUS_OK);
	ck_assert_int_eq(phone_store_confirm(store, &kept), STATUS_OK);
	ck_assert_int_eq(phone_store_commit(store), STATUS_OK);
}

/* The queue or the log as text: "payload@ts " each, "!" behind what was confirmed once. */
struct shown {
	char text[1000];
	size_t size;
	int64_t place;
	uint64_t ts;
};

static void
show(struct shown *shown, const struct phone_action *kept, const char *mark)
{
	shown->size +=
		(size_t)snprintf(shown->text + shown->size, sizeof(shown->text) - shown->size,
				 "%.*s@%u%s ", (int)kept->action.payload.size,
				 kept->action.payload.data, (unsigned)kept->action.ts, mark);
	shown->ts = kept->action.ts;
}

static bool
show_queued(void *cookie, const struct queued *queued)
{
	show(cookie, &queued->kept, queued->confirmed_once ? "!" : "");
	((struct shown *)cookie)->place = queued->place;
	return true;
}

static bool
show_logged(void *cookie, const struct logged *logged)
{
	show(cookie, &logged->kept, "");
	return true;
}

static struct shown
queue(void)
{
	struct shown shown = {.size = 0};

	ck_assert_int_eq(phone_store_queue(store, show_queued, &shown), STATUS_OK);
	return shown;
}

static struct shown
confirmed(void)
{
	struct shown shown = {.size = 0};

	ck_assert_int_eq(phone_store_confirmed(store, 0, show_logged, &shown), STATUS_OK);
	return shown;
}

static uint64_t
count_set_aside(void)
{
	struct phone_counts counts;

	ck_assert_int_eq(phone_store_counts(store, &counts), STATUS_OK);
	return counts.set_aside;
}

START_TEST(everything_survives_a_reopening)
{
	struct position base;
	uint64_t lines = 0;

	enqueue(5, "a");
	confirm(1, "x");
	confirm(2, "y");
	ck_assert_int_eq(phone_store_set_lines(store, "input", 17), STATUS_OK);
	ck_assert_int_eq(phone_store_set_offset(store, -1234), STATUS_OK);
	base = *phone_store_base(store);
	reopen();
	ck_assert(position_equal(&base, phone_store_base(store)));
	ck_assert_uint_eq(base.seq, 2);
	ck_assert(text_equal(phone_store_device(store), TEXT("phone")));
	ck_assert(text_equal(phone_store_log(store), TEXT("log")));
	ck_assert_int_eq(phone_store_offset(store), -1234);
	ck_assert_int_eq(phone_store_lines(store, "input", &lines), STATUS_OK);
	ck_assert_uint_eq(lines, 17);
	ck_assert_str_eq(queue().text, "a@5 ");
	ck_assert_str_eq(confirmed().text, "x@1 y@2 ");
}
END_TEST

START_TEST(a_transaction_that_is_not_committed_leaves_nothing)
{
	struct action action = action_of(5, "a");
	struct phone_action kept = {.action = action_of(6, "b")};
	struct position base = *phone_store_base(store);

	phone_action_digest(&kept);
	ck_assert_int_eq(phone_store_begin(store), STATUS_OK);
	ck_assert_int_eq(phone_store_enqueue(store, &action), STATUS_OK);
	ck_assert_int_eq(phone_store_confirm(store, &kept), STATUS_OK);
	phone_store_abort(store);
	ck_assert(position_equal(&base, phone_store_base(store)));
	ck_assert_str_eq(queue().text, "");
	reopen();
	ck_assert(position_equal(&base, phone_store_base(store)));
	ck_assert_str_eq(confirmed().text, "");
}
END_TEST

START_TEST(a_second_process_is_refused_but_may_look)
{
	struct phone_store *second = NULL;

	enqueue(5, "a");
	ck_assert_int_eq(phone_store_open(path, "log", NULL, &second), STATUS_STORAGE_UNAVAILABLE);
	ck_assert_int_eq(phone_store_look(path, &second), STATUS_OK);
	phone_store_close(second);
}
END_TEST

START_TEST(another_log_or_device_is_refused)
{
	struct phone_store *other = NULL;

	phone_store_close(store);
	store = NULL;
	ck_assert_int_eq(phone_store_open(path, "other", NULL, &other), STATUS_MALFORMED);
	ck_assert_int_eq(phone_store_open(path, "log", "tablet", &other), STATUS_MALFORMED);
	reopen();
}
END_TEST

START_TEST(confirming_takes_the_same_action_out_of_the_queue)
{
	enqueue(5, "a");
	enqueue(6, "b");
	confirm(6, "b");
	confirm(5, "not a");
	ck_assert_str_eq(queue().text, "a@5 ");
	ck_assert_str_eq(confirmed().text, "b@6 not a@5 ");
}
END_TEST

START_TEST(the_links_are_the_chain)
{
	struct position position = {0};
	struct logged logged = {.seq = 1, .kept.action = action_of(1, "x")};
	struct hash link;

	chain_genesis(TEXT("log"), &position.link);
	ck_assert_int_eq(phone_store_link(store, 0, &link), STATUS_OK);
	ck_assert(hash_equal(&link, &position.link));
	confirm(1, "x");
	phone_action_digest(&logged.kept);
	ck_assert(chain_actions(&position, &logged, 1));
	ck_assert(position_equal(&position, phone_store_base(store)));
	ck_assert_int_eq(phone_store_link(store, 1, &link), STATUS_OK);
	ck_assert(hash_equal(&link, &position.link));
	ck_assert_int_eq(phone_store_link(store, 2, &link), STATUS_NOT_FOUND);
}
END_TEST

START_TEST(stamps_rise_and_avoid_what_is_taken)
{
	uint64_t now = clock_wall_msec();
	uint64_t first;
	uint64_t ahead = now + 100000;
	uint64_t far = now + 10000000;

	enqueue(0, "a");
	first = queue().ts;
	ck_assert_uint_ge(first, now);
	enqueue(0, "b");
	ck_assert_uint_gt(queue().ts, first);
	confirm(ahead, "c");
	enqueue(0, "d");
	ck_assert_uint_eq(queue().ts, ahead + 1);
	confirm(far, "e");
	enqueue(0, "f");
	ck_assert_uint_lt(queue().ts, ahead);
	ck_assert_uint_gt(queue().ts, first);
}
END_TEST

START_TEST(rolling_back_puts_the_log_in_front_of_the_queue)
{
	struct position ancestor;
	uint64_t set_aside = 0;

	confirm(1, "a");
	ancestor = *phone_store_base(store);
	confirm(2, "b");
	confirm(3, "c");
	enqueue(9, "q");
	ck_assert_int_eq(phone_store_begin(store), STATUS_OK);
	ck_assert_int_eq(phone_store_roll_back(store, &ancestor, &set_aside), STATUS_OK);
	ck_assert_int_eq(phone_store_commit(store), STATUS_OK);
	reopen();
	ck_assert_uint_eq(set_aside, 0);
	ck_assert(position_equal(&ancestor, phone_store_base(store)));
	ck_assert_str_eq(confirmed().text, "a@1 ");
	ck_assert_str_eq(queue().text, "b@2! c@3! q@9 ");
	confirm(3, "c");
	ck_assert_str_eq(queue().text, "b@2! q@9 ");
}
END_TEST

START_TEST(a_redacted_action_cannot_be_given_back)
{
	struct position genesis = *phone_store_base(store);
	struct phone_action kept = {.action = action_of(2, ""), .redacted = true};
	uint64_t set_aside = 0;

	confirm(1, "a");
	memset(kept.digest.bytes, 7, HASH_SIZE);
	ck_assert_int_eq(phone_store_begin(store), STATUS_OK);
	ck_assert_int_eq(phone_store_confirm(store, &kept), STATUS_OK);
	ck_assert_int_eq(phone_store_commit(store), STATUS_OK);
	confirm(3, "c");
	ck_assert_int_eq(phone_store_begin(store), STATUS_OK);
	ck_assert_int_eq(phone_store_roll_back(store, &genesis, &set_aside), STATUS_OK);
	ck_assert_int_eq(phone_store_commit(store), STATUS_OK);
	ck_assert_uint_eq(set_aside, 1);
	ck_assert_uint_eq(count_set_aside(), 1);
	ck_assert_str_eq(queue().text, "a@1! c@3! ");
}
END_TEST

START_TEST(a_stamp_that_is_taken_steps_over_what_the_log_has)
{
	struct queued queued = {.kept.action = action_of(5, "mine")};

	confirm(5, "x");
	confirm(6, "y");
	confirm(8, "z");
	enqueue(5, "mine");
	queued.place = queue().place;
	ck_assert_int_eq(phone_store_begin(store), STATUS_OK);
	ck_assert_int_eq(phone_store_step_stamp(store, &queued), STATUS_OK);
	ck_assert_int_eq(phone_store_commit(store), STATUS_OK);
	ck_assert_str_eq(queue().text, "mine@7 ");
}
END_TEST

START_TEST(only_what_was_never_confirmed_steps_over_the_queue)
{
	struct queued queued = {.kept.action = action_of(5, "mine")};

	enqueue(6, "other");
	enqueue(5, "mine");
	queued.place = queue().place;
	ck_assert_int_eq(phone_store_begin(store), STATUS_OK);
	ck_assert_int_eq(phone_store_step_stamp(store, &queued), STATUS_OK);
	ck_assert_int_eq(phone_store_commit(store), STATUS_OK);
	ck_assert_str_eq(queue().text, "other@6 mine@7 ");
	queued.confirmed_once = true;
	ck_assert_int_eq(phone_store_begin(store), STATUS_OK);
	ck_assert_int_eq(phone_store_step_stamp(store, &queued), STATUS_OK);
	ck_assert_int_eq(phone_store_commit(store), STATUS_OK);
	ck_assert_str_eq(queue().text, "other@6 mine@6 ");
}
END_TEST

START_TEST(a_stamp_stops_at_the_same_action)
{
	struct queued queued = {.kept.action = action_of(5, "mine")};

	confirm(6, "mine");
	enqueue(5, "mine");
	queued.place = queue().place;
	ck_assert_int_eq(phone_store_begin(store), STATUS_OK);
	ck_assert_int_eq(phone_store_step_stamp(store, &queued), STATUS_OK);
	ck_assert_int_eq(phone_store_commit(store), STATUS_OK);
	ck_assert_str_eq(queue().text, "mine@6 ");
}
END_TEST

START_TEST(what_is_set_aside_leaves_the_queue_and_is_kept)
{
	enqueue(5, "a");
	enqueue(6, "b");
	ck_assert_int_eq(phone_store_begin(store), STATUS_OK);
	ck_assert_int_eq(phone_store_set_aside(store, queue().place, TEXT("MALFORMED")), STATUS_OK);
	ck_assert_int_eq(phone_store_commit(store), STATUS_OK);
	reopen();
	ck_assert_str_eq(queue().text, "a@5 ");
	ck_assert_uint_eq(count_set_aside(), 1);
}
END_TEST

START_TEST(a_new_state_has_a_random_device)
{
	struct phone_store *other = NULL;
	char other_path[80];

	snprintf(other_path, sizeof(other_path), "%s2", path);
	ck_assert_int_eq(phone_store_open(other_path, "log", NULL, &other), STATUS_OK);
	ck_assert_uint_eq(phone_store_device(other).size, 32);
	phone_store_close(other);
	unlink(other_path);
	snprintf(other_path, sizeof(other_path), "%s2-lock", path);
	unlink(other_path);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("cli_store");
	TCase *cases = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, everything_survives_a_reopening);
	tcase_add_test(cases, a_transaction_that_is_not_committed_leaves_nothing);
	tcase_add_test(cases, a_second_process_is_refused_but_may_look);
	tcase_add_test(cases, another_log_or_device_is_refused);
	tcase_add_test(cases, confirming_takes_the_same_action_out_of_the_queue);
	tcase_add_test(cases, the_links_are_the_chain);
	tcase_add_test(cases, stamps_rise_and_avoid_what_is_taken);
	tcase_add_test(cases, rolling_back_puts_the_log_in_front_of_the_queue);
	tcase_add_test(cases, a_redacted_action_cannot_be_given_back);
	tcase_add_test(cases, a_stamp_that_is_taken_steps_over_what_the_log_has);
	tcase_add_test(cases, only_what_was_never_confirmed_steps_over_the_queue);
	tcase_add_test(cases, a_stamp_stops_at_the_same_action);
	tcase_add_test(cases, what_is_set_aside_leaves_the_queue_and_is_kept);
	tcase_add_test(cases, a_new_state_has_a_random_device);
	suite_add_tcase(suite, cases);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
