/*
 * lanes: the hash of one message, and of several at once, each in a lane of the processor's vectors.
 *
 * One BLAKE2b is a chain of steps that wait for each other, so that most of a processor's vectors
 * stand still; messages that do not depend on each other can share them. Where the processor has no
 * wide vectors, where there are too few messages, or where they are too unlike in size, they are
 * hashed one by one. The hashes are the same.
 *
 * Pure: no I/O, no threads, no memory but the stack's.
 */
#ifndef CHAIN_LANES_H
#define CHAIN_LANES_H

#include <stddef.h>

#include "base/text.h"
#include "chain/chain.h"

/* How many messages go at once: callers that gather do best with a multiple of it. */
#define LANES 8

/* H(message), of any size: what is one after the other, like links, has nothing to share. */
void lanes_hash_one(struct text message, struct hash *hash);

/* What the lanes are made of. A processor that has one has those before it. */
enum lanes_path { LANES_NONE, LANES_AVX2, LANES_AVX512 };

enum lanes_path lanes_best_path(void);

/* As lanes_hash(), with no wider vectors than these, which the processor must have. */
void lanes_hash_by(enum lanes_path, const struct text messages[], struct hash hashes[],
		   size_t count);

/* hashes[i] = H(messages[i]). Any count, any sizes. */
void lanes_hash(const struct text messages[], struct hash hashes[], size_t count);

#endif
