/*
 * disk: stands between the program and its files, so that a test decides what the disk does: which
 * sync fails, which write is the last one of the process, and what is left after a power cut (power).
 *
 *     cached ── what the program reads
 *     stable ── what is on the disk: as of the last sync of the file that did not fail
 *     pending ─ the writes and truncations in between
 *
 * The folder's names are kept in the same way: what was made, removed or renamed is on the disk when
 * the folder has been synced. A sync that fails drops what is pending, as Linux does: it can be read
 * on and is never written. Nothing is really synced, which takes time and shows nothing.
 *
 * Threads: any; one lock. A test includes it once.
 */
#ifndef SUPPORT_DISK_H
#define SUPPORT_DISK_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/check.h"

#define DISK_FILES_MAX 32
#define DISK_NAME_MAX 64
#define DISK_DEATH 3 /* exit code of a process that came to its fatal write */
#define DISK_UNUSED __attribute__((unused))

struct disk_bytes {
	uint8_t *data;
	size_t size, capacity;
};

/* What a sector or page became, or where the file was cut off. */
struct disk_change {
	uint64_t time;
	bool is_truncation;
	size_t at, size;
	uint8_t *data;
};

struct disk_file {
	struct disk_bytes cached, stable;
	struct disk_change *pending;
	size_t count, capacity;
};

/* A name in the folder; NULL: of no file. */
struct disk_name {
	char text[DISK_NAME_MAX];
	struct disk_file *file;
};

struct disk_names {
	struct disk_name items[DISK_FILES_MAX];
	size_t count;
};

/* A name is another file's from now on, or nobody's; a renaming takes the name from another one. */
struct disk_naming {
	uint64_t time;
	struct disk_name name;
	char from[DISK_NAME_MAX]; /* empty: it is no renaming */
};

static struct disk {
	/* Counted in every file, watched or not. */
	atomic_uint syncs, writes;
	atomic_uint failing_sync; /* that one fails; 0: none does */
	atomic_uint fatal_write;  /* at that one the process dies; 0: it lives */

	pthread_mutex_t lock; /* of what follows */
	char folder[512];     /* watched; empty: none */
	size_t unit;	      /* what is written as a whole: a sector or a page */
	const char *liar;     /* syncs of names that end so do nothing, and say they did; "/": the
				 folder's */
	uint64_t time;	      /* grows with each change */
	struct disk_file files[DISK_FILES_MAX];
	size_t file_count;
	struct disk_names cached, stable;
	struct disk_naming *pending;
	size_t count, capacity;

	/* Called with the lock after each write, truncation, sync and change of a name. */
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

/* --- names --- */

static void
disk_put_name(char name[DISK_NAME_MAX], const char *text)
{
	const size_t size = strlen(text) + 1;
	CHECK(size <= DISK_NAME_MAX);
	memcpy(name, text, size);
}

static struct disk_name *
disk_find(struct disk_names *names, const char *text)
{
	for (size_t i = 0; i < names->count; i++) {
		if (strcmp(names->items[i].text, text) == 0)
			return &names->items[i];
	}
	return NULL;
}

static void
disk_set_name(struct disk_names *names, const struct disk_name *name)
{
	struct disk_name *found = disk_find(names, name->text);
	if (found == NULL) {
		CHECK(names->count < DISK_FILES_MAX);
		found = &names->items[names->count++];
	}
	*found = *name;
}

static void
disk_rename(struct disk_names *names, const struct disk_naming *naming)
{
	struct disk_name *from = disk_find(names, naming->from);
	if (from != NULL)
		from->file = NULL;
	disk_set_name(names, &naming->name);
}

static void
disk_end_moment_locked(void)
{
	if (disk.moment != NULL)
		disk.moment(disk.cookie);
}

static void
disk_pend_naming_locked(const char *from, const char *text, struct disk_file *file)
{
	struct disk_naming naming = {.time = disk.time++, .name.file = file};
	disk_put_name(naming.from, from);
	disk_put_name(naming.name.text, text);
	if (disk.count == disk.capacity) {
		disk.capacity = disk.capacity == 0 ? 64 : 2 * disk.capacity;
		disk.pending = reallocarray(disk.pending, disk.capacity, sizeof(*disk.pending));
		CHECK(disk.pending != NULL);
	}
	disk.pending[disk.count++] = naming;
	disk_rename(&disk.cached, &naming);
	disk_end_moment_locked();
}

/* The path's last part, if it is in the watched folder; else NULL. Shared memory is not on the disk. */
static const char *
disk_name_locked(const char *path)
{
	const size_t size = strlen(disk.folder);
	if (size == 0 || strncmp(path, disk.folder, size) != 0 || path[size] != '/' ||
	    strchr(path + size + 1, '/') != NULL || strstr(path + size, "-shm") != NULL)
		return NULL;
	return path + size + 1;
}

static void
disk_path(int fd, char path[], size_t room)
{
	char link[64];
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	const ssize_t size = readlink(link, path, room - 1);
	path[size < 0 ? 0 : size] = '\0';
}

static struct disk_file *
disk_new_file_locked(void)
{
	CHECK(disk.file_count < DISK_FILES_MAX);
	return &disk.files[disk.file_count++];
}

/* The watched file of a descriptor, NULL if it is none. */
static struct disk_file *
disk_file_locked(int fd)
{
	char path[1200];
	if (disk.folder[0] == '\0')
		return NULL;
	disk_path(fd, path, sizeof(path));
	const char *text = disk_name_locked(path);
	const struct disk_name *name = text == NULL ? NULL : disk_find(&disk.cached, text);
	return name == NULL ? NULL : name->file;
}

/* --- changes --- */

static void
disk_forget_pending(struct disk_file *file)
{
	for (size_t i = 0; i < file->count; i++)
		free(file->pending[i].data);
	file->count = 0;
}

static struct disk_change *
disk_pend(struct disk_file *file)
{
	if (file->count == file->capacity) {
		file->capacity = file->capacity == 0 ? 64 : 2 * file->capacity;
		file->pending = reallocarray(file->pending, file->capacity, sizeof(*file->pending));
		CHECK(file->pending != NULL);
	}
	file->pending[file->count] = (struct disk_change){.time = disk.time++};
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
disk_pend_truncation(struct disk_file *file, size_t size)
{
	struct disk_change *change = disk_pend(file);
	change->is_truncation = true;
	change->at = size;
	disk_resize(&file->cached, size);
	disk_end_moment_locked();
}

static void
disk_lock(void)
{
	CHECK(pthread_mutex_lock(&disk.lock) == 0);
}

/* Whatever was done meanwhile, the call's error is what errno says. */
static void
disk_unlock(int error)
{
	CHECK(pthread_mutex_unlock(&disk.lock) == 0);
	errno = error;
}

/* offset: -1 is where the descriptor stands. */
static ssize_t
disk_write(int fd, const struct iovec *vectors, int count, off64_t offset)
{
	const unsigned fatal = disk.fatal_write;
	if (++disk.writes == fatal)
		_exit(DISK_DEATH);
	disk_lock();
	size_t at = (size_t)(offset == -1 ? lseek(fd, 0, SEEK_CUR) : offset);
	const ssize_t written = offset == -1 ? syscall(SYS_writev, fd, vectors, count)
					     : syscall(SYS_pwritev, fd, vectors, count, offset, 0);
	const int error = errno;
	struct disk_file *file = written > 0 ? disk_file_locked(fd) : NULL;
	if (file != NULL) {
		const size_t from = at;
		size_t left = (size_t)written;
		for (int i = 0; i < count && left > 0; i++) {
			const size_t part = vectors[i].iov_len < left ? vectors[i].iov_len : left;
			disk_put(&file->cached, at, vectors[i].iov_base, part);
			at += part;
			left -= part;
		}
		disk_pend_write(file, from, (size_t)written);
		disk_end_moment_locked();
	}
	disk_unlock(error);
	return written;
}

static int
disk_truncate(int fd, off64_t size)
{
	const unsigned fatal = disk.fatal_write;
	if (++disk.writes == fatal)
		_exit(DISK_DEATH);
	disk_lock();
	const int result = (int)syscall(SYS_ftruncate, fd, size);
	const int error = errno;
	struct disk_file *file = result == 0 ? disk_file_locked(fd) : NULL;
	if (file != NULL)
		disk_pend_truncation(file, (size_t)size);
	disk_unlock(error);
	return result;
}

static bool
disk_lies(const char *path)
{
	const size_t size = strlen(path), liar = disk.liar == NULL ? 0 : strlen(disk.liar);
	return liar > 0 && liar <= size && strcmp(path + size - liar, disk.liar) == 0;
}

static void
disk_sync_folder_locked(bool fails)
{
	for (size_t i = 0; i < disk.count && !fails; i++)
		disk_rename(&disk.stable, &disk.pending[i]);
	if (!fails)
		disk.count = 0;
	disk_end_moment_locked();
}

static int
disk_sync(int fd, bool fails)
{
	char path[1200];
	disk_lock();
	disk_path(fd, path, sizeof(path));
	struct disk_file *file = disk_file_locked(fd);
	if (file != NULL && !disk_lies(path)) {
		for (size_t i = 0; i < file->count && !fails; i++)
			disk_change(&file->stable, &file->pending[i]);
		disk_forget_pending(file);
	}
	const bool is_folder = disk.folder[0] != '\0' && strcmp(path, disk.folder) == 0;
	if (is_folder && !(disk.liar != NULL && strcmp(disk.liar, "/") == 0))
		disk_sync_folder_locked(fails);
	if (file != NULL)
		disk_end_moment_locked();
	disk_unlock(EIO);
	return fails ? -1 : 0;
}

static int
disk_open(const char *path, int flags, mode_t mode)
{
	disk_lock();
	const char *text = disk_name_locked(path);
	const struct disk_name *name = text == NULL ? NULL : disk_find(&disk.cached, text);
	struct disk_file *file = name == NULL ? NULL : name->file;
	const int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
	const int error = errno;
	if (fd != -1 && text != NULL && file == NULL && (flags & O_CREAT) != 0)
		disk_pend_naming_locked("", text, disk_new_file_locked());
	else if (fd != -1 && file != NULL && (flags & O_TRUNC) != 0 && file->cached.size > 0)
		disk_pend_truncation(file, 0);
	disk_unlock(error);
	return fd;
}

static int
disk_unlink(int folder, const char *path, int flags)
{
	char whole[1200] = "";
	disk_lock();
	if (folder != AT_FDCWD) {
		disk_path(folder, whole, sizeof(whole) - 1);
		whole[strlen(whole)] = '/';
	}
	const size_t size = strlen(whole);
	snprintf(whole + size, sizeof(whole) - size, "%s", path);
	const char *text = disk_name_locked(whole);
	const int result = (int)syscall(SYS_unlinkat, folder, path, flags);
	const int error = errno;
	if (result == 0 && text != NULL)
		disk_pend_naming_locked("", text, NULL);
	disk_unlock(error);
	return result;
}

#include "support/disk_calls.h"

#endif
