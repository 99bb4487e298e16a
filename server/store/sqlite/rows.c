#include "store/sqlite/rows.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/sqlite/absent.h"
#include "store/sqlite/gone.h"
#include "store/sqlite/stored_row.h"

struct rows {
	struct db *db;
	struct statement *log, *pair, *page, *links, *batches, *stamp, *newest, *beyond, *begun;
	struct statement *unfinished;
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
		{&rows->log,
		 "SELECT entry.id, log.seq, log.link, log.received_at, log.name, "
		 "log.bytes, " GONE_COLUMNS
		 " FROM logs AS entry LEFT JOIN logs AS log NOT INDEXED ON log.id = entry.id"
		 " LEFT JOIN gone ON gone.log = entry.id WHERE entry.name = ?1"},
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
		{&rows->begun, "SELECT log FROM batches INDEXED BY batches_first"
			       " WHERE seq = 1 AND writer = ?1"
			       " AND log IS NOT (SELECT id FROM logs WHERE name = ?2)"
			       " AND NOT EXISTS (SELECT 1 FROM gone"
			       " WHERE gone.log = batches.log AND erased_at > 0)"},
		{&rows->unfinished,
		 "SELECT gone.log, erased_at > 0, name FROM gone"
		 " JOIN logs ON logs.id = gone.log WHERE gone.log > ?1"
		 " AND cleared < CASE WHEN erased_at > 0 THEN seq ELSE pruned END"
		 " ORDER BY gone.log LIMIT 1"},
		{&rows->beyond, "SELECT 1 FROM actions WHERE log = ?1 AND seq > ?2 LIMIT 1"},
	};
	enum status status = stored_row_prepare(db, &rows->pair);
	if (status == STATUS_OK)
		status = absent_prepare(&rows->absent, db, rows->pair);
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

static enum status
check_row(struct rows *rows, const struct log_row *log, uint64_t seq, struct text device,
	  struct checked_row *row)
{
	const struct row_key key = {log->id, &log->genesis, seq};
	return stored_row_check(rows->pair, &key, device, row);
}

/* The row that the index of names leads to has that name. If not, the entry's id has rotted, and would
 * lead to another log; or it is only the row's name: then the first action chains from the one asked for. */
static enum status
check_name(struct rows *rows, const struct log_row *log, struct text in_row)
{
	struct checked_row first;
	if (text_equal(in_row, log->name))
		return STATUS_OK;
	return check_row(rows, log, 1, TEXT(""), &first);
}

enum status
rows_log(struct rows *rows, struct text name, const struct hash *genesis, struct log_row *log)
{
	*log = (struct log_row){.name = name, .genesis = *genesis, .head.position.link = *genesis};
	statement_bind_text(rows->log, 1, name);
	const enum step step = statement_step(rows->log);
	enum status status = step_status(step);
	if (step == STEP_ROW) {
		log->id = statement_u64(rows->log, 0);
		status = check_name(rows, log, statement_text(rows->log, 4));
	}
	if (step == STEP_ROW && status == STATUS_OK) {
		log->found = true;
		log->head.position.seq = statement_u64(rows->log, 1);
		log->head.received_at = statement_u64(rows->log, 3);
		log->head.bytes = statement_u64(rows->log, 5);
		if (!statement_hash(rows->log, 2, &log->head.position.link) ||
		    log->head.position.seq > SEQ_MAX ||
		    !gone_take(rows->log, 6, genesis, &log->head.gone) ||
		    log->head.gone.pruned > log->head.position.seq)
			status = STATUS_LOG_DAMAGED;
	}
	statement_reset(rows->log);
	if (step == STEP_DONE)
		status = absent_log(&rows->absent, name);
	return status == STATUS_INDEX_DAMAGED ? STATUS_LOG_DAMAGED : status;
}

enum status
rows_check_head(struct rows *rows, const struct log_row *log)
{
	struct position position;
	if (!log->found)
		return STATUS_OK;
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
	enum status status = check_row(rows, log, seq, TEXT(""), &row);
	if (status == STATUS_OK)
		position->link = row.link;
	return status;
}

/* What an entry of the index of stamps says, the row it leads to holds. */
static enum status
check_stamp(struct rows *rows, const struct log_row *log, struct text device, struct taken *taken,
	    uint64_t ts)
{
	if (taken->seq == 0 || taken->seq > log->head.position.seq)
		return STATUS_INDEX_DAMAGED;
	struct checked_row row;
	const enum status status = check_row(rows, log, taken->seq, device, &row);
	taken->digest = row.digest;
	return status == STATUS_OK && (row.ts != ts || !row.is_of_device) ? STATUS_INDEX_DAMAGED
									  : status;
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
	const enum step step = statement_step(rows->stamp);
	if (step == STEP_ROW) {
		taken->found = true;
		taken->seq = statement_u64(rows->stamp, 0);
	}
	statement_reset(rows->stamp);
	const enum status status = index_status(step);
	if (status != STATUS_OK)
		return status;
	return step == STEP_ROW ? check_stamp(rows, log, device, taken, ts)
				: absent_stamps(&rows->absent, log->id, device, ts - 1, ts + 1);
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
	const enum step step = statement_step(rows->newest);
	if (step == STEP_ROW) {
		taken->found = true;
		taken->seq = statement_u64(rows->newest, 0);
		*newest = statement_u64(rows->newest, 1);
	}
	statement_reset(rows->newest);
	enum status status = index_status(step);
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
	*good = (struct head){.position.link = log->genesis, .gone = log->head.gone};
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
		if (!stored_row_read(rows->page, &row) ||
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

static int
compare_ids(const void *a, const void *b)
{
	const uint64_t *left = a, *right = b;
	return (*left > *right) - (*left < *right);
}

enum status
rows_begun(struct rows *rows, struct begun *begun)
{
	begun->count = 0;
	if (begun->other_count > 1)
		qsort(begun->others, begun->other_count, sizeof(*begun->others), compare_ids);
	statement_bind_text(rows->begun, 1, begun->writer);
	statement_bind_text(rows->begun, 2, begun->except);
	enum step step = statement_step(rows->begun);
	for (; step == STEP_ROW; step = statement_step(rows->begun)) {
		const uint64_t log = statement_u64(rows->begun, 0);
		if (begun->other_count == 0 || bsearch(&log, begun->others, begun->other_count,
						       sizeof(log), compare_ids) == NULL)
			begun->count++;
	}
	statement_reset(rows->begun);
	return index_status(step);
}

enum status
rows_unfinished(struct rows *rows, struct unfinished *unfinished)
{
	statement_bind_u64(rows->unfinished, 1, unfinished->log);
	const enum step step = statement_step(rows->unfinished);
	unfinished->found = step == STEP_ROW;
	if (unfinished->found) {
		const struct text name = statement_text(rows->unfinished, 2);
		unfinished->log = statement_u64(rows->unfinished, 0);
		unfinished->erased = statement_u64(rows->unfinished, 1) > 0;
		/* One that has rotted is no log's. */
		unfinished->name_size = name.size <= LOG_NAME_SIZE_MAX ? name.size : 0;
		memcpy(unfinished->name, name.data, unfinished->name_size);
	}
	statement_reset(rows->unfinished);
	return index_status(step);
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
