#include "store/salvage_work.h"

#define COLUMNS "seq, device, ts, link, type, payload"
#define OF_ROW "SELECT " COLUMNS " FROM actions WHERE log = ?1 AND seq = ?2"

/* How well a row fits a position. Of two histories that is the log's which leads to the stored head; of a
 * row whose link is right, the next one says so, and the one before tells whether its content is. */
#define IS_HEAD 8
#define FITS_BEHIND 4
#define FITS_BEFORE 2
#define IS_THERE 1

enum status
salvage_prepare(struct salvage *salvage)
{
	const struct {
		struct statement **statement;
		const char *sql;
	} statements[] = {
		{&salvage->log, "SELECT name, seq, link FROM logs WHERE id = ?1"},
		{&salvage->row, OF_ROW},
		{&salvage->stood, OF_ROW},
		{&salvage->spare, "SELECT " COLUMNS ", old FROM spare WHERE rowid = ?1"},
		{&salvage->row_to_spare,
		 "INSERT INTO spare SELECT *, 0 FROM actions WHERE log = ?1 AND seq = ?2"},
		{&salvage->drop_row, "DELETE FROM actions WHERE log = ?1 AND seq = ?2"},
		{&salvage->spare_to_row,
		 "INSERT OR IGNORE INTO actions SELECT ?1, ?2, device, ts, link, type, payload"
		 " FROM spare WHERE rowid = ?3"},
		{&salvage->drop_spare, "DELETE FROM spare WHERE rowid = ?1"},
		{&salvage->by_stamp, "SELECT actions.seq FROM actions JOIN spare USING (device, ts)"
				     " WHERE actions.log = ?1 AND spare.rowid = ?2"},
	};
	enum status status = repair_batches_prepare(&salvage->batches, salvage->to);
	for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]) && status == STATUS_OK;
	     i++)
		status = db_prepare(salvage->to, statements[i].sql, statements[i].statement);
	return status;
}

bool
salvage_chains(const struct hash *before, const struct removed *removed)
{
	struct hash digest, link;
	chain_digest(&removed->action, &digest);
	chain_link(before, &digest, &link);
	return hash_equal(&link, &removed->link);
}

/* --- weighing --- */

/* What is known about a position without what stands there. */
struct place {
	uint64_t log, seq;
	bool has_log, has_before;
	struct hash before; /* the link of the position before */
	struct position head;
};

static enum status
look_at_log(struct salvage *salvage, struct place *place)
{
	statement_bind_u64(salvage->log, 1, place->log);
	const enum step step = statement_step(salvage->log);
	place->has_log = step == STEP_ROW;
	if (place->has_log) {
		chain_genesis(statement_text(salvage->log, 0), &place->before);
		place->head.seq = statement_u64(salvage->log, 1);
		place->has_before = place->seq == 1;
		if (!statement_hash(salvage->log, 2, &place->head.link))
			place->head.seq = 0;
	}
	statement_reset(salvage->log);
	return place->has_log ? STATUS_OK : repair_step(step);
}

/* The texts live until salvage->row is reset. */
static enum status
find_row(struct salvage *salvage, uint64_t log, uint64_t seq, struct removed *row, bool *found)
{
	statement_bind_u64(salvage->row, 1, log);
	statement_bind_u64(salvage->row, 2, seq);
	const enum step step = statement_step(salvage->row);
	*found = step == STEP_ROW && repair_read(salvage->row, row);
	return step == STEP_ROW ? STATUS_OK : repair_step(step);
}

static enum status
look_at_place(struct salvage *salvage, struct place *place)
{
	struct removed before;
	enum status status = look_at_log(salvage, place);
	if (status != STATUS_OK || !place->has_log || place->seq == 1)
		return status;
	status = find_row(salvage, place->log, place->seq - 1, &before, &place->has_before);
	if (place->has_before)
		place->before = before.link;
	statement_reset(salvage->row);
	return status;
}

/* Weighs what a statement is at, and resets it. */
static enum status
weigh(struct salvage *salvage, const struct place *place, struct statement *at, unsigned *weight)
{
	struct removed row, next;
	enum status status = STATUS_OK;
	bool found = false;
	const enum step step = statement_step(at);
	*weight = step == STEP_ROW ? IS_THERE : 0;
	if (step == STEP_ROW && repair_read(at, &row)) {
		if (place->has_before && salvage_chains(&place->before, &row))
			*weight += FITS_BEFORE;
		status = find_row(salvage, place->log, place->seq + 1, &next, &found);
		if (found && salvage_chains(&row.link, &next))
			*weight += FITS_BEHIND;
		if (place->head.seq == place->seq && hash_equal(&place->head.link, &row.link))
			*weight += IS_HEAD;
		statement_reset(salvage->row);
	}
	statement_reset(at);
	return step == STEP_ROW ? status : repair_step(step);
}

static enum status
weigh_row(struct salvage *salvage, const struct place *place, unsigned *weight)
{
	statement_bind_u64(salvage->stood, 1, place->log);
	statement_bind_u64(salvage->stood, 2, place->seq);
	return weigh(salvage, place, salvage->stood, weight);
}

static enum status
weigh_spare(struct salvage *salvage, const struct place *place, uint64_t rowid, unsigned *weight,
	    bool *is_old)
{
	statement_bind_u64(salvage->spare, 1, rowid);
	const enum step step = statement_step(salvage->spare);
	*is_old = step == STEP_ROW && statement_u64(salvage->spare, 6) != 0;
	statement_reset(salvage->spare);
	if (step != STEP_ROW)
		return repair_step(step);
	statement_bind_u64(salvage->spare, 1, rowid);
	return weigh(salvage, place, salvage->spare, weight);
}

/* What a free page holds may be a history that was cut off: it fills a gap only from its far end. */
static bool
may_be_put(const struct place *place, bool is_old, unsigned of_spare, unsigned of_row)
{
	if (is_old || of_row == 0)
		return of_spare >= FITS_BEHIND ||
		       (!is_old && of_spare >= FITS_BEFORE && place->seq <= place->head.seq);
	return true;
}

/* --- changing places --- */

static enum status
run_at(struct statement *statement, uint64_t log, uint64_t seq)
{
	statement_bind_u64(statement, 1, log);
	statement_bind_u64(statement, 2, seq);
	return repair_run(statement);
}

static enum status
lay_aside(struct salvage *salvage, uint64_t log, uint64_t seq)
{
	const enum status status = run_at(salvage->row_to_spare, log, seq);
	return status == STATUS_OK ? run_at(salvage->drop_row, log, seq) : status;
}

static enum status
put(struct salvage *salvage, const struct place *place, uint64_t rowid, bool *done)
{
	statement_bind_u64(salvage->spare_to_row, 3, rowid);
	enum status status = run_at(salvage->spare_to_row, place->log, place->seq);
	*done = status == STATUS_OK && db_changes(salvage->to) > 0;
	if (!*done)
		return status;
	statement_bind_u64(salvage->drop_spare, 1, rowid);
	return repair_run(salvage->drop_spare);
}

/* Another row of the log has its stamp, which is that of a row that chains: the other's has rotted. */
static enum status
lay_thief_aside(struct salvage *salvage, const struct place *place, uint64_t rowid,
		unsigned of_spare)
{
	statement_bind_u64(salvage->by_stamp, 1, place->log);
	statement_bind_u64(salvage->by_stamp, 2, rowid);
	const enum step step = statement_step(salvage->by_stamp);
	struct place thief = {.log = place->log};
	if (step == STEP_ROW)
		thief.seq = statement_u64(salvage->by_stamp, 0);
	statement_reset(salvage->by_stamp);
	if (step != STEP_ROW)
		return repair_step(step);
	unsigned weight = 0;
	enum status status = look_at_place(salvage, &thief);
	if (status == STATUS_OK)
		status = weigh_row(salvage, &thief, &weight);
	return status == STATUS_OK && weight < of_spare ? lay_aside(salvage, thief.log, thief.seq)
							: status;
}

enum status
salvage_try(struct salvage *salvage, uint64_t rowid, uint64_t log, uint64_t seq)
{
	struct place place = {.log = log, .seq = seq};
	unsigned of_spare = 0, of_row = 0;
	bool done = false, is_old = false;
	if (seq == 0 || seq > SEQ_MAX)
		return STATUS_OK;
	enum status status = look_at_place(salvage, &place);
	if (status == STATUS_OK)
		status = weigh_spare(salvage, &place, rowid, &of_spare, &is_old);
	if (status == STATUS_OK)
		status = weigh_row(salvage, &place, &of_row);
	if (status != STATUS_OK || of_spare <= of_row ||
	    !may_be_put(&place, is_old, of_spare, of_row))
		return status;
	status = lay_aside(salvage, log, seq);
	if (status == STATUS_OK)
		status = put(salvage, &place, rowid, &done);
	if (status == STATUS_OK && !done)
		status = lay_thief_aside(salvage, &place, rowid, of_spare);
	return status == STATUS_OK && !done ? put(salvage, &place, rowid, &done) : status;
}

/* What is spare, one after the other, and what it can take the place of. */
static enum status
try_all(struct salvage *salvage, const char *sql, uint64_t log)
{
	struct statement *next;
	uint64_t seq = log, rowid = log;
	enum status status = db_prepare(salvage->to, sql, &next);
	while (status == STATUS_OK) {
		statement_bind_u64(next, 1, log);
		statement_bind_u64(next, 2, seq);
		statement_bind_u64(next, 3, rowid);
		const enum step step = statement_step(next);
		log = statement_u64(next, 0);
		seq = statement_u64(next, 1);
		rowid = statement_u64(next, 2);
		statement_reset(next);
		if (step != STEP_ROW)
			return repair_step(step);
		status = salvage_try(salvage, rowid, log, seq);
	}
	return status;
}

enum status
salvage_settle_rows(struct salvage *salvage)
{
	static const char *const orphans[] = {
		"INSERT INTO spare SELECT *, 0 FROM actions WHERE log NOT IN (SELECT id FROM logs)",
		"DELETE FROM actions WHERE log NOT IN (SELECT id FROM logs)",
		"DELETE FROM batches WHERE log NOT IN (SELECT id FROM logs)",
	};
	enum status status = STATUS_OK;
	for (size_t i = 0; i < sizeof(orphans) / sizeof(orphans[0]) && status == STATUS_OK; i++)
		status = db_run(salvage->to, orphans[i]);
	/* From a log's end down: what leads there. Then up: what else chains from there. */
	if (status == STATUS_OK)
		status = try_all(salvage,
				 "SELECT log, seq, rowid FROM spare"
				 " WHERE log > 0 AND (log, seq, rowid) < (?1, ?2, ?3)"
				 " ORDER BY log DESC, seq DESC, rowid DESC LIMIT 1",
				 INT64_MAX);
	return status == STATUS_OK ? try_all(salvage,
					     "SELECT log, seq, rowid FROM spare"
					     " WHERE log > 0 AND (log, seq, rowid) > (?1, ?2, ?3)"
					     " ORDER BY log, seq, rowid LIMIT 1",
					     0)
				   : status;
}

/* --- heads --- */

/* From a head that is a row's as far as rows chain: it may be older than they are. */
static enum status
follow(struct salvage *salvage, uint64_t log, struct position *head)
{
	enum status status = STATUS_OK;
	bool found = true;
	while (status == STATUS_OK && found) {
		struct removed row;
		status = find_row(salvage, log, head->seq + 1, &row, &found);
		found = found && salvage_chains(&head->link, &row);
		if (found)
			*head = (struct position){row.seq, row.link};
		statement_reset(salvage->row);
	}
	return status;
}

/* Where the head is not that of a row, for one of them has rotted, the log ends with its newest row; or
 * where it is said to, when its last rows are lost. */
static enum status
settle_head(struct salvage *salvage, uint64_t log, uint64_t top, struct statement *beyond[3])
{
	struct place place = {.log = log, .seq = 1};
	struct removed row = {0};
	bool found = false;
	enum status status = look_at_log(salvage, &place);
	struct position *head = &place.head;
	if (status == STATUS_OK)
		status = find_row(salvage, log, head->seq, &row, &found);
	const bool is_row = found && hash_equal(&row.link, &head->link);
	statement_reset(salvage->row);
	if (status == STATUS_OK && is_row)
		status = follow(salvage, log, head);
	if (status == STATUS_OK && !is_row && head->seq <= top && top > 0) {
		status = find_row(salvage, log, top, &row, &found);
		*head = (struct position){top, row.link};
		statement_reset(salvage->row);
	}
	for (size_t i = 0; i < 3 && status == STATUS_OK; i++) {
		statement_bind_u64(beyond[i], 1, log);
		statement_bind_u64(beyond[i], 2, head->seq);
		if (i == 2)
			statement_bind_hash(beyond[i], 3, &head->link);
		status = repair_run(beyond[i]);
	}
	return status == STATUS_OK ? repair_batches_cover(&salvage->batches, log, head->seq)
				   : status;
}

enum status
salvage_settle_heads(struct salvage *salvage)
{
	struct statement *next, *beyond[3];
	static const char *const sentences[3] = {
		"INSERT INTO spare SELECT *, 0 FROM actions WHERE log = ?1 AND seq > ?2",
		"DELETE FROM actions WHERE log = ?1 AND seq > ?2",
		"UPDATE logs SET seq = ?2, link = ?3 WHERE id = ?1",
	};
	uint64_t log = 0;
	enum step step = STEP_ROW;
	enum status status =
		db_prepare(salvage->to,
			   "SELECT id, (SELECT ifnull(max(seq), 0) FROM actions WHERE log = id)"
			   " FROM logs WHERE id > ?1 ORDER BY id LIMIT 1",
			   &next);
	for (size_t i = 0; i < 3 && status == STATUS_OK; i++)
		status = db_prepare(salvage->to, sentences[i], &beyond[i]);
	while (status == STATUS_OK) {
		statement_bind_u64(next, 1, log);
		step = statement_step(next);
		log = statement_u64(next, 0);
		const uint64_t top = statement_u64(next, 1);
		statement_reset(next);
		if (step != STEP_ROW)
			return repair_step(step);
		status = settle_head(salvage, log, top, beyond);
	}
	return status;
}
