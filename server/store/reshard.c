#include "store/reshard.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium/randombytes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/problem.h"
#include "store/companions.h"
#include "store/sqlite/beside.h"
#include "store/sqlite/in_place.h"

#define SOURCE "source"
#define SOURCE_SIZE_MAX ((size_t)64 * 1024)

enum status
reshard_settle(const struct directory *directory, unsigned shard, const char **problem)
{
	char *path = directory_shard_path(directory, shard);
	*problem = "out of memory";
	if (path == NULL)
		return STATUS_STORAGE_UNAVAILABLE;
	const struct sqlite_options options =
		sqlite_options_of_tool(path, shard, directory->shards, directory->ids[shard]);
	const enum status status = sqlite_engine_settle(&options, problem);
	free(path);
	return status;
}

/* --- files --- */

static char *
path_in(const char *folder, const char *name)
{
	char *path = NULL;
	return asprintf(&path, "%s/%s", folder, name) == -1 ? NULL : path;
}

static enum status
remove_file(const char *folder, const char *name, const char **problem)
{
	char *path = path_in(folder, name);
	enum status status = STATUS_OK;
	if (path == NULL || (unlink(path) == -1 && errno != ENOENT))
		status = problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
				     "%s/%s cannot be removed: %s", folder, name,
				     strerrordesc_np(errno));
	free(path);
	return status;
}

/* Of a folder, every file that `takes`. */
static enum status
remove_files(const char *folder, bool (*takes)(const char *name), const char **problem)
{
	DIR *entries = opendir(folder);
	enum status status = STATUS_OK;
	if (entries == NULL)
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "%s: %s", folder,
				   strerrordesc_np(errno));
	for (const struct dirent *entry = readdir(entries); entry != NULL && status == STATUS_OK;
	     entry = readdir(entries)) {
		if (takes(entry->d_name))
			status = remove_file(folder, entry->d_name, problem);
	}
	(void)closedir(entries);
	return status;
}

static bool
tells_of_folder(const char *name)
{
	return strcmp(name, SOURCE) == 0 || strcmp(name, "manifest") == 0;
}

/* To beside the folder; where that name is taken, with the folder's behind it. */
static bool
move_out(const char *folder, const char *name)
{
	const char *leaf = strrchr(folder, '/') + 1;
	char *from = path_in(folder, name), *to = NULL, *other = NULL;
	if (asprintf(&to, "%.*s%s", (int)(leaf - folder), folder, name) == -1)
		to = NULL;
	if (to == NULL || asprintf(&other, "%s.%s", to, leaf) == -1)
		other = NULL;
	errno = ENOMEM;
	const bool moved = from != NULL && other != NULL &&
			   (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0 ||
			    renameat2(AT_FDCWD, from, AT_FDCWD, other, RENAME_NOREPLACE) == 0);
	free(from);
	free(to);
	free(other);
	return moved;
}

/* What repair and accept-loss have kept is the operator's. */
static enum status
keep_the_rest(const char *folder, const char **problem)
{
	DIR *entries = opendir(folder);
	enum status status = STATUS_OK;
	if (entries == NULL)
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "%s: %s", folder,
				   strerrordesc_np(errno));
	for (const struct dirent *entry = readdir(entries); entry != NULL && status == STATUS_OK;
	     entry = readdir(entries)) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
		    !move_out(folder, entry->d_name))
			status = problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
					     "%s/%s cannot be moved out of there: %s", folder,
					     entry->d_name, strerrordesc_np(errno));
	}
	(void)closedir(entries);
	return status;
}

static enum status
remove_folder(const char *folder, const char **problem)
{
	/* What says that these are copies goes behind them. */
	enum status status = remove_files(folder, directory_is_shards_own, problem);
	if (status == STATUS_OK)
		status = directory_sync(folder, problem);
	if (status == STATUS_OK)
		status = remove_files(folder, tells_of_folder, problem);
	if (status == STATUS_OK)
		status = keep_the_rest(folder, problem);
	if (status == STATUS_OK && rmdir(folder) == -1)
		status = problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
				     "%s cannot be removed: %s", folder, strerrordesc_np(errno));
	return status;
}

/* --- what the new files are made of --- */

static enum status
describe_shard(const struct directory *directory, unsigned shard, struct buffer *out,
	       const char **problem)
{
	char *path = directory_shard_path(directory, shard);
	struct companions companions;
	struct in_place in_place;
	struct stat info;
	struct db *db = NULL;
	*problem = "out of memory";
	if (path == NULL || !companions_note(&companions, path)) {
		free(path);
		return STATUS_STORAGE_UNAVAILABLE;
	}
	enum status status = db_open(path, DB_READ, &db, problem);
	if (status == STATUS_OK)
		status = in_place_read(db, &in_place);
	db_close(db);
	companions_restore(&companions);
	if (status == STATUS_OK && stat(path, &info) == 0)
		buffer_printf(out, "%u %" PRIu64 " %" PRIu64 " %" PRIu64 " %jd %jd.%09ld\n", shard,
			      in_place.generation, in_place.last_id, in_place.commits,
			      (intmax_t)info.st_size, (intmax_t)info.st_mtim.tv_sec,
			      info.st_mtim.tv_nsec);
	free(path);
	return status;
}

/* As a text that changes with whatever changes them. */
static enum status
describe(const struct directory *directory, struct buffer *out, const char **problem)
{
	enum status status = STATUS_OK;
	for (unsigned shard = 0; shard < directory->shards && status == STATUS_OK; shard++)
		status = describe_shard(directory, shard, out, problem);
	if (status == STATUS_OK && out->failed)
		status = problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "out of memory");
	return status;
}

/* False also where there is nothing. */
static bool
is_of(const char *folder, const struct buffer *source)
{
	char *path = path_in(folder, SOURCE), *bytes = malloc(source->size + 1);
	const int fd = path == NULL || bytes == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	const bool same = fd != -1 && read(fd, bytes, source->size + 1) == (ssize_t)source->size &&
			  memcmp(bytes, source->data, source->size) == 0;
	if (fd != -1)
		(void)close(fd);
	free(bytes);
	free(path);
	return same;
}

static enum status
write_source(const char *folder, const struct buffer *source, const char **problem)
{
	char *path = path_in(folder, SOURCE);
	const int fd = path == NULL ? -1 : beside_make(path);
	enum status status = STATUS_OK;
	if (fd == -1 || write(fd, source->data, source->size) != (ssize_t)source->size ||
	    fsync(fd) == -1)
		status = problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "%s/" SOURCE ": %s",
				     folder, strerrordesc_np(errno));
	if (fd != -1)
		(void)close(fd);
	free(path);
	return status == STATUS_OK ? directory_sync(folder, problem) : status;
}

/* --- begin --- */

static enum status
make_folder(const char *path, const char **problem)
{
	int fd = -1;
	if (mkdir(path, 0700) == 0)
		fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	const enum status status = fd != -1 && beside_give(fd, path)
					   ? STATUS_OK
					   : problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
							 "%s: %s", path, strerrordesc_np(errno));
	if (fd != -1)
		(void)close(fd);
	return status;
}

static enum status
begin_anew(struct reshard *reshard, const struct buffer *source, const char **problem)
{
	const char *folder = reshard->folder;
	enum status status = STATUS_OK;
	if (access(folder, F_OK) == 0)
		status = remove_folder(folder, problem);
	if (status == STATUS_OK)
		status = make_folder(folder, problem);
	randombytes_buf(reshard->to.ids, sizeof(reshard->to.ids));
	if (status == STATUS_OK)
		status = directory_sync(reshard->from->path, problem);
	/* The ids; and last what they are made of, so that with that they are there. */
	if (status == STATUS_OK)
		status = directory_write_manifest(&reshard->to, folder, "manifest", problem);
	return status == STATUS_OK ? write_source(folder, source, problem) : status;
}

static bool
resume(struct reshard *reshard)
{
	struct directory planned;
	const char *problem;
	if (directory_read(&planned, reshard->folder, &problem) != STATUS_OK)
		return false;
	const bool fits = planned.shards == reshard->shards && planned.in_folder;
	memcpy(reshard->to.ids, planned.ids, sizeof(planned.ids));
	directory_close(&planned);
	return fits;
}

enum status
reshard_begin(struct reshard *reshard, const char **problem)
{
	const struct directory *from = reshard->from;
	struct buffer source;
	CHECK(reshard->shards != from->shards);
	reshard->to = (struct directory){.path = strdup(from->path),
					 .lock = -1,
					 .shards = reshard->shards,
					 .in_folder = true};
	reshard->folder = directory_folder_path(from, reshard->shards);
	if (reshard->to.path == NULL || reshard->folder == NULL)
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "out of memory");
	buffer_init(&source, SOURCE_SIZE_MAX);
	enum status status = describe(from, &source, problem);
	if (status == STATUS_OK) {
		reshard->is_resumed = is_of(reshard->folder, &source) && resume(reshard);
		if (!reshard->is_resumed)
			status = begin_anew(reshard, &source, problem);
	}
	buffer_release(&source);
	return status;
}

void
reshard_release(struct reshard *reshard)
{
	if (reshard->to.path != NULL)
		directory_close(&reshard->to);
	free(reshard->folder);
	reshard->folder = NULL;
}

/* --- the end --- */

enum status
reshard_switch(struct reshard *reshard, const char **problem)
{
	enum status status = directory_sync(reshard->folder, problem);
	return status == STATUS_OK ? directory_replace(&reshard->to, problem) : status;
}

static bool
has_source(const char *folder)
{
	char *path = path_in(folder, SOURCE);
	const bool has = path != NULL && access(path, F_OK) == 0;
	free(path);
	return has;
}

/* Also where nothing can be read: then it is not taken for empty. */
static bool
has_entry(const char *folder, bool (*is_such)(const char *name))
{
	DIR *entries = opendir(folder);
	bool has = entries == NULL;
	if (entries == NULL)
		return has;
	for (const struct dirent *entry = readdir(entries); entry != NULL && !has;
	     entry = readdir(entries))
		has = is_such(entry->d_name);
	(void)closedir(entries);
	return has;
}

/* Of the folders that are not in force. */
static enum status
clean_folders(const struct directory *directory, bool only_half_made, const char **problem)
{
	enum status status = STATUS_OK;
	for (unsigned shards = 1; shards <= SHARDS_MAX && status == STATUS_OK; shards *= 2) {
		char *folder = directory_folder_path(directory, shards);
		const bool is_current = directory->in_folder && shards == directory->shards;
		if (folder == NULL)
			return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "out of memory");
		if (!is_current && access(folder, F_OK) == 0 &&
		    (!only_half_made || has_source(folder) ||
		     !has_entry(folder, directory_is_shards_own)))
			status = remove_folder(folder, problem);
		free(folder);
	}
	return status;
}

/* Last, for until then it tells that the others are old. */
static enum status
forget_source(const struct directory *directory, const char **problem)
{
	char *folder = directory_folder_path(directory, directory->shards);
	if (folder == NULL)
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "out of memory");
	enum status status = remove_file(folder, SOURCE, problem);
	if (status == STATUS_OK)
		status = remove_file(folder, "manifest", problem);
	free(folder);
	return status;
}

enum status
reshard_clean(const struct directory *directory, const char **problem)
{
	/* The step into force is on the disk before what it replaced goes. */
	enum status status = directory_sync(directory->path, problem);
	if (status == STATUS_OK)
		status = clean_folders(directory, false, problem);
	if (status == STATUS_OK && directory->in_folder)
		status = remove_files(directory->path, directory_is_shards_own, problem);
	if (status == STATUS_OK && directory->in_folder)
		status = forget_source(directory, problem);
	return status == STATUS_OK ? directory_sync(directory->path, problem) : status;
}

static bool
is_made_by_reshard(const struct directory *directory)
{
	char *folder =
		directory->in_folder ? directory_folder_path(directory, directory->shards) : NULL;
	const bool is_made = folder != NULL && has_source(folder);
	free(folder);
	return is_made;
}

/* By repair or accept-loss. */
static bool
is_put_aside(const char *name)
{
	return strncmp(name, "shard-", 6) == 0 && !directory_is_shards_own(name);
}

/* As far as names tell: of a store that has lost something a copy may be all that is left. */
static bool
has_lost_nothing(const struct directory *directory)
{
	char *folder =
		directory->in_folder ? directory_folder_path(directory, directory->shards) : NULL;
	bool is_whole =
		!has_entry(directory->path, is_put_aside) &&
		(!directory->in_folder || (folder != NULL && !has_entry(folder, is_put_aside)));
	for (unsigned shard = 0; shard < directory->shards && is_whole; shard++) {
		char *path = directory_shard_path(directory, shard);
		struct stat info;
		is_whole = path != NULL && stat(path, &info) == 0 && info.st_size > 0;
		free(path);
	}
	free(folder);
	return is_whole;
}

bool
reshard_has_left(const struct directory *directory)
{
	bool has = directory->in_folder && has_entry(directory->path, directory_is_shards_own);
	for (unsigned shards = 1; shards <= SHARDS_MAX && !has; shards *= 2) {
		char *folder = directory_folder_path(directory, shards);
		const bool is_current = directory->in_folder && shards == directory->shards;
		has = !is_current && (folder == NULL || access(folder, F_OK) == 0);
		free(folder);
	}
	return has;
}

enum status
reshard_keep(const struct directory *directory, const char **problem)
{
	enum status status = STATUS_OK;
	for (unsigned shards = 1; shards <= SHARDS_MAX && status == STATUS_OK; shards *= 2) {
		char *folder = directory_folder_path(directory, shards);
		if (folder == NULL)
			return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "out of memory");
		if (has_source(folder)) {
			status = remove_file(folder, SOURCE, problem);
			if (status == STATUS_OK)
				status = directory_sync(folder, problem);
		}
		free(folder);
	}
	return status;
}

void
reshard_drop(const struct directory *directory)
{
	const char *problem = NULL;
	if (!has_lost_nothing(directory))
		return;
	const enum status status = is_made_by_reshard(directory)
					   ? reshard_clean(directory, &problem)
					   : clean_folders(directory, true, &problem);
	if (status != STATUS_OK)
		log_warn("store", "what a reshard left cannot be removed",
			 LOG_STR("problem", problem));
}
