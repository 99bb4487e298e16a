/* auth/claims: what a token must say, and what it says of the subject. */
#include <check.h>
#include <string.h>

#include "auth/claims.h"
#include "support/runner.h"

#define NOW 1000000
#define ARENA_MAX ((size_t)64 * 1024)

static struct claim_rules rules;
static struct arena arena;
static struct token token;
static struct identity_facts facts;

static void
begin(void)
{
	rules = (struct claim_rules){.issuer = "",
				     .audience = "",
				     .type = "",
				     .leeway_sec = 30,
				     .logs_claim = "logs",
				     .logs_ro_claim = "logs_ro",
				     .device_claim = "device",
				     .all_scope = ""};
	arena_init(&arena, ARENA_MAX);
}

static void
finish(void)
{
	json_decref(token.claims);
	arena_release(&arena);
}

static const char *
read_claims(const char *text)
{
	json_decref(token.claims);
	arena_reset(&arena);
	token.claims = json_loads(text, 0, NULL);
	ck_assert_msg(token.claims != NULL, "%s", text);
	return claims_read(&rules, &token, NOW, &arena, &facts);
}

static void
expect(const char *text, const char *problem)
{
	const char *said = read_claims(text);
	ck_assert_msg(problem ? said && strstr(said, problem) != NULL : said == NULL, "%s: %s",
		      text, said ? said : "good");
}

START_TEST(times_are_checked_with_the_leeway_to_the_second)
{
	expect("{\"sub\":\"a\",\"exp\":1000001}", NULL);
	expect("{\"sub\":\"a\",\"exp\":999971}", NULL);
	expect("{\"sub\":\"a\",\"exp\":999970}", "expired");
	expect("{\"sub\":\"a\",\"exp\":999970.5}", NULL);
	expect("{\"sub\":\"a\",\"exp\":2000000,\"nbf\":1000030}", NULL);
	expect("{\"sub\":\"a\",\"exp\":2000000,\"nbf\":1000031}", "not yet");
	expect("{\"sub\":\"a\",\"exp\":2000000,\"iat\":\"1\"}", "no time");
	expect("{\"sub\":\"a\",\"exp\":-1}", "no time");
	expect("{\"sub\":\"a\",\"exp\":1e300}", "no time");
	expect("{\"sub\":\"a\",\"exp\":null}", "no time");
	expect("{\"sub\":\"a\"}", "no exp");
	ck_assert_ptr_eq(read_claims("{\"sub\":\"a\",\"exp\":999970}"), claims_expired);
	expect("{\"sub\":\"\",\"exp\":1}", "no sub"); /* more than its time is wrong */
	ck_assert_ptr_null(read_claims("{\"sub\":\"a\",\"exp\":1000001.5}"));
	ck_assert_uint_eq(facts.expires_sec, 1000032);
}
END_TEST

START_TEST(issuer_audience_and_type_must_be_the_ones_asked_for)
{
	rules.issuer = "i";
	expect("{\"sub\":\"a\",\"exp\":2000000}", "iss");
	expect("{\"sub\":\"a\",\"exp\":2000000,\"iss\":[\"i\"]}", "iss");
	expect("{\"sub\":\"a\",\"exp\":2000000,\"iss\":\"I\"}", "iss");
	expect("{\"sub\":\"a\",\"exp\":2000000,\"iss\":\"i\"}", NULL);
	rules.issuer = "";
	rules.audience = "e";
	expect("{\"sub\":\"a\",\"exp\":2000000}", "aud");
	expect("{\"sub\":\"a\",\"exp\":2000000,\"aud\":[]}", "aud");
	expect("{\"sub\":\"a\",\"exp\":2000000,\"aud\":[\"x\",\"e\"]}", NULL);
	expect("{\"sub\":\"a\",\"exp\":2000000,\"aud\":[\"e\",1]}", "aud");
	rules.audience = "";
	rules.type = "at+jwt";
	static const struct {
		const char *type;
		bool good;
	} types[] = {{"at+jwt", true},	 {"AT+JWT", true}, {"application/at+jwt", true},
		     {"at+jwt2", false}, {"jwt", false},   {"", false}};
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		token.type = text_of(types[i].type);
		expect("{\"sub\":\"a\",\"exp\":2000000}", types[i].good ? NULL : "typ");
	}
	token.type = (struct text){NULL, 0};
	expect("{\"sub\":\"a\",\"exp\":2000000}", "typ");
}
END_TEST

START_TEST(a_subject_is_a_string_that_is_not_empty)
{
	expect("{\"exp\":2000000}", "sub");
	expect("{\"exp\":2000000,\"sub\":\"\"}", "sub");
	expect("{\"exp\":2000000,\"sub\":7}", "sub");
	expect("{\"exp\":2000000,\"sub\":\"a b\"}", NULL);
	ck_assert(text_equal(facts.subject, TEXT("a b")));
}
END_TEST

START_TEST(grants_are_names_and_prefixes_to_write_and_to_read)
{
	expect("{\"exp\":2000000,\"sub\":\"a\",\"logs\":[\"t\",\"u-*\",\"*\"],\"logs_ro\":[\".*\"]"
	       "}",
	       NULL);
	ck_assert_uint_eq(facts.grant_count, 4);
	ck_assert(text_equal(facts.grants[0].name, TEXT("t")) && !facts.grants[0].prefix);
	ck_assert(text_equal(facts.grants[1].name, TEXT("u-")) && facts.grants[1].prefix);
	ck_assert(facts.grants[2].name.size == 0 && facts.grants[2].prefix);
	ck_assert_int_eq(facts.grants[2].access, ACCESS_WRITE);
	ck_assert(text_equal(facts.grants[3].name, TEXT(".")));
	ck_assert_int_eq(facts.grants[3].access, ACCESS_READ);
	static const char *const bad[] = {"\"t\"",     "{}",	    "[1]",	"[\"\"]",
					  "[\"a b\"]", "[\"a*b\"]", "[\"**\"]", "[[\"a\"]]",
					  "[\"..\"]",  "null",	    "true"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char text[128];
		snprintf(text, sizeof(text), "{\"exp\":2000000,\"sub\":\"a\",\"logs\":%s}", bad[i]);
		expect(text, "claim of logs");
		snprintf(text, sizeof(text), "{\"exp\":2000000,\"sub\":\"a\",\"logs_ro\":%s}",
			 bad[i]);
		expect(text, "claim of logs");
	}
	rules.logs_claim = "";
	rules.logs_ro_claim = "https://x/ro";
	expect("{\"exp\":2000000,\"sub\":\"a\",\"logs\":7,\"https://x/ro\":[\"t\"]}", NULL);
	ck_assert_uint_eq(facts.grant_count, 1);
}
END_TEST

START_TEST(a_word_of_scope_opens_all_if_it_is_asked_for)
{
	expect("{\"exp\":2000000,\"sub\":\"a\",\"scope\":\"all\"}", NULL);
	ck_assert(!facts.all_logs);
	rules.all_scope = "all";
	static const struct {
		const char *scope;
		bool all;
	} cases[] = {{"\"all\"", true},	     {"\"x all y\"", true},  {"\"x all\"", true},
		     {"\"all-not\"", false}, {"\"ALL\"", false},     {"\"\"", false},
		     {"[\"all\"]", true},    {"[\"x all\"]", false}, {"[\"x\",\"all\"]", true}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[128];
		snprintf(text, sizeof(text), "{\"exp\":2000000,\"sub\":\"a\",\"scope\":%s}",
			 cases[i].scope);
		expect(text, NULL);
		ck_assert_msg(facts.all_logs == cases[i].all, "%s", text);
	}
	expect("{\"exp\":2000000,\"sub\":\"a\",\"scope\":7}", "scope");
	expect("{\"exp\":2000000,\"sub\":\"a\",\"scope\":[\"all\",7]}", "scope");
	expect("{\"exp\":2000000,\"sub\":\"a\"}", NULL);
	ck_assert(!facts.all_logs);
}
END_TEST

START_TEST(a_device_is_a_devices_name)
{
	expect("{\"exp\":2000000,\"sub\":\"a\"}", NULL);
	ck_assert_ptr_null(facts.device.data);
	expect("{\"exp\":2000000,\"sub\":\"a\",\"device\":\"p-1\"}", NULL);
	ck_assert(text_equal(facts.device, TEXT("p-1")));
	expect("{\"exp\":2000000,\"sub\":\"a\",\"device\":\"\"}", "device");
	expect("{\"exp\":2000000,\"sub\":\"a\",\"device\":\"a b\"}", "device");
	expect("{\"exp\":2000000,\"sub\":\"a\",\"device\":1}", "device");
	rules.device_claim = "";
	expect("{\"exp\":2000000,\"sub\":\"a\",\"device\":1}", NULL);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("auth_claims");
	TCase *tests = tcase_create("claims");
	tcase_add_checked_fixture(tests, begin, finish);
	tcase_add_test(tests, times_are_checked_with_the_leeway_to_the_second);
	tcase_add_test(tests, issuer_audience_and_type_must_be_the_ones_asked_for);
	tcase_add_test(tests, a_subject_is_a_string_that_is_not_empty);
	tcase_add_test(tests, grants_are_names_and_prefixes_to_write_and_to_read);
	tcase_add_test(tests, a_word_of_scope_opens_all_if_it_is_asked_for);
	tcase_add_test(tests, a_device_is_a_devices_name);
	suite_add_tcase(suite, tests);
	return runner_run(srunner_create(suite));
}
