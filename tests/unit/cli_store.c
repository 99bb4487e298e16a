/* The phone's state file: what a process that starts again finds in it. */
#include <sqlite3.h>

#include "support/phone_fixture.h"
#include "support/runner.h"

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

START_TEST(a_phone_that_began_from_a_snapshot_has_nothing_before_it)
{
	struct position start = {.seq = 7}, genesis = {.seq = 0};
	struct hash link;
	uint64_t set_aside = 0;

	memset(start.link.bytes, 7, sizeof(start.link.bytes));
	chain_genesis(TEXT("log"), &genesis.link);
	enqueue(9, "q");
	ck_assert_int_eq(phone_store_begin(store), STATUS_OK);
	ck_assert_int_eq(phone_store_begin_from(store, &start), STATUS_OK);
	phone_store_abort(store);
	ck_assert_uint_eq(phone_store_start(store)->seq, 0);
	ck_assert_int_eq(phone_store_begin(store), STATUS_OK);
	ck_assert_int_eq(phone_store_begin_from(store, &start), STATUS_OK);
	ck_assert_int_eq(phone_store_commit(store), STATUS_OK);
	reopen();
	ck_assert(position_equal(&start, phone_store_start(store)));
	ck_assert(position_equal(&start, phone_store_base(store)));
	confirm(1, "a");
	ck_assert_uint_eq(phone_store_base(store)->seq, 8);
	ck_assert_int_eq(phone_store_link(store, 7, &link), STATUS_OK);
	ck_assert(hash_equal(&link, &start.link));
	ck_assert_int_eq(phone_store_link(store, 6, &link), STATUS_NOT_FOUND);
	ck_assert_int_eq(phone_store_link(store, 0, &link), STATUS_OK);
	/* Back to the beginning: what it has of its own goes round. */
	ck_assert_int_eq(phone_store_begin(store), STATUS_OK);
	ck_assert_int_eq(phone_store_roll_back(store, &genesis, &set_aside), STATUS_OK);
	ck_assert_int_eq(phone_store_commit(store), STATUS_OK);
	reopen();
	ck_assert_uint_eq(set_aside, 0);
	ck_assert_uint_eq(phone_store_start(store)->seq, 0);
	ck_assert(position_equal(&genesis, phone_store_base(store)));
	ck_assert_str_eq(queue().text, "a@1! q@9 ");
}
END_TEST

START_TEST(what_was_confirmed_before_a_snapshot_was_gone_on_from_is_kept_and_can_be_given_back)
{
	struct position start = {.seq = 7}, ancestor = {.seq = 1};
	uint64_t set_aside = 0;

	memset(start.link.bytes, 7, sizeof(start.link.bytes));
	confirm(1, "a");
	confirm(2, "b");
	enqueue(9, "q");
	ck_assert_int_eq(phone_store_link(store, 1, &ancestor.link), STATUS_OK);
	ck_assert_int_eq(phone_store_begin(store), STATUS_OK);
	ck_assert_int_eq(phone_store_begin_from(store, &start), STATUS_OK);
	ck_assert_int_eq(phone_store_commit(store), STATUS_OK);
	reopen();
	ck_assert(position_equal(&start, phone_store_base(store)));
	confirm(8, "h");
	ck_assert_str_eq(confirmed().text, "a@1 b@2 h@8 ");
	ck_assert_str_eq(queue().text, "q@9 ");
	ck_assert_int_eq(phone_store_begin(store), STATUS_OK);
	ck_assert_int_eq(phone_store_roll_back(store, &ancestor, &set_aside), STATUS_OK);
	ck_assert_int_eq(phone_store_commit(store), STATUS_OK);
	reopen();
	ck_assert_uint_eq(set_aside, 0);
	ck_assert(position_equal(&ancestor, phone_store_base(store)));
	ck_assert_str_eq(confirmed().text, "a@1 ");
	ck_assert_str_eq(queue().text, "b@2! h@8! q@9 ");
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

static void
damage(const char *sql)
{
	sqlite3 *db = NULL;

	phone_store_close(store);
	store = NULL;
	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
	reopen();
}

START_TEST(a_rotten_link_or_digest_costs_no_action)
{
	struct position start = {.seq = 0};
	uint64_t set_aside = 0;

	for (uint64_t ts = 1; ts <= 5; ts++)
		confirm(ts, "x");
	damage("UPDATE confirmed SET link = zeroblob(32) WHERE seq = 2;"
	       "UPDATE confirmed SET digest = zeroblob(32) WHERE seq = 4;"
	       "UPDATE confirmed SET payload = x'79' WHERE seq = 5;");
	ck_assert_int_eq(phone_store_link(store, 0, &start.link), STATUS_OK);
	ck_assert_int_eq(phone_store_begin(store), STATUS_OK);
	ck_assert_int_eq(phone_store_roll_back(store, &start, &set_aside), STATUS_OK);
	ck_assert_int_eq(phone_store_commit(store), STATUS_OK);
	ck_assert_str_eq(queue().text, "x@1! x@2! x@3! x@4! ");
	ck_assert_uint_eq(set_aside, 1);
}
END_TEST

START_TEST(a_database_of_another_program_is_left_as_it_is)
{
	struct phone_store *other = NULL;
	char other_path[80];
	char before[20];
	char after[20];
	sqlite3 *db = NULL;
	FILE *file;

	snprintf(other_path, sizeof(other_path), "%s-foreign", path);
	ck_assert_int_eq(sqlite3_open(other_path, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, "CREATE TABLE t (a)", NULL, NULL, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
	file = fopen(other_path, "rb");
	ck_assert_uint_eq(fread(before, 1, sizeof(before), file), sizeof(before));
	fclose(file);
	ck_assert_int_ne(phone_store_open(other_path, "log", NULL, &other), STATUS_OK);
	file = fopen(other_path, "rb");
	ck_assert_uint_eq(fread(after, 1, sizeof(after), file), sizeof(after));
	fclose(file);
	/* Bytes 18 and 19 of an SQLite file are its journal mode. */
	ck_assert_mem_eq(before, after, sizeof(before));
	unlink(other_path);
	snprintf(other_path, sizeof(other_path), "%s-foreign-lock", path);
	unlink(other_path);
}
END_TEST

START_TEST(a_link_to_the_file_has_its_lock)
{
	struct phone_store *other = NULL;
	char other_path[80];

	snprintf(other_path, sizeof(other_path), "%s-link", path);
	ck_assert_int_eq(symlink("state", other_path), 0);
	ck_assert_int_eq(phone_store_open(other_path, "log", NULL, &other),
			 STATUS_STORAGE_UNAVAILABLE);
	unlink(other_path);
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

	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, everything_survives_a_reopening);
	tcase_add_test(cases, a_transaction_that_is_not_committed_leaves_nothing);
	tcase_add_test(cases, a_second_process_is_refused_but_may_look);
	tcase_add_test(cases, a_phone_that_began_from_a_snapshot_has_nothing_before_it);
	tcase_add_test(cases, another_log_or_device_is_refused);
	tcase_add_test(cases, confirming_takes_the_same_action_out_of_the_queue);
	tcase_add_test(cases, the_links_are_the_chain);
	tcase_add_test(cases, rolling_back_puts_the_log_in_front_of_the_queue);
	tcase_add_test(
		cases,
		what_was_confirmed_before_a_snapshot_was_gone_on_from_is_kept_and_can_be_given_back);
	tcase_add_test(cases, a_redacted_action_cannot_be_given_back);
	tcase_add_test(cases, what_is_set_aside_leaves_the_queue_and_is_kept);
	tcase_add_test(cases, a_rotten_link_or_digest_costs_no_action);
	tcase_add_test(cases, a_database_of_another_program_is_left_as_it_is);
	tcase_add_test(cases, a_link_to_the_file_has_its_lock);
	tcase_add_test(cases, a_new_state_has_a_random_device);
	suite_add_tcase(suite, cases);
	runner = srunner_create(suite);
	return runner_run(runner);
}
