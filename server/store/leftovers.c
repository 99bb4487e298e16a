#include "store/leftovers.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/directory.h"
#include "store/snapshot_file.h"
#include "store/snapshot_names.h"
#include "store/sqlite/beside.h"

#define PATH_SIZE 4096
#define TAKEN_OUT ".removed-" /* and the log, and a time: where repair keeps it (cmd_repair) */

static bool
ends_with(const char *name, const char *end)
{
	const size_t size = strlen(name), end_size = strlen(end);
	return size >= end_size && strcmp(name + size - end_size, end) == 0;
}

/* --- what repair has taken out --- */

static bool
begins_with(const char *text, const char *beginning)
{
	return strncmp(text, beginning, strlen(beginning)) == 0;
}

static bool
is_taken_out(const char *name)
{
	return strstr(name, TAKEN_OUT) != NULL && ends_with(name, ".ndjson");
}

/* The log that is in a name's middle ends before the time, and that is digits only. */
static bool
is_taken_out_of(const char *name, struct text log)
{
	const char *at = strstr(name, TAKEN_OUT);
	if (at == NULL || strncmp(at + strlen(TAKEN_OUT), log.data, log.size) != 0)
		return false;
	at += strlen(TAKEN_OUT) + log.size;
	const size_t digits = at[0] == '-' ? strspn(at + 1, "0123456789") : 0;
	return digits > 0 && strcmp(at + 1 + digits, ".ndjson") == 0;
}

static FILE *
open_taken_out(const char *path, int flags, const char *mode)
{
	const int fd = open(path, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat info;
	FILE *file = fd == -1 || fstat(fd, &info) == -1 || !S_ISREG(info.st_mode)
			     ? NULL
			     : fdopen(fd, mode);
	if (file == NULL && fd != -1)
		(void)close(fd);
	return file;
}

/* Each line an action of the log that the name has: others begin otherwise (cli/repair_out). Zeros are of
 * an overwriting that was cut off, and the line that they end in is one of those. */
static bool
is_of_one_log(FILE *file)
{
	static const char own[] = "{\"seq\":";
	size_t at = 0;
	for (int byte = getc_unlocked(file); byte != EOF; byte = getc_unlocked(file)) {
		if (byte == '\n')
			at = 0;
		else if (byte == '\0')
			at = sizeof(own) - 1;
		else if (at < sizeof(own) - 1 && own[at++] != byte)
			return false;
	}
	return ferror_unlocked(file) == 0;
}

/* Also what cannot be read. */
static bool
may_have_any_log(const char *path)
{
	FILE *file = open_taken_out(path, O_RDONLY, "r");
	const bool may = file == NULL || !is_of_one_log(file);
	if (file != NULL)
		fclose(file);
	return may;
}

/* False: it is still there, and the log has why; or it has other logs' content, too. */
static bool
take_away(const char *path)
{
	FILE *file = open_taken_out(path, O_RDWR, "r+");
	if (file == NULL) {
		(void)beside_failed(path, "open");
		return false;
	}
	bool done = is_of_one_log(file) && snapshot_file_overwrite(fileno(file), path) == STATUS_OK;
	fclose(file);
	if (done && unlink(path) == -1 && errno != ENOENT) {
		(void)beside_failed(path, "remove");
		done = false;
	}
	return done && beside_sync_folder(path) == STATUS_OK;
}

/* --- the look --- */

/* A folder that is looked through. */
struct look {
	const char *folder;
	const char *prefix; /* what is left begins with this; NULL: all that is not a store's own */
	bool has_shards;    /* the shard files in it are the store's */
	const char *shards; /* or the folder in it that has them; empty: none */
	size_t max, max_in_the_way;
	leftover_visitor *visit;
	void *cookie;
	const struct removal *removal; /* only what repair took out of its log; else NULL */
	bool takes_away;	       /* of that, what has nothing else */
};

/* Shard files that are not where the manifest says are of a reshard that did not end. */
static bool
is_own(const struct look *look, const char *name)
{
	return strcmp(name, "lock") == 0 || strcmp(name, "manifest") == 0 ||
	       strcmp(name, "manifest.new") == 0 || strcmp(name, SNAPSHOT_FOLDER) == 0 ||
	       strcmp(name, look->shards) == 0 || ends_with(name, ".sock") ||
	       (look->has_shards && directory_is_shards_own(name));
}

static bool
is_left(const struct look *look, const char *name)
{
	if (look->prefix == NULL)
		return name[0] != '.' && !is_own(look, name);
	return begins_with(name, look->prefix) &&
	       (look->removal == NULL ||
		is_taken_out_of(name + strlen(look->prefix) - strlen(TAKEN_OUT),
				look->removal->log));
}

static bool
is_in_the_way(const struct look *look, const char *name, const char *path)
{
	if (look->removal != NULL || begins_with(name, "shard-") || begins_with(name, "shards-"))
		return true;
	return is_taken_out(name) && (look->prefix == NULL || may_have_any_log(path));
}

static void
visit_path(struct look *look, const char *name, const char *path)
{
	if (look->takes_away && take_away(path))
		return;
	const bool in_the_way = is_in_the_way(look, name, path);
	size_t *left = in_the_way ? &look->max_in_the_way : &look->max;
	if (*left == 0)
		return;
	*left -= 1;
	look->visit(look->cookie, path, in_the_way);
}

static void
visit_folder(struct look *look)
{
	char path[PATH_SIZE];
	DIR *entries = opendir(look->folder);
	if (entries == NULL)
		return;
	for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
		if (is_left(look, entry->d_name) &&
		    (size_t)snprintf(path, PATH_SIZE, "%s/%s", look->folder, entry->d_name) <
			    PATH_SIZE)
			visit_path(look, entry->d_name, path);
	}
	(void)closedir(entries);
}

/* Beside the directory. */
static void
visit_beside(const struct look *look, const char *dir, const char *ending)
{
	struct look beside = *look;
	char prefix[PATH_SIZE];
	char *real = realpath(dir, NULL), *copy = real == NULL ? NULL : strdup(real);
	if (copy != NULL) {
		const char *name = basename(copy);
		beside.folder = dirname(real);
		beside.prefix = prefix;
		if ((size_t)snprintf(prefix, PATH_SIZE, "%s%s", name, ending) < PATH_SIZE)
			visit_folder(&beside);
	}
	free(copy);
	free(real);
}

void
leftovers_follow(const char *dir, const struct removal *removal, size_t max,
		 leftover_visitor *visit, void *cookie)
{
	const bool erases = removal->kind == REMOVE_ALL;
	struct look look = {.max = max,
			    .max_in_the_way = max,
			    .visit = visit,
			    .cookie = cookie,
			    .removal = removal,
			    .takes_away = erases && (removal->erased_link == NULL ||
						     removal->head.gone.erased_at > 0)};
	if (erases || removal->kind == REMOVE_ACTIONS)
		visit_beside(&look, dir, TAKEN_OUT);
}

void
leftovers_visit(const char *dir, size_t max, leftover_visitor *visit, void *cookie)
{
	struct directory directory;
	const char *problem;
	const bool is_read = directory_read(&directory, dir, &problem) == STATUS_OK;
	char *folder = is_read && directory.in_folder
			       ? directory_folder_path(&directory, directory.shards)
			       : NULL;
	struct look look = {.folder = dir,
			    .has_shards = folder == NULL,
			    .shards = folder == NULL ? "" : strrchr(folder, '/') + 1,
			    .max = max,
			    .max_in_the_way = max,
			    .visit = visit,
			    .cookie = cookie};
	visit_folder(&look);
	if (folder != NULL) {
		look.folder = folder;
		look.has_shards = true;
		visit_folder(&look);
	}
	/* What repair has put aside, and backups where they go when they are not told. */
	visit_beside(&look, dir, TAKEN_OUT);
	visit_beside(&look, dir, ".backup-");
	if (is_read)
		directory_close(&directory);
	free(folder);
}
