#include "store/offline_gone.h"

#include <string.h>

#include "base/problem.h"
#include "chain/chain.h"
#include "store/companions.h"
#include "store/sqlite/gone.h"
#include "store/sqlite/shard_file.h"

struct looking {
	struct db *db;
	struct companions companions;
};

static enum status
open_file(struct looking *looking, const struct audit_target *target, const char **problem)
{
	struct shard_identity identity = {.number = target->shard, .shards = target->shards};
	memcpy(identity.id, target->id, SHARD_ID_SIZE);
	looking->db = NULL;
	if (!companions_note(&looking->companions, target->path))
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "%s: the path is too long",
				   target->path);
	return shard_file_open_read(target->path, &identity, &looking->db, problem);
}

static enum status
close_file(struct looking *looking, enum status status)
{
	db_close(looking->db);
	companions_restore(&looking->companions);
	return status;
}

static enum status
fail(const struct audit_target *target, enum step step, const char **problem)
{
	return problem_set(problem, step_status(step),
			   "%s cannot be read: edgereplay verify says more", target->path);
}

/* --- erased --- */

#define SEQ_AT 5

/* An entry that does not verify says nothing: the audit names it. */
static enum status
visit_erased(struct statement *logs, erased_visitor *visit, void *cookie)
{
	const struct text log = statement_text(logs, 0);
	struct hash genesis;
	struct gone gone;
	chain_genesis(log, &genesis);
	return log_name_is_valid(log) && gone_take(logs, 1, &genesis, &gone) && gone.erased_at > 0
		       ? visit(cookie, log, gone.cleared >= statement_u64(logs, SEQ_AT))
		       : STATUS_OK;
}

enum status
offline_erased(const struct audit_target *target, erased_visitor *visit, void *cookie,
	       const char **problem)
{
	struct looking looking;
	struct statement *logs;
	enum step step = STEP_FAULT;
	enum status status = open_file(&looking, target, problem);
	if (status != STATUS_OK)
		return close_file(&looking, status);
	if (db_prepare(looking.db,
		       "SELECT name, " GONE_COLUMNS
		       ", seq FROM gone JOIN logs ON logs.id = gone.log"
		       " WHERE erased_at > 0",
		       &logs) == STATUS_OK)
		step = statement_step(logs);
	while (step == STEP_ROW && status == STATUS_OK) {
		status = visit_erased(logs, visit, cookie);
		if (status == STATUS_OK)
			step = statement_step(logs);
	}
	if (status == STATUS_OK && step != STEP_DONE)
		status = fail(target, step, problem);
	return close_file(&looking, status);
}

/* --- redacted --- */

enum status
offline_redacted(const struct audit_target *target, struct text log, uint64_t upto, bool *redacted,
		 const char **problem)
{
	struct looking looking;
	struct statement *rows;
	enum step step = STEP_FAULT;
	enum status status = open_file(&looking, target, problem);
	if (status != STATUS_OK)
		return close_file(&looking, status);
	if (db_prepare(looking.db,
		       "SELECT 1 FROM logs JOIN actions ON actions.log = logs.id"
		       " LEFT JOIN gone ON gone.log = logs.id WHERE logs.name = ?1"
		       " AND actions.seq <= ?2 AND actions.seq > ifnull(gone.pruned, 0)"
		       " AND actions.type = '' LIMIT 1",
		       &rows) == STATUS_OK) {
		statement_bind_text(rows, 1, log);
		statement_bind_u64(rows, 2, upto);
		step = statement_step(rows);
	}
	*redacted = step == STEP_ROW;
	if (step != STEP_ROW && step != STEP_DONE)
		status = fail(target, step, problem);
	return close_file(&looking, status);
}
