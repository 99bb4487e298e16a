/* auth/identity: which logs are whose. */
#include <check.h>
#include <string.h>

#include "auth/identity.h"
#include "support/runner.h"

#define NAMES_MAX 130

static struct identity *
with_grants(const struct grant *grants, size_t count, bool all_logs)
{
	const struct identity_facts facts = {.subject = TEXT("anna"),
					     .own_log = TEXT("u:anna"),
					     .grants = grants,
					     .grant_count = count,
					     .all_logs = all_logs,
					     .expires_sec = 7};
	struct identity *identity = identity_new(&facts);
	ck_assert_ptr_nonnull(identity);
	return identity;
}

START_TEST(a_subject_writes_its_own_log_and_no_other)
{
	struct identity *identity = with_grants(NULL, 0, false);
	ck_assert_int_eq(identity_access(identity, TEXT("u:anna")), ACCESS_WRITE);
	ck_assert_int_eq(identity_access(identity, TEXT("u:ann")), ACCESS_NONE);
	ck_assert_int_eq(identity_access(identity, TEXT("u:anna2")), ACCESS_NONE);
	ck_assert_int_eq(identity_access(identity, TEXT("anna")), ACCESS_NONE);
	ck_assert_int_eq(identity_access(identity, TEXT("U:ANNA")), ACCESS_NONE);
	ck_assert(text_equal(identity_subject(identity), TEXT("anna")));
	ck_assert_ptr_null(identity_device(identity).data);
	ck_assert_uint_eq(identity_expires_sec(identity), 7);
	identity_release(identity);
}
END_TEST

START_TEST(a_grant_is_a_name_or_a_prefix_and_the_best_one_counts)
{
	const struct grant grants[] = {
		{TEXT("news"), false, ACCESS_READ},    {TEXT("team-"), true, ACCESS_READ},
		{TEXT("team-x"), false, ACCESS_WRITE}, {TEXT("lab-"), true, ACCESS_WRITE},
		{TEXT("lab-1"), false, ACCESS_READ},
	};
	static const struct {
		const char *log;
		enum access access;
	} cases[] = {
		{"news", ACCESS_READ},	  {"news2", ACCESS_NONE},  {"new", ACCESS_NONE},
		{"team-", ACCESS_READ},	  {"team-y", ACCESS_READ}, {"team-x", ACCESS_WRITE},
		{"team-xy", ACCESS_READ}, {"team", ACCESS_NONE},   {"lab-1", ACCESS_WRITE},
		{"lab-2", ACCESS_WRITE},  {"Lab-2", ACCESS_NONE},  {"u:anna", ACCESS_WRITE},
	};
	struct identity *identity = with_grants(grants, 5, false);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_msg(identity_access(identity, text_of(cases[i].log)) == cases[i].access,
			      "%s", cases[i].log);
	identity_release(identity);
}
END_TEST

START_TEST(an_empty_prefix_and_a_scope_open_all)
{
	const struct grant all = {TEXT(""), true, ACCESS_READ};
	struct identity *reader = with_grants(&all, 1, false);
	struct identity *support = with_grants(NULL, 0, true);
	ck_assert_int_eq(identity_access(reader, TEXT("x")), ACCESS_READ);
	ck_assert_int_eq(identity_access(support, TEXT("x")), ACCESS_WRITE);
	identity_release(reader);
	identity_release(support);
}
END_TEST

START_TEST(where_nobody_is_asked_everybody_may_everything)
{
	ck_assert_int_eq(identity_access(NULL, TEXT("x")), ACCESS_WRITE);
	ck_assert_uint_eq(identity_subject(NULL).size, 0);
	ck_assert_ptr_null(identity_device(NULL).data);
	identity_release(NULL);
}
END_TEST

START_TEST(an_identity_keeps_copies_and_lives_as_long_as_it_is_held)
{
	char subject[] = "anna", device[] = "phone", name[] = "team";
	const struct grant grant = {{name, 4}, false, ACCESS_WRITE};
	const struct identity_facts facts = {.subject = {subject, 4},
					     .own_log = {subject, 4},
					     .device = {device, 5},
					     .grants = &grant,
					     .grant_count = 1};
	struct identity *identity = identity_new(&facts);
	ck_assert_ptr_eq(identity_hold(identity), identity);
	memset(subject, 'x', 4);
	memset(device, 'x', 5);
	memset(name, 'x', 4);
	identity_release(identity);
	ck_assert(text_equal(identity_subject(identity), TEXT("anna")));
	ck_assert(text_equal(identity_device(identity), TEXT("phone")));
	ck_assert_int_eq(identity_access(identity, TEXT("team")), ACCESS_WRITE);
	ck_assert_int_eq(identity_access(identity, TEXT("xxxx")), ACCESS_NONE);
	ck_assert(identity_has_log(identity));
	identity_release(identity);
}
END_TEST

START_TEST(a_template_has_the_subject_once_and_a_logs_letters)
{
	static const char *const good[] = {"{sub}", "u:{sub}", "{sub}:notes", "a|{sub}+b=c@~_.-"};
	static const char *const bad[] = {"",	     "sub",	"{sub}{sub}", "{sub",	"{}",
					  "u {sub}", "u/{sub}", "{SUB}",      "{sub}}", "{sub}%20"};
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		ck_assert_msg(own_log_is_valid(text_of(good[i])), "%s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!own_log_is_valid(text_of(bad[i])), "%s", bad[i]);
}
END_TEST

START_TEST(a_log_name_is_made_of_a_subject_or_it_is_not)
{
	char name[LOG_NAME_SIZE_MAX], long_subject[NAMES_MAX];
	size_t size = 0;
	static const char *const bad[] = {"", "a b", "a/b", "{sub}", "\xc3\xa9", "a\n", "a%20b"};
	memset(long_subject, 'a', sizeof(long_subject));
	ck_assert(own_log_make(TEXT("u:{sub}:x"), TEXT("anna"), name, &size));
	ck_assert(text_equal((struct text){name, size}, TEXT("u:anna:x")));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!own_log_make(TEXT("{sub}"), text_of(bad[i]), name, &size), "%s",
			      bad[i]);
	ck_assert(!own_log_make(TEXT("{sub}"), (struct text){"a\0b", 3}, name, &size));
	ck_assert(!own_log_make(TEXT("{sub}"), TEXT(".."), name, &size));
	ck_assert(own_log_make(TEXT("u{sub}"), TEXT(".."), name, &size));
	for (size_t length = 1; length <= sizeof(long_subject); length++)
		ck_assert(own_log_make(TEXT("u:{sub}"), (struct text){long_subject, length}, name,
				       &size) == (length + 2 <= LOG_NAME_SIZE_MAX));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("auth_identity");
	TCase *tests = tcase_create("identity");
	tcase_add_test(tests, a_subject_writes_its_own_log_and_no_other);
	tcase_add_test(tests, a_grant_is_a_name_or_a_prefix_and_the_best_one_counts);
	tcase_add_test(tests, an_empty_prefix_and_a_scope_open_all);
	tcase_add_test(tests, where_nobody_is_asked_everybody_may_everything);
	tcase_add_test(tests, an_identity_keeps_copies_and_lives_as_long_as_it_is_held);
	tcase_add_test(tests, a_template_has_the_subject_once_and_a_logs_letters);
	tcase_add_test(tests, a_log_name_is_made_of_a_subject_or_it_is_not);
	suite_add_tcase(suite, tests);
	return runner_run(srunner_create(suite));
}
