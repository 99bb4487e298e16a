#include "base/mem.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define BLOCK_SIZE_MIN ((size_t)4 * 1024)
#define BLOCK_SIZE_MAX ((size_t)256 * 1024)
#define BUFFER_SIZE_MIN ((size_t)256)

struct arena_block {
	struct arena_block *older;
	size_t size; /* of data */
	alignas(max_align_t) char data[];
};

void
arena_init(struct arena *arena, size_t used_max)
{
	CHECK(arena != NULL);
	*arena = (struct arena){.used_max = used_max};
}

/* The largest of the ordinary blocks stays, so that a thread's arena soon needs no malloc. One huge
 * request must not keep its memory for ever, so its block goes. */
void
arena_reset(struct arena *arena)
{
	struct arena_block *kept = NULL;
	CHECK(arena != NULL);
	for (struct arena_block *block = arena->blocks; block != NULL;) {
		struct arena_block *older = block->older;
		struct arena_block *unwanted = block;
		if (block->size <= BLOCK_SIZE_MAX && (kept == NULL || block->size > kept->size)) {
			unwanted = kept;
			kept = block;
		}
		free(unwanted);
		block = older;
	}
	arena->blocks = kept;
	arena->next = kept == NULL ? NULL : kept->data;
	arena->room = kept == NULL ? 0 : kept->size;
	arena->used = 0;
	if (kept != NULL)
		kept->older = NULL;
}

void
arena_release(struct arena *arena)
{
	if (arena == NULL)
		return;
	for (struct arena_block *block = arena->blocks; block != NULL;) {
		struct arena_block *older = block->older;
		free(block);
		block = older;
	}
	arena_init(arena, arena->used_max);
}

static struct arena_block *
block_new(size_t size)
{
	struct arena_block *block = malloc(sizeof(*block) + size);
	if (block != NULL)
		block->size = size;
	return block;
}

/* A piece that is larger than the ordinary next block gets a block of its own, behind the newest
 * one, whose free part stays in use. */
static void *
arena_alloc_large(struct arena *arena, size_t size)
{
	struct arena_block *block = block_new(size);
	if (block == NULL)
		return NULL;
	if (arena->blocks == NULL) {
		block->older = NULL;
		arena->blocks = block;
	} else {
		block->older = arena->blocks->older;
		arena->blocks->older = block;
	}
	return block->data;
}

static bool
arena_grow(struct arena *arena, size_t size)
{
	struct arena_block *block = block_new(size);
	if (block == NULL)
		return false;
	block->older = arena->blocks;
	arena->blocks = block;
	arena->next = block->data;
	arena->room = size;
	return true;
}

static size_t
next_block_size(const struct arena *arena)
{
	if (arena->blocks == NULL)
		return BLOCK_SIZE_MIN;
	if (arena->blocks->size >= BLOCK_SIZE_MAX / 2)
		return BLOCK_SIZE_MAX;
	return arena->blocks->size < BLOCK_SIZE_MIN ? BLOCK_SIZE_MIN : 2 * arena->blocks->size;
}

void *
arena_alloc(struct arena *arena, size_t size)
{
	const size_t alignment = alignof(max_align_t);
	CHECK(arena != NULL);
	if (size > arena->used_max - arena->used || size > SIZE_MAX / 2)
		return NULL;
	size_t rounded = (size + alignment - 1) / alignment * alignment;
	if (rounded == 0)
		rounded = alignment; /* nothing, too, has an address of its own */
	void *piece;
	if (rounded > arena->room && rounded > next_block_size(arena)) {
		piece = arena_alloc_large(arena, rounded);
	} else if (rounded <= arena->room || arena_grow(arena, next_block_size(arena))) {
		piece = arena->next;
		arena->next += rounded;
		arena->room -= rounded;
	} else {
		piece = NULL;
	}
	if (piece != NULL)
		arena->used += size;
	return piece;
}

void *
arena_calloc(struct arena *arena, size_t count, size_t size)
{
	size_t product;
	if (__builtin_mul_overflow(count, size, &product))
		return NULL;
	void *piece = arena_alloc(arena, product);
	if (piece != NULL)
		memset(piece, 0, product);
	return piece;
}

struct text
arena_copy(struct arena *arena, struct text text)
{
	char *copy = text.size == SIZE_MAX ? NULL : arena_alloc(arena, text.size + 1);
	if (copy == NULL)
		return (struct text){NULL, 0};
	if (text.size > 0)
		memcpy(copy, text.data, text.size);
	copy[text.size] = '\0';
	return (struct text){copy, text.size};
}

void
buffer_init(struct buffer *buffer, size_t size_max)
{
	CHECK(buffer != NULL && size_max < SIZE_MAX);
	*buffer = (struct buffer){.size_max = size_max};
}

void
buffer_release(struct buffer *buffer)
{
	if (buffer == NULL)
		return;
	free(buffer->data);
	buffer_init(buffer, buffer->size_max);
}

void
buffer_append(struct buffer *buffer, const void *data, size_t size)
{
	char *place = buffer_reserve(buffer, size);
	if (place == NULL || size == 0)
		return;
	memcpy(place, data, size);
	buffer->size += size;
}

void
buffer_append_text(struct buffer *buffer, struct text text)
{
	buffer_append(buffer, text.data, text.size);
}

static size_t
digit_count(uint64_t value)
{
	size_t count = 1;
	for (; value >= 10000; value /= 10000)
		count += 4;
	return count + (value >= 10) + (value >= 100) + (value >= 1000);
}

char *
u64_put(char *to, uint64_t value)
{
	static const char pairs[] = "00010203040506070809101112131415161718192021222324"
				    "25262728293031323334353637383940414243444546474849"
				    "50515253545556575859606162636465666768697071727374"
				    "75767778798081828384858687888990919293949596979899";
	char *end = to + digit_count(value);
	char *at = end;
	for (; value >= 10; value /= 100) {
		at -= 2;
		memcpy(at, pairs + 2 * (value % 100), 2);
	}
	if (at > to)
		*to = (char)('0' + value);
	return end;
}

void
buffer_append_u64(struct buffer *buffer, uint64_t value)
{
	char digits[U64_DIGITS_MAX];
	const char *end = u64_put(digits, value);
	buffer_append(buffer, digits, (size_t)(end - digits));
}

void
buffer_printf(struct buffer *buffer, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	int size = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	char *place = size < 0 ? NULL : buffer_reserve(buffer, (size_t)size);
	if (place == NULL) {
		buffer->failed = true;
		return;
	}
	/* The byte for vsnprintf's NUL is always there, see buffer_reserve(). */
	va_start(arguments, format);
	(void)vsnprintf(place, (size_t)size + 1, format, arguments);
	va_end(arguments);
	buffer->size += (size_t)size;
}

/* The memory has one byte more than the capacity says, for the NUL that vsnprintf insists on. */
char *
buffer_reserve(struct buffer *buffer, size_t size)
{
	CHECK(buffer != NULL && buffer->size <= buffer->size_max);
	if (buffer->failed)
		return NULL;
	if (size > buffer->size_max - buffer->size) {
		buffer->failed = true;
		return NULL;
	}
	size_t needed = buffer->size + size;
	if (buffer->data == NULL || needed > buffer->capacity) {
		size_t capacity =
			buffer->capacity < BUFFER_SIZE_MIN ? BUFFER_SIZE_MIN : buffer->capacity;
		while (capacity < needed && capacity < buffer->size_max / 2)
			capacity *= 2;
		if (capacity < needed || capacity > buffer->size_max)
			capacity = buffer->size_max;
		char *data = realloc(buffer->data, capacity + 1);
		if (data == NULL) {
			buffer->failed = true;
			return NULL;
		}
		buffer->data = data;
		buffer->capacity = capacity;
	}
	return buffer->data + buffer->size;
}
