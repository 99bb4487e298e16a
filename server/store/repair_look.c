#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/repair_work.h"
#include "store/sqlite/journal.h"

bool
repair_read(struct statement *row, struct removed *read)
{
	*read = (struct removed){.seq = statement_u64(row, 0)};
	read->action = (struct action){.device = statement_text(row, 1),
				       .ts = statement_u64(row, 2),
				       .type = statement_text(row, 4),
				       .payload = statement_text(row, 5)};
	return statement_hash(row, 3, &read->link);
}

static enum status
out_of_memory(void)
{
	log_error("store", "out of memory", LOG_STR("op", "repair"));
	return STATUS_STORAGE_UNAVAILABLE;
}

/* --- the log --- */

static enum status
find_by_name(struct repair *repair, const char *sql, bool *found)
{
	struct statement *select;
	enum status status = db_prepare(repair->db, sql, &select);
	if (status != STATUS_OK)
		return status;
	statement_bind_text(select, 1, repair->name);
	const enum step step = statement_step(select);
	*found = step == STEP_ROW;
	if (*found) {
		repair->id = statement_u64(select, 0);
		repair->head.seq = statement_u64(select, 1);
		repair->head_bytes = statement_u64(select, 3);
		if (!statement_hash(select, 2, &repair->head.link) || repair->head.seq > SEQ_MAX)
			repair->head = (struct position){.link = repair->genesis};
	}
	statement_reset(select);
	return *found ? STATUS_OK : repair_step(step);
}

/* Its first action gives a log away whose name is lost: it chains from the name's genesis. */
static enum status
find_by_chain(struct repair *repair, bool *found)
{
	struct statement *select;
	*found = false;
	enum status status = db_prepare(repair->db,
					"SELECT seq, device, ts, link, type, payload, log"
					" FROM actions WHERE seq = 1",
					&select);
	if (status != STATUS_OK)
		return status;
	enum step step = statement_step(select);
	for (; step == STEP_ROW && !*found; step = *found ? step : statement_step(select)) {
		struct removed first;
		struct hash digest, link;
		const bool has_link = repair_read(select, &first);
		chain_digest(&first.action, &digest);
		chain_link(&repair->genesis, &digest, &link);
		*found = has_link && hash_equal(&link, &first.link);
		repair->id = statement_u64(select, 6);
	}
	statement_reset(select);
	repair->head = (struct position){.link = repair->genesis};
	return *found ? STATUS_OK : repair_step(step);
}

static enum status
find_log(struct repair *repair)
{
	bool found = false, indexed = false;
	enum status status = find_by_name(
		repair, "SELECT id, seq, link, bytes FROM logs NOT INDEXED WHERE name = ?1",
		&found);
	if (status == STATUS_OK && !found) {
		status = find_by_chain(repair, &found);
		repair->state.head_differs = found;
	}
	if (status != STATUS_OK || !found)
		return status == STATUS_OK ? STATUS_NOT_FOUND : status;
	const uint64_t id = repair->id;
	const struct position head = repair->head;
	status = find_by_name(repair, "SELECT id, seq, link, bytes FROM logs WHERE name = ?1",
			      &indexed);
	repair->state.index_differs = status == STATUS_LOG_DAMAGED || !indexed || repair->id != id;
	repair->id = id;
	repair->head = head;
	return status == STATUS_LOG_DAMAGED ? STATUS_OK : status;
}

/* --- what is bad --- */

static enum status
add_bad(struct repair *repair, uint64_t from, uint64_t to)
{
	repair->state.bad += to - from + 1;
	if (repair->range_count > 0 && repair->ranges[repair->range_count - 1].to + 1 == from) {
		repair->ranges[repair->range_count - 1].to = to;
		return STATUS_OK;
	}
	if (repair->range_count == repair->range_capacity) {
		const size_t larger = repair->range_capacity == 0 ? 16 : 2 * repair->range_capacity;
		struct bad_range *grown =
			reallocarray(repair->ranges, larger, sizeof(*repair->ranges));
		if (grown == NULL)
			return out_of_memory();
		repair->ranges = grown;
		repair->range_capacity = larger;
	}
	repair->ranges[repair->range_count++] = (struct bad_range){from, to};
	return STATUS_OK;
}

static enum status
check_stamp(struct repair *repair, const struct removed *row)
{
	statement_bind_u64(repair->stamp, 1, repair->id);
	statement_bind_text(repair->stamp, 2, row->action.device);
	statement_bind_u64(repair->stamp, 3, row->action.ts);
	const enum step step = statement_step(repair->stamp);
	if (step != STEP_ROW || statement_u64(repair->stamp, 0) != row->seq)
		repair->state.index_differs = true;
	statement_reset(repair->stamp);
	return step == STEP_FAULT ? STATUS_STORAGE_UNAVAILABLE : STATUS_OK;
}

/* at: the row before, as stored; moves on. */
static enum status
check_row(struct repair *repair, struct position *at)
{
	struct removed row;
	struct hash digest, link;
	bool good = repair_read(repair->rows, &row);
	if (row.seq <= at->seq || row.seq > SEQ_MAX)
		return STATUS_LOG_DAMAGED; /* no order that an index could have */
	chain_digest(&row.action, &digest);
	chain_link(&at->link, &digest, &link);
	repair->bytes += action_size(&row.action);
	good = good && row.seq == at->seq + 1 && hash_equal(&link, &row.link);
	enum status status = good ? STATUS_OK : add_bad(repair, at->seq + 1, row.seq);
	if (status == STATUS_OK)
		status = check_stamp(repair, &row);
	if (repair->range_count == 0)
		repair->state.good = (struct position){row.seq, row.link};
	*at = (struct position){row.seq, row.link};
	return status;
}

static enum status
check_rows(struct repair *repair)
{
	struct position at = {.link = repair->genesis};
	repair->state.good = at;
	statement_bind_u64(repair->rows, 1, repair->id);
	statement_bind_u64(repair->rows, 2, 0);
	enum status status = STATUS_OK;
	enum step step = statement_step(repair->rows);
	for (; step == STEP_ROW && status == STATUS_OK; step = statement_step(repair->rows))
		status = check_row(repair, &at);
	statement_reset(repair->rows);
	if (status == STATUS_OK)
		status = repair_step(step);
	if (status == STATUS_OK && repair->head.seq > at.seq)
		status = add_bad(repair, at.seq + 1, repair->head.seq);
	repair->state.last = at.seq > repair->head.seq ? at.seq : repair->head.seq;
	if (repair->range_count == 0 &&
	    (at.seq != repair->head.seq || !hash_equal(&at.link, &repair->head.link) ||
	     repair->bytes != repair->head_bytes))
		repair->state.head_differs = true;
	return status;
}

/* --- kept records --- */

static bool
is_bad(const struct repair *repair, uint64_t seq)
{
	size_t low = 0, high = repair->range_count;
	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		if (repair->ranges[middle].to < seq)
			low = middle + 1;
		else
			high = middle;
	}
	return low < repair->range_count && repair->ranges[low].from <= seq;
}

static struct text
keep_text(char **room, struct text text)
{
	const struct text kept = {*room, text.size};
	if (text.size > 0)
		memcpy(*room, text.data, text.size);
	*room += text.size;
	return kept;
}

static enum status
offer(struct repair *repair, uint64_t seq, const struct action *action, const struct hash *link)
{
	struct offer *first = NULL, *offer;
	if (!is_bad(repair, seq))
		return STATUS_OK;
	HASH_FIND(hh, repair->offers, &seq, sizeof(seq), first);
	offer = calloc(1, sizeof(*offer) + action->device.size + action->type.size +
				  action->payload.size);
	if (offer == NULL)
		return out_of_memory();
	char *room = offer->bytes;
	offer->seq = seq;
	offer->action.ts = action->ts;
	offer->action.device = keep_text(&room, action->device);
	offer->action.type = keep_text(&room, action->type);
	offer->action.payload = keep_text(&room, action->payload);
	offer->has_link = link != NULL;
	if (link != NULL)
		offer->link = *link;
	if (first != NULL) {
		offer->next = first->next;
		first->next = offer;
		return STATUS_OK;
	}
	HASH_ADD(hh, repair->offers, seq, sizeof(offer->seq), offer);
	if (offer->hh.tbl == NULL) {
		free(offer);
		return out_of_memory();
	}
	return STATUS_OK;
}

enum status
repair_offer(struct repair *repair, uint64_t seq, const struct action *action)
{
	return offer(repair, seq, action, NULL);
}

static enum status
offer_record(struct repair *repair, const struct record *record)
{
	struct hash link = record->before;
	size_t offset = record->actions_at;
	enum status status = STATUS_OK;
	for (size_t i = 0; i < record->action_count && status == STATUS_OK; i++) {
		struct action action;
		struct hash digest;
		size_t device;
		offset = journal_action(record->bytes, offset, &action, &device);
		action.device = record->devices[device];
		chain_digest(&action, &digest);
		chain_link(&link, &digest, &link);
		status = offer(repair, record->first_seq + i, &action, &link);
	}
	return status;
}

static enum status
look_at_records(struct repair *repair)
{
	struct statement *journal;
	enum status status =
		db_prepare(repair->db, "SELECT id, record FROM journal ORDER BY id", &journal);
	if (status != STATUS_OK)
		return status;
	enum step step = statement_step(journal);
	for (; step == STEP_ROW && status == STATUS_OK; step = statement_step(journal)) {
		const struct text bytes = statement_text(journal, 1);
		const uint8_t *data = (const uint8_t *)bytes.data;
		struct record record;
		if (!journal_peek(data, bytes.size, &record) ||
		    !text_equal(record.log, repair->name))
			continue;
		repair->state.records++;
		if (journal_decode(data, bytes.size, &record))
			status = offer_record(repair, &record);
	}
	statement_reset(journal);
	return status == STATUS_OK ? repair_step(step) : status;
}

enum status
repair_look(struct repair *repair)
{
	enum status status = find_log(repair);
	if (status == STATUS_OK)
		status = repair_gone_find(repair);
	if (status == STATUS_OK)
		status = check_rows(repair);
	if (status == STATUS_OK)
		status = look_at_records(repair);
	if (status == STATUS_OK && repair->state.bad == 0)
		status = repair_gone_look(repair, &repair->state.gone_differs);
	return status == STATUS_OK && repair->state.bad == 0
		       ? repair_batches_look(&repair->batches, repair->id, repair->state.last,
					     &repair->state.batches_differ)
		       : status;
}
