#include "store/sqlite/absent.h"

#include <stdbool.h>
#include <string.h>

#include "chain/chain.h"
#include "store/sqlite/stored_row.h"

#define NAMES "SELECT id, name FROM logs"
#define STAMPS "SELECT log, device, ts, seq FROM actions INDEXED BY actions_stamp"

enum status
absent_prepare(struct absent *absent, struct db *db, struct statement *pair)
{
	const struct {
		struct statement **statement;
		const char *sql;
	} statements[] = {
		{&absent->name_below, NAMES " WHERE name < ?1 ORDER BY name DESC LIMIT 1"},
		{&absent->name_above, NAMES " WHERE name > ?1 ORDER BY name LIMIT 1"},
		{&absent->name_first, NAMES " ORDER BY name LIMIT 1"},
		{&absent->name_last, NAMES " ORDER BY name DESC LIMIT 1"},
		{&absent->log, "SELECT name, seq FROM logs NOT INDEXED WHERE id = ?1"},
		{&absent->stamp_below, STAMPS " WHERE (log, device, ts) <= (?1, ?2, ?3)"
					      " ORDER BY log DESC, device DESC, ts DESC LIMIT 1"},
		{&absent->stamp_above, STAMPS " WHERE (log, device, ts) > (?1, ?2, ?3)"
					      " ORDER BY log, device, ts LIMIT 1"},
		{&absent->stamp_first, STAMPS " ORDER BY log, device, ts LIMIT 1"},
		{&absent->stamp_last, STAMPS " ORDER BY log DESC, device DESC, ts DESC LIMIT 1"},
		{&absent->stamp, "SELECT device, ts FROM actions WHERE log = ?1 AND seq = ?2"},
	};
	absent->pair = pair;
	enum status status = STATUS_OK;
	for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]) && status == STATUS_OK;
	     i++)
		status = db_prepare(db, statements[i].sql, statements[i].statement);
	return status;
}

enum status
index_status(enum step step)
{
	if (step == STEP_FAULT)
		return STATUS_STORAGE_UNAVAILABLE;
	return step == STEP_DAMAGED ? STATUS_INDEX_DAMAGED : STATUS_OK;
}

static int
compare(struct text a, struct text b)
{
	const size_t common = a.size < b.size ? a.size : b.size;
	const int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
	return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

/* Of an index and a row that contradict each other: which is right. */
static enum status
row_verifies(struct absent *absent, const struct row_key *key, bool *verifies)
{
	struct checked_row row;
	const enum status status = stored_row_check(absent->pair, key, TEXT(""), &row);
	*verifies = status == STATUS_OK;
	return status == STATUS_STORAGE_UNAVAILABLE ? status : STATUS_OK;
}

/* --- names --- */

/* No entry is on the side of a name that the sign says: neither is the last one there. */
static enum status
check_last_name(struct statement *last, struct text name, int sign)
{
	const enum step step = statement_step(last);
	enum status status = index_status(step);
	if (step == STEP_ROW && compare(statement_text(last, 1), name) * sign >= 0)
		status = STATUS_INDEX_DAMAGED;
	statement_reset(last);
	return status;
}

/* What an entry beside a name stood for is on that side: by the name in its row, or since its key is
 * right, for the log's first action chains from that. */
static enum status
check_key(struct absent *absent, uint64_t id, struct text key, struct text name, int sign)
{
	statement_bind_u64(absent->log, 1, id);
	const enum step step = statement_step(absent->log);
	const bool on_side =
		step == STEP_ROW && compare(statement_text(absent->log, 0), name) * sign > 0;
	statement_reset(absent->log);
	if (step == STEP_FAULT)
		return STATUS_STORAGE_UNAVAILABLE;
	if (on_side)
		return STATUS_OK;
	if (!log_name_is_valid(key))
		return STATUS_INDEX_DAMAGED;
	struct hash genesis;
	bool is_right;
	chain_genesis(key, &genesis);
	const enum status status =
		row_verifies(absent, &(struct row_key){id, &genesis, 1}, &is_right);
	return status == STATUS_OK && !is_right ? STATUS_INDEX_DAMAGED : status;
}

/* The entry beside a name, on the side that the sign says, hides nothing. */
static enum status
check_name(struct absent *absent, struct text name, int sign)
{
	struct statement *beside = sign < 0 ? absent->name_below : absent->name_above;
	statement_bind_text(beside, 1, name);
	const enum step step = statement_step(beside);
	enum status status = index_status(step);
	if (step == STEP_DONE)
		status = check_last_name(sign < 0 ? absent->name_first : absent->name_last, name,
					 sign);
	if (step == STEP_ROW) {
		const struct text key = statement_text(beside, 1);
		status = compare(key, name) * sign <= 0
				 ? STATUS_INDEX_DAMAGED
				 : check_key(absent, statement_u64(beside, 0), key, name, sign);
	}
	statement_reset(beside);
	return status;
}

enum status
absent_log(struct absent *absent, struct text name)
{
	const enum status status = check_name(absent, name, -1);
	return status == STATUS_OK ? check_name(absent, name, 1) : status;
}

/* --- stamps --- */

struct entry {
	bool found;
	uint64_t log, ts, seq;
	struct text device; /* in room, or the caller's */
	char room[DEVICE_SIZE_MAX];
};

static int
compare_entries(const struct entry *a, const struct entry *b)
{
	if (a->log != b->log)
		return a->log < b->log ? -1 : 1;
	const int order = compare(a->device, b->device);
	return order != 0 ? order : (a->ts > b->ts) - (a->ts < b->ts);
}

static bool
same_entry(const struct entry *a, const struct entry *b)
{
	return a->found == b->found &&
	       (!a->found || (a->seq == b->seq && compare_entries(a, b) == 0));
}

/* Steps and resets a statement with STAMPS. What no entry can be is damage. */
static enum status
take_entry(struct statement *statement, struct entry *entry)
{
	*entry = (struct entry){0};
	const enum step step = statement_step(statement);
	enum status status = index_status(step);
	if (step == STEP_ROW) {
		const struct text device = statement_text(statement, 1);
		entry->found = true;
		entry->log = statement_u64(statement, 0);
		entry->ts = statement_u64(statement, 2);
		entry->seq = statement_u64(statement, 3);
		entry->device = (struct text){entry->room, device.size};
		if (device.size > DEVICE_SIZE_MAX)
			status = STATUS_INDEX_DAMAGED;
		else
			memcpy(entry->room, device.data, device.size);
	}
	statement_reset(statement);
	return status;
}

/* The first entry above a stamp, or the last that is at it or below it. */
static enum status
beside(struct absent *absent, bool above, const struct entry *stamp, struct entry *entry)
{
	struct statement *statement = above ? absent->stamp_above : absent->stamp_below;
	statement_bind_u64(statement, 1, stamp->log);
	statement_bind_text(statement, 2, stamp->device);
	statement_bind_u64(statement, 3, stamp->ts);
	return take_entry(statement, entry);
}

/* The row that an entry leads to is another one's, or is not to be read. The entry is right if the log
 * should have that row, and has none that verifies. */
static enum status
check_against_row(struct absent *absent, const struct entry *entry)
{
	struct hash genesis = {0};
	statement_bind_u64(absent->log, 1, entry->log);
	const enum step step = statement_step(absent->log);
	bool is_right =
		step == STEP_ROW && entry->seq >= 1 && entry->seq <= statement_u64(absent->log, 1);
	if (is_right && log_name_is_valid(statement_text(absent->log, 0)))
		chain_genesis(statement_text(absent->log, 0), &genesis);
	statement_reset(absent->log);
	enum status status = index_status(step);
	if (is_right) {
		bool verifies;
		const struct row_key key = {entry->log, &genesis, entry->seq};
		status = row_verifies(absent, &key, &verifies);
		is_right = !verifies;
	}
	return status == STATUS_OK && !is_right ? STATUS_INDEX_DAMAGED : status;
}

/* The row that an entry leads to has its stamp. */
static enum status
check_row(struct absent *absent, const struct entry *entry)
{
	statement_bind_u64(absent->stamp, 1, entry->log);
	statement_bind_u64(absent->stamp, 2, entry->seq);
	const enum step step = statement_step(absent->stamp);
	const bool same = step == STEP_ROW &&
			  text_equal(statement_text(absent->stamp, 0), entry->device) &&
			  statement_u64(absent->stamp, 1) == entry->ts;
	statement_reset(absent->stamp);
	if (step == STEP_FAULT)
		return STATUS_STORAGE_UNAVAILABLE;
	return same ? STATUS_OK : check_against_row(absent, entry);
}

/* No entry is on that side of a stamp: neither is the last one there. */
static enum status
check_end(struct absent *absent, bool above, const struct entry *stamp)
{
	struct entry last;
	const enum status status =
		take_entry(above ? absent->stamp_last : absent->stamp_first, &last);
	if (status != STATUS_OK || !last.found)
		return status;
	const int order = compare_entries(&last, stamp);
	return (above ? order > 0 : order <= 0) ? STATUS_INDEX_DAMAGED : STATUS_OK;
}

/* An entry on one side of what is not there: it is its row's, and what is beside it is the entry on the
 * other side, for a cell of the page may be another's copy. */
static enum status
check_entry(struct absent *absent, bool above, const struct entry *entry, const struct entry *other)
{
	struct entry at = *entry, found;
	at.device = entry->device;
	if (above)
		at.ts--; /* below it, not at it */
	enum status status = beside(absent, !above, &at, &found);
	if (status == STATUS_OK && !same_entry(&found, other))
		status = STATUS_INDEX_DAMAGED;
	return status == STATUS_OK ? check_row(absent, entry) : status;
}

enum status
absent_stamps(struct absent *absent, uint64_t log, struct text device, uint64_t after,
	      uint64_t before)
{
	const struct entry low = {.log = log, .device = device, .ts = after};
	const struct entry high = {.log = log, .device = device, .ts = before};
	struct entry below, above;
	enum status status = beside(absent, false, &low, &below);
	if (status == STATUS_OK)
		status = beside(absent, true, &low, &above);
	if (status == STATUS_OK && ((below.found && compare_entries(&below, &low) > 0) ||
				    (above.found && compare_entries(&above, &high) < 0)))
		status = STATUS_INDEX_DAMAGED;
	if (status == STATUS_OK)
		status = below.found ? check_entry(absent, false, &below, &above)
				     : check_end(absent, false, &low);
	if (status == STATUS_OK)
		status = above.found ? check_entry(absent, true, &above, &below)
				     : check_end(absent, true, &low);
	return status;
}
