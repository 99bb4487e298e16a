/*
 * journal_frame: the bytes before a record in a journal file, as journal_file.h draws them. Pure.
 */
#ifndef STORE_SQLITE_JOURNAL_FRAME_H
#define STORE_SQLITE_JOURNAL_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOURNAL_KEY_SIZE 16

/* The record begins after so many bytes of its frame, whose size is a multiple of the second. */
#define FRAME_SIZE ((size_t)32)
#define FRAME_ALIGNMENT ((size_t)8)

struct frame {
	uint64_t id;
	uint64_t index; /* in its group */
	size_t record_size;
};

static inline size_t
frame_aligned(size_t size)
{
	return (size + FRAME_ALIGNMENT - 1) / FRAME_ALIGNMENT * FRAME_ALIGNMENT;
}

/* Writes what stands before the record that is there. */
void frame_write(uint8_t *bytes, const struct frame *, const uint8_t key[JOURNAL_KEY_SIZE]);

/* Of at least FRAME_SIZE bytes: what a frame here says, whether it is one or not. */
struct frame frame_peek(const uint8_t *bytes);

/* The same; true when there is a frame under this key, and its record is within the size. */
bool frame_read(const uint8_t *bytes, size_t size, const uint8_t key[JOURNAL_KEY_SIZE],
		struct frame *);

#endif
