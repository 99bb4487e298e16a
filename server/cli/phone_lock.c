#include "cli/phone_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "cli/report.h"

enum status
phone_lock(const char *path, int *lock)
{
	char *target = realpath(path, NULL); /* NULL when the file is new */
	char *name = NULL;
	int size = asprintf(&name, "%s-lock", target != NULL ? target : path);
	int file;

	free(target);
	if (size == -1)
		return STATUS_INTERNAL;
	file = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (file == -1) {
		report_error("state file %s: cannot make its lock: %s", path, strerror(errno));
		free(name);
		return STATUS_STORAGE_UNAVAILABLE;
	}
	free(name);
	if (flock(file, LOCK_EX | LOCK_NB) == -1) {
		report_error("state file %s: in use by another process", path);
		close(file);
		return STATUS_STORAGE_UNAVAILABLE;
	}
	*lock = file;
	return STATUS_OK;
}
