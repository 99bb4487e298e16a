/*
 * A wall clock that a test can set. Preloaded into a program, it shifts the wall clock by the milliseconds that stand in
 * the file that CLOCK_SHIFT_FILE names: 8 bytes, which the test maps, too, and changes while the program runs. Time
 * since boot and monotonic time stay as they are, as with a real clock that is set.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NSEC_PER_SEC 1000000000

static _Atomic int64_t *shift_msec;

__attribute__((constructor)) static void
map_shift(void)
{
	const char *path = getenv("CLOCK_SHIFT_FILE");
	int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return;
	void *map = mmap(NULL, sizeof(*shift_msec), PROT_READ, MAP_SHARED, fd, 0);
	if (map != MAP_FAILED)
		shift_msec = map;
	close(fd);
}

static void
shift(struct timespec *now)
{
	int64_t msec = shift_msec == NULL ? 0 : atomic_load(shift_msec);
	int64_t nsec = now->tv_nsec + msec % 1000 * 1000000;
	now->tv_sec += msec / 1000;
	if (nsec < 0 || nsec >= NSEC_PER_SEC) {
		now->tv_sec += nsec < 0 ? -1 : 1;
		nsec += nsec < 0 ? NSEC_PER_SEC : -NSEC_PER_SEC;
	}
	now->tv_nsec = nsec;
}

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): libc's functions have reserved names there. */

/* The kernel is asked directly: the next clock_gettime in line may be a sanitizer's that is not ready yet. */
int
clock_gettime(clockid_t clock, struct timespec *now)
{
	if (syscall(SYS_clock_gettime, clock, now) == -1)
		return -1;
	if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
		shift(now);
	return 0;
}

time_t
time(time_t *stored)
{
	struct timespec now = {0};
	(void)clock_gettime(CLOCK_REALTIME, &now);
	if (stored != NULL)
		*stored = now.tv_sec;
	return now.tv_sec;
}

int
gettimeofday(struct timeval *restrict shown, void *restrict zone)
{
	struct timespec now = {0};
	(void)zone;
	if (clock_gettime(CLOCK_REALTIME, &now) == -1)
		return -1;
	*shown = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
	return 0;
}

/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
