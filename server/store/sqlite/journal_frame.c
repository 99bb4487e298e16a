#include "store/sqlite/journal_frame.h"

#include <sodium/crypto_generichash.h>
#include <string.h>

#include "base/big_endian.h"
#include "base/check.h"
#include "store/sqlite/journal.h"

#define SUM_AT 16
#define SUM_SIZE 16

/* Binds the frame to its generation and to its record, whose own checksum vouches for its bytes. */
static void
frame_sum(const uint8_t *bytes, const uint8_t key[JOURNAL_KEY_SIZE], uint8_t sum[SUM_SIZE])
{
	uint8_t covered[SUM_AT + JOURNAL_CHECKSUM_SIZE];
	memcpy(covered, bytes, SUM_AT);
	memcpy(covered + SUM_AT, bytes + FRAME_SIZE + JOURNAL_CHECKSUM_AT, JOURNAL_CHECKSUM_SIZE);
	CHECK(crypto_generichash(sum, SUM_SIZE, covered, sizeof(covered), key, JOURNAL_KEY_SIZE) ==
	      0);
}

void
frame_write(uint8_t *bytes, const struct frame *frame, const uint8_t key[JOURNAL_KEY_SIZE])
{
	uint8_t *at = big_endian_put(bytes, frame->record_size, 4);
	at = big_endian_put(at, frame->index, 4);
	at = big_endian_put(at, frame->id, 8);
	CHECK(at == bytes + SUM_AT);
	frame_sum(bytes, key, at);
}

struct frame
frame_peek(const uint8_t *bytes)
{
	return (struct frame){.record_size = (size_t)big_endian_get(bytes, 4),
			      .index = big_endian_get(bytes + 4, 4),
			      .id = big_endian_get(bytes + 8, 8)};
}

bool
frame_read(const uint8_t *bytes, size_t size, const uint8_t key[JOURNAL_KEY_SIZE],
	   struct frame *frame)
{
	uint8_t sum[SUM_SIZE];
	if (size < FRAME_SIZE + JOURNAL_CHECKSUM_AT + JOURNAL_CHECKSUM_SIZE)
		return false;
	*frame = frame_peek(bytes);
	if (frame->record_size > size - FRAME_SIZE)
		return false;
	frame_sum(bytes, key, sum);
	return memcmp(sum, bytes + SUM_AT, SUM_SIZE) == 0;
}
