/*
 * fault: the n-th call of a kind on some files fails, once or until the fault is over.
 *
 * Stands in the place of the library's calls, also of those that its checking headers use. Syncs are
 * not made, which takes time and shows nothing: a file that is read again is the same process's.
 *
 * A journal whose sync failed must not be relied on before its descriptor has been closed:
 * fault_has_failed_journal() says whether there is one.
 *
 * Threads: fault_set() while nobody else runs; everything else from any. A test includes it once.
 */
#ifndef SUPPORT_FAULT_H
#define SUPPORT_FAULT_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FAULT_DESCRIPTORS 256
#define FAULT_PAGE ((size_t)4096)

enum fault_kind { FAULT_WRITE, FAULT_SYNC, FAULT_READ, FAULT_TRUNCATE, FAULT_OPEN };

struct fault_plan {
	enum fault_kind kind;
	int error;
	bool until_released; /* else once */
	bool shortened;	     /* a write writes a part of it before it fails */
	bool lies;	     /* says that it was done, and does nothing */
	const char *files;   /* a part of their paths */
};

static struct fault {
	struct fault_plan plan;
	atomic_uint nth; /* 0: none fails */
	atomic_uint calls, fired;
	atomic_bool failed_journals[FAULT_DESCRIPTORS];
} fault;

static inline void
fault_set(const struct fault_plan *plan, unsigned nth)
{
	fault.plan = *plan;
	fault.calls = fault.fired = 0;
	fault.nth = nth;
}

/* The fault is over. */
static inline void
fault_release(void)
{
	fault.nth = 0;
}

static inline bool
fault_has_failed_journal(void)
{
	for (int fd = 0; fd < FAULT_DESCRIPTORS; fd++) {
		if (fault.failed_journals[fd])
			return true;
	}
	return false;
}

/* Whether this call fails. errno is then set. */
static inline bool
fault_strikes(enum fault_kind kind, const char *path)
{
	const unsigned nth = fault.nth;
	if (nth == 0 || kind != fault.plan.kind || strstr(path, fault.plan.files) == NULL)
		return false;
	const unsigned call = ++fault.calls;
	if (call < nth || (call > nth && !fault.plan.until_released))
		return false;
	fault.fired++;
	errno = fault.plan.error;
	return true;
}

static inline void
fault_path(int fd, char path[1024])
{
	char link[64];
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	const ssize_t size = readlink(link, path, 1023);
	path[size < 0 ? 0 : size] = '\0';
}

static inline bool
fault_strikes_descriptor(enum fault_kind kind, int fd)
{
	char path[1024];
	if (fault.nth == 0 || kind != fault.plan.kind)
		return false;
	fault_path(fd, path);
	return fault_strikes(kind, path);
}

/* What comes before the next page still finds its place, as on a disk that is full. */
static inline ssize_t
fault_write_part(int fd, const struct iovec *vectors, int count, off64_t offset)
{
	const size_t room = FAULT_PAGE - (size_t)offset % FAULT_PAGE;
	size_t size = 0;
	int whole = 0;
	while (whole < count && size + vectors[whole].iov_len <= room)
		size += vectors[whole++].iov_len;
	if (whole == count || whole == 0)
		return -1;
	return syscall(SYS_pwritev, fd, vectors, whole, offset, 0);
}

static inline ssize_t
fault_write(int fd, const struct iovec *vectors, int count, off64_t offset)
{
	if (!fault_strikes_descriptor(FAULT_WRITE, fd))
		return syscall(SYS_pwritev, fd, vectors, count, offset, 0);
	if (fault.plan.lies) {
		size_t size = 0;
		for (int i = 0; i < count; i++)
			size += vectors[i].iov_len;
		return (ssize_t)size;
	}
	if (fault.plan.shortened && count > 1)
		return fault_write_part(fd, vectors, count, offset);
	if (fault.plan.shortened && vectors[0].iov_len > FAULT_PAGE) {
		const size_t room = FAULT_PAGE - (size_t)offset % FAULT_PAGE;
		return syscall(SYS_pwrite64, fd, vectors[0].iov_base, room, offset);
	}
	return -1;
}

static inline int
fault_sync(int fd)
{
	char path[1024];
	if (!fault_strikes_descriptor(FAULT_SYNC, fd))
		return 0;
	const int error = errno;
	fault_path(fd, path);
	if (strstr(path, ".journal-") != NULL && fd < FAULT_DESCRIPTORS)
		fault.failed_journals[fd] = true;
	errno = error;
	return -1;
}

static inline ssize_t
fault_read(int fd, void *bytes, size_t size, off64_t offset)
{
	if (fault_strikes_descriptor(FAULT_READ, fd))
		return -1;
	return syscall(SYS_pread64, fd, bytes, size, offset);
}

static inline int
fault_truncate(int fd, off64_t size)
{
	return fault_strikes_descriptor(FAULT_TRUNCATE, fd) ? -1
							    : (int)syscall(SYS_ftruncate, fd, size);
}

static inline int
fault_open(const char *path, int flags, mode_t mode)
{
	if (fault_strikes(FAULT_OPEN, path))
		return -1;
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

/* --- in the place of the library's, whose names for the parameters are reserved --- */

ssize_t
pwrite(int fd, const void *bytes, size_t size, // NOLINT(readability-inconsistent-*)
       off_t offset)
{
	return fault_write(fd, &(struct iovec){(void *)bytes, size}, 1, offset);
}

ssize_t
pwrite64(int fd, const void *bytes, size_t size, // NOLINT(readability-inconsistent-*)
	 off64_t offset)
{
	return fault_write(fd, &(struct iovec){(void *)bytes, size}, 1, offset);
}

ssize_t
pwritev(int fd, const struct iovec *vectors, int count, // NOLINT(readability-inconsistent-*)
	off_t offset)
{
	return fault_write(fd, vectors, count, offset);
}

ssize_t
pread(int fd, void *bytes, size_t size, off_t offset) // NOLINT(readability-inconsistent-*)
{
	return fault_read(fd, bytes, size, offset);
}

ssize_t
pread64(int fd, void *bytes, size_t size, off64_t offset) // NOLINT(readability-inconsistent-*)
{
	return fault_read(fd, bytes, size, offset);
}

int
ftruncate(int fd, off_t size) // NOLINT(readability-inconsistent-*)
{
	return fault_truncate(fd, size);
}

int
ftruncate64(int fd, off64_t size) // NOLINT(readability-inconsistent-*)
{
	return fault_truncate(fd, size);
}

int
fsync(int fd)
{
	return fault_sync(fd);
}

int
fdatasync(int fd) // NOLINT(readability-inconsistent-*)
{
	return fault_sync(fd);
}

static inline mode_t
fault_mode(int flags, va_list arguments)
{
	return (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
}

int
open(const char *path, int flags, ...) // NOLINT(readability-inconsistent-*)
{
	va_list arguments;
	va_start(arguments, flags);
	const mode_t mode = fault_mode(flags, arguments);
	va_end(arguments);
	return fault_open(path, flags, mode);
}

int
open64(const char *path, int flags, ...) // NOLINT(readability-inconsistent-*)
{
	va_list arguments;
	va_start(arguments, flags);
	const mode_t mode = fault_mode(flags, arguments);
	va_end(arguments);
	return fault_open(path, flags, mode);
}

int
close(int fd)
{
	if (fd >= 0 && fd < FAULT_DESCRIPTORS)
		fault.failed_journals[fd] = false;
	return (int)syscall(SYS_close, fd);
}

/* What the checking headers make of some of them. */
int __open_2(const char *path, int flags);   // NOLINT(bugprone-reserved-identifier)
int __open64_2(const char *path, int flags); // NOLINT(bugprone-reserved-identifier)
ssize_t __pread_chk(int fd, void *bytes, size_t size, off_t offset, // NOLINT(bugprone-*)
		    size_t room);
ssize_t __pread64_chk(int fd, void *bytes, size_t size, off64_t offset, // NOLINT(bugprone-*)
		      size_t room);

int
__open_2(const char *path, int flags) // NOLINT(bugprone-reserved-identifier)
{
	return fault_open(path, flags, 0);
}

int
__open64_2(const char *path, int flags) // NOLINT(bugprone-reserved-identifier)
{
	return fault_open(path, flags, 0);
}

ssize_t
__pread_chk(int fd, void *bytes, size_t size, off_t offset, // NOLINT(bugprone-*)
	    size_t room)
{
	return size > room ? -1 : fault_read(fd, bytes, size, offset);
}

ssize_t
__pread64_chk(int fd, void *bytes, size_t size, off64_t offset, // NOLINT(bugprone-*)
	      size_t room)
{
	return size > room ? -1 : fault_read(fd, bytes, size, offset);
}

#endif
