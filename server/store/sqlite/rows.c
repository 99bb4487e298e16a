#include "store/sqlite/rows.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/sqlite/absent.h"

#define ACTION_COLUMNS "seq, device, ts, link, type, payload"

enum { ROW_SEQ, ROW_DEVICE, ROW_TS, ROW_LINK, ROW_TYPE, ROW_PAYLOAD };

struct rows {
	struct db *db;
	struct statement *log, *pair, *page, *links, *batches, *stamp, *newest, *next, *beyond;
	struct absent absent;
	struct buffer writer; /* of the batch that a page is in */
	uint64_t last;	      /* of that batch */
	uint64_t received_at;
	struct relink relink;
};

static enum status
out_of_memory(const struct db *db)
{
	log_error("store", "out of memory", LOG_STR("file", db_path(db)));
	return STATUS_STORAGE_UNAVAILABLE;
}

enum status
rows_new(struct db *db, struct rows **out)
{
	struct rows *rows = calloc(1, sizeof(*rows));
	if (rows == NULL)
		return out_of_memory(db);
	rows->db = db;
	buffer_init(&rows->writer, UINT16_MAX);
	const struct {
		struct statement **statement;
		const char *sql;
	} statements[] = {
		{&rows->log, "SELECT id, seq, link, received_at FROM logs WHERE name = ?1"},
		{&rows->pair, "SELECT " ACTION_COLUMNS " FROM actions"
			      " WHERE log = ?1 AND seq BETWEEN ?2 - 1 AND ?2 ORDER BY seq"},
		{&rows->page, "SELECT " ACTION_COLUMNS " FROM actions"
			      " WHERE log = ?1 AND seq > ?2 AND seq <= ?3 ORDER BY seq"},
		{&rows->links, "SELECT seq, link FROM actions"
			       " WHERE log = ?1 AND seq <= ?2 ORDER BY seq DESC LIMIT ?3"},
		{&rows->batches, "SELECT last, received_at, writer FROM batches WHERE log = ?1"
				 " AND seq >= ifnull((SELECT max(seq) FROM batches"
				 " WHERE log = ?1 AND seq <= ?2), ?2) ORDER BY seq"},
		{&rows->stamp, "SELECT seq, ts FROM actions INDEXED BY actions_stamp"
			       " WHERE log = ?1 AND device = ?2 AND ts = ?3"},
		{&rows->newest, "SELECT seq, ts FROM actions INDEXED BY actions_stamp"
				" WHERE log = ?1 AND device = ?2 ORDER BY ts DESC LIMIT 1"},
		{&rows->next, "SELECT id, name FROM logs WHERE id > ?1 ORDER BY id LIMIT 1"},
		{&rows->beyond, "SELECT 1 FROM actions WHERE log = ?1 AND seq > ?2 LIMIT 1"},
	};
	enum status status = absent_prepare(&rows->absent, db);
	for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]) && status == STATUS_OK;
	     i++)
		status = db_prepare(db, statements[i].sql, statements[i].statement);
	if (status != STATUS_OK) {
		rows_free(rows);
		return status;
	}
	*out = rows;
	return STATUS_OK;
}

void
rows_free(struct rows *rows)
{
	if (rows == NULL)
		return;
	buffer_release(&rows->writer);
	free(rows);
}

struct db *
rows_db(struct rows *rows)
{
	return rows->db;
}

enum status
rows_log(struct rows *rows, struct text name, const struct hash *genesis, struct log_row *log)
{
	*log = (struct log_row){.name = name, .genesis = *genesis, .head.position.link = *genesis};
	statement_bind_text(rows->log, 1, name);
	enum step step = statement_step(rows->log);
	enum status status = step == STEP_DONE ? STATUS_OK : step_status(step);
	if (step == STEP_ROW) {
		log->found = true;
		log->id = statement_u64(rows->log, 0);
		log->head.position.seq = statement_u64(rows->log, 1);
		log->head.received_at = statement_u64(rows->log, 3);
		if (!statement_hash(rows->log, 2, &log->head.position.link) ||
		    log->head.position.seq > SEQ_MAX)
			status = STATUS_LOG_DAMAGED;
	}
	statement_reset(rows->log);
	return status;
}

/* Reads the action of a statement with ACTION_COLUMNS, and its link. */
static bool
read_columns(struct statement *statement, struct row *row)
{
	row->seq = statement_u64(statement, ROW_SEQ);
	row->action.device = statement_text(statement, ROW_DEVICE);
	row->action.ts = statement_u64(statement, ROW_TS);
	row->action.type = statement_text(statement, ROW_TYPE);
	row->action.payload = statement_text(statement, ROW_PAYLOAD);
	/* Sizes that no preimage can hold would be a bug in chain_digest, and rot here. */
	return statement_hash(statement, ROW_LINK, &row->link) &&
	       row->action.device.size <= DEVICE_SIZE_MAX && row->action.type.size <= TYPE_SIZE_MAX;
}

/* And its digest. */
static bool
read_action(struct statement *statement, struct row *row)
{
	if (!read_columns(statement, row))
		return false;
	chain_digest(&row->action, &row->digest);
	return true;
}

static bool
follows(const struct hash *previous, const struct row *row)
{
	struct hash link;
	chain_link(previous, &row->digest, &link);
	return hash_equal(&link, &row->link);
}

enum status
rows_check(struct rows *rows, const struct log_row *log, uint64_t seq, struct text device,
	   struct checked_row *checked)
{
	CHECK(seq >= 1);
	struct hash previous = log->genesis;
	struct row row = {0};
	bool good = true;
	statement_bind_u64(rows->pair, 1, log->id);
	statement_bind_u64(rows->pair, 2, seq);
	enum step step = statement_step(rows->pair);
	if (step == STEP_ROW && seq > 1) {
		good = statement_u64(rows->pair, ROW_SEQ) == seq - 1 &&
		       statement_hash(rows->pair, ROW_LINK, &previous);
		step = statement_step(rows->pair);
	}
	enum status status = step_status(step);
	if (status == STATUS_OK) {
		good = good && read_action(rows->pair, &row) && row.seq == seq &&
		       follows(&previous, &row);
		if (!good)
			status = STATUS_LOG_DAMAGED;
	}
	checked->digest = row.digest;
	checked->link = row.link;
	checked->ts = row.action.ts;
	checked->is_of_device = text_equal(row.action.device, device);
	statement_reset(rows->pair);
	return status;
}

enum status
rows_check_head(struct rows *rows, const struct log_row *log)
{
	struct position position;
	if (!log->found)
		return absent_log(&rows->absent, log->name);
	enum status status = rows_position(rows, log, log->head.position.seq, &position);
	if (status == STATUS_OK && !hash_equal(&position.link, &log->head.position.link))
		status = STATUS_LOG_DAMAGED;
	return status;
}

enum status
rows_position(struct rows *rows, const struct log_row *log, uint64_t seq, struct position *position)
{
	position->seq = seq;
	position->link = log->genesis;
	if (seq == 0)
		return STATUS_OK;
	struct checked_row row;
	enum status status = rows_check(rows, log, seq, TEXT(""), &row);
	if (status == STATUS_OK)
		position->link = row.link;
	return status;
}

/* What an index on stamps says must be what the row holds. */
static enum status
check_stamp(struct rows *rows, const struct log_row *log, struct text device, struct taken *taken,
	    uint64_t ts)
{
	if (taken->seq == 0 || taken->seq > log->head.position.seq)
		return STATUS_LOG_DAMAGED;
	struct checked_row row;
	enum status status = rows_check(rows, log, taken->seq, device, &row);
	if (status == STATUS_OK && (row.ts != ts || !row.is_of_device))
		status = STATUS_LOG_DAMAGED;
	taken->digest = row.digest;
	return status;
}

enum status
rows_taken(struct rows *rows, const struct log_row *log, struct text device, uint64_t ts,
	   struct taken *taken)
{
	*taken = (struct taken){0};
	if (!log->found)
		return STATUS_OK;
	statement_bind_u64(rows->stamp, 1, log->id);
	statement_bind_text(rows->stamp, 2, device);
	statement_bind_u64(rows->stamp, 3, ts);
	enum step step = statement_step(rows->stamp);
	if (step == STEP_ROW) {
		taken->found = true;
		taken->seq = statement_u64(rows->stamp, 0);
	}
	statement_reset(rows->stamp);
	if (step == STEP_DONE)
		return absent_stamps(&rows->absent, log->id, device, ts - 1, ts + 1);
	if (step != STEP_ROW)
		return step_status(step);
	return check_stamp(rows, log, device, taken, ts);
}

enum status
rows_newest(struct rows *rows, const struct log_row *log, struct text device, uint64_t *newest,
	    struct taken *taken)
{
	*newest = 0;
	*taken = (struct taken){0};
	if (!log->found)
		return STATUS_OK;
	statement_bind_u64(rows->newest, 1, log->id);
	statement_bind_text(rows->newest, 2, device);
	enum step step = statement_step(rows->newest);
	if (step == STEP_ROW) {
		taken->found = true;
		taken->seq = statement_u64(rows->newest, 0);
		*newest = statement_u64(rows->newest, 1);
	}
	statement_reset(rows->newest);
	enum status status = step == STEP_DONE ? STATUS_OK : step_status(step);
	if (step == STEP_ROW)
		status = check_stamp(rows, log, device, taken, *newest);
	if (status == STATUS_OK)
		status = absent_stamps(&rows->absent, log->id, device, *newest, TS_MAX + 1);
	return status;
}

enum status
rows_stamped(struct rows *rows, const struct log_row *log, const struct row *row)
{
	statement_bind_u64(rows->stamp, 1, log->id);
	statement_bind_text(rows->stamp, 2, row->action.device);
	statement_bind_u64(rows->stamp, 3, row->action.ts);
	const enum step step = statement_step(rows->stamp);
	enum status status = step_status(step);
	if (step == STEP_ROW && statement_u64(rows->stamp, 0) != row->seq)
		status = STATUS_LOG_DAMAGED;
	statement_reset(rows->stamp);
	return status;
}

/* The highest that verifies below one that does not, and above one that does. */
static enum status
close_in(struct rows *rows, const struct log_row *log, uint64_t bad, struct position *good)
{
	while (good->seq + 1 < bad) {
		const uint64_t middle = good->seq + (bad - good->seq) / 2;
		struct position position;
		const enum status status = rows_position(rows, log, middle, &position);
		if (status == STATUS_STORAGE_UNAVAILABLE)
			return status;
		if (status == STATUS_OK)
			*good = position;
		else
			bad = middle;
	}
	return STATUS_OK;
}

/* Downwards in steps that double, since a malformed page may hold any number of rows. */
enum status
rows_last_good(struct rows *rows, const struct log_row *log, uint64_t seq, struct head *good)
{
	*good = (struct head){.position.link = log->genesis};
	if (!log->found)
		return STATUS_OK;
	uint64_t bad = seq + 1;
	for (uint64_t stride = 1; bad > 1; stride *= 2) {
		const uint64_t probe = bad > stride ? bad - stride : 1;
		struct position position;
		const enum status status = rows_position(rows, log, probe, &position);
		if (status == STATUS_STORAGE_UNAVAILABLE)
			return status;
		if (status == STATUS_OK) {
			good->position = position;
			break;
		}
		bad = probe;
	}
	return close_in(rows, log, bad, &good->position);
}

/* Moves on to the batch that a row is in. What no batch covers has no receipt: the chain does not
 * cover it, so the row is served without. */
static enum status
batch_of_row(void *cookie, struct row *row)
{
	struct rows *rows = cookie;
	while (rows->last < row->seq) {
		enum step step = statement_step(rows->batches);
		if (step == STEP_FAULT)
			return STATUS_STORAGE_UNAVAILABLE;
		rows->writer.size = 0;
		rows->received_at = 0;
		rows->last = SEQ_MAX;
		if (step != STEP_ROW)
			break;
		rows->last = statement_u64(rows->batches, 0);
		rows->received_at = statement_u64(rows->batches, 1);
		struct text writer = statement_text(rows->batches, 2);
		if (writer.size <= UINT16_MAX)
			buffer_append_text(&rows->writer, writer);
		if (rows->writer.failed)
			return out_of_memory(rows->db);
	}
	row->received_at = rows->received_at;
	row->writer = (struct text){rows->writer.data, rows->writer.size};
	return STATUS_OK;
}

/* Gathers the next rows. A row that cannot be gathered ends it, and is the outcome. */
static enum status
gather_rows(struct rows *rows, const struct row_page *page)
{
	while (!relink_is_full(&rows->relink, page)) {
		struct row row = {0};
		enum step step = statement_step(rows->page);
		if (step != STEP_ROW)
			return step_status(step);
		if (!read_columns(rows->page, &row) ||
		    row.seq != relink_next_seq(&rows->relink, page))
			return STATUS_LOG_DAMAGED;
		relink_add(&rows->relink, &row);
	}
	return STATUS_OK;
}

static enum status
visit_rows(struct rows *rows, struct row_page *page)
{
	enum status status = STATUS_OK;
	relink_init(&rows->relink);
	rows->last = 0;
	while (status == STATUS_OK && !page->stopped && page->rows_left > 0 &&
	       page->at.seq < page->upto) {
		/* What comes before a bad row is served before the row is spoken of. */
		enum status gathered = gather_rows(rows, page);
		status = relink_visit(&rows->relink, page, batch_of_row, rows);
		if (status == STATUS_OK && !page->stopped)
			status = gathered;
	}
	return status;
}

enum status
rows_page(struct rows *rows, const struct log_row *log, struct row_page *page)
{
	statement_bind_u64(rows->page, 1, log->id);
	statement_bind_u64(rows->page, 2, page->at.seq);
	statement_bind_u64(rows->page, 3, page->upto);
	statement_bind_u64(rows->batches, 1, log->id);
	statement_bind_u64(rows->batches, 2, page->at.seq + 1);
	enum status status = visit_rows(rows, page);
	statement_reset(rows->page);
	statement_reset(rows->batches);
	return status;
}

enum status
rows_seek(struct rows *rows, const struct log_row *log, const struct hash *link, uint64_t *steps,
	  uint64_t *seq, bool *found)
{
	*found = false;
	uint64_t looked = 0;
	enum step step = STEP_DONE;
	statement_bind_u64(rows->links, 1, log->id);
	statement_bind_u64(rows->links, 2, *seq);
	statement_bind_u64(rows->links, 3, *steps);
	while (*seq > 0 && looked < *steps) {
		step = statement_step(rows->links);
		struct hash here;
		if (step != STEP_ROW || statement_u64(rows->links, 0) != *seq ||
		    !statement_hash(rows->links, 1, &here))
			break;
		looked++;
		*found = hash_equal(&here, link);
		if (*found)
			break;
		--*seq;
	}
	bool complete = *found || *seq == 0 || looked == *steps;
	statement_reset(rows->links);
	*steps -= looked;
	if (step == STEP_FAULT)
		return STATUS_STORAGE_UNAVAILABLE;
	return complete ? STATUS_OK : STATUS_LOG_DAMAGED;
}

enum status
rows_next_log(struct rows *rows, uint64_t after, struct found_log *next)
{
	*next = (struct found_log){0};
	statement_bind_u64(rows->next, 1, after);
	const enum step step = statement_step(rows->next);
	enum status status = step == STEP_DONE ? STATUS_OK : step_status(step);
	if (step == STEP_ROW) {
		const struct text name = statement_text(rows->next, 1);
		next->id = statement_u64(rows->next, 0);
		if (log_name_is_valid(name) && next->id > after && next->id <= SEQ_MAX) {
			next->name_size = name.size;
			memcpy(next->name, name.data, name.size);
		}
	}
	statement_reset(rows->next);
	return status;
}

enum status
rows_end(struct rows *rows, const struct log_row *log)
{
	statement_bind_u64(rows->beyond, 1, log->id);
	statement_bind_u64(rows->beyond, 2, log->head.position.seq);
	const enum step step = statement_step(rows->beyond);
	statement_reset(rows->beyond);
	if (step == STEP_FAULT)
		return STATUS_STORAGE_UNAVAILABLE;
	return step == STEP_DONE ? STATUS_OK : STATUS_LOG_DAMAGED;
}
