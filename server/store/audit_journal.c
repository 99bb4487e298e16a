#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/audit_work.h"
#include "store/sqlite/journal.h"
#include "store/sqlite/journal_read.h"
#include "store/sqlite/loss.h"

/* The link of a row in place. */
static enum status
link_in_place(struct audit *audit, const struct audit_log *log, uint64_t seq, struct hash *link,
	      bool *found)
{
	*link = log->genesis;
	*found = true;
	if (seq == 0)
		return STATUS_OK;
	statement_bind_u64(audit->link, 1, log->id);
	statement_bind_u64(audit->link, 2, seq);
	enum step step = statement_step(audit->link);
	*found = step == STEP_ROW && statement_hash(audit->link, 0, link);
	statement_reset(audit->link);
	return step == STEP_FAULT ? STATUS_STORAGE_UNAVAILABLE : STATUS_OK;
}

/* The link that a record gives at a seq of it, or before it. */
static struct hash
link_in_record(const struct record *record, uint64_t seq)
{
	struct hash link = record->before;
	size_t offset = record->actions_at;
	for (uint64_t at = record->first_seq; at <= seq; at++) {
		struct action action;
		size_t device;
		offset = journal_action(record->bytes, offset, &action, &device);
		action.device = record->devices[device];
		struct hash digest;
		chain_digest(&action, &digest);
		chain_link(&link, &digest, &link);
	}
	return link;
}

/* Compares a verified record with what is known of its log, and moves the log on. */
static enum status
connect_record(struct audit *audit, struct audit_log *log, const struct record *record,
	       const char **what)
{
	const uint64_t before = record->first_seq - 1, last = before + record->action_count;
	const uint64_t in_place = log->in_place.seq;
	*what = NULL;
	if (record->first_seq == log->unfinished_first && last == log->unfinished_last)
		log->unfinished_first = 0;
	if (before == log->newest.seq) {
		if (!hash_equal(&record->before, &log->newest.link))
			*what = "the journal record does not chain from the log's head";
		else
			log->newest = (struct position){last, record->last};
		return STATUS_OK;
	}
	if (before > in_place || (last > in_place && log->newest.seq != in_place)) {
		*what = "the journal record does not connect to its log";
		return STATUS_OK;
	}
	struct hash row_before, row_last;
	bool found_before, found_last;
	const uint64_t common = last < in_place ? last : in_place;
	enum status status = link_in_place(audit, log, before, &row_before, &found_before);
	if (status == STATUS_OK)
		status = link_in_place(audit, log, common, &row_last, &found_last);
	if (status != STATUS_OK)
		return status;
	const struct hash expected = link_in_record(record, common);
	if (!found_before || !found_last || !hash_equal(&row_before, &record->before) ||
	    !hash_equal(&row_last, &expected))
		*what = "the journal record is not what is in place";
	else if (last > in_place)
		log->newest = (struct position){last, record->last};
	return STATUS_OK;
}

static enum status
check_record(struct audit *audit, uint64_t id, struct text bytes)
{
	char what[AUDIT_WHAT_SIZE];
	const uint8_t *data = (const uint8_t *)bytes.data;
	struct record record;
	audit->totals->journal_records++;
	if (!journal_decode(data, bytes.size, &record)) {
		const bool readable = journal_peek(data, bytes.size, &record);
		(void)snprintf(what, sizeof(what), "journal record %" PRIu64 " does not verify",
			       id);
		audit_find(audit, readable ? record.log : TEXT(""), readable ? record.first_seq : 0,
			   what);
		return STATUS_OK;
	}
	audit->totals->journal_actions += record.action_count;
	struct hash genesis;
	chain_genesis(record.log, &genesis);
	struct audit_log *log = NULL;
	if (audit->logs != NULL)
		HASH_FIND(hh, audit->logs, &genesis, sizeof(genesis), log);
	if (log == NULL) {
		const struct position none = {0, genesis};
		log = audit_remember(audit, record.log, &genesis, &none);
		if (log == NULL)
			return audit_end(audit, record.log, record.first_seq, STEP_FAULT);
	}
	const char *why;
	const enum status status = connect_record(audit, log, &record, &why);
	if (status == STATUS_OK && why != NULL) {
		(void)snprintf(what, sizeof(what), "%s (journal record %" PRIu64 ")", why, id);
		audit_find(audit, record.log, record.first_seq, what);
	}
	return status;
}

/* What an earlier start could not put in place. */
static enum status
check_kept(struct audit *audit, enum step *step)
{
	struct statement *journal;
	if (db_prepare(audit->db, "SELECT id, record FROM journal ORDER BY id", &journal) !=
	    STATUS_OK)
		return audit_end(audit, TEXT(""), 0, STEP_FAULT);
	enum status status = STATUS_OK;
	*step = statement_step(journal);
	while (status == STATUS_OK && *step == STEP_ROW) {
		status = check_record(audit, statement_u64(journal, 0), statement_text(journal, 1));
		*step = statement_step(journal);
	}
	statement_reset(journal);
	return status;
}

/* --- the two files --- */

static enum status
visit_entry(void *cookie, const struct journal_entry *entry)
{
	return check_record(cookie, entry->id,
			    (struct text){(const char *)entry->bytes, entry->size});
}

static enum status
open_files(struct audit *audit, struct journal_file files[2])
{
	enum status status = STATUS_OK;
	for (unsigned which = 0; which < 2 && status == STATUS_OK; which++) {
		const char *problem = "out of memory";
		char *path = journal_file_path(audit->target->path, which);
		status = path == NULL ? STATUS_STORAGE_UNAVAILABLE
				      : journal_file_open(&files[which], path, audit->target->id,
							  false, &problem);
		free(path);
		if (status != STATUS_OK)
			audit_find(audit, TEXT(""), 0, problem);
	}
	return status;
}

/* What a start would be refused for. */
static enum status
check_loss(struct audit *audit, struct journal_file files[2], struct loss *loss)
{
	struct anchor anchor = {.fd = -1};
	const char *problem = "out of memory";
	char *path = anchor_path(audit->target->path);
	enum status status =
		path == NULL ? STATUS_STORAGE_UNAVAILABLE
			     : anchor_open(&anchor, path, audit->target->id, false, &problem);
	free(path);
	if (status != STATUS_OK)
		audit_find(audit, TEXT(""), 0, problem);
	status = loss_look(audit->db, files, &anchor, loss);
	anchor_close(&anchor);
	if (status == STATUS_OK && loss->kind != LOSS_NONE)
		audit_find(audit, TEXT(""), 0, loss_sentence(loss, audit->target->path));
	return status;
}

static enum status
check_files(struct audit *audit)
{
	const uint64_t findings = audit->totals->findings;
	struct journal_file files[2] = {{.fd = -1}, {.fd = -1}};
	struct loss loss;
	enum status status = open_files(audit, files);
	if (status == STATUS_OK)
		status = check_loss(audit, files, &loss);
	if (status == STATUS_OK)
		status = journal_files_read(files, loss.in_place.generation, visit_entry, audit);
	if (status != STATUS_OK && audit->totals->findings == findings)
		audit_find(audit, TEXT(""), 0, "a journal file cannot be read: see the log");
	journal_file_close(&files[0]);
	journal_file_close(&files[1]);
	return status;
}

enum status
audit_journal(struct audit *audit)
{
	enum step step = STEP_DONE;
	enum status status = check_kept(audit, &step);
	if (status == STATUS_OK)
		status = check_files(audit);
	for (const struct audit_log *log = audit->logs; log != NULL; log = log->hh.next) {
		if (log->unfinished_first != 0)
			audit_find(audit, (struct text){log->name, log->name_size},
				   log->in_place.seq + 1,
				   "a batch is partly in place and the journal has not the rest");
	}
	return status == STATUS_OK ? audit_end(audit, TEXT(""), 0, step) : status;
}
