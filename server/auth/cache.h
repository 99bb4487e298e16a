/*
 * cache: tokens that were verified, by a keyed hash of each, so that a phone's next request costs no
 * signature.
 *
 *     token ─▶ hash ─┬─▶ part 0: lock, chains of entries, all of them in the order of their last use
 *                    ├─▶ part 1 …                                               ▲              │
 *                    └─▶ …                                            (found or put)    (room is needed)
 *
 * Bounded in bytes: who logs in decides how much an identity holds, so what counts is what each takes,
 * its entry and the tables with it. In each part the one that was used longest ago makes room. One
 * that is larger than a part is not kept: its token is verified each time.
 *
 * An entry is good until its identity expires, and only for the generation of keys it was verified
 * with. A token itself is not kept.
 *
 * Threads: any; a lock for each part.
 */
#ifndef AUTH_CACHE_H
#define AUTH_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "auth/identity.h"
#include "base/text.h"

#define CACHE_KEY_SIZE 16

/* An identity larger than this part of the bytes is not kept. */
#define CACHE_PARTS 16

struct cache;

struct cache_key {
	uint8_t bytes[CACHE_KEY_SIZE];
};

/* Takes at most as many bytes, and the tables at once. NULL when memory is out. */
struct cache *cache_new(size_t bytes);
void cache_free(struct cache *); /* NULL is allowed */

/* SipHash with 128 bits and a key of this process's own: nobody outside can look for two tokens that
 * are alike. A fifth of what BLAKE2b costs, and nothing here is told or kept beyond the process. */
struct cache_key cache_key_of(const struct cache *, struct text token);

/* Held for the caller, or NULL. */
struct identity *cache_find(struct cache *, const struct cache_key *, uint64_t generation,
			    uint64_t now_sec);

/* Takes a reference of its own, unless there is no room or no memory for it. */
void cache_put(struct cache *, const struct cache_key *, uint64_t generation, struct identity *);

#endif
