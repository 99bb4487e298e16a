/* auth/token: what is a compact JWS, and what only looks like one. */
#include <check.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "auth/token.h"
#include "support/runner.h"

#define TOKEN_MAX 4096
#define MUTATIONS 200000

/* base64url(header).base64url(claims).base64url(signature) */
static struct text
make(char out[TOKEN_MAX], const char *header, const char *claims, const char *signature)
{
	const char *const parts[] = {header, claims, signature};
	size_t size = 0;
	for (size_t i = 0; i < 3; i++) {
		if (i > 0)
			out[size++] = '.';
		sodium_bin2base64(out + size, TOKEN_MAX - size, (const uint8_t *)parts[i],
				  strlen(parts[i]), sodium_base64_VARIANT_URLSAFE_NO_PADDING);
		size += strlen(out + size);
	}
	return (struct text){out, size};
}

static const char *
problem_of(struct text text)
{
	struct token token;
	const char *problem = token_read(&token, text);
	token_release(&token);
	return problem;
}

START_TEST(a_token_is_read_into_its_parts)
{
	char text[TOKEN_MAX];
	struct token token;
	const struct text whole = make(text, "{\"alg\":\"ES256\",\"kid\":\"k\",\"typ\":\"JWT\"}",
				       "{\"sub\":\"a\"}", "xyz");
	ck_assert_ptr_null(token_read(&token, whole));
	ck_assert(text_equal(token.algorithm->name, TEXT("ES256")));
	ck_assert(text_equal(token.key_id, TEXT("k")));
	ck_assert(text_equal(token.type, TEXT("JWT")));
	ck_assert_str_eq(json_string_value(json_object_get(token.claims, "sub")), "a");
	ck_assert_uint_eq(token.signature_size, 3);
	ck_assert_mem_eq(token.signature, "xyz", 3);
	ck_assert_ptr_eq(token.signed_part.data, whole.data);
	ck_assert_uint_eq(token.signed_part.size, whole.size - 5);
	token_release(&token);
}
END_TEST

START_TEST(a_header_must_say_what_it_has_to_and_nothing_that_binds)
{
	static const struct {
		const char *header, *problem;
	} cases[] = {
		{"{}", "no alg"},
		{"{\"alg\":1}", "no alg"},
		{"{\"alg\":null}", "no alg"},
		{"{\"alg\":\"none\"}", "not known"},
		{"{\"alg\":\"es256\"}", "not known"},
		{"{\"alg\":\"ES256K\"}", "not known"},
		{"{\"alg\":\"ES256\",\"crit\":[]}", "crit"},
		{"{\"alg\":\"ES256\",\"crit\":null}", "crit"},
		{"{\"alg\":\"ES256\",\"kid\":1}", "no string"},
		{"{\"alg\":\"ES256\",\"typ\":{}}", "no string"},
		{"{\"alg\":\"ES256\",\"alg\":\"ES256\"}", "JSON object"},
		{"[]", "JSON object"},
		{"{\"alg\":\"ES256\"} x", "JSON object"},
		{"{\"alg\":\"ES256\",\"x\":\"\\u0000\"}", "JSON object"},
		{"", "JSON object"},
	};
	char text[TOKEN_MAX];
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *problem = problem_of(make(text, cases[i].header, "{}", "x"));
		ck_assert_msg(problem && strstr(problem, cases[i].problem), "%s: %s",
			      cases[i].header, problem);
	}
	ck_assert_ptr_null(problem_of(make(text, "{\"alg\":\"ES256\"}", "{}", "x")));
	ck_assert_ptr_nonnull(problem_of(make(text, "{\"alg\":\"ES256\"}", "[]", "x")));
	ck_assert_ptr_nonnull(problem_of(make(text, "{\"alg\":\"ES256\"}", "1", "x")));
}
END_TEST

START_TEST(base64url_has_one_form)
{
	uint8_t bytes[8];
	size_t size = 0;
	static const char *const bad[] = {"A",	"AB", "Ab=",   "AQ==", "AA A", "AA\nA",
					  "+A", "/A", "AAAB=", "=",    "AA.A", "A\xc3"};
	ck_assert(base64url_decode(TEXT(""), bytes, sizeof(bytes), &size) && size == 0);
	ck_assert(base64url_decode(TEXT("_-8"), bytes, sizeof(bytes), &size) && size == 2);
	ck_assert_mem_eq(bytes, "\xff\xef", 2);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!base64url_decode(text_of(bad[i]), bytes, sizeof(bytes), &size), "%s",
			      bad[i]);
	ck_assert(base64url_decode(TEXT("AAAAAAAAAAA"), bytes, 8, &size) && size == 8);
	ck_assert(!base64url_decode(TEXT("AAAAAAAAAAAA"), bytes, 8, &size));
}
END_TEST

START_TEST(a_signature_that_is_too_long_is_none)
{
	static char signature[2 * TOKEN_SIGNATURE_MAX], text[TOKEN_MAX];
	memset(signature, 'x', TOKEN_SIGNATURE_MAX);
	ck_assert_ptr_null(problem_of(make(text, "{\"alg\":\"RS256\"}", "{}", signature)));
	memset(signature, 'x', TOKEN_SIGNATURE_MAX + 1);
	ck_assert_ptr_nonnull(problem_of(make(text, "{\"alg\":\"RS256\"}", "{}", signature)));
}
END_TEST

/* Nothing that arrives may do more than be refused; what is read at all must be a token. */
START_TEST(mutated_tokens_are_read_or_refused)
{
	static const char letters[] = "ABCZabcz019-_.=+/ \n\"{}";
	char text[TOKEN_MAX], changed[TOKEN_MAX];
	const struct text good = make(text, "{\"alg\":\"ES256\",\"kid\":\"k\"}",
				      "{\"sub\":\"a\",\"exp\":1,\"logs\":[\"x\"]}", "0123456789");
	uint32_t seed = 20261122;
	unsigned read = 0;
	for (int i = 0; i < MUTATIONS; i++) {
		struct token token;
		memcpy(changed, good.data, good.size);
		size_t size = good.size;
		for (int edit = 0; edit < 1 + i % 3; edit++) {
			seed = seed * 1664525 + 1013904223;
			changed[(seed >> 8) % good.size] =
				letters[(seed >> 3) % (sizeof(letters) - 1)];
			if (seed % 7 == 0)
				size = (seed >> 9) % (good.size + 1);
		}
		if (!token_read(&token, (struct text){changed, size})) {
			ck_assert(json_is_object(token.claims) && token.algorithm);
			read++;
		}
		token_release(&token);
	}
	ck_assert_uint_gt(read, 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("auth_token");
	TCase *tests = tcase_create("token");
	if (sodium_init() == -1)
		return EXIT_FAILURE;
	tcase_add_test(tests, a_token_is_read_into_its_parts);
	tcase_add_test(tests, a_header_must_say_what_it_has_to_and_nothing_that_binds);
	tcase_add_test(tests, base64url_has_one_form);
	tcase_add_test(tests, a_signature_that_is_too_long_is_none);
	tcase_add_test(tests, mutated_tokens_are_read_or_refused);
	suite_add_tcase(suite, tests);
	return runner_run(srunner_create(suite));
}
