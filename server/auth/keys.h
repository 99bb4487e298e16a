/*
 * keys: a JSON Web Key Set (RFC 7517), read once, and the check of a signature by one of its keys.
 *
 * A key is used only for what it is: its kind (kty, crv), and its own alg, use and key_ops if it has
 * them. Keys that cannot be used are left out, each with a log line; a set without any other is
 * refused, and one in which two keys that fit the same algorithm have the same kid.
 *
 * Threads: a set is never changed once made; any thread, counted references. The GnuTLS objects in it
 * are only read.
 */
#ifndef AUTH_KEYS_H
#define AUTH_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/identity.h"
#include "auth/token.h"
#include "base/status.h"
#include "base/text.h"

#define KEYS_MAX 100
#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 8192

struct keys;
struct key;

struct keys_policy {
	algorithm_set algorithms; /* keys for others are left out */
	bool secrets;		  /* whether the text is one that nobody else can read */
};

/* Held once. On failure *problem says why (base/problem). */
MUST_CHECK enum status keys_read(struct text json, const struct keys_policy *, struct keys **,
				 const char **problem);
struct keys *keys_hold(struct keys *);
void keys_release(struct keys *); /* NULL is allowed */

/* Which set it is, for those that remember what an earlier one said. */
uint64_t keys_generation(const struct keys *);
void keys_set_generation(struct keys *, uint64_t); /* before it is shared */

/*
 * The key that a token must have been signed with: the one with its kid, or, when it names none, the
 * only one that fits its algorithm. NULL when there is none; *known says whether that is no matter of
 * a newer set: the token names no kid, or one that is there.
 */
const struct key *keys_find(const struct keys *, const struct token *, bool *known);

/* The same for the same numbers under the same kid and alg, in whichever set. */
const struct key_print *key_print(const struct key *);
bool keys_have(const struct keys *, const struct key_print *);

/* Whether the key signed it. */
bool key_verifies(const struct key *, const struct token *);

#endif
