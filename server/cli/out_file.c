#include "cli/out_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <zlib.h>

#include "cli/report.h"
#include "cli/scratch.h"

#define FILE_MODE 0600 /* users' data */
#define BUFFER_SIZE (1U << 18)

struct out_file {
	const char *path; /* NULL: stdout */
	char *place;	  /* which it takes; NULL: it is written to as it is */
	int fd;
	gzFile stream;
	char *beside; /* its name before it has its own; made at the commit where it has none yet */
	bool has_name;
	bool failed;
};

static bool
fail(struct out_file *file)
{
	if (!file->failed)
		report_error("%s: %s", file->path != NULL ? file->path : "stdout", strerror(errno));
	file->failed = true;
	return false;
}

static char *
folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		return strdup(".");
	return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

static bool
make(struct out_file *file)
{
	char *folder = folder_of(file->place);

	if (folder == NULL || asprintf(&file->beside, "%s.XXXXXX", file->place) == -1) {
		file->beside = NULL;
		free(folder);
		return false;
	}
	file->fd = open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, FILE_MODE);
	free(folder);
	if (file->fd != -1)
		return true;
	file->fd = mkostemp(file->beside, O_CLOEXEC);
	file->has_name = file->fd != -1;
	return file->has_name && scratch_remember(file->beside);
}

static bool
is_link(const char *path)
{
	struct stat info;

	return lstat(path, &info) == 0 && S_ISLNK(info.st_mode);
}

/* Whether a link leads to what the shell has opened for us, and may have chosen to append to. */
static bool
is_stdout(const char *path)
{
	struct stat there, out;

	return stat(path, &there) == 0 && fstat(STDOUT_FILENO, &out) == 0 &&
	       there.st_dev == out.st_dev && there.st_ino == out.st_ino;
}

/* The same of another descriptor: /dev/fd/3, /proc/self/fd/3. */
static bool
is_descriptor(const char *path)
{
	struct statfs info;
	char *folder = folder_of(path);
	const bool is =
		folder != NULL && statfs(folder, &info) == 0 && info.f_type == PROC_SUPER_MAGIC;

	free(folder);
	return is;
}

/* Devices, pipes and what is open already are written to as they are; of a link the file that it leads to is made
 * anew. */
static bool
open_path(struct out_file *file)
{
	struct stat info;

	if ((stat(file->path, &info) == 0 && !S_ISREG(info.st_mode)) ||
	    (is_link(file->path) && is_descriptor(file->path))) {
		file->fd = open(file->path, O_WRONLY | O_APPEND | O_NOCTTY | O_CLOEXEC);
		return file->fd != -1;
	}
	file->place = is_link(file->path) ? realpath(file->path, NULL) : strdup(file->path);
	return file->place != NULL && make(file);
}

static struct out_file *
open_file(const char *path, bool compresses)
{
	struct out_file *file = calloc(1, sizeof(*file));

	if (file == NULL) {
		report_error("out of memory");
		return NULL;
	}
	file->fd = -1;
	if (path == NULL || strcmp(path, "-") == 0 || (is_link(path) && is_stdout(path)))
		return file;
	file->path = path;
	const size_t size = strlen(path);
	const bool compressed = compresses && size > 3 && strcmp(path + size - 3, ".gz") == 0;
	int stream = -1;

	if (open_path(file))
		stream = fcntl(file->fd, F_DUPFD_CLOEXEC, 0);
	if (stream != -1)
		file->stream = gzdopen(stream, compressed ? "wb6" : "wbT");
	if (file->stream != NULL) {
		(void)gzbuffer(file->stream, BUFFER_SIZE);
		return file;
	}
	(void)fail(file);
	if (stream != -1)
		close(stream);
	(void)out_file_discard(file);
	return NULL;
}

struct out_file *
out_file_open(const char *path)
{
	return open_file(path, true);
}

struct out_file *
out_file_open_plain(const char *path)
{
	return open_file(path, false);
}

bool
out_file_write(struct out_file *file, struct text text)
{
	if (file->failed)
		return false;
	if (file->path == NULL)
		return fwrite(text.data, 1, text.size, stdout) == text.size || fail(file);
	return gzfwrite(text.data, 1, text.size, file->stream) == text.size || fail(file);
}

/* A file without a name is given one beside its place first: only a rename can take another's place. */
static bool
take_place(struct out_file *file)
{
	char self[64];

	if (!file->has_name) {
		(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", file->fd);
		const int holder = mkostemp(file->beside, O_CLOEXEC);
		if (holder == -1)
			return false;
		close(holder);
		if (!scratch_remember(file->beside) || unlink(file->beside) == -1 ||
		    linkat(AT_FDCWD, self, AT_FDCWD, file->beside, AT_SYMLINK_FOLLOW) == -1)
			return false;
		file->has_name = true;
	}
	if (rename(file->beside, file->place) == -1)
		return false;
	scratch_forget(file->beside);
	file->has_name = false;
	return true;
}

static bool
sync_folder(const char *path)
{
	char *folder = folder_of(path);
	const int fd = folder != NULL ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	const bool synced = fd != -1 && fsync(fd) == 0;

	if (fd != -1)
		close(fd);
	free(folder);
	return synced;
}

bool
out_file_commit(struct out_file *file)
{
	bool done = !file->failed;

	if (file->path == NULL) {
		done = report_output_done() && done;
	} else if (done) {
		const int closed = gzclose(file->stream);

		file->stream = NULL;
		done = closed == Z_OK;
		if (done && file->place != NULL)
			done = fsync(file->fd) == 0 && take_place(file) && sync_folder(file->place);
		done = done || fail(file);
	}
	(void)out_file_discard(file);
	return done;
}

bool
out_file_discard(struct out_file *file)
{
	if (file == NULL)
		return true;
	const bool leaves_nothing = file->place != NULL;

	if (file->stream != NULL)
		(void)gzclose(file->stream);
	if (file->fd != -1)
		close(file->fd);
	if (file->has_name)
		scratch_remove(file->beside);
	free(file->beside);
	free(file->place);
	free(file);
	return leaves_nothing;
}
