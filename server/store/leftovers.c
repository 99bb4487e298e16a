#include "store/leftovers.h"

#include <dirent.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/directory.h"
#include "store/snapshot_names.h"

#define PATH_SIZE 4096

static bool
ends_with(const char *name, const char *end)
{
	const size_t size = strlen(name), end_size = strlen(end);
	return size >= end_size && strcmp(name + size - end_size, end) == 0;
}

/* shard-00.db, and what stands beside it. */
static bool
is_of_shard(const char *name)
{
	static const char *const suffixes[] = {"db",	    "db-wal",	 "db-shm",
					       "journal-0", "journal-1", "anchor"};
	const char *dot = strchr(name, '.');
	if (strncmp(name, "shard-", 6) != 0 || dot == NULL)
		return false;
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		if (strcmp(dot + 1, suffixes[i]) == 0)
			return true;
	}
	return false;
}

/* A folder that is looked through. */
struct look {
	const char *folder;
	const char *prefix; /* what is left begins with this; NULL: all that is not a store's own */
	bool has_shards;    /* the shard files in it are the store's */
	const char *shards; /* or the folder in it that has them; empty: none */
	size_t max;
	leftover_visitor *visit;
	void *cookie;
};

/* Shard files that are not where the manifest says are of a reshard that did not end. */
static bool
is_own(const struct look *look, const char *name)
{
	return strcmp(name, "lock") == 0 || strcmp(name, "manifest") == 0 ||
	       strcmp(name, "manifest.new") == 0 || strcmp(name, SNAPSHOT_FOLDER) == 0 ||
	       strcmp(name, look->shards) == 0 || ends_with(name, ".sock") ||
	       (look->has_shards && is_of_shard(name));
}

static bool
is_left(const struct look *look, const char *name)
{
	return look->prefix != NULL ? strncmp(name, look->prefix, strlen(look->prefix)) == 0
				    : name[0] != '.' && !is_own(look, name);
}

static void
visit_folder(struct look *look)
{
	char path[PATH_SIZE];
	DIR *entries = opendir(look->folder);
	if (entries == NULL)
		return;
	for (struct dirent *entry = readdir(entries); entry != NULL && look->max > 0;
	     entry = readdir(entries)) {
		if (!is_left(look, entry->d_name) ||
		    (size_t)snprintf(path, PATH_SIZE, "%s/%s", look->folder, entry->d_name) >=
			    PATH_SIZE)
			continue;
		look->visit(look->cookie, path);
		look->max--;
	}
	(void)closedir(entries);
}

/* Beside the directory: what repair has put aside there, and backups where they go when they
 * are not told. */
static void
visit_beside(const struct look *look, const char *dir)
{
	static const char *const endings[] = {".removed-", ".backup-"};
	struct look beside = *look;
	char prefix[PATH_SIZE];
	char *real = realpath(dir, NULL), *copy = real == NULL ? NULL : strdup(real);
	if (copy != NULL) {
		const char *name = basename(copy);
		beside.folder = dirname(real);
		beside.prefix = prefix;
		for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
			if ((size_t)snprintf(prefix, PATH_SIZE, "%s%s", name, endings[i]) <
			    PATH_SIZE)
				visit_folder(&beside);
		}
	}
	free(copy);
	free(real);
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
			    .visit = visit,
			    .cookie = cookie};
	visit_folder(&look);
	if (folder != NULL) {
		look.folder = folder;
		look.has_shards = true;
		visit_folder(&look);
	}
	visit_beside(&look, dir);
	if (is_read)
		directory_close(&directory);
	free(folder);
}
