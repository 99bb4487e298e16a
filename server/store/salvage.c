#include "store/salvage.h"

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
#include "base/log.h"
#include "base/problem.h"
#include "store/sqlite/anchor.h"
#include "store/sqlite/db.h"
#include "store/sqlite/shard_file.h"

/* How far behind what cannot be read is looked for more of the same log. */
#define STRIDE_MAX (UINT64_C(1) << 40)

/* A table, and where its copying stands. The key is its first column, or its first two. */
struct table {
	const char *name;
	const char *select; /* the rows behind ?1, ?2 */
	bool has_two_keys;
	struct statement *from, *to;
	uint64_t first, second; /* the key of the last row */
};

struct salvage {
	struct db *from, *to;
	struct salvaged *done;
	uint64_t logs_max; /* the greatest id */
};

/* Seeks the rows behind a key. */
static enum step
seek(const struct table *table, uint64_t first, uint64_t second)
{
	statement_reset(table->from);
	statement_bind_u64(table->from, 1, first);
	statement_bind_u64(table->from, 2, second);
	return statement_step(table->from);
}

/* Behind a row whose next one cannot be read: the first key from which on they can, as far as strides
 * that double find one. */
static enum step
skip(struct table *table)
{
	uint64_t bad = table->second, good = 0;
	enum step step = STEP_DAMAGED;
	for (uint64_t stride = 1; stride < STRIDE_MAX && step == STEP_DAMAGED; stride *= 2) {
		good = table->second + stride;
		step = seek(table, table->first, good);
		if (step == STEP_DAMAGED)
			bad = good;
	}
	if (step == STEP_DAMAGED || step == STEP_FAULT)
		return step;
	while (bad + 1 < good) {
		const uint64_t middle = bad + (good - bad) / 2;
		if (seek(table, table->first, middle) == STEP_DAMAGED)
			bad = middle;
		else
			good = middle;
	}
	table->second = good;
	return seek(table, table->first, good);
}

/* The same, and if there is none of this log, from the next log on. */
static enum step
step_over(const struct salvage *salvage, struct table *table)
{
	enum step step = skip(table);
	while (step == STEP_DAMAGED && table->has_two_keys && table->first < salvage->logs_max) {
		table->first++;
		table->second = 0;
		step = seek(table, table->first, 0);
		if (step == STEP_DAMAGED)
			step = skip(table);
	}
	return step == STEP_DAMAGED ? STEP_DONE : step;
}

static enum status
copy_row(struct table *table)
{
	const uint64_t first = table->has_two_keys ? statement_u64(table->from, 0) : 0;
	const uint64_t second = statement_u64(table->from, table->has_two_keys ? 1 : 0);
	/* A rotten key does not lead back: each gap is stepped over once. */
	if (first > table->first || (first == table->first && second > table->second)) {
		table->first = first;
		table->second = second;
	}
	statement_bind_row(table->to, table->from);
	/* A row that the new file does not take, for it is of the wrong kind or there already, is rotten. */
	const enum step step = statement_step(table->to);
	statement_reset(table->to);
	return step == STEP_FAULT ? STATUS_STORAGE_UNAVAILABLE : STATUS_OK;
}

static enum status
copy_rows(struct salvage *salvage, struct table *table, uint64_t *rows)
{
	enum status status = STATUS_OK;
	enum step step = seek(table, 0, 0);
	for (*rows = 0; status == STATUS_OK; step = statement_step(table->from)) {
		if (step == STEP_DAMAGED) {
			salvage->done->gaps++;
			step = step_over(salvage, table);
		}
		if (step != STEP_ROW)
			break;
		status = copy_row(table);
		++*rows;
	}
	statement_reset(table->from);
	return step == STEP_FAULT ? STATUS_STORAGE_UNAVAILABLE : status;
}

static enum status
copy_table(struct salvage *salvage, struct table *table, uint64_t *rows)
{
	char insert[128];
	enum status status = db_prepare(salvage->from, table->select, &table->from);
	if (status != STATUS_OK)
		return status;
	int size = snprintf(insert, sizeof(insert), "INSERT OR IGNORE INTO %s VALUES (?1",
			    table->name);
	for (int i = 2; i <= statement_columns(table->from); i++)
		size += snprintf(insert + size, sizeof(insert) - (size_t)size, ", ?%d", i);
	(void)snprintf(insert + size, sizeof(insert) - (size_t)size, ")");
	status = db_prepare(salvage->to, insert, &table->to);
	return status == STATUS_OK ? copy_rows(salvage, table, rows) : status;
}

/* As far as it can be known. */
static uint64_t
find_logs_max(const struct salvage *salvage)
{
	uint64_t of_logs = 0, of_actions = 0;
	if (db_query_u64(salvage->to, "SELECT ifnull(max(id), 0) FROM logs", &of_logs) != STATUS_OK)
		of_logs = 0;
	if (db_query_u64(salvage->from, "SELECT ifnull(max(log), 0) FROM actions", &of_actions) !=
	    STATUS_OK)
		of_actions = 0;
	return of_logs > of_actions ? of_logs : of_actions;
}

static enum status
copy_all(struct salvage *salvage)
{
	struct table tables[] = {
		{.name = "in_place", .select = "SELECT * FROM in_place WHERE ?1 = 0 AND ?2 = 0"},
		{.name = "logs",
		 .select = "SELECT * FROM logs NOT INDEXED WHERE id > ?2 ORDER BY id"},
		{.name = "journal", .select = "SELECT * FROM journal WHERE id > ?2 ORDER BY id"},
		{.name = "batches",
		 .select = "SELECT * FROM batches WHERE (log, seq) > (?1, ?2) ORDER BY log, seq",
		 .has_two_keys = true},
		{.name = "actions",
		 .select = "SELECT * FROM actions NOT INDEXED WHERE (log, seq) > (?1, ?2)"
			   " ORDER BY log, seq",
		 .has_two_keys = true},
	};
	enum status status = db_begin(salvage->to, true);
	if (status == STATUS_OK)
		status = db_run(salvage->to, "DELETE FROM in_place");
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]) && status == STATUS_OK; i++) {
		if (tables[i].has_two_keys)
			salvage->logs_max = find_logs_max(salvage);
		status = copy_table(salvage, &tables[i], &salvage->done->actions);
	}
	return status == STATUS_OK ? db_commit(salvage->to) : status;
}

/* --- files --- */

static void
remove_companions(const char *path)
{
	static const char *const suffixes[] = {"-wal", "-shm"};
	char *companion;
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		if (asprintf(&companion, "%s%s", path, suffixes[i]) == -1)
			continue;
		(void)unlink(companion);
		free(companion);
	}
}

static bool
sync_folder(const char *path)
{
	char *copy = strdup(path);
	const int fd = copy == NULL ? -1 : open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const bool synced = fd != -1 && fsync(fd) == 0;
	if (fd != -1)
		(void)close(fd);
	free(copy);
	return synced;
}

/* A shard file does not shrink by itself, and the new one is smaller. The anchor says so before it takes
 * its place: the old one is not refused for being larger. */
static enum status
tell_anchor(const struct repair_target *target, const char *made, const char **problem)
{
	struct stat info;
	struct anchor anchor;
	char *path = anchor_path(target->path);
	if (path == NULL || stat(made, &info) == -1) {
		free(path);
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "%s: %s", made,
				   strerrordesc_np(errno));
	}
	enum status status = anchor_open(&anchor, path, target->id, true, problem);
	if (status == STATUS_OK) {
		anchor_filed(&anchor, anchor.filed, (uint64_t)info.st_size);
		status = anchor_write(&anchor);
	}
	anchor_close(&anchor);
	free(path);
	return status;
}

/* The old file under another name, then the new one under its own. */
static enum status
take_place(const char *made, const char *path, struct salvaged *done, const char **problem)
{
	if (asprintf(&done->kept, "%s.malformed-%" PRIu64, path, clock_server_msec()) == -1)
		done->kept = NULL;
	if (done->kept == NULL || link(path, done->kept) == -1 || !sync_folder(path))
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
				   "%s cannot be kept under another name: %s", path,
				   strerrordesc_np(errno));
	remove_companions(path);
	if (rename(made, path) == -1 || !sync_folder(path))
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
				   "%s cannot take the place of %s: %s", made, path,
				   strerrordesc_np(errno));
	return STATUS_OK;
}

/* Into a file that nothing has to be behind of. */
static enum status
make_file(struct salvage *salvage, const struct repair_target *target, const char *made,
	  const char **problem)
{
	struct shard_identity identity = {.number = target->shard, .shards = target->shards};
	bool complete = false;
	memcpy(identity.id, target->id, SHARD_ID_SIZE);
	enum status status =
		shard_file_open(target->path, false, &identity, &salvage->from, problem);
	if (status == STATUS_OK)
		status = shard_file_open(made, true, &identity, &salvage->to, problem);
	if (status != STATUS_OK)
		return status;
	*problem = problem_format("%s cannot be copied: the log has the reason", target->path);
	status = db_checkpoint(salvage->from, CHECKPOINT_TRUNCATE, &complete);
	if (status == STATUS_OK && complete)
		status = copy_all(salvage);
	if (status == STATUS_OK && complete)
		status = db_checkpoint(salvage->to, CHECKPOINT_TRUNCATE, &complete);
	return complete ? status : STATUS_STORAGE_UNAVAILABLE;
}

enum status
salvage_shard(const struct repair_target *target, struct salvaged *done, const char **problem)
{
	struct salvage salvage = {.done = done};
	char *made;
	*done = (struct salvaged){0};
	*problem = "out of memory";
	if (asprintf(&made, "%s.salvaged", target->path) == -1)
		return STATUS_STORAGE_UNAVAILABLE;
	(void)unlink(made);
	remove_companions(made);
	enum status status = make_file(&salvage, target, made, problem);
	db_close(salvage.from);
	db_close(salvage.to);
	if (status == STATUS_OK)
		status = tell_anchor(target, made, problem);
	if (status == STATUS_OK)
		status = take_place(made, target->path, done, problem);
	remove_companions(made);
	if (status != STATUS_OK)
		(void)unlink(made);
	free(made);
	return status;
}
