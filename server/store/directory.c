#include "store/directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/problem.h"
#include "store/manifest.h"
#include "store/sqlite/beside.h"

#define MANIFEST_NEW "manifest.new"
#define MANIFEST_RESTORE "manifest.restore"

static char *
file_path(const struct directory *directory, const char *name)
{
	char *path = NULL;
	return asprintf(&path, "%s/%s", directory->path, name) == -1 ? NULL : path;
}

char *
directory_shard_path(const struct directory *directory, unsigned shard)
{
	char name[64], folder[32] = "";
	if (directory->in_folder)
		snprintf(folder, sizeof(folder), "shards-%u/", directory->shards);
	snprintf(name, sizeof(name), "%sshard-%02u.db", folder, shard);
	return file_path(directory, name);
}

char *
directory_folder_path(const struct directory *directory, unsigned shards)
{
	char name[32];
	snprintf(name, sizeof(name), "shards-%u", shards);
	return file_path(directory, name);
}

static enum status
sync_path(const char *path, int flags, const char **problem)
{
	const int fd = open(path, flags | O_CLOEXEC);
	if (fd == -1)
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "cannot open %s: %s", path,
				   strerror(errno));
	const int synced = fsync(fd);
	const int error = errno;
	close(fd);
	if (synced == -1)
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "cannot sync %s: %s", path,
				   strerror(error));
	return STATUS_OK;
}

/* No more than that: volumes that others mount come so, and what is wrong in a file is found. */
static void
warn_of_others(const char *path)
{
	struct stat about;
	if (stat(path, &about) == 0 && (about.st_mode & S_IWOTH) != 0)
		log_warn("store",
			 "others can write the data directory: who does may put files in the place "
			 "of its own; chmod o-w",
			 LOG_STR("dir", path));
}

/* Makes the directory if need be, so that its own entry survives a power cut too. */
static enum status
make_directory(const char *path, const char **problem)
{
	if (mkdir(path, 0700) == 0) {
		char *parent = NULL;
		if (asprintf(&parent, "%s/..", path) == -1)
			return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "out of memory");
		const enum status status = sync_path(parent, O_RDONLY | O_DIRECTORY, problem);
		free(parent);
		return status;
	}
	if (errno != EEXIST)
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
				   "cannot make the data directory %s: %s", path, strerror(errno));
	warn_of_others(path);
	return STATUS_OK;
}

/* Who may not write it may read it, beside nobody who writes. */
static int
open_lock(const char *path, bool may_be_read)
{
	int fd = beside_make(path);
	if (fd == -1 && errno == EEXIST)
		fd = open(path, O_RDWR | O_CLOEXEC);
	const int error = errno;
	if (fd == -1 && may_be_read && (error == EROFS || error == EACCES))
		fd = open(path, O_RDONLY | O_CLOEXEC);
	errno = error;
	return fd;
}

static enum status
lock_directory(struct directory *directory, bool may_be_read, const char **problem)
{
	char *path = file_path(directory, "lock");
	if (path == NULL)
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "out of memory");
	enum status status = STATUS_OK;
	directory->lock = open_lock(path, may_be_read);
	if (directory->lock == -1 && may_be_read && errno == EROFS)
		status = STATUS_OK; /* where nothing can be made, nobody writes */
	else if (directory->lock == -1)
		status = problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "cannot open %s: %s",
				     path, strerror(errno));
	else if (flock(directory->lock, LOCK_EX | LOCK_NB) == -1)
		status = errno == EWOULDBLOCK
				 ? problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
					       "the data directory %s is in use by another "
					       "process; stop "
					       "that one first",
					       directory->path)
				 : problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
					       "cannot lock %s: %s", path, strerror(errno));
	free(path);
	return status;
}

/* Reads a whole small file. *found is false when there is none. */
static enum status
read_file(const struct directory *directory, const char *name, char *data, size_t *size,
	  bool *found, const char **problem)
{
	char *path = file_path(directory, name);
	if (path == NULL)
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "out of memory");
	enum status status = STATUS_OK;
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	*found = fd != -1;
	if (fd == -1) {
		if (errno != ENOENT)
			status = problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
					     "cannot open %s: %s", path, strerror(errno));
	} else {
		const ssize_t got = read(fd, data, MANIFEST_SIZE_MAX);
		if (got == -1)
			status = problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
					     "cannot read %s: %s", path, strerror(errno));
		*size = got == -1 ? 0 : (size_t)got;
		close(fd);
	}
	free(path);
	return status;
}

enum status
directory_sync(const char *path, const char **problem)
{
	return sync_path(path, O_RDONLY | O_DIRECTORY, problem);
}

enum status
directory_write_manifest(const struct directory *directory, const char *folder, const char *name,
			 const char **problem)
{
	char data[MANIFEST_SIZE_MAX], *path = NULL;
	const int size = manifest_format(directory, data);
	if (asprintf(&path, "%s/%s", folder, name) == -1)
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "out of memory");
	enum status status = STATUS_OK;
	(void)unlink(path); /* what an interrupted one left */
	const int fd = beside_make(path);
	if (fd == -1 || write(fd, data, (size_t)size) != size || fsync(fd) == -1)
		status = problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "cannot write %s: %s",
				     path, strerror(errno));
	if (fd != -1)
		close(fd);
	free(path);
	return status == STATUS_OK ? directory_sync(folder, problem) : status;
}

static bool
is_shard_folder(const char *name)
{
	static const char prefix[] = "shards-";
	return strncmp(name, prefix, sizeof(prefix) - 1) == 0;
}

static bool
is_shard_file(const char *name)
{
	static const char prefix[] = "shard-";
	if (strncmp(name, prefix, sizeof(prefix) - 1) != 0)
		return false;
	const char *number = name + sizeof(prefix) - 1;
	const size_t digits = strspn(number, "0123456789");
	return digits > 0 && (strncmp(number + digits, ".db", 3) == 0 ||
			      strncmp(number + digits, ".journal-", 9) == 0 ||
			      strcmp(number + digits, ".anchor") == 0);
}

bool
directory_is_of_shard(const char *name)
{
	return is_shard_file(name) || is_shard_folder(name);
}

bool
directory_is_shards_own(const char *name)
{
	static const char *const endings[] = {".db",	    ".db-journal", ".db-wal", ".db-shm",
					      ".journal-0", ".journal-1",  ".anchor"};
	const char *ending = strchr(name, '.');
	if (!is_shard_file(name) || ending == NULL)
		return false;
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		if (strcmp(ending, endings[i]) == 0)
			return true;
	}
	return false;
}

/* Counts the shard files and folders of them, and removes the files where asked to. */
static enum status
sweep_shard_files(const struct directory *directory, bool remove_them, unsigned *count,
		  const char **problem)
{
	DIR *entries = opendir(directory->path);
	if (entries == NULL)
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "cannot read %s: %s",
				   directory->path, strerror(errno));
	enum status status = STATUS_OK;
	*count = 0;
	for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
		if (!directory_is_of_shard(entry->d_name))
			continue;
		*count += 1;
		if (remove_them && is_shard_file(entry->d_name) &&
		    unlinkat(dirfd(entries), entry->d_name, 0) == -1)
			status = problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
					     "cannot remove %s/%s: %s", directory->path,
					     entry->d_name, strerror(errno));
	}
	closedir(entries);
	return status;
}

static bool
has_file(const struct directory *directory, const char *name)
{
	char *path = file_path(directory, name);
	const bool has = path == NULL || access(path, F_OK) == 0;
	free(path);
	return has;
}

static enum status
begin_new(struct directory *directory, unsigned shards, const char **problem)
{
	char data[MANIFEST_SIZE_MAX];
	size_t size = 0;
	bool interrupted = false;
	if (has_file(directory, MANIFEST_RESTORE))
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
				   "a restore into the data directory %s was cut off: run "
				   "edgereplay restore again",
				   directory->path);
	enum status status = read_file(directory, MANIFEST_NEW, data, &size, &interrupted, problem);
	if (status != STATUS_OK)
		return status;
	unsigned count = 0;
	status = sweep_shard_files(directory, interrupted, &count, problem);
	if (status != STATUS_OK)
		return status;
	if (count > 0 && !interrupted)
		return problem_set(
			problem, STATUS_STORAGE_UNAVAILABLE,
			"the data directory %s has shard files but no manifest; put the manifest "
			"back (from a backup), or name another directory",
			directory->path);
	directory->is_new = true;
	directory->shards = shards;
	randombytes_buf(directory->ids, sizeof(directory->ids));
	FAIL_POINT(BEFORE_MANIFEST_NEW);
	status = directory_write_manifest(directory, directory->path, MANIFEST_NEW, problem);
	FAIL_POINT(AFTER_MANIFEST_NEW);
	return status;
}

static enum status
read_manifest(struct directory *directory, bool *found, const char **problem)
{
	char data[MANIFEST_SIZE_MAX];
	size_t size = 0;
	const enum status status = read_file(directory, "manifest", data, &size, found, problem);
	if (status != STATUS_OK || !*found)
		return status;
	if (!manifest_parse(directory, data, size))
		return problem_set(
			problem, STATUS_STORAGE_UNAVAILABLE,
			"%s/manifest is not a manifest of this version; put the right one back "
			"(from a backup)",
			directory->path);
	return STATUS_OK;
}

static enum status
begin_open(struct directory *directory, const char *path, const char **problem)
{
	memset(directory, 0, sizeof(*directory));
	directory->lock = -1;
	directory->path = strdup(path);
	if (directory->path == NULL)
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "out of memory");
	return STATUS_OK;
}

enum status
directory_open(struct directory *directory, const char *path, unsigned shards, const char **problem)
{
	CHECK(shards >= 1 && shards <= SHARDS_MAX && (shards & (shards - 1)) == 0);
	bool found = false;
	enum status status = begin_open(directory, path, problem);
	if (status == STATUS_OK)
		status = make_directory(path, problem);
	if (status == STATUS_OK)
		status = lock_directory(directory, false, problem);
	if (status == STATUS_OK)
		status = read_manifest(directory, &found, problem);
	if (status == STATUS_OK && !found)
		status = begin_new(directory, shards, problem);
	if (status == STATUS_OK && directory->shards != shards)
		status = problem_set(
			problem, STATUS_STORAGE_UNAVAILABLE,
			"the data directory %s was made with store.shards=%u and cannot be "
			"opened with %u; start with --store.shards=%u, or give it %u shards "
			"first: edgereplay reshard %u %s",
			path, directory->shards, shards, directory->shards, shards, shards, path);
	if (status != STATUS_OK)
		directory_close(directory);
	return status;
}

static enum status
read_existing(struct directory *directory, const char *path, const char **problem)
{
	bool found = false;
	enum status status = begin_open(directory, path, problem);
	if (status == STATUS_OK)
		status = read_manifest(directory, &found, problem);
	if (status == STATUS_OK && !found)
		status = problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
				     "%s has no manifest: it is no data directory", path);
	return status;
}

enum status
directory_open_existing(struct directory *directory, const char *path, const char **problem)
{
	/* Before the lock's file is made: what is no data directory is left as it is. */
	enum status status = read_existing(directory, path, problem);
	if (status == STATUS_OK)
		status = lock_directory(directory, true, problem);
	if (status != STATUS_OK)
		directory_close(directory);
	return status;
}

enum status
directory_read(struct directory *directory, const char *path, const char **problem)
{
	const enum status status = read_existing(directory, path, problem);
	if (status != STATUS_OK)
		directory_close(directory);
	return status;
}

/* --- restore --- */

static enum status
sweep_restore(const struct directory *directory, const char **problem)
{
	const bool interrupted = has_file(directory, MANIFEST_RESTORE);
	unsigned count = 0;
	if (has_file(directory, "manifest"))
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
				   "%s is a data directory already: restore into another one, or "
				   "move it away",
				   directory->path);
	const enum status status = sweep_shard_files(directory, interrupted, &count, problem);
	count += has_file(directory, "snapshots");
	if (status == STATUS_OK && count > 0 && !interrupted)
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
				   "%s has files of a data directory: restore into another one, "
				   "or move them away",
				   directory->path);
	return status;
}

enum status
directory_open_restore(struct directory *directory, const char *path, const struct directory *from,
		       const char **problem)
{
	enum status status = begin_open(directory, path, problem);
	if (status == STATUS_OK)
		status = make_directory(path, problem);
	if (status == STATUS_OK)
		status = lock_directory(directory, false, problem);
	if (status == STATUS_OK)
		status = sweep_restore(directory, problem);
	directory->is_new = directory->is_restore = true;
	directory->shards = from->shards;
	memcpy(directory->ids, from->ids, sizeof(from->ids));
	if (status == STATUS_OK)
		status = directory_write_manifest(directory, path, MANIFEST_RESTORE, problem);
	if (status != STATUS_OK)
		directory_close(directory);
	return status;
}

void
directory_abandon(struct directory *directory)
{
	unsigned count;
	const char *problem;
	char *path = file_path(directory, MANIFEST_RESTORE);
	/* The mark goes last: what is left is swept away by the next one. */
	if (path != NULL && sweep_shard_files(directory, true, &count, &problem) == STATUS_OK)
		(void)unlink(path);
	free(path);
}

enum status
directory_commit(struct directory *directory, const char **problem)
{
	CHECK(directory->is_new);
	char *from = file_path(directory, directory->is_restore ? MANIFEST_RESTORE : MANIFEST_NEW);
	char *to = file_path(directory, "manifest");
	enum status status = STATUS_OK;
	FAIL_POINT(BEFORE_MANIFEST);
	if (from == NULL || to == NULL)
		status = problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "out of memory");
	else if (rename(from, to) == -1)
		status = problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "cannot write %s: %s", to,
				     strerror(errno));
	free(from);
	free(to);
	FAIL_POINT(AFTER_MANIFEST_RENAME);
	if (status == STATUS_OK)
		status = sync_path(directory->path, O_RDONLY | O_DIRECTORY, problem);
	FAIL_POINT(AFTER_MANIFEST);
	if (status == STATUS_OK)
		directory->is_new = false;
	return status;
}

enum status
directory_replace(struct directory *directory, const char **problem)
{
	const enum status status =
		directory_write_manifest(directory, directory->path, MANIFEST_NEW, problem);
	directory->is_new = true;
	return status == STATUS_OK ? directory_commit(directory, problem) : status;
}

void
directory_close(struct directory *directory)
{
	if (directory->lock != -1)
		close(directory->lock);
	directory->lock = -1;
	free(directory->path);
	directory->path = NULL;
}
