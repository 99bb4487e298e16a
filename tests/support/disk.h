/*
 * disk: stands between the program and its files, so that a test decides what the disk does: which
 * sync fails, which write is the last one of the process, and what is left after a power cut.
 *
 *     cached ── what the program reads
 *     stable ── what is on the disk: as of the last sync of the file that did not fail
 *     pending ─ the writes and truncations in between
 *
 * A power cut leaves what is stable, and by the toss of a coin each sector or page that is pending.
 * A sync that fails drops what is pending, as Linux does: it can be read on and is never written.
 * Names are taken to be on the disk with the file. Nothing is really synced, which takes time and
 * shows nothing.
 *
 * Threads: any; one lock. A test includes it once.
 */
#ifndef SUPPORT_DISK_H
#define SUPPORT_DISK_H

#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/check.h"

#define DISK_FILES_MAX 8
#define DISK_DEATH 3 /* exit code of a process that came to its fatal write */
#define DISK_UNUSED __attribute__((unused))

struct disk_bytes {
	uint8_t *data;
	size_t size, capacity;
};

/* What a sector or page became, or where the file was cut off. */
struct disk_change {
	bool is_truncation;
	size_t at, size;
	uint8_t *data;
};

struct disk_file {
	char name[64];
	ino_t inode;
	bool is_stable; /* has been synced */
	struct disk_bytes cached, stable;
	struct disk_change *pending;
	size_t count, capacity;
};

static struct disk {
	/* Counted in every file, watched or not. */
	atomic_uint syncs, writes;
	atomic_uint failing_sync; /* that one fails; 0: none does */
	atomic_uint fatal_write;  /* at that one the process dies; 0: it lives */

	pthread_mutex_t lock; /* of what follows */
	char folder[512];     /* watched; empty: none */
	size_t unit;	      /* what is written as a whole: a sector or a page */
	const char *liar;     /* syncs of names that end so do nothing, and say they did */
	struct disk_file files[DISK_FILES_MAX];
	size_t count;

	/* Called with the lock after each write, truncation and sync in the folder. */
	void (*moment)(void *cookie);
	void *cookie;
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* --- bytes --- */

static void
disk_resize(struct disk_bytes *bytes, size_t size)
{
	if (size > bytes->capacity) {
		bytes->capacity = 2 * size;
		bytes->data = realloc(bytes->data, bytes->capacity);
		CHECK(bytes->data != NULL);
	}
	if (size > bytes->size)
		memset(bytes->data + bytes->size, 0, size - bytes->size);
	bytes->size = size;
}

static void
disk_put(struct disk_bytes *bytes, size_t at, const void *data, size_t size)
{
	if (at + size > bytes->size)
		disk_resize(bytes, at + size);
	if (size > 0)
		memcpy(bytes->data + at, data, size);
}

static void
disk_change(struct disk_bytes *bytes, const struct disk_change *change)
{
	if (!change->is_truncation)
		disk_put(bytes, change->at, change->data, change->size);
	else if (change->at < bytes->size)
		disk_resize(bytes, change->at);
}

/* --- files --- */

static void
disk_forget_pending(struct disk_file *file)
{
	for (size_t i = 0; i < file->count; i++)
		free(file->pending[i].data);
	file->count = 0;
}

static void
disk_forget_file(struct disk_file *file)
{
	disk_forget_pending(file);
	free(file->pending);
	free(file->cached.data);
	free(file->stable.data);
	memset(file, 0, sizeof(*file));
}

/* The watched file of a descriptor, NULL if it is none. Shared memory is not on the disk. */
static struct disk_file *
disk_file_locked(int fd)
{
	char link[64], path[1200];
	struct stat info;
	if (disk.folder[0] == '\0' || fstat(fd, &info) == -1 || !S_ISREG(info.st_mode))
		return NULL;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	const ssize_t size = readlink(link, path, sizeof(path) - 1);
	CHECK(size > 0);
	path[size] = '\0';
	char *name = strrchr(path, '/');
	*name++ = '\0';
	if (strcmp(path, disk.folder) != 0 || strstr(name, "-shm") != NULL)
		return NULL;
	struct disk_file *file = disk.files;
	while (file < disk.files + disk.count && strcmp(file->name, name) != 0)
		file++;
	CHECK(file < disk.files + DISK_FILES_MAX);
	if (file->inode != info.st_ino) { /* new, or another one under an old name */
		disk_forget_file(file);
		snprintf(file->name, sizeof(file->name), "%s", name);
		file->inode = info.st_ino;
	}
	if (file == disk.files + disk.count)
		disk.count++;
	return file;
}

static struct disk_change *
disk_pend(struct disk_file *file)
{
	if (file->count == file->capacity) {
		file->capacity = file->capacity == 0 ? 64 : 2 * file->capacity;
		file->pending = reallocarray(file->pending, file->capacity, sizeof(*file->pending));
		CHECK(file->pending != NULL);
	}
	file->pending[file->count] = (struct disk_change){0};
	return &file->pending[file->count++];
}

static void
disk_pend_write(struct disk_file *file, size_t at, size_t size)
{
	const size_t unit = disk.unit;
	for (size_t from = at / unit * unit; from < at + size; from += unit) {
		struct disk_change *change = disk_pend(file);
		const size_t left = file->cached.size - from;
		change->at = from;
		change->size = left < unit ? left : unit;
		change->data = malloc(change->size);
		CHECK(change->data != NULL);
		memcpy(change->data, file->cached.data + from, change->size);
	}
}

static void
disk_end_moment_locked(void)
{
	if (disk.moment != NULL)
		disk.moment(disk.cookie);
}

static ssize_t
disk_write(int fd, const struct iovec *vectors, int count, off64_t offset)
{
	const unsigned fatal = disk.fatal_write;
	if (++disk.writes == fatal)
		_exit(DISK_DEATH);
	CHECK(pthread_mutex_lock(&disk.lock) == 0);
	const ssize_t written = syscall(SYS_pwritev, fd, vectors, count, offset, 0);
	const int error = errno;
	struct disk_file *file = written > 0 ? disk_file_locked(fd) : NULL;
	if (file != NULL) {
		size_t at = (size_t)offset, left = (size_t)written;
		for (int i = 0; i < count && left > 0; i++) {
			const size_t part = vectors[i].iov_len < left ? vectors[i].iov_len : left;
			disk_put(&file->cached, at, vectors[i].iov_base, part);
			at += part;
			left -= part;
		}
		disk_pend_write(file, (size_t)offset, (size_t)written);
		disk_end_moment_locked();
	}
	CHECK(pthread_mutex_unlock(&disk.lock) == 0);
	errno = error;
	return written;
}

static int
disk_truncate(int fd, off64_t size)
{
	const unsigned fatal = disk.fatal_write;
	if (++disk.writes == fatal)
		_exit(DISK_DEATH);
	CHECK(pthread_mutex_lock(&disk.lock) == 0);
	const int result = (int)syscall(SYS_ftruncate, fd, size);
	const int error = errno;
	struct disk_file *file = result == 0 ? disk_file_locked(fd) : NULL;
	if (file != NULL) {
		struct disk_change *change = disk_pend(file);
		change->is_truncation = true;
		change->at = (size_t)size;
		disk_resize(&file->cached, (size_t)size);
		disk_end_moment_locked();
	}
	CHECK(pthread_mutex_unlock(&disk.lock) == 0);
	errno = error;
	return result;
}

static bool
disk_lies(const struct disk_file *file)
{
	const size_t size = strlen(file->name), liar = disk.liar == NULL ? 0 : strlen(disk.liar);
	return liar > 0 && liar <= size && strcmp(file->name + size - liar, disk.liar) == 0;
}

static int
disk_sync(int fd)
{
	const unsigned failing = disk.failing_sync;
	const bool fails = ++disk.syncs == failing;
	CHECK(pthread_mutex_lock(&disk.lock) == 0);
	struct disk_file *file = disk_file_locked(fd);
	if (file != NULL && !disk_lies(file)) {
		for (size_t i = 0; i < file->count && !fails; i++)
			disk_change(&file->stable, &file->pending[i]);
		disk_forget_pending(file);
		file->is_stable |= !fails;
	}
	if (file != NULL)
		disk_end_moment_locked();
	CHECK(pthread_mutex_unlock(&disk.lock) == 0);
	errno = EIO;
	return fails ? -1 : 0;
}

/* --- in the place of the library's, whose names for the parameters are reserved --- */

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
	return disk_sync(fd);
}

/* SQLite syncs folders so, and does not look at what came of it. */
int
fdatasync(int fd) // NOLINT(readability-inconsistent-*)
{
	struct stat info;
	return fstat(fd, &info) == 0 && S_ISDIR(info.st_mode) ? 0 : disk_sync(fd);
}

/* --- power cuts --- */

/* What stands in a file now is stable. */
static void
disk_load_locked(const char *path)
{
	uint8_t data[4096];
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(fd != -1);
	struct disk_file *file = disk_file_locked(fd);
	for (ssize_t got = 1; file != NULL && got > 0;) {
		got = read(fd, data, sizeof(data));
		CHECK(got >= 0);
		disk_put(&file->cached, file->cached.size, data, (size_t)got);
		disk_put(&file->stable, file->stable.size, data, (size_t)got);
		file->is_stable = true;
	}
	close(fd);
}

/* From now on what is done to the folder's files is remembered; what stands in them is stable.
 * Forgets the folder that was watched before. */
DISK_UNUSED static void
disk_watch(const char *folder, size_t unit)
{
	CHECK(pthread_mutex_lock(&disk.lock) == 0);
	for (size_t i = 0; i < disk.count; i++)
		disk_forget_file(&disk.files[i]);
	disk.count = 0;
	disk.unit = unit;
	snprintf(disk.folder, sizeof(disk.folder), "%s", folder);
	DIR *entries = opendir(folder);
	CHECK(entries != NULL);
	for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
		char path[1024];
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		if (entry->d_type == DT_REG)
			disk_load_locked(path);
	}
	closedir(entries);
	CHECK(pthread_mutex_unlock(&disk.lock) == 0);
}

/* Heads half of the time, or more seldom or more often, as the seed has it. */
static bool
disk_toss(uint64_t *seed, unsigned of_eight)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (*seed >> 33) % 8 < of_eight;
}

/* What is on the disk. */
struct disk_image {
	struct {
		char name[64];
		bool is_there;
		struct disk_bytes bytes;
	} files[DISK_FILES_MAX];
	size_t count;
};

/* What a power cut would leave. From a moment, or while nobody writes. */
DISK_UNUSED static void
disk_cut_power(struct disk_image *image, uint64_t seed)
{
	static const unsigned chances[] = {4, 0, 8, 1, 7};
	const unsigned chance = chances[seed % 5];
	memset(image, 0, sizeof(*image));
	image->count = disk.count;
	for (size_t i = 0; i < disk.count; i++) {
		const struct disk_file *file = &disk.files[i];
		struct disk_bytes *left = &image->files[i].bytes;
		char path[1024];
		snprintf(path, sizeof(path), "%s/%s", disk.folder, file->name);
		snprintf(image->files[i].name, sizeof(file->name), "%s", file->name);
		if (access(path, F_OK) == -1)
			continue; /* removed */
		image->files[i].is_there = file->is_stable;
		disk_put(left, 0, file->stable.data, file->stable.size);
		for (size_t n = 0; n < file->count; n++) {
			if (!disk_toss(&seed, chance))
				continue;
			disk_change(left, &file->pending[n]);
			image->files[i].is_there = true;
		}
	}
}

/* Writes it into a folder, over what is there of the same names, and forgets it. */
DISK_UNUSED static void
disk_lay_out(struct disk_image *image, const char *folder)
{
	for (size_t i = 0; i < image->count; i++) {
		const struct disk_bytes *bytes = &image->files[i].bytes;
		char path[1024];
		snprintf(path, sizeof(path), "%s/%s", folder, image->files[i].name);
		const int fd = image->files[i].is_there
				       ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)
				       : -1;
		if (!image->files[i].is_there)
			(void)unlink(path);
		CHECK(!image->files[i].is_there ||
		      (fd != -1 && write(fd, bytes->data, bytes->size) == (ssize_t)bytes->size &&
		       close(fd) == 0));
		free(bytes->data);
	}
	image->count = 0;
}

#endif
