#include "base/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/problem.h"

static bool
fail(const char **problem, const char *path, const char *why)
{
	*problem = problem_format("%s: %s", path, why);
	return false;
}

static bool
is_private(int fd, const char *path, const char **problem)
{
	struct stat info;
	if (fstat(fd, &info) == -1)
		return fail(problem, path, strerror(errno));
	if (!S_ISREG(info.st_mode))
		return fail(problem, path, "is not a regular file");
	if ((info.st_mode & 077) != 0) {
		*problem = problem_format("%s has mode %04o: others than its owner may use it, and "
					  "it holds a secret; chmod 600 it",
					  path, (unsigned)(info.st_mode & 07777));
		return false;
	}
	return (size_t)info.st_size <= SECRET_FILE_SIZE_MAX ||
	       fail(problem, path, "is larger than 64 KiB");
}

static bool
read_all(int fd, const char *path, struct buffer *buffer, const char **problem)
{
	const size_t before = buffer->size;
	for (;;) {
		char *to = buffer_reserve(buffer, 4096);
		if (to == NULL)
			return fail(problem, path, "out of memory");
		const ssize_t size = read(fd, to, 4096);
		if (size == -1 && errno == EINTR)
			continue;
		if (size == -1)
			return fail(problem, path, strerror(errno));
		if (size == 0)
			return true;
		buffer->size += (size_t)size;
		if (buffer->size - before > SECRET_FILE_SIZE_MAX)
			return fail(problem, path, "is larger than 64 KiB");
	}
}

/* Opening a pipe without a writer would wait for one. */
bool
secret_file_read(const char *path, struct buffer *buffer, const char **problem)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd == -1)
		return fail(problem, path, strerror(errno));
	const bool read = is_private(fd, path, problem) && read_all(fd, path, buffer, problem);
	close(fd);
	return read;
}

static bool
write_all(int fd, struct text text)
{
	while (text.size > 0) {
		const ssize_t size = write(fd, text.data, text.size);
		if (size == -1 && errno == EINTR)
			continue;
		if (size == -1)
			return false;
		text = (struct text){text.data + size, text.size - (size_t)size};
	}
	return fsync(fd) == 0;
}

bool
secret_file_make(const char *path, struct text text, const char **problem)
{
	const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd == -1)
		return fail(problem, path, strerror(errno));
	const bool written = write_all(fd, text);
	const int error = errno;
	close(fd);
	if (written)
		return true;
	(void)unlink(path);
	return fail(problem, path, strerror(error));
}
