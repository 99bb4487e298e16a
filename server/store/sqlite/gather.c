#include "store/sqlite/gather.h"

#include "base/log.h"
#include "store/sqlite/tail_stamps.h"

/* A log of which something is in the tail, else NULL. */
static struct tail_log *
find_in_tail(const struct gatherer *gatherer, const struct lookup *lookup)
{
	struct tail_log *log = tail_find(gatherer->tail, lookup->genesis);
	return log == NULL || log->count == 0 ? NULL : log;
}

/* From the tail. False: ask the rows. */
static bool
answer_from_tail(const struct gatherer *gatherer, struct lookup *lookup)
{
	struct tail_log *log = find_in_tail(gatherer, lookup);
	if (log == NULL)
		return false;
	const bool is_all = log->items[log->first]->first_seq == 1;
	const struct tail_batch *batch;
	switch (lookup->kind) {
	case LOOKUP_HEAD:
		lookup->head = log->head;
		return true;
	case LOOKUP_LINK:
		batch = tail_batch_at(log, lookup->seq);
		if (batch == NULL && log->items[log->first]->first_seq == lookup->seq + 1)
			batch = log->items[log->first];
		if (batch == NULL)
			return is_all || lookup->seq > log->head.position.seq;
		lookup->found = true;
		lookup->link = *tail_batch_link(batch, lookup->seq);
		return true;
	case LOOKUP_TAKEN: {
		const uint64_t seq = tail_stamps_find(log, lookup->device, lookup->ts);
		batch = tail_batch_at(log, seq);
		if (batch == NULL)
			return is_all;
		struct action action;
		tail_batch_action(batch, (size_t)(seq - batch->first_seq), &action);
		lookup->taken.found = true;
		lookup->taken.seq = seq;
		chain_digest(&action, &lookup->taken.digest);
		return true;
	}
	case LOOKUP_NEWEST:
		/* The rows may have a later one: a healed action comes with an old stamp. */
		lookup->newest = tail_stamps_newest(log, lookup->device);
		return is_all;
	}
	return false;
}

/* Of a log in the tail the number is known, and that there are rows: no index is asked for it. */
static enum status
find_log(const struct gatherer *gatherer, const struct lookup *lookup, struct log_row *log)
{
	const struct tail_log *in_tail = find_in_tail(gatherer, lookup);
	if (in_tail == NULL)
		return rows_log(gatherer->rows, lookup->log, lookup->genesis, log);
	*log = (struct log_row){.name = lookup->log,
				.found = true,
				.id = in_tail->id,
				.genesis = *lookup->genesis,
				.head = in_tail->head};
	return STATUS_OK;
}

/* *suspect: the seq that did not verify. */
static enum status
answer_from_rows(const struct gatherer *gatherer, struct lookup *lookup, struct log_row *log,
		 uint64_t *suspect)
{
	struct rows *rows = gatherer->rows;
	*suspect = 1;
	enum status status = find_log(gatherer, lookup, log);
	if (status != STATUS_OK)
		return status;
	uint64_t newest = 0;
	struct position position;
	switch (lookup->kind) {
	case LOOKUP_HEAD:
		*suspect = log->head.position.seq;
		lookup->head = log->head;
		return rows_check_head(rows, log);
	case LOOKUP_LINK:
		*suspect = lookup->seq;
		if (lookup->seq > log->head.position.seq)
			return STATUS_OK;
		status = rows_position(rows, log, lookup->seq, &position);
		lookup->found = status == STATUS_OK;
		lookup->link = position.link;
		return status;
	case LOOKUP_TAKEN:
		status = rows_taken(rows, log, lookup->device, lookup->ts, &lookup->taken);
		*suspect = lookup->taken.seq;
		return status;
	case LOOKUP_NEWEST:
		status = rows_newest(rows, log, lookup->device, &newest, &lookup->taken);
		*suspect = lookup->taken.seq;
		if (status == STATUS_OK && newest > lookup->newest)
			lookup->newest = newest;
		return status;
	}
	return status;
}

static enum status
mark(const struct gatherer *gatherer, struct lookup *lookup, const struct log_row *log,
     uint64_t suspect)
{
	/* What an index says of a row that is not there says nothing about where it went wrong. */
	uint64_t newest = log->head.position.seq;
	if (lookup->kind != LOOKUP_HEAD)
		suspect = suspect >= 1 && suspect <= newest ? suspect - 1 : newest;
	enum status status = rows_last_good(gatherer->rows, log, suspect, &lookup->head);
	if (status == STATUS_OK)
		status = damage_mark(gatherer->damage, lookup->log, lookup->genesis, &lookup->head,
				     "what is in place does not verify");
	lookup->status = STATUS_LOG_DAMAGED;
	lookup->found = false;
	lookup->taken.found = false;
	return status;
}

static enum status
answer(const struct gatherer *gatherer, struct lookup *lookup)
{
	lookup->status = STATUS_OK;
	lookup->found = false;
	lookup->taken = (struct taken){0};
	lookup->newest = 0;
	if (damage_find(gatherer->damage, lookup->genesis, &lookup->head)) {
		lookup->status = STATUS_LOG_DAMAGED;
		return STATUS_OK;
	}
	if (answer_from_tail(gatherer, lookup))
		return STATUS_OK;
	struct log_row log;
	uint64_t suspect;
	enum status status = answer_from_rows(gatherer, lookup, &log, &suspect);
	if (status != STATUS_LOG_DAMAGED && status != STATUS_INDEX_DAMAGED)
		return status;

	/* Once more, from the file: it may have been a page in memory. */
	struct db *db = rows_db(gatherer->rows);
	db_rollback(db);
	db_forget_pages(db);
	status = db_begin(db, false);
	if (status == STATUS_OK)
		status = answer_from_rows(gatherer, lookup, &log, &suspect);
	if (status == STATUS_LOG_DAMAGED && log.found)
		return mark(gatherer, lookup, &log, suspect);
	if (status != STATUS_LOG_DAMAGED && status != STATUS_INDEX_DAMAGED)
		return status;
	lookup->status = damage_doubt(lookup->log);
	lookup->found = false;
	lookup->taken.found = false;
	return STATUS_OK;
}

enum status
gather_lookups(const struct gatherer *gatherer, struct lookup *lookups, size_t count)
{
	struct db *db = rows_db(gatherer->rows);
	enum status status = db_begin(db, false);
	for (size_t i = 0; i < count && status == STATUS_OK; i++) {
		/* What cannot be read of one log is no reason to stop the others. */
		if (answer(gatherer, &lookups[i]) == STATUS_OK)
			continue;
		log_limited(LOG_ERROR, "store", "a log cannot be read",
			    LOG_TEXT("log", lookups[i].log));
		lookups[i].status = STATUS_STORAGE_UNAVAILABLE;
	}
	db_rollback(db);
	return status;
}
