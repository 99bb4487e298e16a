#include "store/sqlite/absent.h"

#include <stdbool.h>
#include <string.h>

#define NAMES "SELECT id, name FROM logs"
#define STAMPS "SELECT log, device, ts, seq FROM actions INDEXED BY actions_stamp"

enum status
absent_prepare(struct absent *absent, struct db *db)
{
	const struct {
		struct statement **statement;
		const char *sql;
	} statements[] = {
		{&absent->name_below, NAMES " WHERE name < ?1 ORDER BY name DESC LIMIT 1"},
		{&absent->name_above, NAMES " WHERE name > ?1 ORDER BY name LIMIT 1"},
		{&absent->name_first, NAMES " ORDER BY name LIMIT 1"},
		{&absent->name_last, NAMES " ORDER BY name DESC LIMIT 1"},
		{&absent->name, "SELECT name FROM logs NOT INDEXED WHERE id = ?1"},
		{&absent->stamp_below, STAMPS " WHERE (log, device, ts) <= (?1, ?2, ?3)"
					      " ORDER BY log DESC, device DESC, ts DESC LIMIT 1"},
		{&absent->stamp_above, STAMPS " WHERE (log, device, ts) > (?1, ?2, ?3)"
					      " ORDER BY log, device, ts LIMIT 1"},
		{&absent->stamp_first, STAMPS " ORDER BY log, device, ts LIMIT 1"},
		{&absent->stamp_last, STAMPS " ORDER BY log DESC, device DESC, ts DESC LIMIT 1"},
		{&absent->stamp, "SELECT device, ts FROM actions WHERE log = ?1 AND seq = ?2"},
		{&absent->pair, "SELECT seq, device, ts, link, type, payload FROM actions"
				" WHERE log = ?1 AND seq BETWEEN ?2 - 1 AND ?2 ORDER BY seq"},
	};
	enum status status = STATUS_OK;
	for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]) && status == STATUS_OK;
	     i++)
		status = db_prepare(db, statements[i].sql, statements[i].statement);
	return status;
}

/* --- names --- */

static int
compare(struct text a, struct text b)
{
	const size_t common = a.size < b.size ? a.size : b.size;
	const int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
	return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

/* No entry is on the side of a name that the sign says: neither is the last one there. */
static enum status
check_last_name(struct statement *last, struct text name, int sign)
{
	const enum step step = statement_step(last);
	enum status status = step == STEP_DONE ? STATUS_OK : step_status(step);
	if (step == STEP_ROW && compare(statement_text(last, 1), name) * sign >= 0)
		status = STATUS_LOG_DAMAGED;
	statement_reset(last);
	return status;
}

/* The entry beside a name, on the side that the sign says, is in order and its row's. */
static enum status
check_name(struct absent *absent, struct text name, int sign)
{
	struct statement *beside = sign < 0 ? absent->name_below : absent->name_above;
	statement_bind_text(beside, 1, name);
	enum step step = statement_step(beside);
	enum status status = step_status(step);
	if (step == STEP_DONE)
		status = check_last_name(sign < 0 ? absent->name_first : absent->name_last, name,
					 sign);
	if (step == STEP_ROW) {
		const struct text key = statement_text(beside, 1);
		statement_bind_u64(absent->name, 1, statement_u64(beside, 0));
		step = statement_step(absent->name);
		status = step_status(step);
		if (step == STEP_ROW && (!text_equal(statement_text(absent->name, 0), key) ||
					 compare(key, name) * sign <= 0))
			status = STATUS_LOG_DAMAGED;
		statement_reset(absent->name);
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
	enum status status = step == STEP_DONE ? STATUS_OK : step_status(step);
	if (step == STEP_ROW) {
		const struct text device = statement_text(statement, 1);
		entry->found = true;
		entry->log = statement_u64(statement, 0);
		entry->ts = statement_u64(statement, 2);
		entry->seq = statement_u64(statement, 3);
		entry->device = (struct text){entry->room, device.size};
		if (device.size > DEVICE_SIZE_MAX)
			status = STATUS_LOG_DAMAGED;
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

/* The row is not what its entry says. Either has rotted; the row, if it does not chain from the one
 * before it: then the entry is believed. */
static enum status
blame(struct absent *absent, const struct entry *entry)
{
	struct hash previous, link, digest, computed;
	statement_bind_u64(absent->pair, 1, entry->log);
	statement_bind_u64(absent->pair, 2, entry->seq);
	bool chains = statement_step(absent->pair) == STEP_ROW &&
		      statement_hash(absent->pair, 3, &previous) &&
		      statement_step(absent->pair) == STEP_ROW &&
		      statement_hash(absent->pair, 3, &link);
	if (chains) {
		const struct action action = {.device = statement_text(absent->pair, 1),
					      .ts = statement_u64(absent->pair, 2),
					      .type = statement_text(absent->pair, 4),
					      .payload = statement_text(absent->pair, 5)};
		chain_digest(&action, &digest);
		chain_link(&previous, &digest, &computed);
		chains = hash_equal(&computed, &link);
	}
	statement_reset(absent->pair);
	return chains || entry->seq <= 1 ? STATUS_LOG_DAMAGED : STATUS_OK;
}

/* What the entry leads to. A row that cannot be read says nothing against its entry. */
static enum status
check_row(struct absent *absent, const struct entry *entry)
{
	statement_bind_u64(absent->stamp, 1, entry->log);
	statement_bind_u64(absent->stamp, 2, entry->seq);
	const enum step step = statement_step(absent->stamp);
	bool same = step == STEP_DAMAGED;
	if (step == STEP_ROW)
		same = text_equal(statement_text(absent->stamp, 0), entry->device) &&
		       statement_u64(absent->stamp, 1) == entry->ts;
	statement_reset(absent->stamp);
	if (step == STEP_FAULT)
		return STATUS_STORAGE_UNAVAILABLE;
	if (step == STEP_DONE)
		return STATUS_LOG_DAMAGED;
	return same ? STATUS_OK : blame(absent, entry);
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
	return (above ? order > 0 : order <= 0) ? STATUS_LOG_DAMAGED : STATUS_OK;
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
		status = STATUS_LOG_DAMAGED;
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
		status = STATUS_LOG_DAMAGED;
	if (status == STATUS_OK)
		status = below.found ? check_entry(absent, false, &below, &above)
				     : check_end(absent, false, &low);
	if (status == STATUS_OK)
		status = above.found ? check_entry(absent, true, &above, &below)
				     : check_end(absent, true, &low);
	return status;
}
