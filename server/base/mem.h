/*
 * mem: arenas and growing buffers.
 *
 * An arena hands out pieces that all live until it is reset or released: one a request, one a
 * group. A buffer is one growing piece of memory that is born with its maximum.
 *
 * Threads: each arena and each buffer has one user at a time. Errors: NULL or false when memory is
 * out or the bound is reached; nothing else fails. After a failure a buffer keeps what it had and
 * stays failed, so that a writer may append many times and look once at the end.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

struct arena_block;

struct arena {
	struct arena_block *blocks; /* newest first */
	char *next;		    /* free part of the newest block */
	size_t room;
	size_t used; /* bytes asked for since the last reset */
	size_t used_max;
};

/* Takes no memory until the first allocation. used_max bounds what may be allocated between resets.
 */
void arena_init(struct arena *, size_t used_max);

/* Frees everything but one block, which later allocations use again. */
void arena_reset(struct arena *);
void arena_release(struct arena *);

/* size bytes aligned for any type, uninitialised; NULL when out of memory or over the bound. */
void *arena_alloc(struct arena *, size_t size);

/* The same for an array, zeroed; checks the product. */
void *arena_calloc(struct arena *, size_t count, size_t size);

/* A copy of the text, followed by a NUL. data is NULL on failure. */
struct text arena_copy(struct arena *, struct text);

struct buffer {
	char *data; /* from malloc; owner may take it */
	size_t size;
	size_t capacity;
	size_t size_max;
	bool failed; /* an append did not fit or memory ran out */
};

void buffer_init(struct buffer *, size_t size_max);
void buffer_release(struct buffer *);
void buffer_append(struct buffer *, const void *data, size_t size);
void buffer_append_text(struct buffer *, struct text);
void buffer_append_u64(struct buffer *, uint64_t); /* decimal digits */
void buffer_printf(struct buffer *, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Makes room for size more bytes and returns where they go (then add to .size), or NULL. */
char *buffer_reserve(struct buffer *, size_t size);

/* Writes the decimal digits where there is room for U64_DIGITS_MAX. Returns their end. */
#define U64_DIGITS_MAX 20
char *u64_put(char *to, uint64_t value);

#endif
