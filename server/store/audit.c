#include "store/audit.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/audit_work.h"
#include "store/companions.h"
#include "store/sqlite/shard_file.h"

void
audit_find(struct audit *audit, struct text log, uint64_t seq, const char *what)
{
	const struct audit_finding finding = {
		.path = audit->target->path, .log = log, .seq = seq, .what = what};
	audit->totals->findings++;
	audit->observer->finding(audit->observer->cookie, &finding);
}

/* What SQLite cannot read is a finding; a fault ends the audit. */
enum status
audit_end(struct audit *audit, struct text log, uint64_t seq, enum step step)
{
	if (step == STEP_DONE)
		return STATUS_OK;
	if (step == STEP_DAMAGED) {
		audit_find(audit, log, seq,
			   "the file is malformed: SQLite cannot read on from here");
		return STATUS_OK;
	}
	audit_find(audit, log, seq, "the file cannot be read: SQLite failed, see the log");
	return STATUS_STORAGE_UNAVAILABLE;
}

struct audit_log *
audit_remember(struct audit *audit, struct text name, const struct hash *genesis,
	       const struct position *in_place)
{
	struct audit_log *log = calloc(1, sizeof(*log) + name.size);
	if (log == NULL)
		return NULL;
	log->genesis = *genesis;
	log->in_place = log->newest = *in_place;
	log->name_size = name.size;
	memcpy(log->name, name.data, name.size);
	HASH_ADD(hh, audit->logs, genesis, sizeof(log->genesis), log);
	if (log->hh.tbl == NULL) {
		free(log);
		return NULL;
	}
	return log;
}

/* Rows of no log, and what SQLite itself finds. Each statement gives sentences. */
static enum status
check_file(struct audit *audit)
{
	static const char *const queries[] = {
		"SELECT 'actions of log ' || log || ', which is not there' FROM actions"
		" WHERE log NOT IN (SELECT id FROM logs) GROUP BY log LIMIT 100",
		"SELECT 'batches of log ' || log || ', which is not there' FROM batches"
		" WHERE log NOT IN (SELECT id FROM logs) GROUP BY log LIMIT 100",
		"SELECT 'something is gone of log ' || log || ', which is not there' FROM gone"
		" WHERE log NOT IN (SELECT id FROM logs) LIMIT 100",
		"PRAGMA integrity_check(100)",
	};
	for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
		struct statement *query;
		if (db_prepare(audit->db, queries[i], &query) != STATUS_OK)
			return audit_end(audit, TEXT(""), 0, STEP_FAULT);
		enum step step = statement_step(query);
		for (; step == STEP_ROW; step = statement_step(query)) {
			const struct text text = statement_text(query, 0);
			char what[AUDIT_WHAT_SIZE];
			(void)snprintf(what, sizeof(what), "%.*s", (int)text.size, text.data);
			if (!text_equal(text, TEXT("ok")))
				audit_find(audit, TEXT(""), 0, what);
		}
		statement_reset(query);
		const enum status status = audit_end(audit, TEXT(""), 0, step);
		if (status != STATUS_OK)
			return status;
	}
	return STATUS_OK;
}

static enum status
audit_open(struct audit *audit)
{
	const struct audit_target *target = audit->target;
	struct shard_identity identity = {.number = target->shard, .shards = target->shards};
	memcpy(identity.id, target->id, SHARD_ID_SIZE);
	const char *problem;
	enum status status = shard_file_open_read(target->path, &identity, &audit->db, &problem);
	if (status == STATUS_STORAGE_UNAVAILABLE)
		log_error("store", "a shard cannot be audited", LOG_STR("problem", problem));
	else if (status != STATUS_OK)
		audit_find(audit, TEXT(""), 0, problem);
	if (status != STATUS_OK)
		return status;
	const struct {
		struct statement **statement;
		const char *sql;
	} statements[] = {
		{&audit->actions, "SELECT seq, device, ts, link, type, payload FROM actions"
				  " WHERE log = ?1 ORDER BY seq"},
		{&audit->batches,
		 "SELECT seq, last, received_at FROM batches WHERE log = ?1 ORDER BY seq"},
		{&audit->stamps,
		 "SELECT count(*) FROM actions INDEXED BY actions_stamp WHERE log = ?1"},
		{&audit->link, "SELECT link FROM actions WHERE log = ?1 AND seq = ?2"},
	};
	for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++) {
		status = db_prepare(audit->db, statements[i].sql, statements[i].statement);
		if (status != STATUS_OK)
			return audit_end(audit, TEXT(""), 0, STEP_FAULT);
	}
	return db_begin(audit->db, false) == STATUS_OK ? STATUS_OK
						       : audit_end(audit, TEXT(""), 0, STEP_FAULT);
}

enum status
audit_shard(const struct audit_target *target, const struct audit_observer *observer,
	    struct audit_totals *totals)
{
	struct audit audit = {.target = target, .observer = observer, .totals = totals};
	struct companions companions;
	if (!companions_note(&companions, target->path)) {
		audit_find(&audit, TEXT(""), 0, "the path is too long");
		return STATUS_STORAGE_UNAVAILABLE;
	}
	enum status status = audit_open(&audit);
	if (status == STATUS_OK)
		status = audit_logs(&audit);
	if (status == STATUS_OK && !target->rows_only)
		status = audit_journal(&audit);
	if (status == STATUS_OK)
		status = check_file(&audit);
	struct audit_log *log = audit.logs;
	HASH_CLEAR(hh, audit.logs);
	while (log != NULL) {
		struct audit_log *next = log->hh.next;
		free(log);
		log = next;
	}
	if (audit.db != NULL)
		db_rollback(audit.db);
	db_close(audit.db);
	companions_restore(&companions);
	return status;
}
