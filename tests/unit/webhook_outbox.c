/*
 * What waits to be told of: each log once, with its newest head, in order, within a bound; and how a
 * notice is signed.
 */
#include <check.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/runner.h"
#include "webhook/outbox.h"
#include "webhook/signature.h"

#define GATHER 500
#define MOST 4

static struct outbox outbox;

static void
set_up(void)
{
	ck_assert_int_eq(outbox_init(&outbox, MOST, GATHER), STATUS_OK);
}

static void
tear_down(void)
{
	outbox_release(&outbox);
}

static bool
put(const char *log, uint64_t seq, uint64_t now)
{
	const struct growth growth = {.log = text_of(log), .head = {.seq = seq}};
	return outbox_put(&outbox, &growth, now);
}

static struct notice *
take(const char *log, uint64_t seq, uint64_t now)
{
	struct notice *notice = outbox_take(&outbox, now);
	ck_assert_ptr_nonnull(notice);
	ck_assert(text_equal((struct text){notice->name, notice->size}, text_of(log)));
	ck_assert_uint_eq(notice->head.seq, seq);
	return notice;
}

START_TEST(commits_in_a_row_are_one_notice_with_the_newest_head)
{
	for (uint64_t i = 0; i < 50; i++)
		ck_assert(put("a", i + 1, 1000 + i));
	ck_assert_ptr_null(outbox_take(&outbox, 1000 + GATHER - 1));
	ck_assert_uint_eq(outbox_next_msec(&outbox), 1000 + GATHER);
	outbox_delivered(&outbox, take("a", 50, 1000 + GATHER), 1000 + GATHER);
	ck_assert_uint_eq(outbox.count, 0);
	ck_assert_uint_eq(outbox_next_msec(&outbox), UINT64_MAX);
}
END_TEST

START_TEST(the_logs_come_in_the_order_in_which_they_grew)
{
	ck_assert(put("b", 1, 1));
	ck_assert(put("a", 1, 2));
	ck_assert(put("c", 1, 3));
	ck_assert(put("b", 2, 4));
	(void)take("b", 2, 1000);
	(void)take("a", 1, 1000);
	(void)take("c", 1, 1000);
	ck_assert_ptr_null(outbox_take(&outbox, 1000));
}
END_TEST

START_TEST(what_comes_while_it_is_sent_is_another_notice)
{
	ck_assert(put("a", 1, 0));
	struct notice *notice = take("a", 1, 1000);
	ck_assert(put("a", 2, 1100));
	ck_assert(put("a", 3, 1200));
	ck_assert_ptr_null(outbox_take(&outbox, 5000));
	outbox_delivered(&outbox, notice, 1300);
	ck_assert_uint_eq(outbox_next_msec(&outbox), 1300 + GATHER);
	outbox_delivered(&outbox, take("a", 3, 2000), 2000);
	ck_assert_uint_eq(outbox.count, 0);
}
END_TEST

START_TEST(one_that_failed_waits_for_its_own_time_with_the_newest_head)
{
	ck_assert(put("a", 1, 0));
	ck_assert(put("b", 1, 0));
	struct notice *notice = take("a", 1, 1000);
	ck_assert(put("a", 2, 1000));
	outbox_failed(&outbox, notice, 3000);
	(void)take("b", 1, 1000);
	ck_assert(put("a", 3, 1100)); /* does not make it due */
	ck_assert_ptr_null(outbox_take(&outbox, 2999));
	ck_assert_uint_eq(outbox_next_msec(&outbox), 3000);
	ck_assert_ptr_null(outbox_take_fresh(&outbox, 3000));
	outbox_delivered(&outbox, take("a", 3, 3000), 3000);
	ck_assert_uint_eq(outbox.count, 1);
}
END_TEST

START_TEST(what_failed_and_what_did_not_come_by_when_they_are_due)
{
	ck_assert(put("a", 1, 0));
	ck_assert(put("b", 1, 0));
	outbox_failed(&outbox, take("a", 1, 1000), 2000);
	outbox_failed(&outbox, take("b", 1, 1000), 1800);
	ck_assert(put("c", 1, 1400));
	ck_assert(put("d", 1, 1000));
	(void)take("b", 1, 5000);
	outbox_failed(&outbox, take("c", 1, 5000), 9000);
	ck_assert(outbox_take_fresh(&outbox, 5000) != NULL);
	(void)take("a", 1, 5000);
	(void)take("c", 1, 9000);
}
END_TEST

START_TEST(beyond_the_bound_a_new_log_is_not_taken_and_a_known_one_is)
{
	static const char *const names[MOST] = {"a", "b", "c", "d"};
	for (unsigned i = 0; i < MOST; i++)
		ck_assert(put(names[i], 1, i));
	ck_assert(!put("e", 1, 10));
	ck_assert(put("c", 7, 11));
	outbox_delivered(&outbox, take("a", 1, 1000), 1000);
	ck_assert(put("e", 1, 1001));
	ck_assert(!put("a", 2, 1002));
	ck_assert_uint_eq(outbox.count, MOST);
}
END_TEST

START_TEST(one_that_is_too_old_is_given_up)
{
	ck_assert(put("a", 1, 100));
	ck_assert(put("b", 1, 200));
	ck_assert(put("c", 1, 300));
	struct notice *notice = take("a", 1, 1000);
	outbox_failed(&outbox, notice, 1000);
	notice = take("b", 1, 1000);
	ck_assert_uint_eq(outbox_expire(&outbox, 100), 0);
	ck_assert_uint_eq(outbox_expire(&outbox, 301), 2); /* not what is being sent */
	ck_assert_uint_eq(outbox.count, 1);
	outbox_failed(&outbox, notice, 1000);
	ck_assert_uint_eq(outbox_expire(&outbox, 301), 1);
	ck_assert_uint_eq(outbox.count, 0);
	ck_assert(put("a", 3, 6000));
	ck_assert_uint_eq(outbox_expire(&outbox, 6000), 0);
	(void)take("a", 3, 7000);
}
END_TEST

START_TEST(a_notice_is_as_old_as_the_newest_that_nobody_was_told_of)
{
	ck_assert(put("a", 1, 100));
	ck_assert(put("b", 1, 200));
	ck_assert(put("a", 2, 300)); /* while it waits */
	ck_assert_uint_eq(outbox_expire(&outbox, 300), 1);
	struct notice *notice = take("a", 2, 1000);
	ck_assert(put("a", 3, 2000)); /* while it is sent */
	outbox_failed(&outbox, notice, 2500);
	ck_assert_uint_eq(outbox_expire(&outbox, 2000), 0);
	notice = take("a", 3, 2500);
	ck_assert(put("a", 4, 3000));
	outbox_delivered(&outbox, notice, 4000);
	ck_assert(put("a", 5, 4100)); /* after both */
	outbox_failed(&outbox, take("a", 5, 5000), 6000);
	ck_assert(put("a", 6, 5500));
	ck_assert_uint_eq(outbox_expire(&outbox, 5500), 0);
	ck_assert_uint_eq(outbox_expire(&outbox, 5501), 1);
}
END_TEST

/* --- at random, beside a list --- */

#define MANY 40

struct listed {
	bool is_there, is_sending;
	uint64_t due, changed;
	struct notice *notice;
};

static void
step_at_random(struct listed *listed, uint64_t now)
{
	static unsigned char names[MANY][2];
	const uint32_t which = randombytes_uniform(MANY);
	struct listed *one = &listed[which];
	names[which][0] = (unsigned char)('A' + which);
	if (one->is_sending && randombytes_uniform(2) == 0) {
		one->due = now + randombytes_uniform(300);
		one->is_sending = false;
		outbox_failed(&outbox, one->notice, one->due);
		return;
	}
	if (!one->is_there)
		*one = (struct listed){.is_there = true, .due = now + GATHER};
	one->changed = now;
	ck_assert(put((const char *)names[which], now, now));
}

/* The list's first that is due, or as many as there are. */
static size_t
first_due(const struct listed *listed, uint64_t now)
{
	size_t first = MANY;
	for (size_t i = 0; i < MANY; i++) {
		const struct listed *one = &listed[i];
		if (one->is_there && !one->is_sending && one->due <= now &&
		    (first == MANY || one->due < listed[first].due))
			first = i;
	}
	return first;
}

START_TEST(at_random_it_is_as_a_list_would_have_it)
{
	struct listed listed[MANY] = {{0}};
	outbox_release(&outbox);
	ck_assert_int_eq(outbox_init(&outbox, MANY, GATHER), STATUS_OK);
	for (uint64_t now = 1000; now < 60000; now++) {
		size_t old = 0;
		step_at_random(listed, now);
		for (size_t i = 0; i < MANY && now % 50 == 0; i++) {
			if (!listed[i].is_there || listed[i].is_sending ||
			    listed[i].changed >= now - 300)
				continue;
			listed[i].is_there = false;
			old++;
		}
		if (now % 50 == 0)
			ck_assert_uint_eq(outbox_expire(&outbox, now - 300), old);
		const size_t first = first_due(listed, now);
		struct notice *notice = outbox_take(&outbox, now);
		ck_assert_int_eq(notice != NULL, first < MANY);
		if (notice == NULL)
			continue;
		struct listed *one = &listed[notice->name[0] - 'A'];
		ck_assert_uint_eq(one->due, listed[first].due);
		ck_assert(one->is_there && !one->is_sending && one->changed == notice->head.seq);
		one->is_sending = true;
		one->notice = notice;
		if (randombytes_uniform(3) > 0)
			continue;
		outbox_delivered(&outbox, notice, now);
		one->is_there = one->is_sending = false;
	}
}
END_TEST

/* --- signatures --- */

#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define LONG                                                                                       \
	"whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD" \
	"0+Pw=="

static const char *
sign(const char *file)
{
	static char signatures[SIGNATURES_SIZE_MAX];
	struct secrets secrets;
	ck_assert_ptr_null(secrets_parse(&secrets, text_of(file)));
	secrets_sign(&secrets, TEXT("msg_p5jXN8AQM9LWM0D4loKWxJek"), 1614265330,
		     TEXT("{\"test\": 2432232314}"), signatures);
	return signatures;
}

/* The first is the specification's own example. */
START_TEST(signatures_are_those_of_the_specification)
{
	ck_assert_str_eq(sign(SECRET), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
	ck_assert_str_eq(sign("# the new one\n" LONG "\n\n  " SECRET "  "),
			 "v1,LZ5zuwHTqQH3VM8ERUusjzVQq1FXzemvpR8Mk7Ivp5c= "
			 "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}
END_TEST

START_TEST(what_is_no_secret_is_told)
{
	static const char *const files[] = {
		"",
		"\n# none\n",
		"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		"whsec_",
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa",
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa==",
		SECRET "x",
		SECRET " " SECRET,
		SECRET "\n" SECRET "\n" SECRET "\n" SECRET "\n" SECRET,
	};
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct secrets secrets;
		ck_assert_msg(secrets_parse(&secrets, text_of(files[i])) != NULL, "%s", files[i]);
	}
}
END_TEST

START_TEST(a_file_that_others_may_read_is_refused)
{
	const char *problem = NULL;
	struct secrets secrets;
	int fd = open("secrets", O_CREAT | O_WRONLY | O_TRUNC, 0600);
	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(write(fd, SECRET "\n", sizeof(SECRET)), sizeof(SECRET));
	close(fd);
	ck_assert_int_eq(secrets_read(&secrets, "secrets", &problem), STATUS_OK);
	ck_assert_uint_eq(secrets.count, 1);
	ck_assert_int_eq(chmod("secrets", 0640), 0);
	ck_assert_int_eq(secrets_read(&secrets, "secrets", &problem), STATUS_INTERNAL);
	ck_assert_ptr_nonnull(strstr(problem, "chmod 600 it"));
	ck_assert_int_eq(secrets_read(&secrets, "absent", &problem), STATUS_INTERNAL);
	ck_assert_ptr_nonnull(strstr(problem, "absent"));
	ck_assert_int_eq(secrets_read(&secrets, ".", &problem), STATUS_INTERNAL);
	(void)unlink("secrets");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("webhook_outbox");
	TCase *tests = tcase_create("outbox");
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, commits_in_a_row_are_one_notice_with_the_newest_head);
	tcase_add_test(tests, the_logs_come_in_the_order_in_which_they_grew);
	tcase_add_test(tests, what_comes_while_it_is_sent_is_another_notice);
	tcase_add_test(tests, one_that_failed_waits_for_its_own_time_with_the_newest_head);
	tcase_add_test(tests, what_failed_and_what_did_not_come_by_when_they_are_due);
	tcase_add_test(tests, beyond_the_bound_a_new_log_is_not_taken_and_a_known_one_is);
	tcase_add_test(tests, one_that_is_too_old_is_given_up);
	tcase_add_test(tests, a_notice_is_as_old_as_the_newest_that_nobody_was_told_of);
	tcase_add_test(tests, at_random_it_is_as_a_list_would_have_it);
	tcase_add_test(tests, signatures_are_those_of_the_specification);
	tcase_add_test(tests, what_is_no_secret_is_told);
	tcase_add_test(tests, a_file_that_others_may_read_is_refused);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
