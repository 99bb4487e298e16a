/* auth/keys: another library's keys and tokens; which key a token means. */
#include <check.h>
#include <sodium.h>
#include <string.h>

#include "auth/keys.h"
#include "base/mem.h"
#include "support/jose.h"
#include "support/runner.h"

static json_t *tokens;
static struct keys *keys;

static algorithm_set
set_of(const char *names)
{
	algorithm_set set;
	struct text unknown;
	ck_assert(algorithm_set_parse(text_of(names), &set, &unknown));
	return set;
}

static algorithm_set
every_algorithm(void)
{
	return set_of("EdDSA,ES256,ES384,ES512,RS256,RS384,RS512,PS256,PS384,PS512,HS256");
}

static enum status
read_keys(const char *text, algorithm_set algorithms, bool secrets)
{
	const struct keys_policy policy = {.algorithms = algorithms, .secrets = secrets};
	const char *problem = NULL;
	keys_release(keys);
	return keys_read(text_of(text), &policy, &keys, &problem);
}

static void
begin(void)
{
	ck_assert_int_ne(sodium_init(), -1);
	char *text = jose_keys();
	tokens = jose_load("tokens.json");
	ck_assert_int_eq(read_keys(text, every_algorithm(), true), STATUS_OK);
	free(text);
}

static void
finish(void)
{
	keys_release(keys);
	json_decref(tokens);
}

START_TEST(another_librarys_tokens_verify_and_no_changed_bit_does)
{
	const char *name;
	json_t *text;
	size_t count = 0;
	json_object_foreach(tokens, name, text)
	{
		struct token token;
		bool known;
		ck_assert_ptr_null(token_read(&token, json_text_of(text)));
		const struct key *key = keys_find(keys, &token, &known);
		ck_assert_msg(key != NULL, "%s", name);
		ck_assert_msg(key_verifies(key, &token), "%s", name);
		for (size_t bit = 0; bit < 8 * token.signature_size; bit += 7) {
			token.signature[bit / 8] ^= (uint8_t)(1U << bit % 8);
			ck_assert_msg(!key_verifies(key, &token), "%s %zu", name, bit);
			token.signature[bit / 8] ^= (uint8_t)(1U << bit % 8);
		}
		token.signature_size--;
		ck_assert_msg(!key_verifies(key, &token), "%s", name);
		token_release(&token);
		count++;
	}
	ck_assert_uint_eq(count, 11);
}
END_TEST

START_TEST(no_key_verifies_anothers_token)
{
	const char *name;
	json_t *text;
	json_object_foreach(tokens, name, text)
	{
		struct token token;
		bool known;
		const char *other;
		json_t *ignored;
		ck_assert_ptr_null(token_read(&token, json_text_of(text)));
		json_object_foreach(tokens, other, ignored)
		{
			char id[32];
			snprintf(id, sizeof(id), "jose-%s", other);
			token.key_id = text_of(id);
			const struct key *key = keys_find(keys, &token, &known);
			ck_assert(known);
			ck_assert_msg((key != NULL) == (strcmp(name, other) == 0), "%s %s", name,
				      other);
		}
		token_release(&token);
	}
}
END_TEST

/* With the algorithm forced to another, whatever key is taken: what an attacker would want. */
START_TEST(a_key_is_found_only_for_its_own_kind_and_alg)
{
	struct token token = {.key_id = TEXT("jose-RS256")};
	bool known;
	static const char *const others[] = {"HS256", "PS256", "RS384", "ES256", "EdDSA"};
	token.algorithm = algorithm_find(TEXT("RS256"));
	ck_assert_ptr_nonnull(keys_find(keys, &token, &known));
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		token.algorithm = algorithm_find(text_of(others[i]));
		ck_assert_msg(keys_find(keys, &token, &known) == NULL, "%s", others[i]);
		ck_assert(known);
	}
	token.key_id = TEXT("nobody");
	ck_assert_ptr_null(keys_find(keys, &token, &known));
	ck_assert(!known);
}
END_TEST

START_TEST(a_secret_is_taken_only_where_it_is_one)
{
	static const char secret[] = "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"s\",\"k\":"
				     "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]}";
	static const char weak[] = "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAAAAAA\"}]}";
	struct token token = {.key_id = TEXT("s"), .algorithm = algorithm_find(TEXT("HS256"))};
	bool known;
	ck_assert_int_eq(read_keys(secret, set_of("HS256"), false), STATUS_MALFORMED);
	ck_assert_int_eq(read_keys(secret, set_of("ES256"), true), STATUS_MALFORMED);
	ck_assert_int_eq(read_keys(weak, set_of("HS256"), true), STATUS_MALFORMED);
	ck_assert_int_eq(read_keys(secret, set_of("HS256,HS512"), true), STATUS_OK);
	ck_assert_ptr_nonnull(keys_find(keys, &token, &known));
	token.algorithm = algorithm_find(TEXT("HS512"));
	ck_assert_ptr_null(keys_find(keys, &token, &known));
}
END_TEST

static struct key_print
print_of(const char *text, const char *id, const char *algorithm)
{
	bool known;
	const struct token token = {.key_id = text_of(id),
				    .algorithm = algorithm_find(text_of(algorithm))};
	ck_assert_int_eq(read_keys(text, every_algorithm(), true), STATUS_OK);
	const struct key *key = keys_find(keys, &token, &known);
	ck_assert_ptr_nonnull(key);
	return *key_print(key);
}

/* JWKs of every kind, each alone in a set, under its own kid and under another. */
START_TEST(a_key_is_known_again_in_another_set_by_its_numbers_and_its_kid)
{
	json_t *set = jose_load("jwks.json");
	json_t *list = json_object_get(set, "keys");
	const size_t count = json_array_size(list);
	for (size_t i = 0; i < count; i++) {
		json_t *jwk = json_array_get(list, i);
		json_t *alone = json_pack("{s:[O]}", "keys", jwk);
		char *both = json_dumps(set, 0), *one = json_dumps(alone, JSON_INDENT(2));
		char *id = strdup(json_string_value(json_object_get(jwk, "kid")));
		const char *algorithm = id + strlen("jose-");
		const struct key_print print = print_of(both, id, algorithm);
		ck_assert_int_eq(read_keys(one, every_algorithm(), true), STATUS_OK);
		ck_assert(keys_have(keys, &print));
		json_t *before = json_incref(json_object_get(jwk, "kid"));
		json_object_set_new(jwk, "kid", json_string("other"));
		free(one);
		one = json_dumps(alone, 0);
		ck_assert_int_eq(read_keys(one, every_algorithm(), true), STATUS_OK);
		ck_assert(!keys_have(keys, &print));
		json_object_set_new(jwk, "kid", before);
		json_t *others = json_deep_copy(set);
		json_array_remove(json_object_get(others, "keys"), i);
		free(one);
		one = json_dumps(others, 0);
		ck_assert_int_eq(read_keys(one, every_algorithm(), true), STATUS_OK);
		ck_assert(!keys_have(keys, &print));
		json_decref(others);
		json_decref(alone);
		free(both);
		free(one);
		free(id);
	}
	json_decref(set);
}
END_TEST

START_TEST(too_many_keys_are_refused)
{
	struct buffer text;
	buffer_init(&text, 65536);
	buffer_append_text(&text, TEXT("{\"keys\":["));
	for (int i = 0; i <= KEYS_MAX; i++)
		buffer_printf(&text, "%s{}", i > 0 ? "," : "");
	buffer_append(&text, "]}", 3);
	ck_assert_int_eq(read_keys(text.data, every_algorithm(), true), STATUS_MALFORMED);
	buffer_release(&text);
}
END_TEST

START_TEST(names_of_algorithms_are_exact)
{
	algorithm_set set;
	struct text unknown;
	static const char *const bad[] = {"",	    ",",	   "none",	"eddsa",
					  "ES256K", "ES256 RS256", "ES256,none"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!algorithm_set_parse(text_of(bad[i]), &set, &unknown), "%s", bad[i]);
	ck_assert(text_equal(unknown, TEXT("none")));
	ck_assert(algorithm_set_parse(TEXT(" ES256 ,EdDSA"), &set, &unknown));
	ck_assert(algorithm_is_in(algorithm_find(TEXT("EdDSA")), set));
	ck_assert(!algorithm_is_in(algorithm_find(TEXT("ES384")), set));
	ck_assert(algorithm_set_has_kind(set, KEY_P256) && !algorithm_set_has_kind(set, KEY_RSA));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("auth_keys");
	TCase *tests = tcase_create("keys");
	tcase_add_checked_fixture(tests, begin, finish);
	tcase_add_test(tests, another_librarys_tokens_verify_and_no_changed_bit_does);
	tcase_add_test(tests, no_key_verifies_anothers_token);
	tcase_add_test(tests, a_key_is_found_only_for_its_own_kind_and_alg);
	tcase_add_test(tests, a_secret_is_taken_only_where_it_is_one);
	tcase_add_test(tests, a_key_is_known_again_in_another_set_by_its_numbers_and_its_kid);
	tcase_add_test(tests, too_many_keys_are_refused);
	tcase_add_test(tests, names_of_algorithms_are_exact);
	suite_add_tcase(suite, tests);
	return runner_run(srunner_create(suite));
}
