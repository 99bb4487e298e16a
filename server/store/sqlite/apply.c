#include "store/sqlite/apply.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "store/sqlite/in_place.h"
#include "store/sqlite/slice.h"

/* A slice that a crash cut off comes again. */
#define INSERT_ONCE "INSERT OR IGNORE INTO "

struct apply {
	struct db *db;
	struct tail *tail;
	struct damage *damage;
	struct statement *insert_actions, *insert_batches;
	struct statement *insert_action, *insert_batch, *link, *insert_log, *update_log;
	struct statement *keep;

	/* Where the applying generation stands. */
	struct place at;
	bool row_by_row; /* a row of it was ignored: each is looked at */
	bool by_batch; /* and each batch has a transaction of its own: SQLite met a malformed page */
	bool malformed; /* in this transaction, which can only be rolled back */

	/* The log that the slice is in, and where its head is now. */
	struct tail_log *log;
	const struct tail_batch *head_batch;
	size_t head_action;

	struct slice slice;
};

static enum status
prepare(struct apply *apply)
{
	const struct {
		struct statement **statement;
		const char *sql;
	} statements[] = {
		{&apply->insert_actions,
		 INSERT_ONCE "actions (" SLICE_ACTION_COLUMNS ")"
			     " SELECT " SLICE_ACTION_COLUMNS " FROM " SLICE_ACTIONS},
		{&apply->insert_batches,
		 INSERT_ONCE "batches (" SLICE_BATCH_COLUMNS ")"
			     " SELECT " SLICE_BATCH_COLUMNS " FROM " SLICE_BATCHES},
		{&apply->insert_action, INSERT_ONCE "actions (" SLICE_ACTION_COLUMNS ")"
						    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"},
		{&apply->insert_batch, INSERT_ONCE "batches (" SLICE_BATCH_COLUMNS ")"
						   " VALUES (?1, ?2, ?3, ?4, ?5)"},
		{&apply->link, "SELECT link FROM actions WHERE log = ?1 AND seq = ?2"},
		{&apply->insert_log, "INSERT INTO logs (id, name, seq, link, received_at, bytes)"
				     " VALUES (?1, ?2, ?3, ?4, ?5, ?6)"},
		{&apply->update_log, "UPDATE logs SET seq = ?2, link = ?3, received_at = ?4,"
				     " bytes = ?5 WHERE id = ?1 AND seq < ?2"},
		{&apply->keep, "INSERT OR REPLACE INTO journal (id, record) VALUES (?1, ?2)"},
	};
	enum status status = slice_attach(&apply->slice, apply->db);
	for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]) && status == STATUS_OK;
	     i++)
		status = db_prepare(apply->db, statements[i].sql, statements[i].statement);
	return status;
}

enum status
apply_new(struct db *db, struct tail *tail, struct damage *damage, struct apply **out)
{
	struct apply *apply = calloc(1, sizeof(*apply));
	if (apply == NULL) {
		log_error("store", "out of memory", LOG_STR("file", db_path(db)));
		return STATUS_STORAGE_UNAVAILABLE;
	}
	apply->db = db;
	apply->tail = tail;
	apply->damage = damage;
	/* The db knows it from here on, so it is freed after the db's last statement. */
	*out = apply;
	return prepare(apply);
}

void
apply_free(struct apply *apply)
{
	free(apply);
}

enum status
apply_keep(struct apply *apply, uint64_t id, const uint8_t *record, size_t size)
{
	statement_bind_u64(apply->keep, 1, id);
	statement_bind_blob(apply->keep, 2, record, size);
	return statement_run(apply->keep);
}

static enum status
keep_batch(struct apply *apply, const struct tail_batch *batch)
{
	return apply_keep(apply, batch->journal_id, batch->record, batch->record_size);
}

/* Runs a statement on rows. What rows it meets may be malformed, or not let it: there is another
 * one of that name. */
static enum status
run_on_rows(struct apply *apply, struct statement *statement)
{
	const enum step step = statement_step(statement);
	statement_reset(statement);
	apply->malformed = apply->malformed || step == STEP_DAMAGED;
	return step == STEP_DONE ? STATUS_OK : STATUS_STORAGE_UNAVAILABLE;
}

/* Writes the head of the log that the slice leaves. */
static enum status
write_head(struct apply *apply)
{
	const struct tail_batch *batch = apply->head_batch;
	if (batch == NULL)
		return STATUS_OK;
	struct tail_log *log = apply->log;
	CHECK(log != NULL);
	apply->head_batch = NULL;
	struct statement *statement = log->is_new ? apply->insert_log : apply->update_log;
	int at = 1;
	statement_bind_u64(statement, at++, log->id);
	if (log->is_new)
		statement_bind_text(statement, at++, batch->log_name);
	statement_bind_u64(statement, at++, batch->first_seq + apply->head_action);
	statement_bind_hash(statement, at++, &batch->actions[apply->head_action].link);
	statement_bind_u64(statement, at++, batch->received_at);
	statement_bind_u64(statement, at++,
			   batch->log_bytes - tail_batch_bytes(batch, apply->head_action + 1));
	return run_on_rows(apply, statement);
}

/* A row was ignored: it must be what is there. */
static enum status
compare_ignored(struct apply *apply, uint64_t seq, const struct hash *link)
{
	statement_bind_u64(apply->link, 1, apply->log->id);
	statement_bind_u64(apply->link, 2, seq);
	struct hash here;
	enum step step = statement_step(apply->link);
	enum status status = step_status(step);
	apply->malformed = apply->malformed || step == STEP_DAMAGED;
	if (step == STEP_DAMAGED)
		status = STATUS_STORAGE_UNAVAILABLE;
	if (status == STATUS_OK &&
	    (!statement_hash(apply->link, 0, &here) || !hash_equal(&here, link)))
		status = STATUS_LOG_DAMAGED;
	statement_reset(apply->link);
	return status;
}

static enum status
insert_batch(struct apply *apply, const struct tail_batch *batch)
{
	statement_bind_u64(apply->insert_batch, 1, batch->log->id);
	statement_bind_u64(apply->insert_batch, 2, batch->first_seq);
	statement_bind_u64(apply->insert_batch, 3, tail_batch_last_seq(batch));
	statement_bind_u64(apply->insert_batch, 4, batch->received_at);
	statement_bind_text(apply->insert_batch, 5, batch->writer);
	return run_on_rows(apply, apply->insert_batch);
}

static enum status
insert_action(struct apply *apply, const struct tail_batch *batch, size_t index)
{
	struct action action;
	tail_batch_action(batch, index, &action);
	const struct hash *link = &batch->actions[index].link;
	uint64_t seq = batch->first_seq + index;
	struct statement *insert = apply->insert_action;
	statement_bind_u64(insert, 1, batch->log->id);
	statement_bind_u64(insert, 2, seq);
	statement_bind_text(insert, 3, action.device);
	statement_bind_u64(insert, 4, action.ts);
	statement_bind_hash(insert, 5, link);
	statement_bind_text(insert, 6, action.type);
	statement_bind_text(insert, 7, action.payload);
	enum status status = run_on_rows(apply, insert);
	if (status == STATUS_OK && db_changes(apply->db) == 0)
		status = compare_ignored(apply, seq, link);
	return status;
}

/* The rest of the batch's log stays in the journal. */
static enum status
get_stuck(struct apply *apply, struct tail_batch *batch, size_t index)
{
	if (batch->log->stuck)
		return STATUS_OK;
	batch->log->stuck = true;
	uint64_t seq = batch->first_seq + index - 1;
	struct head good = {.position = {seq, *tail_batch_link(batch, seq)},
			    .received_at = batch->received_at};
	return damage_mark(apply->damage, batch->log_name, &batch->log->genesis, &good,
			   "an acknowledged action does not fit the rows in place");
}

/* Applies up to so many actions of one batch; counts them down. */
static enum status
apply_batch(struct apply *apply, struct tail_batch *batch, size_t *actions_left)
{
	size_t *action = &apply->at.action;
	CHECK(batch->log != NULL);
	if (batch->log->stuck) {
		*action = batch->action_count;
		return keep_batch(apply, batch);
	}
	for (; *action < batch->action_count; --*actions_left) {
		if (*actions_left == 0)
			break;
		enum status status = insert_action(apply, batch, *action);
		if (status == STATUS_LOG_DAMAGED)
			return get_stuck(apply, batch, *action);
		if (status == STATUS_OK && *action == 0)
			status = insert_batch(apply, batch);
		if (status != STATUS_OK)
			return status;
		apply->head_batch = batch;
		apply->head_action = (*action)++;
	}
	return STATUS_OK;
}

/* Writes the head of the log that the slice leaves, if it does. */
static enum status
enter_log(struct apply *apply, struct tail_log *log)
{
	if (apply->log == log)
		return STATUS_OK;
	enum status status = write_head(apply);
	apply->log = log;
	return status;
}

static enum status
apply_row_by_row(struct apply *apply, size_t actions_max)
{
	size_t count;
	struct tail_batch **items = tail_applying(apply->tail, &count);
	enum status status = STATUS_OK;
	size_t actions_left = actions_max;
	while (status == STATUS_OK && apply->at.batch < count && actions_left > 0) {
		struct tail_batch *batch = items[apply->at.batch];
		status = enter_log(apply, batch->log);
		if (status == STATUS_OK)
			status = apply_batch(apply, batch, &actions_left);
		if (apply->at.action == batch->action_count) {
			apply->at = (struct place){apply->at.batch + 1, 0};
			if (apply->by_batch)
				break;
		}
	}
	return status;
}

/* The rows are in: moves on to the end, with the logs' heads. */
static enum status
advance(struct apply *apply, struct place end)
{
	size_t count;
	struct tail_batch **items = tail_applying(apply->tail, &count);
	enum status status = STATUS_OK;
	while (status == STATUS_OK && place_is_before(apply->at, end)) {
		const struct tail_batch *batch = items[apply->at.batch];
		const bool whole = apply->at.batch < end.batch;
		if (batch->log->stuck) {
			status = keep_batch(apply, batch);
		} else {
			status = enter_log(apply, batch->log);
			apply->head_batch = batch;
			apply->head_action = (whole ? batch->action_count : end.action) - 1;
		}
		apply->at = whole ? (struct place){apply->at.batch + 1, 0} : end;
	}
	return status;
}

/* A statement for all rows. *ignored: one of them was not taken, and the transaction is as it was
 * when it began. */
static enum status
apply_at_once(struct apply *apply, size_t actions_max, bool *ignored)
{
	size_t count;
	struct slice *slice = &apply->slice;
	struct tail_batch **items = tail_applying(apply->tail, &count);
	slice_set(slice, items, count, apply->at, actions_max);
	enum status status = run_on_rows(apply, apply->insert_actions);
	*ignored = status == STATUS_OK && db_changes(apply->db) != slice->actions;
	if (*ignored) {
		db_rollback(apply->db);
		return db_begin(apply->db, true);
	}
	if (status == STATUS_OK)
		status = run_on_rows(apply, apply->insert_batches);
	return status == STATUS_OK ? advance(apply, slice->end) : status;
}

static enum status
apply_slice(struct apply *apply, size_t actions_max)
{
	apply->log = NULL;
	enum status status = STATUS_OK;
	if (!apply->row_by_row)
		status = apply_at_once(apply, actions_max, &apply->row_by_row);
	if (status == STATUS_OK && apply->row_by_row)
		status = apply_row_by_row(apply, actions_max);
	return status == STATUS_OK ? write_head(apply) : status;
}

static enum status
run_slice(struct apply *apply, size_t actions_max)
{
	FAIL_POINT(BEFORE_SLICE);
	enum status status = db_begin(apply->db, true);
	if (status == STATUS_OK)
		status = apply_slice(apply, actions_max);
	if (status == STATUS_OK)
		status = in_place_count(apply->db);
	FAIL_POINT(BEFORE_SLICE_COMMIT);
	if (status == STATUS_OK)
		status = db_commit(apply->db);
	FAIL_POINT(AFTER_SLICE_COMMIT);
	if (status != STATUS_OK)
		db_rollback(apply->db);
	return status;
}

/* The logs whose first head has been committed: those of the batches from a place on. */
static void
settle_new(struct apply *apply, struct place begin)
{
	size_t count;
	struct tail_batch **items = tail_applying(apply->tail, &count);
	const size_t end = apply->at.batch + (apply->at.action > 0 ? 1 : 0);
	for (size_t i = begin.batch; i < end; i++) {
		if (!items[i]->log->stuck)
			items[i]->log->is_new = false;
	}
}

/* A malformed page is in the way of the slice from a place on: which batch meets it is found by going on
 * one by one, and that one's log gets stuck. Where the record cannot be kept either, that is a fault. */
static enum status
step_over(struct apply *apply, struct place begin)
{
	size_t count;
	struct tail_batch **items = tail_applying(apply->tail, &count);
	struct tail_batch *batch = items[begin.batch];
	apply->at = begin;
	apply->head_batch = NULL;
	if (!apply->by_batch) {
		apply->row_by_row = apply->by_batch = true;
		return STATUS_OK;
	}
	enum status status = get_stuck(apply, batch, begin.action);
	if (status == STATUS_OK)
		status = db_begin(apply->db, true);
	if (status == STATUS_OK)
		status = keep_batch(apply, batch);
	if (status == STATUS_OK)
		status = in_place_count(apply->db);
	if (status == STATUS_OK)
		status = db_commit(apply->db);
	if (status != STATUS_OK)
		db_rollback(apply->db);
	apply->at = (struct place){begin.batch + 1, 0};
	return status;
}

enum status
apply_step(struct apply *apply, size_t actions_max, struct apply_progress *progress)
{
	size_t count;
	(void)tail_applying(apply->tail, &count);
	CHECK(count > 0 && actions_max > 0);
	if (apply->at.batch == 0 && apply->at.action == 0)
		tail_sort(apply->tail);
	const struct place begin = apply->at;
	apply->malformed = false;
	enum status status = run_slice(apply, actions_max);
	if (status == STATUS_OK)
		settle_new(apply, begin);
	else if (apply->malformed)
		status = step_over(apply, begin);
	if (status != STATUS_OK)
		return status;
	progress->upto = apply->at.batch;
	progress->ended = apply->at.batch == count;
	if (progress->ended) {
		apply->at = (struct place){0};
		apply->row_by_row = apply->by_batch = false;
	}
	return STATUS_OK;
}
