#include "auth/auth.h"

#include <jansson.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "auth/cache.h"
#include "auth/claims.h"
#include "auth/file.h"
#include "auth/key_source.h"
#include "auth/trusted.h"
#include "auth/token.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/problem.h"

#define OPTIONS_SIZE_MAX ((size_t)256 * 1024)
#define SECRET_SIZE_MIN 16
#define SECRET_SIZE_MAX 4096

/* What is kept of a shared secret: enough to tell whether another is the same. */
struct secret {
	uint8_t digest[crypto_generichash_BYTES];
};

struct auth {
	struct auth_options options;
	struct arena texts; /* of the options */

	struct claim_rules rules;
	algorithm_set algorithms;
	struct key_source *source;
	struct cache *cache;
	atomic_bool warned_of_names;

	struct trusted trusted;
	pthread_mutex_t lock; /* guards the secret */
	struct secret secret;
};

/* --- start --- */

static bool
copy_text(struct auth *auth, const char **text)
{
	*text = arena_copy(&auth->texts, text_of(*text ? *text : "")).data;
	return *text != NULL;
}

static bool
copy_options(struct auth *auth)
{
	struct auth_options *options = &auth->options;
	const char **texts[] = {
		&options->own_log,	 &options->algorithms,	 &options->jwks_file,
		&options->jwks_url,	 &options->jwks_ca_file, &options->issuer,
		&options->audience,	 &options->type,	 &options->logs_claim,
		&options->logs_ro_claim, &options->device_claim, &options->all_scope,
		&options->user_header,	 &options->trusted,	 &options->secret_header,
		&options->secret_file,
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (!copy_text(auth, texts[i]))
			return false;
	}
	auth->rules = (struct claim_rules){.issuer = options->issuer,
					   .audience = options->audience,
					   .type = options->type,
					   .leeway_sec = options->leeway_sec,
					   .logs_claim = options->logs_claim,
					   .logs_ro_claim = options->logs_ro_claim,
					   .device_claim = options->device_claim,
					   .all_scope = options->all_scope};
	return true;
}

static enum status
start_tokens(struct auth *auth, const char **problem)
{
	const struct auth_options *options = &auth->options;
	struct text unknown;
	if (!algorithm_set_parse(text_of(options->algorithms), &auth->algorithms, &unknown))
		return problem_set(problem, STATUS_MALFORMED,
				   "auth.algorithms: \"%.*s\" is not one of EdDSA, ES256, ES384, "
				   "ES512, RS256, RS384, RS512, PS256, PS384, PS512, HS256, HS384, "
				   "HS512",
				   (int)unknown.size, unknown.data);
	if ((options->jwks_file[0] != '\0') == (options->jwks_url[0] != '\0'))
		return problem_set(problem, STATUS_MALFORMED,
				   "auth.mode=jwt needs auth.jwks_file or auth.jwks_url, one of "
				   "them: the keys that tokens are signed with");
	auth->cache = cache_new(options->cache_bytes);
	if (!auth->cache)
		return problem_set(problem, STATUS_INTERNAL, "memory is out");
	const struct key_source_options source = {.path = options->jwks_file,
						  .url = options->jwks_url,
						  .ca_file = options->jwks_ca_file,
						  .refresh_sec = options->jwks_refresh_sec,
						  .min_interval_sec =
							  options->jwks_min_interval_sec,
						  .algorithms = auth->algorithms};
	const enum status status = key_source_start(&source, &auth->source, problem);
	if (status != STATUS_OK)
		*problem = problem_within(options->jwks_url[0] ? "auth.jwks_url" : "auth.jwks_file",
					  *problem);
	else if (!options->audience[0])
		log_warn("auth",
			 "auth.audience is not set: tokens are taken that were made for others",
			 LOG_STR("issuer", options->issuer));
	return status;
}

static struct secret
secret_of(struct text text)
{
	struct secret secret;
	crypto_generichash(secret.digest, sizeof(secret.digest), (const uint8_t *)text.data,
			   text.size, NULL, 0);
	return secret;
}

static enum status
read_secret(struct auth *auth, const char **problem)
{
	struct buffer content;
	struct file file;
	const char *path = auth->options.secret_file;
	buffer_init(&content, SECRET_SIZE_MAX);
	enum status status = file_read(path, &content, &file, problem);
	struct text text = {content.data, content.size};
	while (text.size > 0 &&
	       (text.data[text.size - 1] == '\n' || text.data[text.size - 1] == '\r'))
		text.size--;
	if (status == STATUS_OK && !file.is_private)
		status = problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
				     "%s holds a secret, and others can read it or its group can "
				     "write it: chmod 600",
				     path);
	else if (status == STATUS_OK && text.size < SECRET_SIZE_MIN)
		status = problem_set(problem, STATUS_MALFORMED,
				     "%s: a secret has at least %d bytes", path, SECRET_SIZE_MIN);
	if (status == STATUS_OK) {
		const struct secret secret = secret_of(text);
		pthread_mutex_lock(&auth->lock);
		auth->secret = secret;
		pthread_mutex_unlock(&auth->lock);
	}
	if (content.data)
		sodium_memzero(content.data, content.size);
	buffer_release(&content);
	return status;
}

static enum status
start_proxy(struct auth *auth, const char **problem)
{
	const struct auth_options *options = &auth->options;
	struct text bad = {"", 0};
	if (!options->trusted[0] || !trusted_parse(&auth->trusted, text_of(options->trusted), &bad))
		return problem_set(problem, STATUS_MALFORMED,
				   "auth.trusted: \"%.*s\": auth.mode=proxy needs the addresses "
				   "that the proxy comes from, at most %d, with commas between "
				   "them: 10.1.2.3, 10.0.0.0/8, 2001:db8::/32, unix",
				   (int)bad.size, bad.data, TRUSTED_MAX);
	if (!options->secret_file[0])
		return STATUS_OK;
	const enum status status = read_secret(auth, problem);
	if (status != STATUS_OK)
		*problem = problem_within("auth.secret_file", *problem);
	return status;
}

enum status
auth_new(const struct auth_options *options, struct auth **made, const char **problem)
{
	struct auth *auth = calloc(1, sizeof(*auth));
	enum status status = STATUS_INTERNAL;
	if (!auth)
		return problem_set(problem, STATUS_INTERNAL, "memory is out");
	json_object_seed(0);
	auth->options = *options;
	atomic_init(&auth->warned_of_names, false);
	arena_init(&auth->texts, OPTIONS_SIZE_MAX);
	pthread_mutex_init(&auth->lock, NULL);
	if (!copy_options(auth))
		status = problem_set(problem, STATUS_INTERNAL, "memory is out");
	else if (!own_log_is_valid(text_of(auth->options.own_log)))
		status = problem_set(problem, STATUS_MALFORMED,
				     "auth.own_log=%s: {sub} once, and otherwise only what a log's "
				     "name may have",
				     auth->options.own_log);
	else
		status = options->proxy ? start_proxy(auth, problem) : start_tokens(auth, problem);
	if (status != STATUS_OK) {
		auth_free(auth);
		return status;
	}
	*made = auth;
	return STATUS_OK;
}

void
auth_reload(struct auth *auth)
{
	const char *problem = NULL;
	if (auth->source)
		key_source_reload(auth->source);
	else if (auth->options.secret_file[0] && read_secret(auth, &problem) != STATUS_OK)
		log_error("auth", "secret not taken over, the old one stays",
			  LOG_STR("problem", problem));
}

void
auth_free(struct auth *auth)
{
	if (!auth)
		return;
	key_source_stop(auth->source);
	cache_free(auth->cache);
	arena_release(&auth->texts);
	pthread_mutex_destroy(&auth->lock);
	free(auth);
}

const char *
auth_user_header(const struct auth *auth)
{
	return auth->options.proxy ? auth->options.user_header : NULL;
}

const char *
auth_secret_header(const struct auth *auth)
{
	return auth->options.proxy && auth->options.secret_file[0] ? auth->options.secret_header
								   : NULL;
}

/* --- who asks --- */

/* One token's way through the checks. */
struct attempt {
	uint64_t now_sec;
	struct identity *identity; /* the outcome */
	struct auth_fault fault;   /* likewise */
};

static enum status
refuse(struct attempt *attempt, enum counter reason, const char *why)
{
	counter_add(reason, 1);
	attempt->fault.why = why;
	return STATUS_UNAUTHENTICATED;
}

static enum status
refuse_absent(struct attempt *attempt)
{
	return refuse(attempt, COUNTER_AUTH_ABSENT, "there are none");
}

/* An identity without a log of its own is kept, so that its next request is refused as cheaply. */
static enum status
judge(struct attempt *attempt)
{
	if (identity_has_log(attempt->identity))
		return STATUS_OK;
	counter_add(COUNTER_AUTH_SUBJECT, 1);
	attempt->fault.why = "no log name can be made of its subject";
	log_limited(LOG_WARN, "auth", "no log name can be made of a subject (auth.own_log)",
		    LOG_TEXT("subject", identity_subject(attempt->identity)));
	identity_release(attempt->identity);
	attempt->identity = NULL;
	return STATUS_FORBIDDEN;
}

static enum status
make_identity(const struct auth *auth, struct identity_facts *facts, struct identity **identity)
{
	char name[LOG_NAME_SIZE_MAX];
	if (own_log_make(text_of(auth->options.own_log), facts->subject, name,
			 &facts->own_log.size))
		facts->own_log.data = name;
	else
		facts->own_log = (struct text){NULL, 0};
	*identity = identity_new(facts);
	facts->own_log = (struct text){NULL, 0};
	return *identity ? STATUS_OK : STATUS_INTERNAL;
}

/* Who may choose their subject must not own a log that others share. */
static void
warn_of_names(struct auth *auth, const struct identity_facts *facts)
{
	if (facts->grant_count == 0 || strncmp(auth->options.own_log, "{sub}", 5) != 0 ||
	    atomic_exchange(&auth->warned_of_names, true))
		return;
	log_warn("auth",
		 "a token grants logs, and auth.own_log has nothing before {sub}: a subject named "
		 "like a shared log would own it; let own_log begin with a prefix, as in u:{sub}",
		 LOG_STR("own_log", auth->options.own_log));
}

static enum status
identify_claims(struct auth *auth, const struct token *token, const struct key *key,
		struct attempt *attempt)
{
	struct arena arena;
	struct identity_facts facts;
	arena_init(&arena, sizeof(struct grant) * (auth->options.token_bytes + 2));
	const char *why = claims_read(&auth->rules, token, attempt->now_sec, &arena, &facts);
	enum status status = STATUS_UNAUTHENTICATED;
	facts.key = *key_print(key);
	if (why) {
		attempt->fault.counts = why != claims_expired;
		(void)refuse(attempt, COUNTER_AUTH_CLAIMS, why);
	} else {
		warn_of_names(auth, &facts);
		status = make_identity(auth, &facts, &attempt->identity);
	}
	arena_release(&arena);
	return status;
}

/* The long way: every check, in an order in which nothing is believed before its signature. */
static enum status
verify(struct auth *auth, const struct keys *keys, const struct token *token,
       struct attempt *attempt)
{
	bool known;
	if (!algorithm_is_in(token->algorithm, auth->algorithms))
		return refuse(attempt, COUNTER_AUTH_ALGORITHM, "its alg is not allowed");
	const struct key *key = keys_find(keys, token, &known);
	if (!key && !known && key_source_miss(auth->source))
		return STATUS_STORAGE_UNAVAILABLE;
	if (!key)
		return refuse(attempt, COUNTER_AUTH_KEY, "no key fits, or more than one");
	if (!key_verifies(key, token))
		return refuse(attempt, COUNTER_AUTH_SIGNATURE, "its signature is not good");
	return identify_claims(auth, token, key, attempt);
}

static enum status
verify_text(struct auth *auth, struct text text, const struct cache_key *cache_key,
	    struct attempt *attempt)
{
	struct token token;
	struct keys *keys = NULL;
	enum status status = STATUS_STORAGE_UNAVAILABLE;
	const char *why = token_read(&token, text);
	if (why) {
		status = refuse(attempt, COUNTER_AUTH_MALFORMED, why);
		goto release;
	}
	keys = key_source_keys(auth->source);
	if (!keys) {
		attempt->fault.counts = false;
		goto release;
	}
	status = verify(auth, keys, &token, attempt);
	if (status == STATUS_OK)
		cache_put(auth->cache, cache_key, keys_generation(keys), attempt->identity);
release:
	keys_release(keys);
	token_release(&token);
	return status;
}

/* "Bearer" in any case, spaces, one word (RFC 6750, section 2.1). data is NULL: it is not. */
static struct text
bearer_token(struct text value)
{
	static const char scheme[] = "Bearer ";
	const size_t size = sizeof(scheme) - 1;
	const struct text none = {NULL, 0};
	if (value.size <= size || strncasecmp(value.data, scheme, size) != 0)
		return none;
	struct text token = {value.data + size, value.size - size};
	while (token.size > 0 && token.data[0] == ' ')
		token = (struct text){token.data + 1, token.size - 1};
	return token.size > 0 && !memchr(token.data, ' ', token.size) ? token : none;
}

static enum status
identify_bearer(struct auth *auth, const struct header_value *authorization,
		struct attempt *attempt)
{
	const time_t now = time(NULL);
	attempt->now_sec = now > 0 ? (uint64_t)now : 0;
	if (authorization->count == 0)
		return refuse_absent(attempt);
	if (authorization->count > 1)
		return refuse(attempt, COUNTER_AUTH_MALFORMED, "more than one Authorization");
	const struct text token = bearer_token(text_trim(authorization->value));
	if (!token.data)
		return refuse(attempt, COUNTER_AUTH_MALFORMED,
			      "Authorization is not Bearer and a token");
	if (token.size > auth->options.token_bytes)
		return refuse(attempt, COUNTER_AUTH_MALFORMED,
			      "the token is longer than auth.token_bytes");
	const struct cache_key key = cache_key_of(auth->cache, token);
	attempt->identity = cache_find(auth->cache, &key, key_source_generation(auth->source),
				       attempt->now_sec);
	counter_add(attempt->identity ? COUNTER_TOKEN_HITS : COUNTER_TOKEN_MISSES, 1);
	if (!attempt->identity) {
		const enum status status = verify_text(auth, token, &key, attempt);
		if (status != STATUS_OK)
			return status;
	}
	return judge(attempt);
}

static bool
secret_is_good(struct auth *auth, const struct header_value *header)
{
	if (!auth->options.secret_file[0])
		return true;
	if (header->count != 1)
		return false;
	const struct secret given = secret_of(header->value);
	pthread_mutex_lock(&auth->lock);
	const struct secret wanted = auth->secret;
	pthread_mutex_unlock(&auth->lock);
	return sodium_memcmp(given.digest, wanted.digest, sizeof(given.digest)) == 0;
}

static enum status
identify_proxied(struct auth *auth, const struct credentials *credentials, struct attempt *attempt)
{
	struct identity_facts facts = {.subject = text_trim(credentials->user.value),
				       .expires_sec = UINT64_MAX};
	const bool is_absent = credentials->user.count == 0;
	if (!trusted_contain(&auth->trusted, credentials->peer))
		return is_absent ? refuse_absent(attempt)
				 : refuse(attempt, COUNTER_AUTH_PROXY,
					  "the user's header came from an address that is not in "
					  "auth.trusted");
	if (!secret_is_good(auth, &credentials->secret))
		return refuse(attempt, COUNTER_AUTH_PROXY,
			      "the proxy's secret is not there, or another");
	if (is_absent)
		return refuse_absent(attempt);
	if (credentials->user.count != 1 || facts.subject.size == 0)
		return refuse(attempt, COUNTER_AUTH_MALFORMED,
			      "the user's header is empty, or there are several");
	const enum status status = make_identity(auth, &facts, &attempt->identity);
	return status == STATUS_OK ? judge(attempt) : status;
}

enum status
auth_identify(struct auth *auth, const struct credentials *credentials, struct identity **identity,
	      struct auth_fault *fault)
{
	struct attempt attempt = {.fault = {.counts = true}};
	const enum status status =
		auth->options.proxy ? identify_proxied(auth, credentials, &attempt)
				    : identify_bearer(auth, &credentials->authorization, &attempt);
	if (status == STATUS_OK)
		*identity = attempt.identity;
	*fault = attempt.fault;
	fault->counts &= status == STATUS_UNAUTHENTICATED || status == STATUS_STORAGE_UNAVAILABLE;
	return status;
}

bool
auth_measure(struct auth *auth, struct key_figures *figures)
{
	return auth->source && key_source_measure(auth->source, figures);
}

bool
auth_vouches(struct auth *auth, const struct identity *identity)
{
	if (!auth->source)
		return true;
	struct keys *keys = key_source_keys(auth->source);
	const bool vouches = keys && keys_have(keys, identity_key(identity));
	keys_release(keys);
	return vouches;
}
