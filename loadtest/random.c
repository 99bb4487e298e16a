#include "loadtest/random.h"

#include "base/check.h"

/* The increment of splitmix64: 2^64 divided by the golden ratio, made odd. */
#define GOLDEN UINT64_C(0x9e3779b97f4a7c15)

static uint64_t
mix(uint64_t value)
{
	value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
	return value ^ (value >> 31);
}

void
random_init(struct random *random, uint64_t seed, uint64_t stream)
{
	/* Mixed twice, so that seeds and streams that are neighbours do not overlap. */
	random->state = mix(mix(seed + GOLDEN) + stream * GOLDEN + GOLDEN);
}

uint64_t
random_next(struct random *random)
{
	random->state += GOLDEN;
	return mix(random->state);
}

uint64_t
random_below(struct random *random, uint64_t bound)
{
	CHECK(bound > 0);
	return random_next(random) % bound;
}

double
random_share(struct random *random)
{
	return (double)(random_next(random) >> 11) / 9007199254740992.0;
}
