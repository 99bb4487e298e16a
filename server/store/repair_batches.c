#include "store/repair_batches.h"

#include "store/repair_work.h"

struct stored_batch {
	uint64_t seq, last, received_at; /* seq 0: there is none */
};

enum status
repair_batches_prepare(struct repair_batches *batches, struct db *db)
{
	const struct {
		struct statement **statement;
		const char *sql;
	} statements[] = {
		{&batches->cut, "DELETE FROM batches WHERE log = ?1 AND seq > ?2"},
		{&batches->received, "SELECT 1 FROM logs WHERE id = ?1 AND received_at <> ?2"},
		{&batches->next, "SELECT seq, last, received_at FROM batches"
				 " WHERE log = ?1 AND seq > ?2 ORDER BY seq LIMIT 1"},
		{&batches->insert, "INSERT INTO batches VALUES (?1, ?2, ?3, ?4, '')"},
		{&batches->update, "UPDATE batches SET last = ?3, received_at = ?4"
				   " WHERE log = ?1 AND seq = ?2"},
		{&batches->receive, "UPDATE logs SET received_at = ?2"
				    " WHERE id = ?1 AND received_at <> ?2"},
	};
	enum status status = STATUS_OK;
	for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]) && status == STATUS_OK;
	     i++)
		status = db_prepare(db, statements[i].sql, statements[i].statement);
	return status;
}

static enum status
read_next(struct repair_batches *batches, uint64_t log, uint64_t after, struct stored_batch *next)
{
	*next = (struct stored_batch){0};
	statement_bind_u64(batches->next, 1, log);
	statement_bind_u64(batches->next, 2, after);
	const enum step step = statement_step(batches->next);
	if (step == STEP_ROW)
		*next = (struct stored_batch){.seq = statement_u64(batches->next, 0),
					      .last = statement_u64(batches->next, 1),
					      .received_at = statement_u64(batches->next, 2)};
	statement_reset(batches->next);
	return step == STEP_ROW ? STATUS_OK : repair_step(step);
}

static enum status
put(struct repair_batches *batches, struct statement *statement, uint64_t log,
    const struct stored_batch *batch)
{
	batches->changes++;
	if (batches->only_looks)
		return STATUS_OK;
	statement_bind_u64(statement, 1, log);
	statement_bind_u64(statement, 2, batch->seq);
	statement_bind_u64(statement, 3, batch->last);
	statement_bind_u64(statement, 4, batch->received_at);
	return repair_run(statement);
}

/* From the batch before up to a seq. */
static enum status
fill(struct repair_batches *batches, uint64_t log, struct stored_batch *before, uint64_t to)
{
	if (before->last >= to)
		return STATUS_OK;
	*before = (struct stored_batch){before->last + 1, to, before->received_at};
	return put(batches, batches->insert, log, before);
}

/* What a batch must be like between the one before and the next; without a next its end may be
 * beyond the head: the rest is in the journal. */
static struct stored_batch
mend(const struct stored_batch *batch, const struct stored_batch *before,
     const struct stored_batch *next, uint64_t head)
{
	struct stored_batch mended = *batch;
	const uint64_t last = next->seq > 0 ? next->seq - 1 : head;
	if (batch->last < batch->seq || batch->last > SEQ_MAX ||
	    (next->seq > 0 && batch->last > last))
		mended.last = last;
	if (batch->received_at < before->received_at || batch->received_at > TS_MAX)
		mended.received_at = before->received_at;
	return mended;
}

/* The log's row says when its newest batch was received. */
static enum status
receive(struct repair_batches *batches, uint64_t log, uint64_t received_at)
{
	struct statement *statement = batches->only_looks ? batches->received : batches->receive;
	statement_bind_u64(statement, 1, log);
	statement_bind_u64(statement, 2, received_at);
	const enum step step = statement_step(statement);
	statement_reset(statement);
	batches->changes += step == STEP_ROW ? 1 : 0;
	return repair_step(step);
}

static enum status
cover(struct repair_batches *batches, uint64_t log, uint64_t head)
{
	struct stored_batch before = {0}, batch, next;
	enum status status = read_next(batches, log, 0, &batch);
	while (status == STATUS_OK && batch.seq > 0) {
		status = read_next(batches, log, batch.seq, &next);
		if (status == STATUS_OK)
			status = fill(batches, log, &before, batch.seq - 1);
		const struct stored_batch mended = mend(&batch, &before, &next, head);
		if (status == STATUS_OK &&
		    (mended.last != batch.last || mended.received_at != batch.received_at))
			status = put(batches, batches->update, log, &mended);
		batches->changes += batch.seq > head ? 1 : 0;
		before = mended;
		batch = next;
	}
	if (status == STATUS_OK)
		status = fill(batches, log, &before, head);
	return status == STATUS_OK ? receive(batches, log, before.received_at) : status;
}

enum status
repair_batches_cover(struct repair_batches *batches, uint64_t log, uint64_t head)
{
	batches->only_looks = false;
	statement_bind_u64(batches->cut, 1, log);
	statement_bind_u64(batches->cut, 2, head);
	const enum status status = repair_run(batches->cut);
	return status == STATUS_OK ? cover(batches, log, head) : status;
}

enum status
repair_batches_look(struct repair_batches *batches, uint64_t log, uint64_t head, bool *differ)
{
	batches->only_looks = true;
	batches->changes = 0;
	const enum status status = cover(batches, log, head);
	*differ = batches->changes > 0;
	return status;
}
