#include "store/offline.h"

#include <stdlib.h>
#include <string.h>

#include "base/problem.h"
#include "store/companions.h"
#include "store/sqlite/in_place.h"
#include "store/sqlite/journal.h"
#include "store/sqlite/journal_read.h"
#include "store/sqlite/shard_file.h"

/* The batch that covers the rows being read. */
struct cover {
	struct statement *batches;
	uint64_t first, last, received_at;
	struct text writer; /* the statement's */
};

struct reading {
	const struct audit_target *target;
	const struct offline_order *order;
	struct offline_end *end;
	struct db *db;
	struct cover cover;
	bool stopped;
};

static void
name_seq(struct reading *reading, uint64_t seq)
{
	if (seq > reading->end->named)
		reading->end->named = seq;
}

/* What does not follow is passed over: it is there already, or something before it is missing. stored is
 * the link that is said to be behind it; NULL: nothing is said. */
static void
extend(struct reading *reading, struct row *row, const struct hash *stored)
{
	struct position *at = &reading->end->at;
	name_seq(reading, row->seq);
	if (row->seq != at->seq + 1 || row->seq > reading->order->upto || reading->stopped)
		return;
	chain_digest(&row->action, &row->digest);
	chain_link(&at->link, &row->digest, &row->link);
	const bool is_stored = stored == NULL || hash_equal(stored, &row->link);
	if (reading->order->visit != NULL &&
	    !reading->order->visit(reading->order->cookie, row, is_stored)) {
		reading->stopped = true;
		return;
	}
	*at = (struct position){row->seq, row->link};
}

/* STEP_DONE is the end here, not a lack. */
static enum status
end_of(enum step step)
{
	return step == STEP_DONE || step == STEP_ROW ? STATUS_OK : step_status(step);
}

/* Both walk up by seq. A fault of the batches leaves rows without a time: the rows say the rest. */
static void
cover_row(struct cover *cover, struct row *row)
{
	while (cover->batches != NULL && cover->last < row->seq) {
		if (statement_step(cover->batches) != STEP_ROW) {
			statement_reset(cover->batches);
			cover->batches = NULL;
			return;
		}
		cover->first = statement_u64(cover->batches, 0);
		cover->last = statement_u64(cover->batches, 1);
		cover->received_at = statement_u64(cover->batches, 2);
		cover->writer = statement_text(cover->batches, 3);
	}
	if (cover->batches == NULL || row->seq < cover->first)
		return;
	row->received_at = cover->received_at;
	row->writer = cover->writer;
}

static enum status
visit_rows(struct reading *reading, uint64_t log)
{
	struct statement *rows;
	enum status status = db_prepare(reading->db,
					"SELECT seq, device, ts, link, type, payload FROM actions"
					" WHERE log = ?1 AND seq <= ?2 ORDER BY seq",
					&rows);
	if (status == STATUS_OK)
		status = db_prepare(reading->db,
				    "SELECT seq, last, received_at, writer FROM batches"
				    " WHERE log = ?1 ORDER BY seq",
				    &reading->cover.batches);
	if (status != STATUS_OK)
		return status;
	statement_bind_u64(reading->cover.batches, 1, log);
	statement_bind_u64(rows, 1, log);
	statement_bind_u64(rows, 2, reading->order->upto);
	enum step step = statement_step(rows);
	for (; step == STEP_ROW && !reading->stopped; step = statement_step(rows)) {
		struct row row = {.seq = statement_u64(rows, 0),
				  .action = {.device = statement_text(rows, 1),
					     .ts = statement_u64(rows, 2),
					     .type = statement_text(rows, 4),
					     .payload = statement_text(rows, 5)}};
		struct hash stored;
		if (!statement_hash(rows, 3, &stored))
			memset(&stored, 0, sizeof(stored));
		cover_row(&reading->cover, &row);
		extend(reading, &row, &stored);
	}
	statement_reset(rows);
	if (reading->cover.batches != NULL)
		statement_reset(reading->cover.batches);
	return end_of(step);
}

/* The index of names may be wrong; the scan is not. */
static enum status
read_rows(struct reading *reading)
{
	struct statement *logs;
	enum status status = db_prepare(
		reading->db, "SELECT id, seq FROM logs NOT INDEXED WHERE name = ?1", &logs);
	if (status != STATUS_OK)
		return status;
	statement_bind_text(logs, 1, reading->order->log);
	const enum step step = statement_step(logs);
	const bool found = step == STEP_ROW;
	const uint64_t log = found ? statement_u64(logs, 0) : 0;
	if (found)
		name_seq(reading, statement_u64(logs, 1));
	statement_reset(logs);
	return found ? visit_rows(reading, log) : end_of(step);
}

static void
read_record(struct reading *reading, const uint8_t *bytes, size_t size)
{
	struct record record;
	if (!journal_peek(bytes, size, &record) || !text_equal(record.log, reading->order->log) ||
	    !journal_decode(bytes, size, &record))
		return;
	/* Its links were chained from that one. */
	const bool follows = record.first_seq != reading->end->at.seq + 1 ||
			     hash_equal(&record.before, &reading->end->at.link);
	size_t offset = record.actions_at;
	for (size_t i = 0; i < record.action_count; i++) {
		struct row row = {.seq = record.first_seq + i,
				  .received_at = record.received_at,
				  .writer = record.writer};
		size_t device;
		offset = journal_action(record.bytes, offset, &row.action, &device);
		row.action.device = record.devices[device];
		extend(reading, &row, follows ? NULL : &record.before);
	}
}

/* What an earlier start could not put in place. */
static enum status
read_kept(struct reading *reading)
{
	struct statement *journal;
	enum status status =
		db_prepare(reading->db, "SELECT record FROM journal ORDER BY id", &journal);
	if (status != STATUS_OK)
		return status;
	enum step step = statement_step(journal);
	for (; step == STEP_ROW; step = statement_step(journal)) {
		const struct text bytes = statement_text(journal, 0);
		read_record(reading, (const uint8_t *)bytes.data, bytes.size);
	}
	statement_reset(journal);
	return end_of(step);
}

static enum status
visit_entry(void *cookie, const struct journal_entry *entry)
{
	if (!entry->rotten)
		read_record(cookie, entry->bytes, entry->size);
	return STATUS_OK;
}

static enum status
read_files(struct reading *reading, const char **problem)
{
	struct journal_file files[2] = {{.fd = -1}, {.fd = -1}};
	struct in_place in_place;
	enum status status = in_place_read(reading->db, &in_place);
	for (unsigned which = 0; which < 2 && status == STATUS_OK; which++) {
		char *path = journal_file_path(reading->target->path, which);
		status = path == NULL ? STATUS_STORAGE_UNAVAILABLE
				      : journal_file_open(&files[which], path, reading->target->id,
							  false, problem);
		free(path);
	}
	if (status == STATUS_OK)
		status = journal_files_read(files, in_place.generation, visit_entry, reading);
	journal_file_close(&files[0]);
	journal_file_close(&files[1]);
	return status;
}

static enum status
read_all(struct reading *reading, const char **problem)
{
	const struct audit_target *target = reading->target;
	struct shard_identity identity = {.number = target->shard, .shards = target->shards};
	memcpy(identity.id, target->id, SHARD_ID_SIZE);
	enum status status = shard_file_open_read(target->path, &identity, &reading->db, problem);
	if (status != STATUS_OK)
		return status;
	*problem = problem_format("%s and its journal cannot be read: edgereplay verify says more",
				  target->path);
	status = db_begin(reading->db, false);
	if (status == STATUS_OK)
		status = read_rows(reading);
	if (status == STATUS_OK && !reading->stopped)
		status = read_kept(reading);
	if (status == STATUS_OK && !reading->stopped)
		status = read_files(reading, problem);
	db_rollback(reading->db);
	db_close(reading->db);
	return status;
}

enum status
offline_read(const struct audit_target *target, const struct offline_order *order,
	     struct offline_end *end, const char **problem)
{
	struct reading reading = {.target = target, .order = order, .end = end};
	struct companions companions;
	*end = (struct offline_end){.named = 0};
	if (!companions_note(&companions, target->path))
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "%s: the path is too long",
				   target->path);
	chain_genesis(order->log, &end->at.link);
	const enum status status = read_all(&reading, problem);
	companions_restore(&companions);
	return status;
}
