#include "store/sqlite/recover.h"

#include "base/check.h"
#include "base/log.h"

/* How a record stands to its log. */
enum standing {
	STANDS_APART,	/* it does not connect */
	STANDS_NEXT,	/* it begins at the log's newest position, or partly lies below it */
	STANDS_IN_PLACE /* all of it is in the rows */
};

static bool
visit_nothing(void *cookie, const struct row *row)
{
	(void)cookie;
	(void)row;
	return true;
}

/* Re-links the rows from before a record to the log's newest, or to the record's last: a record
 * whose rows are rotten is the only good copy. */
static enum status
check_rows(struct recovery *recovery, const struct record *record, const struct log_row *log,
	   uint64_t upto)
{
	struct row_page page = {.upto = upto, .rows_left = UINT64_MAX, .visitor = visit_nothing};
	enum status status = rows_position(recovery->rows, log, record->first_seq - 1, &page.at);
	if (status == STATUS_OK && !hash_equal(&page.at.link, &record->before))
		status = STATUS_LOG_DAMAGED;
	if (status == STATUS_OK)
		status = rows_page(recovery->rows, log, &page);
	if (status == STATUS_OK && page.at.seq == record->first_seq + record->action_count - 1 &&
	    !hash_equal(&page.at.link, &record->last))
		status = STATUS_LOG_DAMAGED;
	return status;
}

/* tail: the log's head in the tail, NULL when none of its records is there. */
static enum status
stand(struct recovery *recovery, const struct record *record, const struct log_row *log,
      const struct head *tail, enum standing *standing)
{
	uint64_t before = record->first_seq - 1, last = before + record->action_count;
	uint64_t in_place = log->head.position.seq;
	const struct position *newest = tail == NULL ? &log->head.position : &tail->position;
	*standing = STANDS_APART;
	if (before == newest->seq && last > in_place) {
		if (hash_equal(&record->before, &newest->link))
			*standing = STANDS_NEXT;
		return STATUS_OK;
	}
	if (before >= in_place || (last > in_place && tail != NULL))
		return STATUS_OK;
	enum status status = check_rows(recovery, record, log, last < in_place ? last : in_place);
	if (status == STATUS_OK)
		*standing = last <= in_place ? STANDS_IN_PLACE : STANDS_NEXT;
	return status == STATUS_LOG_DAMAGED ? STATUS_OK : status;
}

static enum status
keep(struct recovery *recovery, uint64_t id, const struct record *record,
     const struct hash *genesis, struct head *good)
{
	log_error("store", "journal row kept", LOG_STR("file", db_path(recovery->db)),
		  LOG_U64("row", id), LOG_TEXT("log", record == NULL ? TEXT("") : record->log));
	enum status status = apply_keep(recovery->apply, id);
	if (status != STATUS_OK || record == NULL)
		return status;
	return damage_mark(recovery->damage, record->log, genesis, good,
			   "a journal row does not verify or does not connect");
}

static enum status
publish(struct recovery *recovery, uint64_t id, const struct record *record,
	const struct hash *genesis, const struct log_row *log)
{
	struct tail_batch *batch = tail_batch_decode(record);
	uint64_t log_id = log->found ? log->id : recovery->next_log_id++;
	if (batch == NULL || !tail_stage(recovery->tail, batch, genesis, log_id, !log->found)) {
		tail_batch_free(batch);
		log_error("store", "out of memory", LOG_STR("file", db_path(recovery->db)));
		return STATUS_STORAGE_UNAVAILABLE;
	}
	batch->journal_id = id;
	tail_publish(recovery->tail, batch);
	return STATUS_OK;
}

static enum status
forget(struct recovery *recovery, uint64_t id)
{
	statement_bind_u64(recovery->forget, 1, id);
	return statement_run(recovery->forget);
}

static enum status
take_record(struct recovery *recovery, uint64_t id, struct text bytes)
{
	const uint8_t *data = (const uint8_t *)bytes.data;
	struct record record;
	bool verified = journal_decode(data, bytes.size, &record);
	if (!verified && !journal_peek(data, bytes.size, &record))
		return keep(recovery, id, NULL, NULL, NULL);

	struct hash genesis;
	struct log_row log;
	chain_genesis(record.log, &genesis);
	enum status status = rows_log(recovery->rows, record.log, &genesis, &log);
	struct head head = log.head, marked;
	bool in_tail = tail_head(recovery->tail, &genesis, &head);
	enum standing standing = STANDS_APART;
	if (status == STATUS_OK)
		status = stand(recovery, &record, &log, in_tail ? &head : NULL, &standing);
	else if (status == STATUS_LOG_DAMAGED)
		head = (struct head){.position.link = genesis};
	if (status == STATUS_STORAGE_UNAVAILABLE)
		return status;

	bool damaged = damage_find(recovery->damage, &genesis, &marked);
	if (verified && standing == STANDS_IN_PLACE)
		return forget(recovery, id);
	if (verified && standing == STANDS_NEXT && !damaged)
		return publish(recovery, id, &record, &genesis, &log);
	/* Of a rotten record the name may be what rotted: it is believed where it connects. */
	if (!verified && standing == STANDS_APART && !damaged)
		return keep(recovery, id, NULL, NULL, NULL);
	return keep(recovery, id, &record, &genesis, &head);
}

static enum status
apply_all(struct recovery *recovery)
{
	enum status status = STATUS_OK;
	while (status == STATUS_OK &&
	       (tail_is_filling(recovery->tail) || tail_is_applying(recovery->tail)))
		status = apply_step(recovery->apply, recovery->slice_actions);
	return status;
}

/* Takes records up to half a tail, from an id on; *done when there are no more. */
static enum status
take_records(struct recovery *recovery, bool *done)
{
	size_t bytes_max = (tail_bytes_max(recovery->tail) + 1) / 2;
	enum step step = STEP_ROW;
	enum status status = STATUS_OK;
	statement_bind_u64(recovery->select, 1, recovery->next_journal_id);
	while (status == STATUS_OK && tail_bytes(recovery->tail) < bytes_max) {
		step = statement_step(recovery->select);
		if (step != STEP_ROW)
			break;
		uint64_t id = statement_u64(recovery->select, 0);
		status = take_record(recovery, id, statement_text(recovery->select, 1));
		recovery->next_journal_id = id + 1;
	}
	statement_reset(recovery->select);
	*done = step == STEP_DONE;
	if (step == STEP_DAMAGED || step == STEP_FAULT)
		return STATUS_STORAGE_UNAVAILABLE;
	return status;
}

static enum status
take_chunk(struct recovery *recovery, bool *done)
{
	enum status status = db_begin(recovery->db, true);
	if (status == STATUS_OK)
		status = take_records(recovery, done);
	if (status == STATUS_OK)
		status = db_commit(recovery->db);
	if (status != STATUS_OK)
		db_rollback(recovery->db);
	return status;
}

enum status
recover(struct recovery *recovery)
{
	uint64_t rows = 0;
	enum status status = db_prepare(recovery->db,
					"SELECT id, record FROM journal WHERE id >= ?1 ORDER BY id",
					&recovery->select);
	if (status == STATUS_OK)
		status = db_prepare(recovery->db, "DELETE FROM journal WHERE id = ?1",
				    &recovery->forget);
	if (status == STATUS_OK)
		status = db_query_u64(recovery->db, "SELECT count(*) FROM journal", &rows);
	if (status == STATUS_OK)
		status = db_query_u64(recovery->db, "SELECT ifnull(max(id), 0) + 1 FROM logs",
				      &recovery->next_log_id);
	recovery->next_journal_id = 0;
	if (status == STATUS_OK && rows > 0)
		log_info("store", "applying the journal", LOG_STR("file", db_path(recovery->db)),
			 LOG_U64("rows", rows));
	bool done = rows == 0;
	while (status == STATUS_OK && !done) {
		status = take_chunk(recovery, &done);
		if (status == STATUS_OK)
			status = apply_all(recovery);
	}
	if (recovery->next_journal_id == 0)
		recovery->next_journal_id = 1;
	return status;
}
