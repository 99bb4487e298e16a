#include "store/shard_stat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/problem.h"
#include "store/companions.h"
#include "store/sqlite/journal.h"
#include "store/sqlite/journal_read.h"
#include "store/sqlite/loss.h"
#include "store/sqlite/shard_file.h"

struct looking {
	const struct shard_stat_order *order;
	struct shard_stat *stat;
	struct db *db;
	struct in_place in_place;
};

static uint64_t
size_of(const char *path)
{
	struct stat stat_of;
	return stat(path, &stat_of) == 0 ? (uint64_t)stat_of.st_size : 0;
}

static enum status
look_at_pages(const struct looking *looking)
{
	struct shard_stat *stat = looking->stat;
	const struct {
		const char *sql;
		uint64_t *value;
	} questions[] = {
		{"PRAGMA user_version", &stat->schema},
		{"PRAGMA page_size", &stat->page_bytes},
		{"PRAGMA page_count", &stat->pages},
		{"PRAGMA freelist_count", &stat->free_pages},
		{"SELECT count(*) FROM journal", &stat->kept_records},
		{"SELECT count(*) FROM logs", &stat->logs},
		{"SELECT ifnull(sum(seq), 0) FROM logs", &stat->actions},
		{"SELECT ifnull(sum(bytes), 0) FROM logs", &stat->action_bytes},
	};
	enum status status = STATUS_OK;
	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]) && status == STATUS_OK; i++)
		status = db_query_u64(looking->db, questions[i].sql, questions[i].value);
	return status;
}

static enum status
look_at_logs(const struct looking *looking)
{
	const struct shard_stat_order *order = looking->order;
	struct statement *logs;
	enum status status = db_prepare(looking->db,
					"SELECT name, seq, bytes, received_at FROM logs"
					" ORDER BY seq DESC, name LIMIT ?1",
					&logs);
	if (status != STATUS_OK)
		return status;
	statement_bind_u64(logs, 1, order->logs_max);
	enum step step = statement_step(logs);
	for (; step == STEP_ROW; step = statement_step(logs))
		order->visit(order->cookie, statement_text(logs, 0), statement_u64(logs, 1),
			     statement_u64(logs, 2), statement_u64(logs, 3));
	statement_reset(logs);
	return step == STEP_DONE ? STATUS_OK : step_status(step);
}

static enum status
count_entry(void *cookie, const struct journal_entry *entry)
{
	struct shard_stat *stat = cookie;
	struct record record;
	stat->waiting_records++;
	if (entry->id > stat->commits)
		stat->commits = entry->id;
	if (entry->rotten || !journal_decode(entry->bytes, entry->size, &record))
		stat->rotten_records++;
	else
		stat->waiting_actions += record.action_count;
	return STATUS_OK;
}

static void
refuse(struct shard_stat *stat, const char *why)
{
	if (stat->refusal[0] == '\0')
		(void)snprintf(stat->refusal, sizeof(stat->refusal), "%s", why);
}

/* A file that is not as it should be is a finding, not a failure. */
static void
look_at_anchor(struct looking *looking, struct journal_file files[2])
{
	const struct audit_target *target = &looking->order->target;
	struct shard_stat *stat = looking->stat;
	struct anchor anchor = {.fd = -1};
	struct loss loss;
	const char *problem = "out of memory";
	char *path = anchor_path(target->path);
	if (path == NULL || anchor_open(&anchor, path, target->id, false, &problem) != STATUS_OK)
		refuse(stat, problem);
	free(path);
	stat->anchor.is_readable = anchor.fd != -1;
	stat->anchor.commits = anchor.last;
	stat->anchor.transactions = anchor.filed;
	stat->anchor.file_bytes = anchor.size;
	if (loss_look(looking->db, files, &anchor, &loss) != STATUS_OK)
		refuse(stat, "the file and its journal cannot be compared with the anchor");
	else if (loss.kind != LOSS_NONE)
		refuse(stat, loss_sentence(&loss, target->path));
	anchor_close(&anchor);
}

static enum status
look_at_journal(struct looking *looking)
{
	const struct audit_target *target = &looking->order->target;
	struct shard_stat *stat = looking->stat;
	struct journal_file files[2] = {{.fd = -1}, {.fd = -1}};
	bool opened = true;
	for (unsigned which = 0; which < 2 && opened; which++) {
		const char *problem = "out of memory";
		char *path = journal_file_path(target->path, which);
		opened = path != NULL && journal_file_open(&files[which], path, target->id, false,
							   &problem) == STATUS_OK;
		if (path != NULL)
			stat->journal_bytes += size_of(path);
		if (!opened)
			refuse(stat, problem);
		free(path);
	}
	enum status status = STATUS_OK;
	if (opened)
		status = journal_files_read(files, looking->in_place.generation, count_entry, stat);
	if (opened && status == STATUS_OK)
		look_at_anchor(looking, files);
	journal_file_close(&files[0]);
	journal_file_close(&files[1]);
	return status;
}

static enum status
look(struct looking *looking, const char **problem)
{
	const struct audit_target *target = &looking->order->target;
	struct shard_identity identity = {.number = target->shard, .shards = target->shards};
	memcpy(identity.id, target->id, SHARD_ID_SIZE);
	enum status status = shard_file_open_read(target->path, &identity, &looking->db, problem);
	if (status != STATUS_OK)
		return status;
	*problem = problem_format("%s cannot be read: edgereplay verify says more", target->path);
	status = db_begin(looking->db, false);
	if (status == STATUS_OK)
		status = in_place_read(looking->db, &looking->in_place);
	looking->stat->commits = looking->in_place.last_id;
	if (status == STATUS_OK)
		status = look_at_pages(looking);
	if (status == STATUS_OK)
		status = look_at_logs(looking);
	if (status == STATUS_OK)
		status = look_at_journal(looking);
	db_rollback(looking->db);
	db_close(looking->db);
	return status;
}

enum status
shard_stat_read(const struct shard_stat_order *order, struct shard_stat *stat, const char **problem)
{
	struct looking looking = {.order = order, .stat = stat};
	struct companions companions;
	*stat = (struct shard_stat){.file_bytes = size_of(order->target.path)};
	if (!companions_note(&companions, order->target.path))
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "%s: the path is too long",
				   order->target.path);
	char *wal = NULL;
	if (asprintf(&wal, "%s-wal", order->target.path) != -1) {
		stat->wal_bytes = size_of(wal);
		free(wal);
	}
	const enum status status = look(&looking, problem);
	companions_restore(&companions);
	return status;
}
