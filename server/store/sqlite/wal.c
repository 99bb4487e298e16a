#include "store/sqlite/wal.h"

#include <string.h>

#include "base/big_endian.h"

#define MAGIC 0x377f0682u /* its last bit: the sum's words are big-endian */
#define SALT_AT 16
#define SUM_AT 24

#define FRAME_SALT_AT 8
#define SALT_SIZE 8

static void
add(struct wal_sum *sum, const uint8_t *bytes, size_t size)
{
	for (size_t at = 0; at < size; at += 8) {
		const uint32_t words[2] = {(uint32_t)big_endian_get(bytes + at, 4),
					   (uint32_t)big_endian_get(bytes + at + 4, 4)};
		for (unsigned i = 0; i < 2; i++) {
			const uint32_t word =
				sum->big_endian ? words[i] : __builtin_bswap32(words[i]);
			sum->words[i] += word + sum->words[1 - i];
		}
	}
}

static bool
is(const struct wal_sum *sum, const uint8_t *bytes)
{
	return big_endian_get(bytes, 4) == sum->words[0] &&
	       big_endian_get(bytes + 4, 4) == sum->words[1];
}

bool
wal_sum_begin(struct wal_sum *sum, const uint8_t head[WAL_HEAD_SIZE])
{
	const uint32_t magic = (uint32_t)big_endian_get(head, 4);
	*sum = (struct wal_sum){.big_endian = (magic & 1) != 0};
	add(sum, head, SUM_AT);
	return (magic & ~1u) == MAGIC && is(sum, head + SUM_AT);
}

bool
wal_has_frame(const uint8_t head[WAL_HEAD_SIZE], const uint8_t *frame)
{
	return memcmp(frame + FRAME_SALT_AT, head + SALT_AT, SALT_SIZE) == 0;
}

bool
wal_sum_add(struct wal_sum *sum, const uint8_t *frame, size_t page_size)
{
	add(sum, frame, FRAME_SALT_AT);
	add(sum, frame + FRAME_HEAD_SIZE, page_size);
	return is(sum, frame + FRAME_SUM_AT);
}
