/*
 * An Authorization header, for libFuzzer. The first byte says what the rest is:
 *
 *     'S'   header LF claims: made into a token that is signed as it should be, so that what is behind
 *           the signature is reached
 *     else  the header's value as it is
 *
 * Whatever arrives is let in or refused; who is let in has a subject and a log.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/auth.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"

#define KEYS_FILE "/tmp/edgereplay-fuzz.jwks"
#define HEADER_SIZE_MAX ((size_t)64 * 1024)

/* The only key; its bytes are zeros. */
static const char set[] = "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"k\",\"k\":"
			  "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]}";

static struct auth *auth;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
start(void)
{
	char path[] = KEYS_FILE ".XXXXXX";
	const char *problem = NULL;
	const int fd = mkstemp(path);
	CHECK(sodium_init() != -1 && fd != -1);
	CHECK(write(fd, set, sizeof(set) - 1) == sizeof(set) - 1 && close(fd) == 0);
	const struct auth_options options = {.own_log = "{sub}",
					     .algorithms = "HS256,EdDSA,ES256,RS256",
					     .jwks_file = path,
					     .token_bytes = 16384,
					     .cache_bytes = 16384,
					     .logs_claim = "logs",
					     .logs_ro_claim = "logs_ro",
					     .device_claim = "device",
					     .all_scope = "all"};
	log_configure(LOG_ERROR, LOG_LOGFMT);
	CHECK(auth_new(&options, &auth, &problem) == STATUS_OK);
}

static void
append_base64(struct buffer *out, const uint8_t *bytes, size_t size)
{
	char *at = buffer_reserve(out, size * 4 / 3 + 4);
	if (!at)
		return;
	sodium_bin2base64(at, size * 4 / 3 + 4, bytes, size,
			  sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	out->size += strlen(at);
}

static void
append_signed(struct buffer *out, const uint8_t *data, size_t size)
{
	static const uint8_t secret[crypto_auth_hmacsha256_KEYBYTES];
	static const char scheme[] = "Bearer ";
	const size_t begin = sizeof(scheme) - 1;
	uint8_t mac[crypto_auth_hmacsha256_BYTES];
	const uint8_t *line = size > 0 ? memchr(data, '\n', size) : NULL;
	const size_t header_size = line ? (size_t)(line - data) : 0;
	buffer_append_text(out, TEXT("Bearer "));
	append_base64(out, data, header_size);
	buffer_append_text(out, TEXT("."));
	if (line)
		append_base64(out, line + 1, size - header_size - 1);
	if (out->failed)
		return;
	crypto_auth_hmacsha256(mac, (const uint8_t *)out->data + begin, out->size - begin, secret);
	buffer_append_text(out, TEXT("."));
	append_base64(out, mac, sizeof(mac));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buffer header;
	struct identity *identity = NULL;
	if (size == 0)
		return 0;
	if (!auth)
		start();
	struct auth_fault fault = {.counts = false};
	buffer_init(&header, HEADER_SIZE_MAX);
	if (data[0] == 'S')
		append_signed(&header, data + 1, size - 1);
	else
		buffer_append(&header, data, size);
	const struct credentials credentials = {
		.authorization = {.value = {header.data, header.size}, .count = 1}};
	const enum status status = header.failed
					   ? STATUS_FORBIDDEN
					   : auth_identify(auth, &credentials, &identity, &fault);
	if (status == STATUS_OK)
		CHECK(identity_subject(identity).size > 0 &&
		      identity_access(identity, identity_subject(identity)) == ACCESS_WRITE);
	else
		CHECK(!identity && (!fault.counts || status == STATUS_UNAUTHENTICATED) &&
		      (status == STATUS_UNAUTHENTICATED || status == STATUS_FORBIDDEN));
	identity_release(identity);
	buffer_release(&header);
	return 0;
}
