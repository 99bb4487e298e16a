#include "store/sqlite/beside.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metrics.h"

#define MODE 0600 /* users' data */

char *
beside_path(const char *shard_path, const char *suffix)
{
	const char *dot = strrchr(shard_path, '.');
	const size_t stem = dot == NULL ? strlen(shard_path) : (size_t)(dot - shard_path);
	char *made;
	const int size = asprintf(&made, "%.*s.%s", (int)stem, shard_path, suffix);
	return size == -1 ? NULL : made;
}

bool
beside_give(int fd, const char *path)
{
	struct stat info;
	if (geteuid() != 0)
		return true;
	char *copy = strdup(path);
	const bool given = copy != NULL && stat(dirname(copy), &info) == 0 &&
			   fchown(fd, info.st_uid, info.st_gid) == 0;
	free(copy);
	return given;
}

int
beside_make(const char *path)
{
	/* Exclusively: what another has put there, a link say, must not be given away. */
	const int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, MODE);
	if (fd == -1 || beside_give(fd, path))
		return fd;
	const int error = errno;
	(void)close(fd);
	(void)unlink(path);
	errno = error;
	return -1;
}

enum status
beside_failed(const char *path, const char *operation)
{
	const int error = errno;
	counter_add(COUNTER_STORAGE_FAULTS, 1);
	log_error("store", "a file failed", LOG_STR("file", path), LOG_STR("op", operation),
		  LOG_STR("message", strerrordesc_np(error)));
	return STATUS_STORAGE_UNAVAILABLE;
}

enum status
beside_sync_folder(const char *path)
{
	char *copy = strdup(path);
	if (copy == NULL)
		return beside_failed(path, "strdup");
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(copy);
	if (fd == -1)
		return beside_failed(path, "open the folder");
	const int result = fsync(fd);
	(void)close(fd);
	return result == -1 ? beside_failed(path, "sync the folder") : STATUS_OK;
}
