#include <stdbool.h>

#include "store/audit_work.h"
#include "store/directory.h"
#include "store/sqlite/gone.h"

#define PROGRESS_EVERY 4096

/* One log while its rows are checked. */
struct log_audit {
	struct text name;
	struct hash genesis;
	uint64_t id;
	struct position head; /* as its row says */
	uint64_t received_at;
	uint64_t bytes, bytes_of_row;
	struct gone gone;
	bool row_reported; /* of rows only the first bad one */
	bool is_unfinished;
	struct position at;
	uint64_t batch_first, batch_last, batch_received_at;
};

static void
bad_row(struct audit *audit, struct log_audit *log, uint64_t seq, const char *what)
{
	if (!log->row_reported)
		audit_find(audit, log->name, seq, what);
	log->row_reported = true;
}

/* What is behind where the removal was cut off is no finding; what is before, it should have taken. */
static void
judge_content(struct audit *audit, struct log_audit *log, uint64_t seq)
{
	const struct audit_finding unfinished = {
		.path = audit->target->path,
		.log = log->name,
		.seq = seq,
		.what = log->gone.erased_at > 0 ? "the erasure was cut off here: the daemon ends "
						  "it when it runs, or "
						  "erase again"
						: "the prune was cut off here: the daemon ends it "
						  "when it runs, or prune "
						  "again"};
	if (log->gone.erased_at == 0 && seq > log->gone.pruned)
		return;
	if (seq <= log->gone.cleared) {
		bad_row(audit, log, seq,
			"the content is there, and should be gone: prune or erase again");
		return;
	}
	if (log->is_unfinished)
		return;
	log->is_unfinished = true;
	audit->totals->unfinished++;
	if (audit->observer->unfinished != NULL)
		audit->observer->unfinished(audit->observer->cookie, &unfinished);
}

static void
progress(struct audit *audit)
{
	if (audit->observer->progress != NULL)
		audit->observer->progress(audit->observer->cookie, audit->actions_done,
					  audit->actions_total);
}

static void
check_action(struct audit *audit, struct log_audit *log, struct statement *row)
{
	const uint64_t seq = statement_u64(row, 0);
	struct action action = {.device = statement_text(row, 1),
				.ts = statement_u64(row, 2),
				.type = statement_text(row, 4),
				.payload = statement_text(row, 5)};
	struct hash link, digest, computed;
	audit->totals->actions++;
	audit->totals->bytes += action.payload.size;
	log->bytes += action_size(&action);
	if (++audit->actions_done % PROGRESS_EVERY == 0)
		progress(audit);
	if (log->row_reported)
		return;
	if (seq != log->at.seq + 1) {
		bad_row(audit, log, log->at.seq + 1, "the row is missing");
		return;
	}
	if (!device_is_valid(action.device) || action.ts == 0 || action.ts > TS_MAX ||
	    !(type_is_valid(action.type) || action_is_redacted(&action))) {
		bad_row(audit, log, seq, "device, ts or type is not what an action may have");
		return;
	}
	chain_digest(&action, &digest);
	chain_link(&log->at.link, &digest, &computed);
	if (!statement_hash(row, 3, &link) || !hash_equal(&link, &computed)) {
		bad_row(audit, log, seq, "the link is not that of the action and the link before");
		return;
	}
	log->at = (struct position){seq, link};
	if (!action_is_redacted(&action))
		judge_content(audit, log, seq);
}

static enum status
check_actions(struct audit *audit, struct log_audit *log, uint64_t *count)
{
	log->at = (struct position){0, log->genesis};
	statement_bind_u64(audit->actions, 1, log->id);
	enum step step = statement_step(audit->actions);
	for (; step == STEP_ROW; step = statement_step(audit->actions)) {
		++*count;
		check_action(audit, log, audit->actions);
	}
	statement_reset(audit->actions);
	enum status status = audit_end(audit, log->name, log->at.seq + 1, step);
	if (step != STEP_DONE)
		log->row_reported = true;
	if (log->row_reported)
		return status;
	if (log->at.seq < log->head.seq)
		bad_row(audit, log, log->at.seq + 1, "the row is missing: the head is beyond it");
	else if (log->at.seq > log->head.seq)
		bad_row(audit, log, log->head.seq + 1, "there are rows beyond the head");
	else if (!hash_equal(&log->at.link, &log->head.link))
		bad_row(audit, log, log->at.seq, "the head is not the link of the newest row");
	else if (log->bytes != log->bytes_of_row)
		bad_row(audit, log, log->at.seq, "the rows have not as many bytes as their log");
	return status;
}

/* Each row must be in the index of stamps, by count; which one is not, the integrity check says. */
static enum status
check_stamps(struct audit *audit, struct log_audit *log, uint64_t count)
{
	statement_bind_u64(audit->stamps, 1, log->id);
	enum step step = statement_step(audit->stamps);
	if (step == STEP_ROW && statement_u64(audit->stamps, 0) != count)
		audit_find(audit, log->name, 0,
			   "the index of stamps has not as many entries as rows");
	statement_reset(audit->stamps);
	return audit_end(audit, log->name, 0, step == STEP_ROW ? STEP_DONE : step);
}

static enum status
check_batches(struct audit *audit, struct log_audit *log)
{
	bool reported = false;
	statement_bind_u64(audit->batches, 1, log->id);
	enum step step = statement_step(audit->batches);
	for (; step == STEP_ROW && !reported; step = statement_step(audit->batches)) {
		const uint64_t first = statement_u64(audit->batches, 0);
		const uint64_t received_at = statement_u64(audit->batches, 2);
		const char *what = NULL;
		if (first != log->batch_last + 1)
			what = "batches do not follow each other";
		else if (first > log->head.seq)
			what = "a batch is beyond the head";
		else if (received_at < log->batch_received_at)
			what = "a batch was received before the one before it";
		if (what != NULL)
			audit_find(audit, log->name, first, what);
		reported = what != NULL;
		log->batch_first = first;
		log->batch_last = statement_u64(audit->batches, 1);
		log->batch_received_at = received_at;
	}
	statement_reset(audit->batches);
	if (reported)
		return STATUS_OK;
	if (step == STEP_DONE && log->batch_last < log->head.seq)
		audit_find(audit, log->name, log->batch_last + 1, "no batch covers the row");
	else if (step == STEP_DONE && log->batch_received_at != log->received_at)
		audit_find(audit, log->name, log->head.seq,
			   "the head was not received when its batch was");
	return audit_end(audit, log->name, log->batch_last + 1, step);
}

static enum status
remember(struct audit *audit, const struct log_audit *log)
{
	struct audit_log *known = audit_remember(audit, log->name, &log->genesis, &log->head);
	if (known == NULL)
		return audit_end(audit, log->name, 0, STEP_FAULT);
	known->id = log->id;
	if (log->batch_last > log->head.seq) {
		known->unfinished_first = log->batch_first;
		known->unfinished_last = log->batch_last;
	}
	return STATUS_OK;
}

static enum status
check_log(struct audit *audit, struct statement *row)
{
	struct log_audit log = {.id = statement_u64(row, 0),
				.name = statement_text(row, 1),
				.head.seq = statement_u64(row, 2),
				.received_at = statement_u64(row, 4),
				.bytes_of_row = statement_u64(row, 5)};
	audit->totals->logs++;
	if (!log_name_is_valid(log.name)) {
		audit_find(audit, log.name, 0, "the log's name is none");
		return STATUS_OK;
	}
	chain_genesis(log.name, &log.genesis);
	if (directory_shard_of(&log.genesis, audit->target->shards) != audit->target->shard)
		audit_find(audit, log.name, 0, "the log belongs in another shard");
	if (!gone_take(row, 6, &log.genesis, &log.gone) || log.gone.pruned > log.head.seq)
		audit_find(audit, log.name, 0, "what is said to be gone of it does not verify");
	/* Without actions there are only such as were not there when they were erased. */
	if (!statement_hash(row, 3, &log.head.link) ||
	    (log.head.seq == 0 && log.gone.erased_at == 0))
		bad_row(audit, &log, log.head.seq, "the head is none");
	uint64_t count = 0;
	enum status status = check_actions(audit, &log, &count);
	if (status == STATUS_OK)
		status = check_stamps(audit, &log, count);
	if (status == STATUS_OK)
		status = check_batches(audit, &log);
	if (status == STATUS_OK)
		status = remember(audit, &log);
	return status;
}

enum status
audit_logs(struct audit *audit)
{
	struct statement *logs;
	if (db_query_u64(audit->db, "SELECT ifnull(sum(seq), 0) FROM logs",
			 &audit->actions_total) != STATUS_OK ||
	    db_prepare(audit->db,
		       "SELECT id, name, seq, link, received_at, bytes, " GONE_COLUMNS
		       " FROM logs LEFT JOIN gone ON gone.log = logs.id ORDER BY id",
		       &logs) != STATUS_OK)
		return audit_end(audit, TEXT(""), 0, STEP_FAULT);
	enum status status = STATUS_OK;
	enum step step = statement_step(logs);
	while (status == STATUS_OK && step == STEP_ROW) {
		status = check_log(audit, logs);
		step = statement_step(logs);
	}
	statement_reset(logs);
	progress(audit);
	return status == STATUS_OK ? audit_end(audit, TEXT(""), 0, step) : status;
}
