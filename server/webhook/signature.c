#include "webhook/signature.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/problem.h"
#include "base/secret_file.h"

#define FILE_SIZE_MAX ((size_t)16 * 1024)
#define SECRET_SIZE_MIN 24
#define PREFIX "whsec_"

static const char *
parse_line(struct secrets *secrets, struct text line)
{
	const size_t prefix = sizeof(PREFIX) - 1;
	if (secrets->count == SECRETS_MAX)
		return "has more than four secrets";
	if (line.size < prefix || memcmp(line.data, PREFIX, prefix) != 0)
		return "has a line that does not begin with whsec_";
	size_t *size = &secrets->all[secrets->count].size;
	const char *end;
	if (sodium_base642bin(secrets->all[secrets->count].bytes, SECRET_SIZE_MAX,
			      line.data + prefix, line.size - prefix, NULL, size, &end,
			      sodium_base64_VARIANT_ORIGINAL) == -1 ||
	    end != line.data + line.size || *size < SECRET_SIZE_MIN)
		return "has a line whose rest is not the base64 of 24 to 64 bytes";
	secrets->count++;
	return NULL;
}

const char *
secrets_parse(struct secrets *secrets, struct text rest)
{
	const char *why = NULL;
	*secrets = (struct secrets){0};
	while (rest.size > 0 && why == NULL) {
		const struct text line = text_cut(&rest, '\n');
		if (line.size > 0 && line.data[0] != '#')
			why = parse_line(secrets, line);
	}
	if (why == NULL && secrets->count == 0)
		why = "has no secret";
	return why;
}

enum status
secrets_read(struct secrets *secrets, const char *path, const char **problem)
{
	struct buffer file;
	const char *why = NULL;
	buffer_init(&file, FILE_SIZE_MAX);
	const bool read = secret_file_read(path, &file, problem);
	if (read)
		why = secrets_parse(secrets, (struct text){file.data, file.size});
	if (file.size > 0)
		sodium_memzero(file.data, file.size);
	buffer_release(&file);
	if (!read)
		*problem = problem_within("webhook.secret_file", *problem);
	else if (why != NULL)
		*problem = problem_format("webhook.secret_file %s %s", path, why);
	return read && why == NULL ? STATUS_OK : STATUS_INTERNAL;
}

void
secrets_sign(const struct secrets *secrets, struct text id, uint64_t timestamp_sec,
	     struct text body, char signatures[SIGNATURES_SIZE_MAX])
{
	char *end = signatures;
	char dotted[32];
	uint8_t hash[crypto_auth_hmacsha256_BYTES];
	char hash_text[sodium_base64_ENCODED_LEN(sizeof(hash), sodium_base64_VARIANT_ORIGINAL)];
	const int dotted_size = snprintf(dotted, sizeof(dotted), ".%ju.", (uintmax_t)timestamp_sec);
	for (size_t i = 0; i < secrets->count; i++) {
		crypto_auth_hmacsha256_state state;
		crypto_auth_hmacsha256_init(&state, secrets->all[i].bytes, secrets->all[i].size);
		crypto_auth_hmacsha256_update(&state, (const uint8_t *)id.data, id.size);
		crypto_auth_hmacsha256_update(&state, (const uint8_t *)dotted,
					      (unsigned long long)dotted_size);
		crypto_auth_hmacsha256_update(&state, (const uint8_t *)body.data, body.size);
		crypto_auth_hmacsha256_final(&state, hash);
		sodium_bin2base64(hash_text, sizeof(hash_text), hash, sizeof(hash),
				  sodium_base64_VARIANT_ORIGINAL);
		const size_t left = SIGNATURES_SIZE_MAX - (size_t)(end - signatures);
		const int size = snprintf(end, left, "%sv1,%s", i > 0 ? " " : "", hash_text);
		CHECK(size > 0 && (size_t)size < left);
		end += size;
	}
}
