#include "store/complete.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/problem.h"
#include "store/companions.h"
#include "store/sqlite/anchor.h"
#include "store/sqlite/in_place.h"
#include "store/sqlite/journal_file.h"

static enum status
read_in_place(const char *path, struct in_place *in_place, const char **problem)
{
	struct companions companions;
	struct db *db = NULL;
	if (!companions_note(&companions, path))
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "%s: the path is too long",
				   path);
	enum status status = db_open(path, DB_READ, &db, problem);
	if (status == STATUS_OK) {
		*problem = problem_format("%s cannot be read", path);
		status = in_place_read(db, in_place);
	}
	db_close(db);
	companions_restore(&companions);
	return status;
}

static enum status
make_journal(const char *path, unsigned which, const uint8_t *id, const char **problem)
{
	char *journal = journal_file_path(path, which);
	*problem = "out of memory";
	const enum status status = journal == NULL ? STATUS_STORAGE_UNAVAILABLE
						   : journal_file_create(journal, id, problem);
	free(journal);
	return status;
}

static enum status
fill_anchor(const char *path, const char *beside, const uint8_t *id,
	    const struct in_place *in_place, const char **problem)
{
	struct anchor anchor;
	struct stat info;
	if (stat(path, &info) == -1)
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "%s: %s", path,
				   strerrordesc_np(errno));
	enum status status = anchor_open(&anchor, beside, id, true, problem);
	if (status != STATUS_OK)
		return status;
	*problem = problem_format("%s cannot be written", beside);
	anchor_filed(&anchor, in_place->commits, (uint64_t)info.st_size);
	status = anchor_write(&anchor);
	anchor_close(&anchor);
	return status;
}

static enum status
make_anchor(const char *path, const uint8_t *id, const struct in_place *in_place,
	    const char **problem)
{
	char *beside = anchor_path(path);
	*problem = "out of memory";
	if (beside == NULL)
		return STATUS_STORAGE_UNAVAILABLE;
	enum status status = anchor_create(beside, id, in_place->last_id, problem);
	if (status == STATUS_OK)
		status = fill_anchor(path, beside, id, in_place, problem);
	free(beside);
	return status;
}

enum status
complete_shard(const char *path, const uint8_t *id, const char **problem)
{
	struct in_place in_place = {.generation = 0};
	enum status status = read_in_place(path, &in_place, problem);
	for (unsigned which = 0; which < 2 && status == STATUS_OK; which++)
		status = make_journal(path, which, id, problem);
	return status == STATUS_OK ? make_anchor(path, id, &in_place, problem) : status;
}
