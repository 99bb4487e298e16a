/*
 * disk_calls: what of the library disk takes the place of. The library's names for the parameters are
 * reserved ones.
 */
#ifndef SUPPORT_DISK_CALLS_H
#define SUPPORT_DISK_CALLS_H

ssize_t
write(int fd, const void *bytes, size_t size) // NOLINT(readability-inconsistent-*)
{
	return disk_write(fd, &(struct iovec){(void *)bytes, size}, 1, -1);
}

ssize_t
pwrite(int fd, const void *bytes, size_t size, // NOLINT(readability-inconsistent-*)
       off_t offset)
{
	return disk_write(fd, &(struct iovec){(void *)bytes, size}, 1, offset);
}

ssize_t
pwrite64(int fd, const void *bytes, size_t size, // NOLINT(readability-inconsistent-*)
	 off64_t offset)
{
	return disk_write(fd, &(struct iovec){(void *)bytes, size}, 1, offset);
}

ssize_t
pwritev(int fd, const struct iovec *vectors, int count, // NOLINT(readability-inconsistent-*)
	off_t offset)
{
	return disk_write(fd, vectors, count, offset);
}

int
ftruncate(int fd, off_t size) // NOLINT(readability-inconsistent-*)
{
	return disk_truncate(fd, size);
}

int
ftruncate64(int fd, off64_t size) // NOLINT(readability-inconsistent-*)
{
	return disk_truncate(fd, size);
}

int
fsync(int fd)
{
	const unsigned failing = disk.failing_sync;
	return disk_sync(fd, ++disk.syncs == failing);
}

/* SQLite syncs folders so, and does not look at what came of it. */
int
fdatasync(int fd) // NOLINT(readability-inconsistent-*)
{
	struct stat info;
	if (fstat(fd, &info) == 0 && S_ISDIR(info.st_mode))
		return disk_sync(fd, false);
	return fsync(fd);
}

static mode_t
disk_mode(int flags, va_list arguments)
{
	return (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
}

int
open(const char *path, int flags, ...) // NOLINT(readability-inconsistent-*)
{
	va_list arguments;
	va_start(arguments, flags);
	const mode_t mode = disk_mode(flags, arguments);
	va_end(arguments);
	return disk_open(path, flags, mode);
}

int
open64(const char *path, int flags, ...) // NOLINT(readability-inconsistent-*)
{
	va_list arguments;
	va_start(arguments, flags);
	const mode_t mode = disk_mode(flags, arguments);
	va_end(arguments);
	return disk_open(path, flags, mode);
}

int
unlink(const char *path) // NOLINT(readability-inconsistent-*)
{
	return disk_unlink(AT_FDCWD, path, 0);
}

int
unlinkat(int folder, const char *path, int flags) // NOLINT(readability-inconsistent-*)
{
	return disk_unlink(folder, path, flags);
}

int
rename(const char *from, const char *to) // NOLINT(readability-inconsistent-*)
{
	disk_lock();
	const char *text = disk_name_locked(to), *other = disk_name_locked(from);
	const struct disk_name *name = other == NULL ? NULL : disk_find(&disk.cached, other);
	const int result = (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
	const int error = errno;
	if (result == 0 && text != NULL && name != NULL)
		disk_pend_naming_locked(other, text, name->file);
	disk_unlock(error);
	return result;
}

#endif
