#include "store/sqlite/apply.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "store/sqlite/slice.h"

struct apply {
	struct db *db;
	struct tail *tail;
	struct damage *damage;
	struct statement *insert_actions, *insert_batches;
	struct statement *insert_action, *insert_batch, *link, *insert_log, *update_log;
	struct statement *forget;

	/* Where the applying generation stands. */
	struct place at;
	bool row_by_row; /* a row of it was ignored: each is looked at */
	bool ended;	 /* the last slice is written, not yet committed */

	/* Journal rows that stay. */
	uint64_t *kept;
	size_t kept_count, kept_capacity;

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
		{&apply->insert_actions, "INSERT OR IGNORE INTO actions (" SLICE_ACTION_COLUMNS ")"
					 " SELECT " SLICE_ACTION_COLUMNS " FROM " SLICE_ACTIONS},
		{&apply->insert_batches, "INSERT OR IGNORE INTO batches (" SLICE_BATCH_COLUMNS ")"
					 " SELECT " SLICE_BATCH_COLUMNS " FROM " SLICE_BATCHES},
		{&apply->insert_action, "INSERT OR IGNORE INTO actions (" SLICE_ACTION_COLUMNS ")"
					" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"},
		{&apply->insert_batch, "INSERT OR IGNORE INTO batches (" SLICE_BATCH_COLUMNS ")"
				       " VALUES (?1, ?2, ?3, ?4, ?5)"},
		{&apply->link, "SELECT link FROM actions WHERE log = ?1 AND seq = ?2"},
		{&apply->insert_log, "INSERT INTO logs (id, name, seq, link, received_at)"
				     " VALUES (?1, ?2, ?3, ?4, ?5)"},
		{&apply->update_log, "UPDATE logs SET seq = ?2, link = ?3, received_at = ?4"
				     " WHERE id = ?1 AND seq < ?2"},
		{&apply->forget, "DELETE FROM journal WHERE id BETWEEN ?1 AND ?2"},
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
	if (apply != NULL)
		free(apply->kept);
	free(apply);
}

enum status
apply_keep(struct apply *apply, uint64_t journal_id)
{
	if (apply->kept_count == apply->kept_capacity) {
		size_t larger = apply->kept_capacity == 0 ? 16 : 2 * apply->kept_capacity;
		uint64_t *grown = reallocarray(apply->kept, larger, sizeof(*grown));
		if (grown == NULL) {
			log_error("store", "out of memory", LOG_STR("file", db_path(apply->db)));
			return STATUS_STORAGE_UNAVAILABLE;
		}
		apply->kept = grown;
		apply->kept_capacity = larger;
	}
	apply->kept[apply->kept_count++] = journal_id;
	return STATUS_OK;
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
	log->is_new = false;
	return statement_run(statement);
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
	return statement_run(apply->insert_batch);
}

static enum status
insert_action(struct apply *apply, const struct tail_batch *batch, size_t index)
{
	struct action action;
	size_t device;
	tail_batch_action(batch, index, &action, &device);
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
	enum status status = statement_run(insert);
	if (status == STATUS_OK && db_changes(apply->db) == 0)
		status = compare_ignored(apply, seq, link);
	return status;
}

/* The rest of the batch's log stays in the journal. */
static enum status
get_stuck(struct apply *apply, struct tail_batch *batch, size_t index)
{
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
		return apply_keep(apply, batch->journal_id);
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
		if (apply->at.action == batch->action_count)
			apply->at = (struct place){apply->at.batch + 1, 0};
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
			status = apply_keep(apply, batch->journal_id);
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
	enum status status = statement_run(apply->insert_actions);
	*ignored = status == STATUS_OK && db_changes(apply->db) != slice->actions;
	if (*ignored) {
		db_rollback(apply->db);
		return db_begin(apply->db, true);
	}
	if (status == STATUS_OK)
		status = statement_run(apply->insert_batches);
	return status == STATUS_OK ? advance(apply, slice->end) : status;
}

static int
compare_ids(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
	return left < right ? -1 : left > right;
}

/* The generation is in place, but for what is kept: its records are needed no more. */
static enum status
forget_records(struct apply *apply)
{
	uint64_t from, last;
	tail_journal_range(apply->tail, &from, &last);
	if (apply->kept_count > 0)
		qsort(apply->kept, apply->kept_count, sizeof(*apply->kept), compare_ids);
	enum status status = STATUS_OK;
	for (size_t i = 0; i <= apply->kept_count && status == STATUS_OK; i++) {
		bool is_end = i == apply->kept_count || apply->kept[i] > last;
		uint64_t upto = is_end ? last : apply->kept[i] - 1;
		if (!is_end && apply->kept[i] < from)
			continue;
		if (upto >= from) {
			statement_bind_u64(apply->forget, 1, from);
			statement_bind_u64(apply->forget, 2, upto);
			status = statement_run(apply->forget);
		}
		if (is_end)
			break;
		from = apply->kept[i] + 1;
	}
	return status;
}

enum status
apply_slice(struct apply *apply, size_t actions_max)
{
	size_t count;
	(void)tail_applying(apply->tail, &count);
	CHECK(count > 0 && !apply->ended && actions_max > 0);
	apply->log = NULL;
	enum status status = STATUS_OK;
	if (!apply->row_by_row)
		status = apply_at_once(apply, actions_max, &apply->row_by_row);
	if (status == STATUS_OK && apply->row_by_row)
		status = apply_row_by_row(apply, actions_max);
	if (status == STATUS_OK)
		status = write_head(apply);
	if (status == STATUS_OK && apply->at.batch == count) {
		status = forget_records(apply);
		apply->ended = true;
	}
	return status;
}

void
apply_committed(struct apply *apply)
{
	tail_leave(apply->tail, apply->at.batch);
	if (!apply->ended)
		return;
	tail_finish(apply->tail);
	apply->at = (struct place){0};
	apply->row_by_row = false;
	apply->kept_count = 0;
	apply->ended = false;
}

enum status
apply_step(struct apply *apply, size_t actions_max)
{
	if (!tail_is_applying(apply->tail)) {
		if (!tail_is_filling(apply->tail))
			return STATUS_OK;
		tail_freeze(apply->tail);
	}
	/* Lost with the machine, it is done again from the journal, which loses nothing before. */
	enum status status = db_sync_commits(apply->db, false);
	if (status == STATUS_OK)
		status = db_begin(apply->db, true);
	if (status == STATUS_OK)
		status = apply_slice(apply, actions_max);
	if (status == STATUS_OK)
		status = db_commit(apply->db);
	if (status != STATUS_OK) {
		db_rollback(apply->db);
		return status;
	}
	apply_committed(apply);
	return STATUS_OK;
}
