#include "base/clock.h"
#include "store/repair_work.h"
#include "store/sqlite/gone.h"

/* What the log's entry says, believed or not. */
struct entry {
	bool is_there, verifies;
	struct gone gone;
};

static enum status
read_entry(struct repair *repair, struct entry *entry)
{
	struct statement *select;
	enum status status = db_prepare(
		repair->db, "SELECT " GONE_COLUMNS " FROM gone WHERE gone.log = ?1", &select);
	*entry = (struct entry){.verifies = true};
	if (status != STATUS_OK)
		return status;
	statement_bind_u64(select, 1, repair->id);
	const enum step step = statement_step(select);
	entry->is_there = step == STEP_ROW;
	if (entry->is_there)
		entry->verifies = gone_take(select, 0, &repair->genesis, &entry->gone);
	statement_reset(select);
	return repair_step(step);
}

/* Up to where no row that is left has content; SEQ_MAX: none has. */
static enum status
find_redacted(struct repair *repair, uint64_t *upto)
{
	struct statement *select;
	*upto = 0;
	enum status status = db_prepare(repair->db,
					"SELECT seq - 1 FROM actions WHERE log = ?1 AND seq > 0"
					" AND type <> '' ORDER BY seq LIMIT 1",
					&select);
	if (status != STATUS_OK)
		return status;
	statement_bind_u64(select, 1, repair->id);
	const enum step step = statement_step(select);
	*upto = step == STEP_ROW ? statement_u64(select, 0) : SEQ_MAX;
	statement_reset(select);
	return repair_step(step);
}

/* Of what has rotted as much is believed as rows do not contradict: one of the numbers is wrong. */
static struct gone
guessed(const struct entry *entry, uint64_t good, uint64_t redacted)
{
	struct gone gone = entry->gone;
	if (good == 0)
		return (struct gone){0};
	if (redacted < good)
		gone.erased_at = 0;
	else if (gone.erased_at > TS_MAX)
		gone.erased_at = clock_server_msec();
	const uint64_t most = redacted < good ? redacted : good;
	if (gone.pruned > most || (gone.pruned == 0 && gone.erased_at == 0))
		gone.pruned = most;
	return gone;
}

static enum status
look(struct repair *repair, struct entry *entry, struct gone *gone, bool *differs)
{
	const uint64_t good = repair->state.good.seq;
	uint64_t redacted = 0;
	enum status status = read_entry(repair, entry);
	if (status == STATUS_OK)
		status = find_redacted(repair, &redacted);
	*gone = entry->gone;
	uint64_t most = good;
	if (status == STATUS_OK && !entry->verifies) {
		*gone = guessed(entry, good, redacted);
		most = redacted < good ? redacted : good;
	}
	if (gone->pruned > most)
		gone->pruned = most;
	if (gone->cleared > most)
		gone->cleared = most;
	/* What has its content again a crash or a rotten page has cost the erasure: it goes on from there. */
	if (status == STATUS_OK && gone->erased_at > 0 && gone->cleared > redacted)
		gone->cleared = redacted;
	*differs = !entry->verifies || gone->pruned != entry->gone.pruned ||
		   gone->cleared != entry->gone.cleared;
	return status;
}

enum status
repair_gone_find(struct repair *repair)
{
	struct entry entry;
	enum status status = read_entry(repair, &entry);
	if (status == STATUS_OK && !entry.verifies)
		return find_redacted(repair, &repair->state.gone_upto);
	const struct gone *gone = &entry.gone;
	repair->state.gone_upto = gone->pruned > gone->cleared ? gone->pruned : gone->cleared;
	if (gone->erased_at > 0)
		repair->state.gone_upto = SEQ_MAX;
	return status;
}

enum status
repair_gone_look(struct repair *repair, bool *differs)
{
	struct entry entry;
	struct gone gone;
	return look(repair, &entry, &gone, differs);
}

enum status
repair_gone_mend(struct repair *repair)
{
	struct entry entry;
	struct gone gone;
	bool differs;
	const enum status status = look(repair, &entry, &gone, &differs);
	return status == STATUS_OK && differs
		       ? gone_write(repair->db, repair->id, &repair->genesis, &gone)
		       : status;
}
