#include "cli/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/report.h"

#define DESCRIPTORS 16

char *
tree_path(const char *folder, const char *name)
{
	char *path;

	if (asprintf(&path, "%s/%s", folder, name) != -1)
		return path;
	report_error("out of memory");
	return NULL;
}

char *
tree_parent(const char *path)
{
	size_t size = strlen(path);

	while (size > 1 && path[size - 1] == '/')
		size--;
	while (size > 0 && path[size - 1] != '/')
		size--;
	while (size > 1 && path[size - 1] == '/')
		size--;
	return size == 0 ? strdup(".") : strndup(path, size);
}

/* --- walking --- */

struct walk {
	const char *folder;
	tree_visitor *visit;
	void *cookie;
};

static bool walk_folder(const struct walk *, const char *below);

static bool
walk_entry(const struct walk *walk, const char *below, const char *entry)
{
	struct stat info;
	char *name = below[0] == '\0' ? strdup(entry) : tree_path(below, entry);
	char *path = name == NULL ? NULL : tree_path(walk->folder, name);
	bool goes_on = path != NULL;

	if (path != NULL && lstat(path, &info) == 0) {
		if (S_ISDIR(info.st_mode))
			goes_on = walk_folder(walk, name);
		else if (S_ISREG(info.st_mode))
			goes_on = walk->visit(walk->cookie, name);
	}
	free(path);
	free(name);
	return goes_on;
}

static bool
walk_folder(const struct walk *walk, const char *below)
{
	char *path = tree_path(walk->folder, below);
	struct dirent **entries;
	bool goes_on = true;
	int count;

	if (path == NULL)
		return false;
	count = scandir(path, &entries, NULL, alphasort);
	if (count == -1) {
		report_error("%s: %s", path, strerror(errno));
		free(path);
		return false;
	}
	for (int i = 0; i < count; i++) {
		const char *entry = entries[i]->d_name;
		if (goes_on && strcmp(entry, ".") != 0 && strcmp(entry, "..") != 0)
			goes_on = walk_entry(walk, below, entry);
		free(entries[i]);
	}
	free(entries);
	free(path);
	return goes_on;
}

bool
tree_walk(const char *folder, tree_visitor *visit, void *cookie)
{
	const struct walk walk = {.folder = folder, .visit = visit, .cookie = cookie};

	return walk_folder(&walk, "");
}

/* --- everything in it --- */

/* nftw() can be given nothing. */
static struct {
	uid_t owner;
	gid_t group;
} everything;

static int
remove_entry(const char *path, const struct stat *info, int type, struct FTW *at)
{
	(void)info;
	(void)type;
	(void)at;
	(void)remove(path);
	return 0;
}

void
tree_remove(const char *folder)
{
	(void)nftw(folder, remove_entry, DESCRIPTORS, FTW_DEPTH | FTW_PHYS);
}

static int
give_entry(const char *path, const struct stat *info, int type, struct FTW *at)
{
	(void)type;
	(void)at;
	if (info->st_uid == everything.owner && info->st_gid == everything.group)
		return 0;
	return lchown(path, everything.owner, everything.group);
}

bool
tree_give(const char *folder, const char *like)
{
	struct stat info;

	if (stat(like, &info) == -1) {
		report_error("%s: %s", like, strerror(errno));
		return false;
	}
	everything.owner = info.st_uid;
	everything.group = info.st_gid;
	if (nftw(folder, give_entry, DESCRIPTORS, FTW_PHYS) == 0)
		return true;
	report_error("%s cannot be given to the owner of %s: %s: run this as the daemon's user",
		     folder, like, strerror(errno));
	return false;
}

static int
sync_entry(const char *path, const struct stat *info, int type, struct FTW *at)
{
	int fd, synced;

	(void)info;
	(void)at;
	if (type != FTW_D)
		return 0;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	synced = fd == -1 ? -1 : fsync(fd);
	if (fd != -1)
		(void)close(fd);
	return synced;
}

bool
tree_sync(const char *folder)
{
	if (nftw(folder, sync_entry, DESCRIPTORS, FTW_PHYS) == 0)
		return true;
	report_error("%s: cannot be synced: %s", folder, strerror(errno));
	return false;
}
