/*
 * liar: a disk that says of everything that it was done, for LD_PRELOAD. The stories' control: what it is
 * told to keep is not kept, and their judge must see that.
 */
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

int
fsync(int fd)
{
	(void)fd;
	return 0;
}

int
fdatasync(int fd) // NOLINT(readability-inconsistent-*)
{
	(void)fd;
	return 0;
}

/* Also when the disk is full. */
ssize_t
pwritev(int fd, const struct iovec *vectors, int count, // NOLINT(readability-inconsistent-*)
	off_t offset)
{
	size_t size = 0;
	for (int i = 0; i < count; i++)
		size += vectors[i].iov_len;
	(void)syscall(SYS_pwritev, fd, vectors, count, offset, 0);
	return (ssize_t)size;
}
