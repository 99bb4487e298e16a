/*
 * no_memory: a machine whose memory is out, for LD_PRELOAD. The n-th allocation fails, or all from it on,
 * as the words in the file NO_MEMORY_FILE say: nth (0: none fails), whether it stays so, and what is
 * counted since nth was set: calls, and those that failed.
 *
 * Threads: any.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct words {
	atomic_uint nth, for_good, calls, failed;
};

static struct words *words;

void *__libc_malloc(size_t size);		// NOLINT(bugprone-reserved-identifier)
void *__libc_calloc(size_t count, size_t size); // NOLINT(bugprone-reserved-identifier)
void *__libc_realloc(void *old, size_t size);	// NOLINT(bugprone-reserved-identifier)

__attribute__((constructor)) static void
find_words(void)
{
	const char *path = getenv("NO_MEMORY_FILE");
	const int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
	const int protection = PROT_READ | PROT_WRITE;
	void *mapped =
		fd == -1 ? MAP_FAILED : mmap(NULL, sizeof(*words), protection, MAP_SHARED, fd, 0);
	if (mapped == MAP_FAILED)
		abort();
	words = mapped;
	(void)close(fd);
}

static int
fails(void)
{
	const unsigned nth = words == NULL ? 0 : words->nth;
	if (nth == 0)
		return 0;
	const unsigned call = ++words->calls;
	if (call < nth || (call > nth && !words->for_good))
		return 0;
	words->failed++;
	errno = ENOMEM;
	return 1;
}

void *
malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *
calloc(size_t count, size_t size) // NOLINT(readability-inconsistent-*)
{
	return fails() ? NULL : __libc_calloc(count, size);
}

void *
realloc(void *old, size_t size) // NOLINT(readability-inconsistent-*)
{
	return fails() ? NULL : __libc_realloc(old, size);
}
