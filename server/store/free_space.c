#include "store/free_space.h"

#include <sys/statvfs.h>

#include "base/log.h"

static bool
look_at_disk(const char *dir, uint64_t *bytes)
{
	struct statvfs disk;
	if (statvfs(dir, &disk) == -1)
		return false;
	*bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
	return true;
}

void
free_space_init(struct free_space *space, const char *dir, uint64_t mark)
{
	space->dir = dir;
	space->look = look_at_disk;
	atomic_init(&space->mark, mark);
	atomic_init(&space->next_look_msec, 0);
	atomic_init(&space->low, false);
}

void
free_space_set_mark(struct free_space *space, uint64_t mark)
{
	atomic_store(&space->mark, mark);
	atomic_store(&space->next_look_msec, 0);
}

/* By the one thread whose turn it is. What cannot be told does not change the answer. */
static void
look(struct free_space *space)
{
	const uint64_t mark = atomic_load(&space->mark);
	const bool was_low = atomic_load(&space->low);
	uint64_t bytes;
	if (!space->look(space->dir, &bytes))
		return;
	const bool low = bytes < (was_low ? mark + mark / 16 : mark);
	if (atomic_exchange(&space->low, low) == low)
		return;
	if (low)
		log_error("store", "disk nearly full, writes are refused",
			  LOG_STR("dir", space->dir), LOG_U64("free_bytes", bytes),
			  LOG_U64("free_min", mark));
	else
		log_info("store", "disk has room again", LOG_STR("dir", space->dir),
			 LOG_U64("free_bytes", bytes), LOG_U64("free_min", mark));
}

bool
free_space_is_low(struct free_space *space, uint64_t now_msec)
{
	uint64_t next = atomic_load_explicit(&space->next_look_msec, memory_order_relaxed);
	if (now_msec >= next && atomic_compare_exchange_strong(&space->next_look_msec, &next,
							       now_msec + FREE_SPACE_LOOK_MSEC))
		look(space);
	return atomic_load_explicit(&space->low, memory_order_relaxed);
}
