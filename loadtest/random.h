/*
 * random: reproducible random numbers (splitmix64). Not for secrets.
 *
 * Threads: each struct random has one user at a time.
 */
#ifndef LOADTEST_RANDOM_H
#define LOADTEST_RANDOM_H

#include <stdint.h>

struct random {
	uint64_t state;
};

/* Streams of the same seed are independent of each other; the same pair gives the same numbers. */
void random_init(struct random *, uint64_t seed, uint64_t stream);

uint64_t random_next(struct random *);

/* 0 .. bound - 1, even enough for bounds far below 2^64. The bound is above 0. */
uint64_t random_below(struct random *, uint64_t bound);

/* 0 ≤ x < 1. */
double random_share(struct random *);

#endif
