#include "store/sqlite/db_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/problem.h"
#include "store/sqlite/beside.h"

/* What is made beside it gets the same owner. */
static enum status
make_file(const char *path, const char **problem)
{
	const int made = beside_make(path);
	if (made == -1)
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "%s cannot be made: %s",
				   path, strerrordesc_np(errno));
	(void)close(made);
	return STATUS_OK;
}

enum status
db_file_ready(const char *path, bool make, const char **problem)
{
	struct stat info;
	const bool there = stat(path, &info) == 0;
	if (!there && errno != ENOENT)
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "%s: %s", path,
				   strerrordesc_np(errno));
	if (there && make)
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
				   "%s is there already and a new shard file was to be made: move "
				   "it away or restore the directory's manifest",
				   path);
	if (!there && !make)
		return problem_set(problem, STATUS_LOG_DAMAGED, "%s is missing", path);
	/* SQLite would take it for a new one, and remove the WAL. */
	if (there && info.st_size == 0)
		return problem_set(problem, STATUS_LOG_DAMAGED, "%s is empty", path);
	return make ? make_file(path, problem) : STATUS_OK;
}

static bool
has_content(const char *path, const char *suffix)
{
	struct stat info;
	char *beside = NULL;
	if (asprintf(&beside, "%s%s", path, suffix) == -1)
		return true;
	const bool has = stat(beside, &info) == 0 && info.st_size > 0;
	free(beside);
	return has;
}

/* What these mean in a URI they do not in a path. */
static bool
is_at_rest(const char *path)
{
	return strpbrk(path, "?#%") == NULL && !has_content(path, "-wal") &&
	       !has_content(path, "-journal");
}

int
db_file_open_at_rest(const char *path, int flags, sqlite3 **handle)
{
	char *uri = NULL;
	if (!is_at_rest(path))
		return sqlite3_open_v2(path, handle, flags, NULL);
	/* Behind two slashes a host would be named. */
	if (asprintf(&uri, "file:%s%s?immutable=1", path[0] == '/' ? "//" : "", path) == -1)
		return SQLITE_NOMEM;
	const int rc = sqlite3_open_v2(uri, handle, flags | SQLITE_OPEN_URI, NULL);
	free(uri);
	return rc;
}
