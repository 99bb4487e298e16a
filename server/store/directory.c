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
#include "base/problem.h"
#include "base/text.h"

#define MANIFEST_FORMAT 1
#define MANIFEST_SIZE_MAX (64 + SHARDS_MAX * 64)

static char *
file_path(const struct directory *directory, const char *name)
{
	char *path = NULL;
	return asprintf(&path, "%s/%s", directory->path, name) == -1 ? NULL : path;
}

char *
directory_shard_path(const struct directory *directory, unsigned shard)
{
	char name[32];
	snprintf(name, sizeof(name), "shard-%02u.db", shard);
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
	return STATUS_OK;
}

static enum status
lock_directory(struct directory *directory, const char **problem)
{
	char *path = file_path(directory, "lock");
	if (path == NULL)
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "out of memory");
	enum status status = STATUS_OK;
	directory->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (directory->lock == -1)
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

static int
format_manifest(const struct directory *directory, char *data)
{
	int size = snprintf(data, MANIFEST_SIZE_MAX, "edgereplay-data %d\nshards %u\n",
			    MANIFEST_FORMAT, directory->shards);
	for (unsigned shard = 0; shard < directory->shards; shard++) {
		char hex[2 * SHARD_ID_SIZE];
		hex_encode(directory->ids[shard], SHARD_ID_SIZE, hex);
		size += snprintf(data + size, (size_t)(MANIFEST_SIZE_MAX - size), "shard %u %.*s\n",
				 shard, (int)sizeof(hex), hex);
	}
	CHECK(size < MANIFEST_SIZE_MAX);
	return size;
}

/* Takes the next line off the text; *rest is what follows the prefix. False: it has another one. */
static bool
take_line(struct text *text, const char *prefix, struct text *rest)
{
	const char *end = memchr(text->data, '\n', text->size);
	const size_t prefix_size = strlen(prefix);
	if (end == NULL)
		return false;
	const size_t size = (size_t)(end - text->data);
	if (size < prefix_size || memcmp(text->data, prefix, prefix_size) != 0)
		return false;
	*rest = (struct text){text->data + prefix_size, size - prefix_size};
	*text = (struct text){end + 1, text->size - size - 1};
	return true;
}

/* Takes the count and the ids out of the text, and accepts it only if it is to the byte what
 * format_manifest makes of them: that leaves no second way to write one. */
static bool
parse_manifest(struct directory *directory, const char *data, size_t size)
{
	struct text left = {data, size}, value;
	uint64_t shards = 0;
	if (!take_line(&left, "edgereplay-data ", &value) || !take_line(&left, "shards ", &value) ||
	    !text_to_u64(value, SHARDS_MAX, &shards) || shards == 0)
		return false;
	directory->shards = (unsigned)shards;
	for (unsigned shard = 0; shard < directory->shards; shard++) {
		const size_t hex_size = (size_t)2 * SHARD_ID_SIZE;
		if (!take_line(&left, "shard ", &value) || value.size < hex_size)
			return false;
		const struct text hex = {value.data + value.size - hex_size, hex_size};
		if (!hex_decode(hex, directory->ids[shard], SHARD_ID_SIZE))
			return false;
	}
	char again[MANIFEST_SIZE_MAX];
	const int again_size = format_manifest(directory, again);
	return (size_t)again_size == size && memcmp(again, data, size) == 0;
}

static enum status
write_manifest_new(const struct directory *directory, const char **problem)
{
	char data[MANIFEST_SIZE_MAX];
	const int size = format_manifest(directory, data);
	char *path = file_path(directory, "manifest.new");
	if (path == NULL)
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "out of memory");
	enum status status = STATUS_OK;
	const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd == -1 || write(fd, data, (size_t)size) != size || fsync(fd) == -1)
		status = problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "cannot write %s: %s",
				     path, strerror(errno));
	if (fd != -1)
		close(fd);
	free(path);
	if (status == STATUS_OK)
		status = sync_path(directory->path, O_RDONLY | O_DIRECTORY, problem);
	return status;
}

/* Whether the name is a shard file's, that of one of its companions (-wal, -shm), of its journal's files,
 * or of its anchor. */
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

/* Counts the shard files, and removes them where asked to. */
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
		if (!is_shard_file(entry->d_name))
			continue;
		*count += 1;
		if (remove_them && unlinkat(dirfd(entries), entry->d_name, 0) == -1)
			status = problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
					     "cannot remove %s/%s: %s", directory->path,
					     entry->d_name, strerror(errno));
	}
	closedir(entries);
	return status;
}

static enum status
begin_new(struct directory *directory, unsigned shards, const char **problem)
{
	char data[MANIFEST_SIZE_MAX];
	size_t size = 0;
	bool interrupted = false;
	enum status status =
		read_file(directory, "manifest.new", data, &size, &interrupted, problem);
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
	status = write_manifest_new(directory, problem);
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
	if (!parse_manifest(directory, data, size))
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
		status = lock_directory(directory, problem);
	if (status == STATUS_OK)
		status = read_manifest(directory, &found, problem);
	if (status == STATUS_OK && !found)
		status = begin_new(directory, shards, problem);
	if (status == STATUS_OK && directory->shards != shards)
		status = problem_set(
			problem, STATUS_STORAGE_UNAVAILABLE,
			"the data directory %s was made with store.shards=%u and cannot be "
			"opened with %u; start with --store.shards=%u",
			path, directory->shards, shards, directory->shards);
	if (status != STATUS_OK)
		directory_close(directory);
	return status;
}

enum status
directory_open_existing(struct directory *directory, const char *path, const char **problem)
{
	bool found = false;
	enum status status = begin_open(directory, path, problem);
	/* Before the lock's file is made: what is no data directory is left as it is. */
	if (status == STATUS_OK)
		status = read_manifest(directory, &found, problem);
	if (status == STATUS_OK && !found)
		status = problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
				     "%s has no manifest: it is no data directory", path);
	if (status == STATUS_OK)
		status = lock_directory(directory, problem);
	if (status != STATUS_OK)
		directory_close(directory);
	return status;
}

enum status
directory_commit(struct directory *directory, const char **problem)
{
	CHECK(directory->is_new);
	char *from = file_path(directory, "manifest.new");
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

void
directory_close(struct directory *directory)
{
	if (directory->lock != -1)
		close(directory->lock);
	directory->lock = -1;
	free(directory->path);
	directory->path = NULL;
}
