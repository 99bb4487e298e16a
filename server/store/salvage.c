#include "store/salvage.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/problem.h"
#include "store/salvage_place.h"
#include "store/salvage_work.h"
#include "store/sqlite/anchor.h"
#include "store/sqlite/shard_file.h"
#include "store/sqlite/stored_row.h"

/* --- what was not taken --- */

static enum status
give_away(struct salvage *salvage)
{
	const struct salvage_order *order = salvage->order;
	struct statement *select;
	enum status status = db_query_u64(salvage->to,
					  "SELECT count(*) FROM (SELECT log FROM spare"
					  " UNION SELECT log FROM traces)"
					  " WHERE log NOT IN (SELECT id FROM logs)",
					  &salvage->done->unnamed);
	if (status == STATUS_OK)
		status = db_query_u64(salvage->to, "SELECT count(*) FROM spare WHERE old = 0",
				      &salvage->done->removed_live);
	if (status == STATUS_OK)
		status = db_prepare(salvage->to,
				    "SELECT seq, device, ts, link, type, payload, log FROM spare"
				    " ORDER BY log, seq, rowid",
				    &select);
	if (status != STATUS_OK)
		return status;
	enum step step = statement_step(select);
	for (; step == STEP_ROW && status == STATUS_OK; step = statement_step(select)) {
		struct removed removed;
		(void)repair_read(select, &removed);
		removed.log = statement_u64(select, 6);
		status = order->keeper(order->cookie, &removed);
		salvage->done->removed++;
	}
	statement_reset(select);
	if (status == STATUS_OK)
		status = repair_step(step);
	return status == STATUS_OK ? order->sync(order->cookie) : status;
}

/* --- the new file --- */

/* Every action that was read is somewhere, and SQLite finds nothing wrong with the new file. */
static enum status
check(struct salvage *salvage, const char **problem)
{
	struct salvaged *done = salvage->done;
	bool is_whole = false;
	enum status status =
		db_query_u64(salvage->to, "SELECT count(*) FROM actions", &done->actions);
	if (status == STATUS_OK)
		status = repair_check_file(salvage->to, &is_whole);
	if (status == STATUS_OK &&
	    (!is_whole || done->read != done->actions + salvage->same + done->removed))
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
				   "of %" PRIu64 " actions that were read %" PRIu64
				   " are in the new file and %" PRIu64
				   " were taken out: nothing was changed",
				   done->read - salvage->same, done->actions, done->removed);
	return status;
}

static enum status
fill(struct salvage *salvage, const char **problem)
{
	enum status status = db_run(salvage->to, "PRAGMA temp_store = 1");
	if (status == STATUS_OK)
		status = db_run(salvage->to, SALVAGE_TABLES);
	if (status == STATUS_OK)
		status = db_begin(salvage->to, true);
	if (status == STATUS_OK)
		status = salvage_prepare(salvage);
	if (status == STATUS_OK)
		status = salvage_read(salvage);
	if (status == STATUS_OK && salvage->is_foreign)
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
				   "%s is malformed, and another's shard: put back this store's",
				   salvage->order->target.path);
	if (status == STATUS_OK)
		status = salvage_name_logs(salvage);
	if (status == STATUS_OK)
		status = salvage_settle_rows(salvage);
	if (status == STATUS_OK)
		status = salvage_settle_heads(salvage);
	if (status == STATUS_OK)
		status = salvage_read_stamps(salvage);
	if (status == STATUS_OK)
		status = db_run(salvage->to, "UPDATE logs SET bytes = " BYTES_OF_ROWS("logs.id"));
	if (status == STATUS_OK)
		status = salvage_write_in_place(salvage, problem);
	if (status == STATUS_OK)
		status = salvage_suppose_gone(salvage);
	if (status == STATUS_OK)
		status = give_away(salvage);
	if (status == STATUS_OK)
		status = check(salvage, problem);
	return status == STATUS_OK ? db_commit(salvage->to) : status;
}

static enum status
make_file(struct salvage *salvage, const char *made, const char **problem)
{
	const struct repair_target *target = &salvage->order->target;
	struct shard_identity identity = {.number = target->shard, .shards = target->shards};
	bool complete = false;
	memcpy(identity.id, target->id, SHARD_ID_SIZE);
	enum status status = pages_open(&salvage->pages, target->path, problem);
	if (status != STATUS_OK)
		return status;
	cells_init(&salvage->cells, &salvage->pages);
	status = shard_file_open(made, true, &identity, &salvage->to, problem);
	if (status == STATUS_OK) {
		*problem = problem_format("%s cannot be salvaged: the log has the reason",
					  target->path);
		status = fill(salvage, problem);
	}
	if (status == STATUS_OK)
		status = db_checkpoint(salvage->to, CHECKPOINT_TRUNCATE, &complete);
	db_close(salvage->to);
	cells_release(&salvage->cells);
	pages_close(&salvage->pages);
	return complete ? status : STATUS_STORAGE_UNAVAILABLE;
}

/* A shard file does not shrink by itself, and the new one may be smaller. The anchor knows before it takes
 * its place, and of the smaller size: neither of them is refused. */
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
	if (status == STATUS_OK && (uint64_t)info.st_size < anchor.size) {
		anchor_filed(&anchor, anchor.filed, (uint64_t)info.st_size);
		status = anchor_write(&anchor);
	}
	anchor_close(&anchor);
	free(path);
	return status;
}

enum status
salvage_shard(const struct salvage_order *order, struct salvaged *done, const char **problem)
{
	struct salvage salvage = {.order = order, .done = done};
	const char *path = order->target.path;
	char *made;
	*done = (struct salvaged){0};
	*problem = "out of memory";
	if (asprintf(&made, "%s.salvaged", path) == -1)
		return STATUS_STORAGE_UNAVAILABLE;
	salvage_remove(made);
	enum status status = make_file(&salvage, made, problem);
	if (status == STATUS_OK)
		status = salvage_keep_beside(path, &done->kept, problem);
	if (status == STATUS_OK)
		status = tell_anchor(&order->target, made, problem);
	if (status == STATUS_OK)
		status = salvage_take_place(made, path, done->kept, problem);
	salvage_remove(made);
	free(made);
	return status;
}
