#include "auth/keys.h"

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <rhonabwy.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/problem.h"

#define SECRET_SIZE_MAX 512
#define MAC_SIZE_MAX 64

struct key {
	enum key_kind kind;
	const struct algorithm *only; /* the algorithm it is for; NULL: any of its kind */
	char *id;		      /* NULL: it has none */
	size_t id_size;
	gnutls_pubkey_t public;
	size_t modulus_size; /* RSA */
	uint8_t *secret;
	size_t secret_size;
	struct key_print print;
};

struct keys {
	atomic_uint references;
	uint64_t generation;
	size_t count;
	struct key keys[];
};

/* --- what a key is --- */

/* The public members of each kind: all that is looked at of its numbers. */
static const char *const rsa_members[] = {"kty", "n", "e", NULL};
static const char *const curve_members[] = {"kty", "crv", "x", "y", NULL};
static const char *const edwards_members[] = {"kty", "crv", "x", NULL};

static const struct kind {
	enum key_kind kind;
	int gnutls;	   /* GnuTLS's number for it */
	const char *type;  /* kty */
	const char *curve; /* crv; NULL: none */
	const char *const *members;
} kinds[] = {
	{KEY_RSA, GNUTLS_PK_RSA, "RSA", NULL, rsa_members},
	{KEY_P256, GNUTLS_PK_ECDSA, "EC", "P-256", curve_members},
	{KEY_P384, GNUTLS_PK_ECDSA, "EC", "P-384", curve_members},
	{KEY_P521, GNUTLS_PK_ECDSA, "EC", "P-521", curve_members},
	{KEY_ED25519, GNUTLS_PK_EDDSA_ED25519, "OKP", "Ed25519", edwards_members},
	{KEY_SECRET, GNUTLS_PK_UNKNOWN, "oct", NULL, NULL},
};

static const struct kind *
find_kind(const json_t *jwk)
{
	const struct text type = json_text_of(json_object_get(jwk, "kty"));
	const struct text curve = json_text_of(json_object_get(jwk, "crv"));
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (text_equal(type, text_of(kinds[i].type)) &&
		    (!kinds[i].curve || text_equal(curve, text_of(kinds[i].curve))))
			return &kinds[i];
	}
	return NULL;
}

static bool
array_has(const json_t *array, const char *word)
{
	size_t i;
	json_t *item;
	json_array_foreach(array, i, item)
	{
		if (text_equal(json_text_of(item), text_of(word)))
			return true;
	}
	return false;
}

/* What its own members say of its use. NULL, or why it cannot be used (static). */
static const char *
check_use(const json_t *jwk, const struct kind *kind, const struct keys_policy *policy,
	  struct key *key)
{
	const json_t *use = json_object_get(jwk, "use");
	const json_t *operations = json_object_get(jwk, "key_ops");
	const json_t *name = json_object_get(jwk, "alg");
	if (use && !text_equal(json_text_of(use), TEXT("sig")))
		return "its use is not sig";
	if (operations && !array_has(operations, "verify"))
		return "its key_ops have no verify";
	if (kind->kind == KEY_SECRET && !policy->secrets)
		return "a secret in a place that others can read";
	if (!algorithm_set_has_kind(policy->algorithms, kind->kind))
		return "no algorithm that is allowed uses its kind";
	if (!name)
		return NULL;
	const struct text text = json_text_of(name);
	key->only = text.data ? algorithm_find(text) : NULL;
	if (!key->only || key->only->kind != kind->kind)
		return "its alg is none for its kind";
	return algorithm_is_in(key->only, policy->algorithms) ? NULL : "its alg is not allowed";
}

/* A copy that has only the members that make the key. */
static json_t *
copy_members(const json_t *jwk, const char *const *members)
{
	json_t *copy = json_object();
	for (; copy && *members; members++) {
		if (json_object_set(copy, *members, json_object_get(jwk, *members)) == -1) {
			json_decref(copy);
			return NULL;
		}
	}
	return copy;
}

static const char *
import_public(const json_t *jwk, const struct kind *kind, struct key *key)
{
	unsigned bits = 0;
	jwk_t *made = NULL;
	json_t *members = copy_members(jwk, kind->members);
	if (members && r_jwk_init(&made) == RHN_OK &&
	    r_jwk_import_from_json_t(made, members) == RHN_OK)
		key->public = r_jwk_export_to_gnutls_pubkey(made, R_FLAG_IGNORE_REMOTE);
	r_jwk_free(made);
	json_decref(members);
	if (!key->public)
		return "its numbers make no key";
	if (gnutls_pubkey_get_pk_algorithm(key->public, &bits) != kind->gnutls)
		return "its numbers make another key";
	if (kind->kind == KEY_RSA && (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX))
		return "an RSA key must have 2048 to 8192 bits";
	key->modulus_size = (bits + 7) / 8;
	return NULL;
}

/* At least as many bytes as the shortest hash it may be used with (RFC 7518, section 3.2). */
static const char *
import_secret(const json_t *jwk, struct key *key)
{
	const struct text text = json_text_of(json_object_get(jwk, "k"));
	key->secret = malloc(SECRET_SIZE_MAX);
	if (!key->secret || !text.data ||
	    !base64url_decode(text, key->secret, SECRET_SIZE_MAX, &key->secret_size))
		return "its k is not base64url, or too long";
	return key->secret_size < 32 ? "its k has fewer than 32 bytes" : NULL;
}

/* False: memory is out. */
static bool
set_print(const json_t *jwk, const struct kind *kind, struct key *key)
{
	static const uint8_t separator[1] = {0};
	crypto_generichash_state state;
	char *numbers = NULL;
	json_t *members = kind->members ? copy_members(jwk, kind->members) : NULL;
	const struct text algorithm = key->only ? key->only->name : TEXT("");
	if (members)
		numbers = json_dumps(members, JSON_SORT_KEYS | JSON_COMPACT);
	json_decref(members);
	if (kind->members && !numbers)
		return false;
	crypto_generichash_init(&state, NULL, 0, sizeof(key->print.bytes));
	crypto_generichash_update(&state, (const uint8_t *)algorithm.data, algorithm.size);
	crypto_generichash_update(&state, separator, 1);
	if (key->id)
		crypto_generichash_update(&state, (const uint8_t *)key->id, key->id_size);
	crypto_generichash_update(&state, separator, 1);
	if (numbers)
		crypto_generichash_update(&state, (const uint8_t *)numbers, strlen(numbers));
	else
		crypto_generichash_update(&state, key->secret, key->secret_size);
	crypto_generichash_final(&state, key->print.bytes, sizeof(key->print.bytes));
	free(numbers);
	return true;
}

static bool
is_private(const json_t *jwk)
{
	return json_object_get(jwk, "d") || json_object_get(jwk, "p") || json_object_get(jwk, "q");
}

static const char *
import_key(const json_t *jwk, const struct keys_policy *policy, struct key *key)
{
	if (!json_is_object(jwk))
		return "it is no object";
	if (is_private(jwk))
		return "it is a private key; only its public part belongs here";
	const json_t *id = json_object_get(jwk, "kid");
	if (id && !json_is_string(id))
		return "its kid is no string";
	const struct kind *kind = find_kind(jwk);
	if (!kind)
		return "its kty or crv is not known";
	const char *problem = check_use(jwk, kind, policy, key);
	if (problem)
		return problem;
	if (id) {
		key->id_size = json_string_length(id);
		key->id = malloc(key->id_size + 1);
		if (!key->id)
			return "memory is out";
		memcpy(key->id, json_string_value(id), key->id_size + 1);
	}
	key->kind = kind->kind;
	problem =
		kind->kind == KEY_SECRET ? import_secret(jwk, key) : import_public(jwk, kind, key);
	if (!problem && !set_print(jwk, kind, key))
		problem = "memory is out";
	return problem;
}

static void
key_release(struct key *key)
{
	if (key->public)
		gnutls_pubkey_deinit(key->public);
	if (key->secret)
		sodium_memzero(key->secret, SECRET_SIZE_MAX);
	free(key->secret);
	free(key->id);
	*key = (struct key){0};
}

/* --- a set --- */

/* Whether one token could mean either. */
static bool
are_alike(const struct key *a, const struct key *b)
{
	return a->id && b->id && a->kind == b->kind &&
	       (!a->only || !b->only || a->only == b->only) &&
	       text_equal((struct text){a->id, a->id_size}, (struct text){b->id, b->id_size});
}

static enum status
import_all(const json_t *array, const struct keys_policy *policy, struct keys *keys,
	   const char **problem)
{
	size_t i;
	json_t *jwk;
	const char *last = "it has none";
	json_array_foreach(array, i, jwk)
	{
		struct key *key = &keys->keys[keys->count];
		const char *why = import_key(jwk, policy, key);
		if (why) {
			const struct text id = json_text_of(json_object_get(jwk, "kid"));
			log_warn("auth", "key not used", LOG_U64("index", i), LOG_TEXT("kid", id),
				 LOG_STR("problem", why));
			key_release(key);
			last = why;
			continue;
		}
		for (size_t other = 0; other < keys->count; other++) {
			if (are_alike(&keys->keys[other], key))
				return problem_set(problem, STATUS_MALFORMED,
						   "two keys that fit the same algorithm have "
						   "the same kid");
		}
		keys->count++;
	}
	if (keys->count == 0)
		return problem_set(problem, STATUS_MALFORMED,
				   "no key in it can be used; of the last one: %s", last);
	return STATUS_OK;
}

enum status
keys_read(struct text json, const struct keys_policy *policy, struct keys **keys,
	  const char **problem)
{
	json_error_t error;
	enum status status = STATUS_MALFORMED;
	json_t *root = json_loadb(json.data, json.size, JSON_REJECT_DUPLICATES, &error);
	const json_t *array = json_object_get(root, "keys");
	*keys = NULL;
	if (!root) {
		status = problem_set(problem, STATUS_MALFORMED, "it is no JSON: line %d: %s",
				     error.line, error.text);
		goto release;
	}
	if (!json_is_array(array) || json_array_size(array) > KEYS_MAX) {
		status = problem_set(problem, STATUS_MALFORMED,
				     "it is no JSON Web Key Set: an object whose member keys is an "
				     "array of at most %d",
				     KEYS_MAX);
		goto release;
	}
	/* One more than there are, for the room of one that is left out at the end. */
	*keys = calloc(1, sizeof(struct keys) + (json_array_size(array) + 1) * sizeof(struct key));
	if (!*keys) {
		status = problem_set(problem, STATUS_INTERNAL, "memory is out");
		goto release;
	}
	atomic_init(&(*keys)->references, 1);
	status = import_all(array, policy, *keys, problem);
	if (status != STATUS_OK) {
		(*keys)->count++;
		keys_release(*keys);
		*keys = NULL;
	}
release:
	json_decref(root);
	return status;
}

struct keys *
keys_hold(struct keys *keys)
{
	atomic_fetch_add(&keys->references, 1);
	return keys;
}

void
keys_release(struct keys *keys)
{
	if (!keys || atomic_fetch_sub(&keys->references, 1) != 1)
		return;
	for (size_t i = 0; i < keys->count; i++)
		key_release(&keys->keys[i]);
	free(keys);
}

uint64_t
keys_generation(const struct keys *keys)
{
	return keys->generation;
}

void
keys_set_generation(struct keys *keys, uint64_t generation)
{
	keys->generation = generation;
}

static bool
key_fits(const struct key *key, const struct algorithm *algorithm)
{
	return key->kind == algorithm->kind && (!key->only || key->only == algorithm) &&
	       (key->kind != KEY_SECRET || key->secret_size >= algorithm->signature_size);
}

const struct key *
keys_find(const struct keys *keys, const struct token *token, bool *known)
{
	const struct key *found = NULL;
	unsigned fitting = 0;
	*known = !token->key_id.data;
	for (size_t i = 0; i < keys->count; i++) {
		const struct key *key = &keys->keys[i];
		bool named = token->key_id.data && key->id &&
			     text_equal(token->key_id, (struct text){key->id, key->id_size});
		*known = *known || named;
		if ((token->key_id.data && !named) || !key_fits(key, token->algorithm))
			continue;
		fitting++;
		found = key;
	}
	return fitting == 1 ? found : NULL;
}

const struct key_print *
key_print(const struct key *key)
{
	return &key->print;
}

bool
keys_have(const struct keys *keys, const struct key_print *print)
{
	for (size_t i = 0; i < keys->count; i++) {
		if (memcmp(&keys->keys[i].print, print, sizeof(*print)) == 0)
			return true;
	}
	return false;
}

/* --- a signature --- */

static bool
verify_mac(const struct key *key, const struct token *token)
{
	uint8_t mac[MAC_SIZE_MAX];
	return gnutls_hmac_fast((gnutls_mac_algorithm_t)token->algorithm->gnutls, key->secret,
				key->secret_size, token->signed_part.data, token->signed_part.size,
				mac) == 0 &&
	       sodium_memcmp(mac, token->signature, token->signature_size) == 0;
}

/* ECDSA's two numbers side by side (RFC 7518, section 3.4) as the ASN.1 that GnuTLS wants. */
static bool
encode_numbers(const struct token *token, gnutls_datum_t *encoded)
{
	const unsigned half = (unsigned)token->signature_size / 2;
	gnutls_datum_t r = {(unsigned char *)token->signature, half};
	gnutls_datum_t s = {(unsigned char *)token->signature + half, half};
	return gnutls_encode_rs_value(encoded, &r, &s) == 0;
}

bool
key_verifies(const struct key *key, const struct token *token)
{
	const struct algorithm *algorithm = token->algorithm;
	const size_t size =
		algorithm->signature_size > 0 ? algorithm->signature_size : key->modulus_size;
	gnutls_datum_t data = {(unsigned char *)token->signed_part.data,
			       (unsigned)token->signed_part.size};
	gnutls_datum_t signature = {(unsigned char *)token->signature,
				    (unsigned)token->signature_size};
	gnutls_datum_t encoded = {NULL, 0};
	if (token->signature_size != size)
		return false;
	if (key->kind == KEY_SECRET)
		return verify_mac(key, token);
	if (key->kind == KEY_P256 || key->kind == KEY_P384 || key->kind == KEY_P521) {
		if (!encode_numbers(token, &encoded))
			return false;
		signature = encoded;
	}
	const bool good =
		gnutls_pubkey_verify_data2(key->public, (gnutls_sign_algorithm_t)algorithm->gnutls,
					   0, &data, &signature) >= 0;
	gnutls_free(encoded.data);
	return good;
}
