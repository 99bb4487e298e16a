/*
 * algorithm: the signature algorithms that a token may name (RFC 7518, section 3; RFC 8037), and of
 * which kind a key must be to be used with each.
 */
#ifndef AUTH_ALGORITHM_H
#define AUTH_ALGORITHM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

enum key_kind { KEY_RSA, KEY_P256, KEY_P384, KEY_P521, KEY_ED25519, KEY_SECRET };

struct algorithm {
	struct text name;
	size_t signature_size; /* 0: the modulus's */
	enum key_kind kind;
	int gnutls; /* GnuTLS's number: of a signature, or of a MAC for KEY_SECRET */
};

/* Which of them are allowed: a bit each, by their place in the table. */
typedef unsigned algorithm_set;

/* NULL when there is none of that name. */
const struct algorithm *algorithm_find(struct text name);

bool algorithm_is_in(const struct algorithm *, algorithm_set);

/* Whether one of them is for keys of that kind. */
bool algorithm_set_has_kind(algorithm_set, enum key_kind);

/* Names with commas between them. False: one is unknown (*unknown), or there is none. */
bool algorithm_set_parse(struct text names, algorithm_set *, struct text *unknown);

#endif
