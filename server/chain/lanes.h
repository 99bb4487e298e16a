/*
 * lanes: the hash of several messages at once, each in a lane of the processor's vectors.
 *
 * One BLAKE2b is a chain of steps that wait for each other, so that most of a processor stands
 * still; messages that do not depend on each other can share it. Where the processor has no wide
 * vectors, where there are too few messages, or where they are too unlike in size, they are hashed
 * one by one by libsodium. The hashes are the same.
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

/* hashes[i] = H(messages[i]). Any count, any sizes. */
void lanes_hash(const struct text messages[], struct hash hashes[], size_t count);

#endif
