#include "store/salvage_place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/problem.h"
#include "store/sqlite/beside.h"

#define KEPT ".malformed-"
#define PIECE_SIZE 65536

/* What else of a shard a start changes. */
static const char *const beside[] = {"journal-0", "journal-1", "anchor"};
#define BESIDE_COUNT (sizeof(beside) / sizeof(beside[0]))

static bool
is_there(const char *path)
{
	return access(path, F_OK) == 0;
}

static bool
is_same_file(const char *a, const char *b)
{
	struct stat of_a, of_b;
	return stat(a, &of_a) == 0 && stat(b, &of_b) == 0 && of_a.st_ino == of_b.st_ino &&
	       of_a.st_dev == of_b.st_dev;
}

/* --- a swap that was cut off --- */

static bool
is_number(const char *text)
{
	return *text != '\0' && text[strspn(text, "0123456789")] == '\0';
}

/* The newest of a folder's files that were kept; 0 when there is none. */
static uint64_t
newest_in(DIR *folder, const char *name)
{
	const size_t size = strlen(name);
	uint64_t newest = 0;
	for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
		const char *rest = entry->d_name + size;
		if (strncmp(entry->d_name, name, size) != 0 ||
		    strncmp(rest, KEPT, strlen(KEPT)) != 0 || !is_number(rest + strlen(KEPT)))
			continue;
		const uint64_t time = strtoull(rest + strlen(KEPT), NULL, 10);
		newest = time > newest ? time : newest;
	}
	return newest;
}

/* From malloc; NULL when there is none, or errno says why it is not known. */
static char *
find_kept(const char *path)
{
	char *folder = strdup(path), *name = strdup(path), *kept = NULL;
	DIR *open = folder == NULL || name == NULL ? NULL : opendir(dirname(folder));
	errno = open == NULL ? errno : 0;
	const uint64_t time = open == NULL ? 0 : newest_in(open, basename(name));
	if (time > 0 && asprintf(&kept, "%s" KEPT "%" PRIu64, path, time) == -1) {
		kept = NULL;
		errno = ENOMEM;
	}
	const int error = errno;
	if (open != NULL)
		(void)closedir(open);
	free(folder);
	free(name);
	errno = error;
	return kept;
}

/* The write-ahead log goes with its file; there need be none. */
static bool
rename_wal(const char *from, const char *to)
{
	char *old, *new;
	if (asprintf(&old, "%s-wal", from) == -1)
		return false;
	if (asprintf(&new, "%s-wal", to) == -1) {
		free(old);
		return false;
	}
	const bool done = rename(old, new) == 0 || errno == ENOENT;
	free(old);
	free(new);
	return done;
}

/* Where a file beside the shard file is kept, from malloc; kept ends with the time. */
static char *
copy_path(const char *path, const char *kept, unsigned which)
{
	char *of = beside_path(path, beside[which]), *to = NULL;
	if (of != NULL && asprintf(&to, "%s%s", of, kept + strlen(path)) == -1)
		to = NULL;
	free(of);
	return to;
}

/* Without the file that they belong to they are of no use. */
static void
remove_copies(const char *path, const char *kept)
{
	for (unsigned i = 0; i < BESIDE_COUNT && !is_there(kept); i++) {
		char *copy = copy_path(path, kept, i);
		if (copy != NULL)
			(void)unlink(copy);
		free(copy);
	}
}

static bool
undo(const char *path, const char *kept)
{
	bool done = true;
	if (is_same_file(path, kept))
		done = unlink(kept) == 0;
	else if (!is_there(path))
		done = rename_wal(kept, path) && rename(kept, path) == 0;
	const int error = errno;
	remove_copies(path, kept);
	errno = error;
	return done;
}

bool
salvage_is_cut_off(const char *path)
{
	char *kept = find_kept(path);
	const bool is_cut_off = kept != NULL && !is_there(path);
	free(kept);
	return is_cut_off;
}

enum status
salvage_undo(const char *path, const char **problem)
{
	char *kept = find_kept(path);
	enum status status = STATUS_OK;
	if (kept == NULL && errno != 0)
		status = problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
				     "the folder of %s cannot be read: %s", path,
				     strerrordesc_np(errno));
	else if (kept != NULL && !undo(path, kept))
		status = problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "%s: %s", kept,
				     strerrordesc_np(errno));
	free(kept);
	return status == STATUS_OK ? beside_sync_folder(path) : status;
}

/* --- what is kept --- */

static bool
copy_bytes(int from, int to)
{
	static _Thread_local uint8_t piece[PIECE_SIZE];
	ssize_t got = read(from, piece, PIECE_SIZE);
	for (; got > 0; got = read(from, piece, PIECE_SIZE)) {
		if (write(to, piece, (size_t)got) != got)
			return false;
	}
	return got == 0 && fsync(to) == 0;
}

static bool
copy_file(const char *from, const char *to)
{
	const int old = open(from, O_RDONLY | O_CLOEXEC);
	const int new = old == -1 ? -1 : beside_make(to);
	const bool done = new != -1 && copy_bytes(old, new);
	const int error = errno;
	if (old != -1)
		(void)close(old);
	if (new != -1)
		(void)close(new);
	if (new != -1 && !done)
		(void)unlink(to);
	errno = error;
	return done;
}

enum status
salvage_keep_beside(const char *path, char **kept, const char **problem)
{
	enum status status = STATUS_OK;
	if (asprintf(kept, "%s" KEPT "%" PRIu64, path, clock_server_msec()) == -1) {
		*kept = NULL;
		return STATUS_STORAGE_UNAVAILABLE;
	}
	for (unsigned i = 0; i < BESIDE_COUNT && status == STATUS_OK; i++) {
		char *from = beside_path(path, beside[i]), *to = copy_path(path, *kept, i);
		if (from == NULL || to == NULL)
			status = STATUS_STORAGE_UNAVAILABLE;
		else if (!copy_file(from, to))
			status = problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
					     "%s cannot be kept as %s: %s", from, to,
					     strerrordesc_np(errno));
		free(from);
		free(to);
	}
	if (status != STATUS_OK)
		remove_copies(path, *kept);
	return status;
}

/* --- the swap --- */

/* The shared memory beside a file is of no use to the next one that opens it. */
static void
remove_beside(const char *path, const char *suffix)
{
	char *name;
	if (asprintf(&name, "%s%s", path, suffix) == -1)
		return;
	(void)unlink(name);
	free(name);
}

/* The daemon's user may be another than the operator. */
static bool
be_alike(const char *made, const char *path)
{
	struct stat info;
	return stat(path, &info) == 0 && chown(made, info.st_uid, info.st_gid) == 0 &&
	       chmod(made, info.st_mode & 0777) == 0;
}

static bool
has_wal(const char *path)
{
	struct stat info;
	char *name;
	if (asprintf(&name, "%s-wal", path) == -1)
		return true;
	const bool has = stat(name, &info) == 0 ? info.st_size > 0 : errno != ENOENT;
	free(name);
	return has;
}

static bool
swap(const char *made, const char *path, const char *kept)
{
	if (has_wal(path)) {
		if (rename(path, kept) != 0 || !rename_wal(path, kept))
			return false;
	} else {
		remove_beside(path, "-wal");
		if (link(path, kept) != 0)
			return false;
	}
	remove_beside(path, "-shm");
	return beside_sync_folder(path) == STATUS_OK && rename(made, path) == 0;
}

enum status
salvage_take_place(const char *made, const char *path, const char *kept, const char **problem)
{
	if (!be_alike(made, path))
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
				   "%s cannot be given to the owner of %s: %s: run this as the "
				   "daemon's user",
				   made, path, strerrordesc_np(errno));
	if (swap(made, path, kept))
		return beside_sync_folder(path);
	enum status status = problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
					 "%s cannot take the place of %s: %s", made, path,
					 strerrordesc_np(errno));
	(void)undo(path, kept);
	return status;
}

void
salvage_remove(const char *made)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
		remove_beside(made, suffixes[i]);
}
