#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/problem.h"
#include "store/repair_work.h"
#include "store/salvage_place.h"
#include "store/sqlite/loss.h"
#include "store/sqlite/order.h"
#include "store/sqlite/shard_file.h"

#define VERSIONS_AT 18 /* in page 1: who may write, who may read */

enum status
repair_check_file(struct db *db, bool *is_whole)
{
	struct statement *check;
	enum status status = db_prepare(db, "PRAGMA quick_check(1)", &check);
	*is_whole = status == STATUS_OK;
	if (status != STATUS_OK)
		return db_is_malformed(db) ? STATUS_OK : status;
	const enum step step = statement_step(check);
	*is_whole = step == STEP_ROW && text_equal(statement_text(check, 0), TEXT("ok"));
	statement_reset(check);
	if (!*is_whole)
		return step == STEP_FAULT ? STATUS_STORAGE_UNAVAILABLE : STATUS_OK;
	status = order_check(db, ORDER_OF_ACTIONS, is_whole);
	return status == STATUS_OK && *is_whole
		       ? order_check(db, "SELECT log, seq FROM batches NOT INDEXED", is_whole)
		       : status;
}

/* --- what stands in one place only --- */

/* SQLite takes a file whose version is none that it knows for one that it must not write. */
static bool
has_versions(const char *path)
{
	uint8_t versions[2] = {1, 1};
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd != -1) {
		(void)!pread(fd, versions, sizeof(versions), VERSIONS_AT);
		(void)close(fd);
	}
	return (versions[0] == 1 || versions[0] == 2) && (versions[1] == 1 || versions[1] == 2);
}

/* One of the three has rotted; where more differ it is another's. */
static enum status
check_identity(struct db *db, const struct repair_target *target, bool *is_whole)
{
	struct statement *select;
	enum status status = db_prepare(db, "SELECT number, shards, id FROM shard", &select);
	if (status != STATUS_OK)
		return status;
	const enum step step = statement_step(select);
	const struct text id = {(const char *)target->id, SHARD_ID_SIZE};
	*is_whole =
		step == STEP_ROW && (statement_u64(select, 0) != target->shard) +
						    (statement_u64(select, 1) != target->shards) +
						    !text_equal(statement_text(select, 2), id) !=
					    1;
	statement_reset(select);
	return step == STEP_FAULT ? STATUS_STORAGE_UNAVAILABLE : STATUS_OK;
}

static bool
is_empty(const struct journal_file *file)
{
	struct stat info;
	return fstat(file->fd, &info) == 0 && (size_t)info.st_size == JOURNAL_HEAD_SIZE;
}

/* No generation is in place that no journal file has had. Where both have been emptied all is in place,
 * and the rest is known, too. */
static bool
is_plausible(const struct loss *loss, const struct journal_file files[2])
{
	const uint64_t newest = files[0].generation > files[1].generation ? files[0].generation
									  : files[1].generation;
	const struct alone *alone = &loss->alone;
	const bool are_empty = is_empty(&files[0]) && is_empty(&files[1]);
	/* Those that a reshard makes have had none before the first start. */
	if (loss->in_place.generation > newest && (newest > 0 || !are_empty))
		return false;
	if (!are_empty || loss->in_place.last_id != loss->expected)
		return true;
	return loss->in_place.generation + 1 >= newest &&
	       (alone->wal_has_commit || !alone->is_readable || alone->commits == loss->filed);
}

/* What is missing or rotten of the other files, a start says. */
static enum status
check_in_place(struct db *db, const struct repair_target *target, bool *is_whole)
{
	struct journal_file files[2] = {{.fd = -1}, {.fd = -1}};
	struct anchor anchor = {.fd = -1};
	struct loss loss;
	const char *problem;
	char *path = anchor_path(target->path);
	enum status status = path == NULL ? STATUS_STORAGE_UNAVAILABLE
					  : anchor_open(&anchor, path, target->id, false, &problem);
	free(path);
	for (unsigned i = 0; i < 2 && status == STATUS_OK; i++) {
		path = journal_file_path(target->path, i);
		status = path == NULL
				 ? STATUS_STORAGE_UNAVAILABLE
				 : journal_file_open(&files[i], path, target->id, false, &problem);
		free(path);
	}
	if (status == STATUS_OK)
		status = loss_look(db, files, &anchor, &loss);
	if (status == STATUS_OK)
		*is_whole = is_plausible(&loss, files);
	journal_file_close(&files[0]);
	journal_file_close(&files[1]);
	anchor_close(&anchor);
	return status == STATUS_LOG_DAMAGED ? STATUS_OK : status;
}

enum status
repair_check(const struct repair_target *target, bool *is_whole, const char **problem)
{
	struct stat info;
	struct db *db;
	*is_whole = false;
	if (salvage_is_cut_off(target->path))
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
				   "%s is missing, for a repair was cut off: it is beside it as "
				   "*.malformed-*, and the next repair begins with putting it back",
				   target->path);
	if (stat(target->path, &info) == -1 || info.st_size == 0)
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
				   "%s is missing or empty: put it back, or run edgereplay "
				   "accept-loss",
				   target->path);
	enum status status = db_open(target->path, DB_READ, &db, problem);
	if (status != STATUS_OK)
		return status == STATUS_LOG_DAMAGED ? STATUS_OK : status;
	*problem = problem_format("%s cannot be read: the log has the reason", target->path);
	status = repair_check_file(db, is_whole);
	*is_whole = *is_whole && has_versions(target->path);
	if (status == STATUS_OK && *is_whole)
		status = check_identity(db, target, is_whole);
	if (status == STATUS_OK && *is_whole)
		status = check_in_place(db, target, is_whole);
	db_close(db);
	return status;
}
