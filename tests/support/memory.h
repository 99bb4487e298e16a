/*
 * memory: the n-th allocation fails, or all from it on, of our code and of every library's, and what is not given back is
 * counted. Sanitizers need the allocator for themselves: under them only SQLite's allocations fail.
 *
 * The test's own allocations are let through: it sets memory_is_ours around them, which each thread has
 * for itself.
 *
 * Threads: any. A test includes it once, and calls memory_init() before it uses SQLite.
 */
#ifndef SUPPORT_MEMORY_H
#define SUPPORT_MEMORY_H

#include <errno.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/check.h"
#include "support/sanitizer.h"

/* What so many runs leave each time is a leak. What one of them leaves is not: libc keeps threads' stacks
 * for the next ones, and how many run at once is the scheduler's. */
#define MEMORY_RUNS 5

static struct memory {
	atomic_uint nth;      /* 0: none fails */
	atomic_bool for_good; /* so do all after it */
	atomic_uint calls;    /* since memory_fail() */
	atomic_uint fired;
	atomic_long live; /* what has not been freed */
} memory;

static _Thread_local bool memory_is_ours;

/* From now on they are counted, and the n-th fails; or all from the n-th on. */
static inline void
memory_fail(unsigned nth, bool for_good)
{
	memory.calls = memory.fired = 0;
	memory.for_good = for_good;
	memory.nth = nth;
}

static inline void
memory_release(void)
{
	memory.nth = 0;
}

static inline bool
memory_strikes(void)
{
	const unsigned nth = memory.nth;
	if (nth == 0 || memory_is_ours)
		return false;
	const unsigned call = ++memory.calls;
	if (call < nth || (call > nth && !memory.for_good))
		return false;
	memory.fired++;
	errno = ENOMEM;
	return true;
}

static inline void *
memory_count(void *allocated)
{
	memory.live += allocated != NULL;
	return allocated;
}

#if SANITIZED

#define MEMORY_IS_SQLITES true

static sqlite3_mem_methods memory_sqlite;

static void *
memory_sqlite_malloc(int size)
{
	return memory_strikes() ? NULL : memory_count(memory_sqlite.xMalloc(size));
}

static void *
memory_sqlite_realloc(void *old, int size)
{
	return memory_strikes() ? NULL : memory_sqlite.xRealloc(old, size);
}

static void
memory_sqlite_free(void *old)
{
	memory.live -= old != NULL;
	memory_sqlite.xFree(old);
}

static inline void
memory_init(void)
{
	sqlite3_mem_methods methods;
	CHECK(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &memory_sqlite) == SQLITE_OK);
	methods = memory_sqlite;
	methods.xMalloc = memory_sqlite_malloc;
	methods.xRealloc = memory_sqlite_realloc;
	methods.xFree = memory_sqlite_free;
	CHECK(sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) == SQLITE_OK);
}

#else

#define MEMORY_IS_SQLITES false

static inline void
memory_init(void)
{
}

void *__libc_malloc(size_t size);		// NOLINT(bugprone-reserved-identifier)
void *__libc_calloc(size_t count, size_t size); // NOLINT(bugprone-reserved-identifier)
void *__libc_realloc(void *old, size_t size);	// NOLINT(bugprone-reserved-identifier)
void *__libc_memalign(size_t to, size_t size);	// NOLINT(bugprone-reserved-identifier)
void __libc_free(void *old);			// NOLINT(bugprone-reserved-identifier)

void *
malloc(size_t size)
{
	return memory_strikes() ? NULL : memory_count(__libc_malloc(size));
}

void *
calloc(size_t count, size_t size) // NOLINT(readability-inconsistent-*)
{
	return memory_strikes() ? NULL : memory_count(__libc_calloc(count, size));
}

void *
aligned_alloc(size_t alignment, size_t size) // NOLINT(readability-inconsistent-*)
{
	return memory_strikes() ? NULL : memory_count(__libc_memalign(alignment, size));
}

void *
realloc(void *old, size_t size) // NOLINT(readability-inconsistent-*)
{
	if (memory_strikes())
		return NULL;
	void *moved = __libc_realloc(old, size);
	if (old == NULL)
		return memory_count(moved);
	memory.live -= size == 0;
	return moved;
}

void
free(void *old) // NOLINT(readability-inconsistent-*)
{
	memory.live -= old != NULL;
	__libc_free(old);
}

#endif

#endif
