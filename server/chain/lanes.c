/*
 * BLAKE2b (RFC 7693, section 3.2) with a 32-byte output and no key, in the names of the RFC: h the
 * chained state, v the working state, m the message block, t the bytes counted, f the last block's
 * mark. Each variable is a vector whose elements belong to different messages.
 */
#include "chain/lanes.h"

#include <assert.h>
#include <string.h>

#include <sodium.h>

#include "base/check.h"

static void
hash_each(const struct text messages[], struct hash hashes[], size_t count)
{
	for (size_t i = 0; i < count; i++) {
		CHECK(crypto_generichash(hashes[i].bytes, HASH_SIZE,
					 (const unsigned char *)messages[i].data, messages[i].size,
					 NULL, 0) == 0);
	}
}

#if defined(__x86_64__)

#define BLOCK_SIZE 128

/* The lanes go on until the longest message is done, about as slowly as one message alone would:
 * they must have at least so many times its blocks to hash. */
#define WORTH 3

#define ALWAYS_INLINE inline __attribute__((always_inline))

typedef uint64_t words __attribute__((vector_size(8 * LANES)));

static const uint64_t iv[8] = {
	0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
	0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

/* The RFC's parameter block: digest length 32, no key, fanout 1, depth 1. */
#define PARAMETERS UINT64_C(0x01010020)

static const uint8_t sigma[12][16] = {
	{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
	{14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
	{11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
	{7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
	{9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
	{2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
	{12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
	{13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
	{6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
	{10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
	{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
	{14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
};

/* The next block of each lane. */
struct step {
	const uint8_t *blocks[LANES];
	words t, f;
	words active; /* all ones; 0: the lane's message is done, its state stays */
};

static ALWAYS_INLINE void
load_block(words m[16], const uint8_t *const blocks[LANES])
{
	static_assert(LANES == 8, "the words of eight lanes are named below");
	for (unsigned i = 0; i < 16; i++) {
		uint64_t lane[LANES];
		for (unsigned l = 0; l < LANES; l++)
			memcpy(&lane[l], blocks[l] + sizeof(uint64_t) * i, sizeof(uint64_t));
		m[i] = (words){lane[0], lane[1], lane[2], lane[3],
			       lane[4], lane[5], lane[6], lane[7]};
	}
}

#define ROTATE(word, bits) ((word) >> (bits) | (word) << (64 - (bits)))

#define MIX(a, b, c, d, x, y)                                                                      \
	do {                                                                                       \
		v[a] += v[b] + (x);                                                                \
		v[d] = ROTATE(v[d] ^ v[a], 32);                                                    \
		v[c] += v[d];                                                                      \
		v[b] = ROTATE(v[b] ^ v[c], 24);                                                    \
		v[a] += v[b] + (y);                                                                \
		v[d] = ROTATE(v[d] ^ v[a], 16);                                                    \
		v[c] += v[d];                                                                      \
		v[b] = ROTATE(v[b] ^ v[c], 63);                                                    \
	} while (0)

static ALWAYS_INLINE void
mix_round(words v[16], const words m[16], const uint8_t s[16])
{
	MIX(0, 4, 8, 12, m[s[0]], m[s[1]]);
	MIX(1, 5, 9, 13, m[s[2]], m[s[3]]);
	MIX(2, 6, 10, 14, m[s[4]], m[s[5]]);
	MIX(3, 7, 11, 15, m[s[6]], m[s[7]]);
	MIX(0, 5, 10, 15, m[s[8]], m[s[9]]);
	MIX(1, 6, 11, 12, m[s[10]], m[s[11]]);
	MIX(2, 7, 8, 13, m[s[12]], m[s[13]]);
	MIX(3, 4, 9, 14, m[s[14]], m[s[15]]);
}

/* The rounds stand here one by one, so that sigma turns into addresses and v stays in registers. */
static ALWAYS_INLINE void
compress(words h[8], const struct step *step)
{
	words m[16], v[16];
	load_block(m, step->blocks);
	for (unsigned i = 0; i < 8; i++) {
		v[i] = h[i];
		v[8 + i] = iv[i] - (words){0};
	}
	v[12] ^= step->t;
	v[14] ^= step->f;
	mix_round(v, m, sigma[0]);
	mix_round(v, m, sigma[1]);
	mix_round(v, m, sigma[2]);
	mix_round(v, m, sigma[3]);
	mix_round(v, m, sigma[4]);
	mix_round(v, m, sigma[5]);
	mix_round(v, m, sigma[6]);
	mix_round(v, m, sigma[7]);
	mix_round(v, m, sigma[8]);
	mix_round(v, m, sigma[9]);
	mix_round(v, m, sigma[10]);
	mix_round(v, m, sigma[11]);
	for (unsigned i = 0; i < 8; i++)
		h[i] ^= (v[i] ^ v[8 + i]) & step->active;
}

__attribute__((target("avx512f"))) static void
compress_avx512(words h[8], const struct step *step)
{
	compress(h, step);
}

__attribute__((target("avx2"))) static void
compress_avx2(words h[8], const struct step *step)
{
	compress(h, step);
}

typedef void compress_function(words h[8], const struct step *);

static compress_function *
find_compress(void)
{
	if (__builtin_cpu_supports("avx512f"))
		return compress_avx512;
	return __builtin_cpu_supports("avx2") ? compress_avx2 : NULL;
}

/* An empty message has one block, too. */
static size_t
block_count(size_t size)
{
	return size == 0 ? 1 : (size + BLOCK_SIZE - 1) / BLOCK_SIZE;
}

static bool
is_worth_it(const struct text messages[], size_t count)
{
	size_t longest = 0, sum = 0;
	for (size_t i = 0; i < count; i++) {
		size_t blocks = block_count(messages[i].size);
		sum += blocks;
		if (blocks > longest)
			longest = blocks;
	}
	return sum / WORTH >= longest;
}

/* At most LANES messages: their last blocks, filled up with zeros, and how many blocks the longest
 * has. */
static size_t
fill_last_blocks(const struct text messages[], size_t count, uint8_t last[LANES][BLOCK_SIZE])
{
	size_t longest = 0;
	memset(last, 0, LANES * (size_t)BLOCK_SIZE);
	for (size_t l = 0; l < count; l++) {
		size_t blocks = block_count(messages[l].size);
		size_t before = (blocks - 1) * BLOCK_SIZE;
		if (messages[l].size > 0)
			memcpy(last[l], messages[l].data + before, messages[l].size - before);
		if (blocks > longest)
			longest = blocks;
	}
	return longest;
}

static void
hash_lanes(const struct text messages[], struct hash hashes[], size_t count,
	   compress_function *compress_lanes)
{
	uint8_t last[LANES][BLOCK_SIZE];
	words h[8];
	struct step step;
	size_t longest = fill_last_blocks(messages, count, last);
	for (unsigned i = 0; i < 8; i++)
		h[i] = iv[i] - (words){0};
	h[0] ^= PARAMETERS - (words){0};
	for (size_t block = 0; block < longest; block++) {
		for (size_t l = 0; l < LANES; l++) {
			size_t blocks = l < count ? block_count(messages[l].size) : 0;
			bool whole = block + 1 < blocks;
			step.blocks[l] =
				whole ? (const uint8_t *)messages[l].data + block * BLOCK_SIZE
				      : last[l];
			step.t[l] =
				whole || l >= count ? (block + 1) * BLOCK_SIZE : messages[l].size;
			step.f[l] = whole ? 0 : UINT64_MAX;
			step.active[l] = block < blocks ? UINT64_MAX : 0;
		}
		compress_lanes(h, &step);
	}
	for (size_t l = 0; l < count; l++) {
		for (unsigned i = 0; i < HASH_SIZE / sizeof(uint64_t); i++) {
			uint64_t word = h[i][l];
			memcpy(hashes[l].bytes + sizeof(word) * i, &word, sizeof(word));
		}
	}
}

void
lanes_hash(const struct text messages[], struct hash hashes[], size_t count)
{
	compress_function *compress_lanes = find_compress();
	for (size_t first = 0; first < count; first += LANES) {
		size_t part = count - first < LANES ? count - first : LANES;
		if (compress_lanes != NULL && is_worth_it(messages + first, part))
			hash_lanes(messages + first, hashes + first, part, compress_lanes);
		else
			hash_each(messages + first, hashes + first, part);
	}
}

#else

void
lanes_hash(const struct text messages[], struct hash hashes[], size_t count)
{
	hash_each(messages, hashes, count);
}

#endif
