/* auth: the door: who asks, with another library's tokens; many at once, while keys are read again. What it costs
 * is measured and printed, and decides nothing. */
#include <check.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "auth/auth.h"
#include "support/jose.h"
#include "support/runner.h"

#define HEADER_MAX 4096
#define THREADS 4
#define ROUNDS 3000
#define WARM_ROUNDS 100000
#define COLD_ROUNDS 300
#define KEYS_FILE "auth_identify.jwks"

static json_t *tokens;

static struct auth_options
options_with(size_t cache_bytes)
{
	return (struct auth_options){
		.own_log = "{sub}",
		.algorithms = "EdDSA,ES256,ES384,ES512,RS256,RS384,RS512,PS256,PS384,PS512,HS256",
		.jwks_file = KEYS_FILE,
		.issuer = JOSE_ISSUER,
		.audience = "edgereplay",
		.type = "at+jwt",
		.token_bytes = 4096,
		.cache_bytes = cache_bytes,
		.logs_claim = "logs",
	};
}

static struct auth *
start_with(const struct auth_options *options)
{
	const char *problem = NULL;
	struct auth *auth = NULL;
	ck_assert_msg(auth_new(options, &auth, &problem) == STATUS_OK, "%s", problem);
	return auth;
}

static struct auth *
start(size_t cache_bytes)
{
	const struct auth_options options = options_with(cache_bytes);
	return start_with(&options);
}

static void
begin(void)
{
	ck_assert_int_ne(sodium_init(), -1);
	tokens = jose_load("tokens.json");
	jose_write_keys(KEYS_FILE);
}

static void
finish(void)
{
	json_decref(tokens);
	unlink(KEYS_FILE);
}

static struct credentials
bearer(const char *algorithm, char header[HEADER_MAX])
{
	const char *token = json_string_value(json_object_get(tokens, algorithm));
	const int size = snprintf(header, HEADER_MAX, "Bearer %s", token);
	return (struct credentials){.authorization = {.value = {header, (size_t)size}, .count = 1}};
}

START_TEST(each_algorithms_token_is_its_subjects)
{
	struct auth *auth = start(1 << 20);
	const char *name;
	json_t *ignored;
	json_object_foreach(tokens, name, ignored)
	{
		char header[HEADER_MAX], subject[64];
		const struct credentials credentials = bearer(name, header);
		snprintf(subject, sizeof(subject), "user-%s", name);
		for (int round = 0; round < 2; round++) {
			struct auth_fault fault;
			struct identity *identity = NULL;
			ck_assert_int_eq(auth_identify(auth, &credentials, &identity, &fault),
					 STATUS_OK);
			ck_assert(text_equal(identity_subject(identity), text_of(subject)));
			ck_assert_int_eq(identity_access(identity, TEXT("team-jose")),
					 ACCESS_WRITE);
			identity_release(identity);
		}
	}
	auth_free(auth);
}
END_TEST

/* The set's keys say nothing of algorithms here, and PS256 and RS256 have keys of one kind. */
START_TEST(an_algorithm_that_is_not_named_is_refused_though_its_key_is_there)
{
	struct auth_options options = options_with(1 << 20);
	json_t *set = jose_load("jwks.json");
	size_t i;
	json_t *jwk;
	json_array_foreach(json_object_get(set, "keys"), i, jwk)
	{
		json_object_del(jwk, "alg");
	}
	ck_assert_int_eq(json_dump_file(set, KEYS_FILE, 0), 0);
	json_decref(set);
	options.algorithms = "RS256,ES256";
	struct auth *auth = start_with(&options);
	const char *name;
	json_t *ignored;
	json_object_foreach(tokens, name, ignored)
	{
		char header[HEADER_MAX];
		struct auth_fault fault;
		struct identity *identity = NULL;
		const struct credentials credentials = bearer(name, header);
		const bool named = strcmp(name, "RS256") == 0 || strcmp(name, "ES256") == 0;
		ck_assert_msg(auth_identify(auth, &credentials, &identity, &fault) ==
				      (named ? STATUS_OK : STATUS_UNAUTHENTICATED),
			      "%s", name);
		identity_release(identity);
	}
	auth_free(auth);
}
END_TEST

START_TEST(an_identity_outlives_the_cache_and_the_keys)
{
	struct auth *auth = start(1 << 20);
	char header[HEADER_MAX];
	struct auth_fault fault;
	struct identity *identity = NULL;
	const struct credentials credentials = bearer("EdDSA", header);
	ck_assert_int_eq(auth_identify(auth, &credentials, &identity, &fault), STATUS_OK);
	auth_free(auth);
	ck_assert(text_equal(identity_subject(identity), TEXT("user-EdDSA")));
	identity_release(identity);
}
END_TEST

struct crowd {
	struct auth *auth;
	atomic_uint refused;
};

static void *
ask(void *cookie)
{
	static const char *const names[] = {"EdDSA", "ES256", "HS256", "RS256"};
	struct crowd *crowd = cookie;
	char headers[4][HEADER_MAX];
	struct credentials credentials[4];
	for (unsigned i = 0; i < 4; i++)
		credentials[i] = bearer(names[i], headers[i]);
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct auth_fault fault;
		struct identity *identity = NULL;
		if (auth_identify(crowd->auth, &credentials[i % 4], &identity, &fault) != STATUS_OK)
			atomic_fetch_add(&crowd->refused, 1);
		identity_release(identity);
	}
	return NULL;
}

/* Nothing is remembered, so that tokens are verified again and again. */
START_TEST(many_ask_while_keys_are_read_again)
{
	struct crowd crowd = {.auth = start(0)};
	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, ask, &crowd), 0);
	for (int i = 0; i < 50; i++) {
		FILE *file = fopen(KEYS_FILE, "ae");
		fputs(" \n", file); /* another text, the same keys */
		fclose(file);
		auth_reload(crowd.auth);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(atomic_load(&crowd.refused), 0);
	auth_free(crowd.auth);
}
END_TEST

static double
cpu_usec(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static double
cost_usec(struct auth *auth, const struct credentials *credentials, unsigned rounds)
{
	const double began = cpu_usec();
	for (unsigned i = 0; i < rounds; i++) {
		struct auth_fault fault;
		struct identity *identity = NULL;
		ck_assert_int_eq(auth_identify(auth, credentials, &identity, &fault), STATUS_OK);
		identity_release(identity);
	}
	return (cpu_usec() - began) / rounds;
}

/* Cold: the keys are another set each time, so that nothing that was remembered is good. */
static double
cold_usec(struct auth *auth, const struct credentials *credentials)
{
	double sum = 0;
	for (unsigned i = 0; i < COLD_ROUNDS / 10; i++) {
		FILE *file = fopen(KEYS_FILE, "ae");
		fputs(" ", file);
		fclose(file);
		auth_reload(auth);
		sum += cost_usec(auth, credentials, 1);
	}
	return sum / (COLD_ROUNDS / 10.0);
}

START_TEST(what_it_costs)
{
	struct auth *auth = start(16 << 20);
	const char *name;
	json_t *ignored;
	char header[HEADER_MAX];
	struct credentials credentials = bearer("RS256", header);
	(void)cost_usec(auth, &credentials, 1);
	printf("# cost: a token of %zu bytes that is remembered: %.2f us of CPU; verified:",
	       credentials.authorization.value.size - 7,
	       cost_usec(auth, &credentials, WARM_ROUNDS));
	json_object_foreach(tokens, name, ignored)
	{
		credentials = bearer(name, header);
		printf(" %s %.0f", name, cold_usec(auth, &credentials));
	}
	printf(" us\n");
	fflush(stdout);
	auth_free(auth);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("auth_identify");
	TCase *tests = tcase_create("identify");
	tcase_add_checked_fixture(tests, begin, finish);
	tcase_add_test(tests, each_algorithms_token_is_its_subjects);
	tcase_add_test(tests, an_algorithm_that_is_not_named_is_refused_though_its_key_is_there);
	tcase_add_test(tests, an_identity_outlives_the_cache_and_the_keys);
	tcase_add_test(tests, many_ask_while_keys_are_read_again);
	tcase_add_test(tests, what_it_costs);
	suite_add_tcase(suite, tests);
	return runner_run(srunner_create(suite));
}
