#include "store/repair.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/problem.h"
#include "store/repair_work.h"
#include "store/sqlite/journal.h"
#include "store/sqlite/shard_file.h"
#include "store/sqlite/stored_row.h"

#define ROW "SELECT seq, device, ts, link, type, payload FROM actions"

enum status
repair_step(enum step step)
{
	if (step == STEP_DONE || step == STEP_ROW)
		return STATUS_OK;
	return step == STEP_DAMAGED ? STATUS_LOG_DAMAGED : STATUS_STORAGE_UNAVAILABLE;
}

enum status
repair_run(struct statement *statement)
{
	const enum step step = statement_step(statement);
	statement_reset(statement);
	return repair_step(step);
}

static enum status
run_sql(struct repair *repair, const char *sql)
{
	struct statement *statement;
	const enum status status = db_prepare(repair->db, sql, &statement);
	return status == STATUS_OK ? repair_run(statement) : status;
}

enum status
repair_recover(const struct repair_target *target, const char **problem)
{
	const struct sqlite_options options =
		sqlite_options_of_tool(target->path, target->shard, target->shards, target->id);
	return sqlite_engine_settle(&options, problem);
}

static enum status
prepare(struct repair *repair)
{
	const struct {
		struct statement **statement;
		const char *sql;
	} statements[] = {
		{&repair->rows, ROW " WHERE log = ?1 AND seq > ?2 ORDER BY seq"},
		{&repair->row, ROW " WHERE log = ?1 AND seq = ?2"},
		{&repair->stamp, "SELECT seq FROM actions INDEXED BY actions_stamp"
				 " WHERE log = ?1 AND device = ?2 AND ts = ?3"},
		{&repair->delete, "DELETE FROM actions WHERE log = ?1 AND seq = ?2"},
		{&repair->insert, "INSERT INTO actions (log, seq, device, ts, link, type, payload)"
				  " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"},
		{&repair->set_link, "UPDATE actions SET link = ?3 WHERE log = ?1 AND seq = ?2"},
		{&repair->set_digest, "UPDATE actions SET type = '', payload = ?3"
				      " WHERE log = ?1 AND seq = ?2"},
	};
	enum status status = STATUS_OK;
	for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]) && status == STATUS_OK;
	     i++)
		status = db_prepare(repair->db, statements[i].sql, statements[i].statement);
	return status;
}

enum status
repair_open(const struct repair_target *target, struct text log, struct repair **opened,
	    const char **problem)
{
	struct shard_identity identity = {.number = target->shard, .shards = target->shards};
	memcpy(identity.id, target->id, SHARD_ID_SIZE);
	*opened = NULL;
	*problem = "out of memory";
	struct repair *repair = calloc(1, sizeof(*repair));
	if (repair == NULL)
		return STATUS_STORAGE_UNAVAILABLE;
	memcpy(repair->name_room, log.data, log.size);
	repair->name = (struct text){repair->name_room, log.size};
	chain_genesis(log, &repair->genesis);
	enum status status = shard_file_open(target->path, false, &identity, &repair->db, problem);
	if (status == STATUS_OK) {
		*problem =
			problem_format("%s cannot be read: the log has the reason", target->path);
		status = prepare(repair);
	}
	if (status == STATUS_OK)
		status = repair_batches_prepare(&repair->batches, repair->db);
	if (status == STATUS_OK)
		status = repair_look(repair);
	if (status != STATUS_OK) {
		repair_close(repair);
		return status;
	}
	*opened = repair;
	return STATUS_OK;
}

void
repair_close(struct repair *repair)
{
	struct offer *offer = repair->offers;
	HASH_CLEAR(hh, repair->offers);
	while (offer != NULL) {
		struct offer *next = offer->hh.next;
		while (offer != NULL) {
			struct offer *other = offer->next;
			free(offer);
			offer = other;
		}
		offer = next;
	}
	free(repair->ranges);
	db_close(repair->db);
	free(repair);
}

const struct repair_state *
repair_state(const struct repair *repair)
{
	return &repair->state;
}

/* A row whose stamp has rotted could not be taken out of an index that has the right one, nor a log's
 * row be changed whose name the index has not, nor a log's first batch. */
enum status
repair_begin(struct repair *repair)
{
	enum status status = db_begin(repair->db, true);
	repair->begun = status == STATUS_OK;
	if (status == STATUS_OK)
		status = run_sql(repair, "DROP INDEX actions_stamp");
	if (status == STATUS_OK)
		status = run_sql(repair, "REINDEX logs");
	return status == STATUS_OK ? run_sql(repair, "REINDEX batches_first") : status;
}

enum status
repair_end(struct repair *repair, bool commit)
{
	bool complete = false;
	if (!repair->begun)
		return STATUS_OK;
	repair->begun = false;
	enum status status = STATUS_OK;
	if (commit)
		status = run_sql(repair, "CREATE UNIQUE INDEX actions_stamp"
					 " ON actions (log, device, ts)");
	if (commit && status == STATUS_OK)
		status = db_commit(repair->db);
	if (!commit || status != STATUS_OK)
		db_rollback(repair->db);
	/* It is done. Where this fails it stays in the write-ahead log. */
	if (commit && status == STATUS_OK)
		(void)!db_checkpoint(repair->db, CHECKPOINT_TRUNCATE, &complete);
	return status;
}

/* --- the log's end --- */

/* A log without actions has a row if it is erased, and else none. */
enum status
repair_set_head(struct repair *repair)
{
	const struct position *good = &repair->state.good;
	struct statement *set;
	enum status status = repair_gone_mend(repair);
	if (status != STATUS_OK)
		return status;
	status = db_prepare(repair->db,
			    "INSERT INTO logs (id, name, seq, link, received_at, bytes)"
			    " SELECT ?1, ?2, ?3, ?4, 0, " BYTES_OF_ROWS(
				    "?1") " WHERE ?3 > 0 OR EXISTS (SELECT 1 FROM gone"
					  " WHERE gone.log = ?1 AND erased_at > 0)"
					  " ON CONFLICT (id) DO UPDATE SET name = excluded.name, "
					  "seq = excluded.seq,"
					  " link = excluded.link, bytes = excluded.bytes",
			    &set);
	if (status != STATUS_OK)
		return status;
	statement_bind_u64(set, 1, repair->id);
	statement_bind_text(set, 2, repair->name);
	statement_bind_u64(set, 3, good->seq);
	statement_bind_hash(set, 4, &good->link);
	status = repair_run(set);
	return status == STATUS_OK && good->seq > 0
		       ? repair_batches_cover(&repair->batches, repair->id, good->seq)
		       : status;
}

/* No row is behind it, however the table is looked through. */
static enum status
check_cut(struct repair *repair)
{
	struct statement *left;
	enum status status = db_prepare(
		repair->db,
		"SELECT count(*) FROM actions NOT INDEXED WHERE +log = ?1 AND +seq > ?2", &left);
	if (status != STATUS_OK)
		return status;
	statement_bind_u64(left, 1, repair->id);
	statement_bind_u64(left, 2, repair->state.good.seq);
	const enum step step = statement_step(left);
	const uint64_t count = step == STEP_ROW ? statement_u64(left, 0) : 0;
	statement_reset(left);
	return count > 0 ? STATUS_LOG_DAMAGED : repair_step(step);
}

enum status
repair_cut(struct repair *repair)
{
	static const char *const sentences[] = {
		"DELETE FROM actions WHERE log = ?1 AND seq > ?2",
		"DELETE FROM batches WHERE log = ?1 AND seq > ?2",
		"UPDATE batches SET last = ?2 WHERE log = ?1 AND last > ?2",
		"DELETE FROM states WHERE log = ?1 AND seq > ?2",
		"DELETE FROM logs WHERE id = ?1 AND ?2 = 0",
	};
	enum status status = STATUS_OK;
	for (size_t i = 0; i < sizeof(sentences) / sizeof(sentences[0]) && status == STATUS_OK;
	     i++) {
		struct statement *statement;
		status = db_prepare(repair->db, sentences[i], &statement);
		if (status != STATUS_OK)
			break;
		statement_bind_u64(statement, 1, repair->id);
		statement_bind_u64(statement, 2, repair->state.good.seq);
		status = repair_run(statement);
	}
	return status == STATUS_OK ? check_cut(repair) : status;
}

/* --- kept records --- */

/* Whether a position behind the cut has no row: the record's action is all that there is of it. */
static bool
is_missing(struct repair *repair, uint64_t seq)
{
	if (seq <= repair->state.good.seq || seq > repair->state.last)
		return false;
	statement_bind_u64(repair->row, 1, repair->id);
	statement_bind_u64(repair->row, 2, seq);
	const enum step step = statement_step(repair->row);
	statement_reset(repair->row);
	return step == STEP_DONE;
}

static enum status
keep_record(struct repair *repair, const struct record *record, removed_keeper *keeper,
	    void *cookie)
{
	struct hash link = record->before;
	size_t offset = record->actions_at;
	enum status status = STATUS_OK;
	for (size_t i = 0; i < record->action_count && status == STATUS_OK; i++) {
		struct removed removed = {.seq = record->first_seq + i, .is_good = true};
		struct hash digest;
		size_t device;
		offset = journal_action(record->bytes, offset, &removed.action, &device);
		removed.action.device = record->devices[device];
		chain_digest(&removed.action, &digest);
		chain_link(&link, &digest, &link);
		removed.link = link;
		status = keeper(cookie, &removed);
		if (repair->state.missing > 0 && is_missing(repair, removed.seq))
			repair->state.missing--;
	}
	return status;
}

static enum status
keep_bytes(uint64_t id, struct text bytes, removed_keeper *keeper, void *cookie)
{
	const struct removed removed = {
		.record_id = id, .record = bytes.data, .record_size = bytes.size};
	return keeper(cookie, &removed);
}

enum status
repair_remove_records(struct repair *repair, removed_keeper *keeper, void *cookie)
{
	struct statement *next, *delete;
	enum status status = db_prepare(
		repair->db, "SELECT id, record FROM journal WHERE id > ?1 ORDER BY id LIMIT 1",
		&next);
	if (status == STATUS_OK)
		status = db_prepare(repair->db, "DELETE FROM journal WHERE id = ?1", &delete);
	enum step step = STEP_ROW;
	for (uint64_t id = 0; status == STATUS_OK && step == STEP_ROW;) {
		struct record record;
		bool is_own = false;
		statement_bind_u64(next, 1, id);
		step = statement_step(next);
		if (step == STEP_ROW) {
			const struct text bytes = statement_text(next, 1);
			const uint8_t *data = (const uint8_t *)bytes.data;
			id = statement_u64(next, 0);
			is_own = journal_peek(data, bytes.size, &record) &&
				 text_equal(record.log, repair->name);
			const bool is_good = is_own && journal_decode(data, bytes.size, &record);
			repair->state.removed += is_good ? record.action_count : is_own;
			if (is_good)
				status = keep_record(repair, &record, keeper, cookie);
			else if (is_own)
				status = keep_bytes(id, bytes, keeper, cookie);
		}
		statement_reset(next);
		if (status == STATUS_OK && is_own) {
			statement_bind_u64(delete, 1, id);
			status = repair_run(delete);
		}
	}
	return status == STATUS_OK ? repair_step(step) : status;
}
