#include "store/sqlite/recover.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/problem.h"
#include "store/sqlite/checkpoint.h"
#include "store/sqlite/in_place.h"

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

/* What a record is that was read. */
struct found {
	uint64_t id;
	const uint8_t *bytes;
	size_t size;
	bool in_table; /* kept by an earlier start, not in a file */
};

static enum status
keep(struct recovery *recovery, const struct found *found, const struct record *record,
     const struct hash *genesis, struct head *good)
{
	log_error("store", "journal record kept", LOG_STR("file", db_path(recovery->db)),
		  LOG_U64("row", found->id),
		  LOG_TEXT("log", record == NULL ? TEXT("") : record->log));
	enum status status = STATUS_OK;
	if (!found->in_table)
		status = apply_keep(recovery->apply, found->id, found->bytes, found->size);
	if (status != STATUS_OK || record == NULL)
		return status;
	return damage_mark(recovery->damage, record->log, genesis, good,
			   "a journal record does not verify or does not connect");
}

static enum status
keep_nobodys(struct recovery *recovery, const struct found *found)
{
	if (found->in_table || found->id > recovery->loss.expected)
		return keep(recovery, found, NULL, NULL, NULL);
	recovery->nobodys++;
	return STATUS_OK;
}

/* newest: the log's head before; only what is beyond it counts, for a slice may have put the record's
 * first actions in place. */
static enum status
publish(struct recovery *recovery, uint64_t id, const struct record *record,
	const struct log_row *log, const struct head *newest)
{
	struct tail_batch *batch = tail_batch_decode(record);
	const struct hash *genesis = &log->genesis;
	uint64_t log_id = log->found ? log->id : recovery->next_log_id++;
	if (batch == NULL || !tail_stage(recovery->tail, batch, genesis, log_id, !log->found)) {
		tail_batch_free(batch);
		log_error("store", "out of memory", LOG_STR("file", db_path(recovery->db)));
		return STATUS_STORAGE_UNAVAILABLE;
	}
	batch->journal_id = id;
	batch->log_bytes =
		newest->bytes +
		tail_batch_bytes(batch, (size_t)(newest->position.seq + 1 - record->first_seq));
	tail_publish(recovery->tail, batch);
	return STATUS_OK;
}

static enum status
forget(struct recovery *recovery, const struct found *found)
{
	if (!found->in_table)
		return STATUS_OK;
	statement_bind_u64(recovery->forget, 1, found->id);
	return statement_run(recovery->forget);
}

/* Of a file, whose copy was put aside: it neither stops its log nor is forgotten. */
static bool
is_left_out(const struct recovery *recovery, const struct found *found)
{
	return recovery->accept_loss && !found->in_table;
}

static enum status
take(struct recovery *recovery, const struct found *found)
{
	struct record record;
	bool verified = journal_decode(found->bytes, found->size, &record);
	if (!verified && is_left_out(recovery, found))
		return STATUS_OK;
	if (!verified && !journal_peek(found->bytes, found->size, &record))
		return keep_nobodys(recovery, found);

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
		return forget(recovery, found);
	if (verified && standing == STANDS_NEXT && !damaged)
		return publish(recovery, found->id, &record, &log, &head);
	if (record.first_seq > head.position.seq + 1 && is_left_out(recovery, found))
		return STATUS_OK;
	/* Of a rotten record the name may be what rotted: it is believed where it connects. */
	if (!verified && standing == STANDS_APART && !damaged)
		return keep_nobodys(recovery, found);
	return keep(recovery, found, &record, &genesis, &head);
}

/* --- transactions: what is read and kept is in one, each slice in its own --- */

static enum status
end(struct recovery *recovery, enum status status)
{
	FAIL_POINT(RECOVER_BEFORE_COMMIT);
	if (status == STATUS_OK)
		status = in_place_count(recovery->db);
	if (status == STATUS_OK)
		status = db_commit(recovery->db);
	FAIL_POINT(RECOVER_AFTER_COMMIT);
	if (status != STATUS_OK)
		db_rollback(recovery->db);
	return status;
}

/* The files have all of it until the end, which is synced. */
static enum status
apply_all(struct recovery *recovery)
{
	struct tail *tail = recovery->tail;
	enum status status = db_sync_commits(recovery->db, false);
	while (status == STATUS_OK && tail_is_filling(tail)) {
		struct apply_progress progress = {0};
		tail_freeze(tail);
		while (status == STATUS_OK && !progress.ended)
			status = apply_step(recovery->apply, recovery->slice_actions, &progress);
		if (status != STATUS_OK)
			break;
		tail_leave(tail, progress.upto);
		tail_finish(tail);
	}
	return status;
}

static enum status
take_and_apply(struct recovery *recovery, const struct found *found)
{
	FAIL_POINT(RECOVER_RECORD);
	enum status status = take(recovery, found);
	if (found->id >= recovery->next_journal_id)
		recovery->next_journal_id = found->id + 1;
	if (status != STATUS_OK || tail_bytes(recovery->tail) < tail_bytes_max(recovery->tail) / 2)
		return status;
	status = end(recovery, status);
	if (status == STATUS_OK)
		status = apply_all(recovery);
	return status == STATUS_OK ? db_begin(recovery->db, true) : status;
}

/* --- the table --- */

/* The statement is begun anew for each row, since others write in between. */
static enum status
take_kept(struct recovery *recovery)
{
	enum status status = db_begin(recovery->db, true);
	uint64_t next = 0;
	while (status == STATUS_OK) {
		statement_bind_u64(recovery->select, 1, next);
		const enum step step = statement_step(recovery->select);
		if (step != STEP_ROW) {
			statement_reset(recovery->select);
			status = step == STEP_DONE ? STATUS_OK : STATUS_STORAGE_UNAVAILABLE;
			break;
		}
		const struct text bytes = statement_text(recovery->select, 1);
		uint8_t *copy = malloc(bytes.size == 0 ? 1 : bytes.size);
		const struct found found = {.id = statement_u64(recovery->select, 0),
					    .bytes = copy,
					    .size = bytes.size,
					    .in_table = true};
		if (copy != NULL && bytes.size > 0)
			memcpy(copy, bytes.data, bytes.size);
		statement_reset(recovery->select);
		next = found.id + 1;
		status = copy == NULL ? STATUS_STORAGE_UNAVAILABLE
				      : take_and_apply(recovery, &found);
		free(copy);
	}
	status = end(recovery, status);
	return status == STATUS_OK ? apply_all(recovery) : status;
}

/* --- the files --- */

static enum status
visit_entry(void *cookie, const struct journal_entry *entry)
{
	const struct found found = {.id = entry->id, .bytes = entry->bytes, .size = entry->size};
	return take_and_apply(cookie, &found);
}

static enum status
take_files(struct recovery *recovery)
{
	struct journal_file *files = recovery->files;
	for (unsigned i = 0; i < 2; i++) {
		if (files[i].generation > recovery->generation)
			recovery->generation = files[i].generation;
	}
	enum status status = db_begin(recovery->db, true);
	if (status == STATUS_OK)
		status = end(recovery, journal_files_read(files, recovery->loss.in_place.generation,
							  visit_entry, recovery));
	return status == STATUS_OK ? apply_all(recovery) : status;
}

/* --- what is on the disk --- */

#define STRETCH ((size_t)64 * 1024)

static enum status
write_stretches_again(int fd)
{
	uint8_t *bytes = malloc(STRETCH);
	ssize_t got = bytes == NULL ? -1 : 1;
	for (off_t at = 0; got > 0; at += got) {
		got = pread(fd, bytes, STRETCH, at);
		if (got > 0 && pwrite(fd, bytes, (size_t)got, at) != got)
			got = -1;
	}
	free(bytes);
	return got == 0 && fsync(fd) == 0 ? STATUS_OK : STATUS_STORAGE_UNAVAILABLE;
}

/* What a sync that failed left behind can be read, and need not be on the disk: the system takes its
 * pages for clean. Nothing may rely on them before they are written once more and synced. */
static enum status
write_again(const char *path)
{
	const int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd == -1 && errno == ENOENT)
		return STATUS_OK;
	enum status status = fd == -1 ? STATUS_STORAGE_UNAVAILABLE : write_stretches_again(fd);
	if (status != STATUS_OK)
		log_error("store", "a file cannot be written again", LOG_STR("file", path),
			  LOG_STR("message", strerrordesc_np(errno)));
	if (fd != -1)
		(void)close(fd);
	return status;
}

static enum status
write_all_again(const struct recovery *recovery)
{
	char *wal;
	if (asprintf(&wal, "%s-wal", db_path(recovery->db)) == -1)
		return STATUS_STORAGE_UNAVAILABLE;
	enum status status = write_again(wal);
	free(wal);
	for (unsigned i = 0; i < 2 && status == STATUS_OK; i++)
		status = write_again(recovery->files[i].path);
	return status;
}

/* What the files held is in place, synced: they are emptied when the WAL is in the file. With a reader
 * of the file in the way both stay as they are while the shard runs. */
static enum status
empty_files(struct recovery *recovery)
{
	struct checkpointer checkpointer;
	bool complete = false;
	checkpointer_init(&checkpointer, recovery->db, recovery->anchor);
	enum status status = checkpoint_all(&checkpointer, &complete);
	if (status == STATUS_OK && !complete)
		log_warn("store", "a reader kept the WAL from being truncated",
			 LOG_STR("file", db_path(recovery->db)));
	FAIL_POINT(RECOVER_BEFORE_EMPTY);
	for (unsigned i = 0; i < 2 && status == STATUS_OK && complete; i++)
		status = journal_file_empty(&recovery->files[i]);
	FAIL_POINT(RECOVER_AFTER_EMPTY);
	return status;
}

/* Either tells it, for no log is without rows but an erased one that never began: one malformed page is not in the way. An id that has
 * rotted may be the greatest integer there is, and nothing comes after that. */
static enum status
find_next_log_id(struct recovery *recovery)
{
	static const char *const queries[] = {
		"SELECT ifnull(max(id), 0) + 1 FROM logs WHERE id BETWEEN 0 AND 1 << 53",
		"SELECT ifnull(max(log), 0) + 1 FROM actions WHERE log BETWEEN 0 AND 1 << 53"};
	enum status status = STATUS_STORAGE_UNAVAILABLE;
	for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
		uint64_t next = 0;
		if (db_query_u64(recovery->db, queries[i], &next) == STATUS_OK)
			status = STATUS_OK;
		if (next > recovery->next_log_id)
			recovery->next_log_id = next;
	}
	return status;
}

/* A start that came to nothing may have kept records whose generation is not in place: they are found
 * again in the files, which may have been put right meanwhile. */
static enum status
forget_what_files_have(struct recovery *recovery)
{
	char sql[64];
	(void)snprintf(sql, sizeof(sql), "DELETE FROM journal WHERE id > %" PRIu64,
		       recovery->loss.in_place.last_id);
	return db_run(recovery->db, sql);
}

static enum status
prepare(struct recovery *recovery)
{
	struct db *db = recovery->db;
	FAIL_POINT(BEFORE_REWRITE);
	enum status status = write_all_again(recovery);
	FAIL_POINT(AFTER_REWRITE);
	if (status == STATUS_OK)
		status = db_prepare(
			db, "SELECT id, record FROM journal WHERE id >= ?1 ORDER BY id LIMIT 1",
			&recovery->select);
	if (status == STATUS_OK)
		status = db_prepare(db, "DELETE FROM journal WHERE id = ?1", &recovery->forget);
	if (status == STATUS_OK)
		status = find_next_log_id(recovery);
	if (status == STATUS_OK)
		status = forget_what_files_have(recovery);
	const struct loss *loss = &recovery->loss;
	recovery->next_journal_id =
		(loss->found > loss->expected ? loss->found : loss->expected) + 1;
	recovery->generation = loss->in_place.generation;
	return status;
}

/* So that nothing is lacking from now on: transactions are counted from the greatest number that there
 * was, and a batch whose rest is lost ends where its log does. */
static enum status
settle_loss(struct recovery *recovery)
{
	static const char batches[] =
		"UPDATE batches SET last = (SELECT seq FROM logs WHERE logs.id = batches.log)"
		" WHERE last > (SELECT seq FROM logs WHERE logs.id = batches.log)";
	const struct loss *loss = &recovery->loss;
	const uint64_t least =
		loss->alone.commits > loss->filed ? loss->alone.commits : loss->filed;
	char commits[96];
	(void)snprintf(commits, sizeof(commits),
		       "UPDATE in_place SET commits = max(commits, %" PRIu64 ")", least);
	enum status status = db_run(recovery->db, batches);
	return status == STATUS_OK ? db_run(recovery->db, commits) : status;
}

/* All is in place: the anchor says so, and of the file what is in it. */
static enum status
finish(struct recovery *recovery)
{
	const uint64_t last = recovery->next_journal_id - 1;
	FAIL_POINT(RECOVER_BEFORE_IN_PLACE);
	const enum status status = in_place_record(recovery->db, recovery->generation, last);
	FAIL_POINT(RECOVER_AFTER_IN_PLACE);
	if (status != STATUS_OK)
		return status;
	anchor_synced(recovery->anchor, last);
	return empty_files(recovery);
}

enum status
recover(struct recovery *recovery, const char **problem)
{
	struct loss *loss = &recovery->loss;
	enum status status = loss_look(recovery->db, recovery->files, recovery->anchor, loss);
	if (status == STATUS_OK && loss->kind != LOSS_NONE && !recovery->accept_loss) {
		*problem = loss_sentence(loss, db_path(recovery->db));
		return STATUS_LOG_DAMAGED;
	}
	if (status == STATUS_OK)
		status = prepare(recovery);
	if (status == STATUS_OK)
		status = take_kept(recovery);
	if (status == STATUS_OK)
		status = take_files(recovery);
	/* What the files had may have put kept records in place. */
	if (status == STATUS_OK)
		status = take_kept(recovery);
	if (status == STATUS_OK && recovery->nobodys > 0)
		return problem_set(problem, STATUS_LOG_DAMAGED,
				   "of the journal files of %s %" PRIu64
				   " records have rotted, and "
				   "whose they were is not known",
				   db_path(recovery->db), recovery->nobodys);
	if (status == STATUS_OK && recovery->accept_loss)
		status = settle_loss(recovery);
	return status == STATUS_OK ? finish(recovery) : status;
}
