/*
 * token: tokens for trying things out: an Ed25519 key with its JWK Set (RFC 8037), and a JWT signed
 * with it. Not an issuer: nothing here knows who may have which.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/report.h"

#define TOKEN_SIZE_MAX ((size_t)64 * 1024)
#define BASE64_SIZE(size) ((size)*4 / 3 + 4)
#define BASE64 sodium_base64_VARIANT_URLSAFE_NO_PADDING

struct signing_key {
	uint8_t seed[crypto_sign_SEEDBYTES];
	uint8_t public[crypto_sign_PUBLICKEYBYTES];
	uint8_t secret[crypto_sign_SECRETKEYBYTES];
	char x[BASE64_SIZE(crypto_sign_PUBLICKEYBYTES)];
	char id[BASE64_SIZE(crypto_hash_sha256_BYTES)];
};

/* The key's id is its thumbprint (RFC 7638). */
static void
complete_key(struct signing_key *key)
{
	char members[256];
	uint8_t digest[crypto_hash_sha256_BYTES];

	crypto_sign_seed_keypair(key->public, key->secret, key->seed);
	sodium_bin2base64(key->x, sizeof(key->x), key->public, sizeof(key->public), BASE64);
	int size = snprintf(members, sizeof(members),
			    "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"%s\"}", key->x);
	crypto_hash_sha256(digest, (const uint8_t *)members, (unsigned long long)size);
	sodium_bin2base64(key->id, sizeof(key->id), digest, sizeof(digest), BASE64);
}

static bool
write_new_file(const char *path, mode_t mode, const char *content)
{
	const size_t size = strlen(content);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	bool written;

	if (fd == -1) {
		report_error("%s cannot be made: %s", path, strerror(errno));
		return false;
	}
	written = write(fd, content, size) == (ssize_t)size && fsync(fd) == 0;
	if (close(fd) == -1 || !written) {
		report_error("%s cannot be written", path);
		return false;
	}
	return true;
}

enum exit_code
cmd_token_keygen(const struct cli_options *options)
{
	struct signing_key key;
	char d[BASE64_SIZE(crypto_sign_SEEDBYTES)];
	char secret[512], set[512];
	bool written;

	if (sodium_init() == -1)
		return EXIT_LOCAL;
	randombytes_buf(key.seed, sizeof(key.seed));
	complete_key(&key);
	sodium_bin2base64(d, sizeof(d), key.seed, sizeof(key.seed), BASE64);
	snprintf(secret, sizeof(secret),
		 "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"d\":\"%s\",\"x\":\"%s\"}\n", d, key.x);
	snprintf(set, sizeof(set),
		 "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\",\"kid\":\"%s\","
		 "\"alg\":\"EdDSA\",\"use\":\"sig\"}]}\n",
		 key.x, key.id);
	written = write_new_file(options->key, 0600, secret);
	sodium_memzero(secret, sizeof(secret));
	sodium_memzero(d, sizeof(d));
	sodium_memzero(&key, sizeof(key));
	if (!written)
		return EXIT_LOCAL;
	if (options->jwks != NULL && !write_new_file(options->jwks, 0644, set))
		return EXIT_LOCAL;
	if (options->jwks == NULL || options->json)
		fputs(set, stdout);
	return report_output_done() ? EXIT_FINE : EXIT_LOCAL;
}

/* --- a token --- */

static bool
read_key(const char *path, struct signing_key *key)
{
	json_error_t error;
	json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
	const char *d = json_string_value(json_object_get(root, "d"));
	const char *curve = json_string_value(json_object_get(root, "crv"));
	size_t size = 0;
	bool good = d != NULL && curve != NULL && strcmp(curve, "Ed25519") == 0 &&
		    sodium_base642bin(key->seed, sizeof(key->seed), d, strlen(d), NULL, &size, NULL,
				      BASE64) == 0 &&
		    size == sizeof(key->seed);

	json_decref(root);
	if (good)
		complete_key(key);
	else
		report_error("%s: not a key that edgereplay token keygen made: %s", path,
			     root == NULL ? error.text : "no Ed25519 key in it");
	return good;
}

/* "a,b*" as an array; NULL and an empty list are none. */
static json_t *
make_list(const char *names)
{
	struct text rest = text_of(names != NULL ? names : "");
	json_t *list = json_array();

	while (rest.size > 0) {
		struct text name = text_cut(&rest, ',');
		json_array_append_new(list, json_stringn(name.data, name.size));
	}
	return list;
}

static void
set_text(json_t *claims, const char *name, const char *value)
{
	if (value != NULL)
		json_object_set_new(claims, name, json_string(value));
}

static json_t *
make_claims(const struct cli_options *options)
{
	const json_int_t now = (json_int_t)time(NULL);
	json_t *claims = json_object();

	set_text(claims, "sub", options->subject);
	set_text(claims, "iss", options->issuer);
	set_text(claims, "aud", options->audience);
	set_text(claims, "scope", options->scope);
	set_text(claims, "device", options->device);
	if (options->logs != NULL)
		json_object_set_new(claims, "logs", make_list(options->logs));
	if (options->logs_ro != NULL)
		json_object_set_new(claims, "logs_ro", make_list(options->logs_ro));
	json_object_set_new(claims, "iat", json_integer(now));
	json_object_set_new(claims, "exp", json_integer(now + (json_int_t)options->expires_sec));
	return claims;
}

static void
append_base64(struct buffer *out, const void *bytes, size_t size)
{
	char *at = buffer_reserve(out, BASE64_SIZE(size));

	if (at == NULL)
		return;
	sodium_bin2base64(at, BASE64_SIZE(size), bytes, size, BASE64);
	out->size += strlen(at);
}

static void
append_object(struct buffer *out, const json_t *object)
{
	char *text = json_dumps(object, JSON_COMPACT);

	if (text != NULL)
		append_base64(out, text, strlen(text));
	else
		out->failed = true;
	free(text);
}

enum exit_code
cmd_token_mint(const struct cli_options *options)
{
	struct signing_key key;
	struct buffer out;
	uint8_t signature[crypto_sign_BYTES];
	json_t *header, *claims;

	if (sodium_init() == -1 || !read_key(options->key, &key))
		return EXIT_LOCAL;
	header = json_pack("{s:s, s:s, s:s}", "alg", "EdDSA", "typ", "JWT", "kid", key.id);
	claims = make_claims(options);
	buffer_init(&out, TOKEN_SIZE_MAX);
	append_object(&out, header);
	buffer_append_text(&out, TEXT("."));
	append_object(&out, claims);
	json_decref(header);
	json_decref(claims);
	if (!out.failed) {
		crypto_sign_detached(signature, NULL, (const uint8_t *)out.data, out.size,
				     key.secret);
		buffer_append_text(&out, TEXT("."));
		append_base64(&out, signature, sizeof(signature));
	}
	sodium_memzero(&key, sizeof(key));
	if (out.failed)
		report_error("the token is too long, or memory is out");
	else
		printf(options->json ? "{\"token\":\"%.*s\"}\n" : "%.*s\n", (int)out.size,
		       out.data);
	const bool done = !out.failed && report_output_done();
	buffer_release(&out);
	return done ? EXIT_FINE : EXIT_LOCAL;
}
