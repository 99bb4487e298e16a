/*
 * token: a compact JWS (RFC 7515, section 7.1) in its parts, read strictly. Says nothing yet of who
 * signed it.
 *
 *     base64url(header) "." base64url(claims) "." base64url(signature)
 *
 * base64url without padding, and in its one canonical form; header and claims are JSON objects
 * without duplicate members. Of the header `alg`, `kid` and `typ` are looked at; `crit` is refused,
 * since nothing that it could ask for is done here; the others mean nothing.
 *
 * Ownership: the texts of a token point into it and into the text it was read from.
 */
#ifndef AUTH_TOKEN_H
#define AUTH_TOKEN_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/algorithm.h"
#include "base/text.h"

/* Of RSA with 8192 bits. */
#define TOKEN_SIGNATURE_MAX 1024

struct token {
	const struct algorithm *algorithm;
	struct text key_id; /* data is NULL: it names none */
	struct text type;   /* data is NULL: likewise */
	json_t *claims;	    /* an object */
	struct text signed_part;
	size_t signature_size;
	uint8_t signature[TOKEN_SIGNATURE_MAX];
	json_t *header;
};

/* NULL, or why it is none (static). The token must be released in any case. */
const char *token_read(struct token *, struct text);
void token_release(struct token *);

/* Strict base64url without padding. False: it is not, or it has more than size_max bytes. */
bool base64url_decode(struct text, uint8_t *bytes, size_t size_max, size_t *size);

/* A string's bytes; data is NULL when the value is NULL or no string. */
struct text json_text_of(const json_t *);

#endif
