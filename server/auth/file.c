#include "auth/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/problem.h"

#define PIECE_SIZE 4096

static struct file_stamp
stamp_of(const struct stat *about)
{
	return (struct file_stamp){.device = about->st_dev,
				   .inode = about->st_ino,
				   .size = about->st_size,
				   .changed = about->st_ctim,
				   .modified = about->st_mtim};
}

static enum status
read_all(int fd, const char *path, struct buffer *out, const char **problem)
{
	char piece[PIECE_SIZE];
	for (;;) {
		const ssize_t size = read(fd, piece, sizeof(piece));
		if (size == -1 && errno == EINTR)
			continue;
		if (size == -1)
			return problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
					   "%s cannot be read: %s", path, strerror(errno));
		if (size == 0)
			break;
		buffer_append(out, piece, (size_t)size);
	}
	if (out->failed)
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
				   "%s has more than %zu bytes", path, out->size_max);
	return STATUS_OK;
}

enum status
file_read(const char *path, struct buffer *out, struct file *file, const char **problem)
{
	struct stat about;
	*file = (struct file){0};
	if (stat(path, &about) == 0)
		file->stamp = stamp_of(&about);
	/* A pipe in the file's place must not hold the start. */
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd == -1)
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "%s cannot be opened: %s",
				   path, strerror(errno));
	if (fstat(fd, &about) == -1 || !S_ISREG(about.st_mode)) {
		(void)close(fd);
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "%s is no file", path);
	}
	file->is_guarded = (about.st_mode & (S_IWGRP | S_IWOTH)) == 0;
	file->is_private = (about.st_mode & (S_IWGRP | S_IRWXO)) == 0;
	const enum status status = read_all(fd, path, out, problem);
	(void)close(fd);
	return status;
}

static bool
is_same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool
file_has_changed(const char *path, const struct file_stamp *before)
{
	struct stat about;
	if (stat(path, &about) == -1)
		return before->inode != 0;
	const struct file_stamp now = stamp_of(&about);
	return now.device != before->device || now.inode != before->inode ||
	       now.size != before->size || !is_same_time(now.changed, before->changed) ||
	       !is_same_time(now.modified, before->modified);
}
