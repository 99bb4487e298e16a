/*
 * signature: what proves to a webhook's receiver who sent it, as the Standard Webhooks specification
 * has it: HMAC-SHA-256 under a shared secret, over id, timestamp and body.
 *
 * The file has a secret a line, "whsec_" and the base64 of 24 to 64 random bytes; empty lines and those
 * that begin with # do not count. With several, for a rotation, there is a signature for each.
 *
 * Threads: a struct secrets is plain data.
 */
#ifndef WEBHOOK_SIGNATURE_H
#define WEBHOOK_SIGNATURE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"

#define SECRETS_MAX 4
#define SECRET_SIZE_MAX 64
#define SIGNATURES_SIZE_MAX (SECRETS_MAX * 48 + 1)

struct secrets {
	size_t count;
	struct {
		uint8_t bytes[SECRET_SIZE_MAX];
		size_t size;
	} all[SECRETS_MAX];
};

/* Reads the file; nobody but its owner may be allowed to. INTERNAL: *problem says why (base/problem). */
MUST_CHECK enum status secrets_read(struct secrets *, const char *path, const char **problem);

/* From the file's text; NULL, or what is wrong. */
const char *secrets_parse(struct secrets *, struct text);

/* "v1,<base64>", separated by spaces, NUL-terminated. */
void secrets_sign(const struct secrets *, struct text id, uint64_t timestamp_sec, struct text body,
		  char signatures[SIGNATURES_SIZE_MAX]);

#endif
