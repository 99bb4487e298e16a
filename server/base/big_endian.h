/*
 * big_endian: unsigned integers of 1 to 8 bytes, the most significant byte first.
 */
#ifndef BASE_BIG_ENDIAN_H
#define BASE_BIG_ENDIAN_H

#include <stdint.h>

/* Returns what stands behind it. */
static inline uint8_t *
big_endian_put(uint8_t *at, uint64_t value, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		at[i] = (uint8_t)(value >> (8 * (size - 1 - i)));
	return at + size;
}

static inline uint64_t
big_endian_get(const uint8_t *at, unsigned size)
{
	uint64_t value = 0;
	for (unsigned i = 0; i < size; i++)
		value = value << 8 | at[i];
	return value;
}

#endif
