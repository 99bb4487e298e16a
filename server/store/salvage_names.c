#include <string.h>

#include "store/directory.h"
#include "store/salvage_work.h"
#include "store/sqlite/journal.h"

#define FIRST "seq, device, ts, link, type, payload"

/* The statements, and the log that is being named. */
struct naming {
	struct salvage *salvage;
	struct statement *next, *names, *first, *insert, *records;
	uint64_t log;
};

static bool
may_have(const struct naming *naming, struct text name, struct hash *genesis)
{
	const struct repair_target *target = &naming->salvage->order->target;
	if (!log_name_is_valid(name))
		return false;
	chain_genesis(name, genesis);
	return directory_shard_of(genesis, target->shards) == target->shard;
}

/* Whether one of the rows that its first action can be chains from the name. */
static enum status
prove(struct naming *naming, struct text name, bool *proven)
{
	struct hash genesis;
	*proven = false;
	if (!may_have(naming, name, &genesis))
		return STATUS_OK;
	statement_bind_u64(naming->first, 1, naming->log);
	enum step step = statement_step(naming->first);
	for (; step == STEP_ROW && !*proven;
	     step = *proven ? step : statement_step(naming->first)) {
		struct removed first;
		*proven = repair_read(naming->first, &first) && salvage_chains(&genesis, &first);
	}
	statement_reset(naming->first);
	return *proven ? STATUS_OK : repair_step(step);
}

/* Its head is what its row says; else what is known of its end. */
static enum status
insert(struct naming *naming, struct text name, bool *done)
{
	statement_bind_u64(naming->insert, 1, naming->log);
	statement_bind_text(naming->insert, 2, name);
	const enum status status = repair_run(naming->insert);
	*done = status == STATUS_OK && db_changes(naming->salvage->to) > 0;
	return status;
}

/* A name that was found with the log's id, if the first action proves it. */
static enum status
name_by_proof(struct naming *naming, bool *done)
{
	statement_bind_u64(naming->names, 1, naming->log);
	enum status status = STATUS_OK;
	enum step step = statement_step(naming->names);
	for (; step == STEP_ROW && status == STATUS_OK && !*done;
	     step = *done ? step : statement_step(naming->names)) {
		const struct text name = statement_text(naming->names, 0);
		bool proven;
		status = prove(naming, name, &proven);
		if (status == STATUS_OK && proven)
			status = insert(naming, name, done);
	}
	statement_reset(naming->names);
	return status == STATUS_OK && !*done ? repair_step(step) : status;
}

/* A name that was found without an id: that of a kept record, or that the operator gave. */
static enum status
name_by_guess(struct naming *naming, bool *done)
{
	bool proven;
	const struct text given = naming->salvage->order->log;
	enum status status = prove(naming, given, &proven);
	if (status == STATUS_OK && proven)
		status = insert(naming, given, done);
	if (status != STATUS_OK || *done)
		return status;
	enum step step = statement_step(naming->records);
	for (; step == STEP_ROW && status == STATUS_OK && !*done;
	     step = *done ? step : statement_step(naming->records)) {
		const struct text bytes = statement_text(naming->records, 0);
		struct record record;
		if (!journal_peek((const uint8_t *)bytes.data, bytes.size, &record))
			continue;
		status = prove(naming, record.log, &proven);
		if (status == STATUS_OK && proven)
			status = insert(naming, record.log, done);
	}
	statement_reset(naming->records);
	return status == STATUS_OK && !*done ? repair_step(step) : status;
}

/* Without its first action a name is believed that all say who know it, and no other log has. */
static enum status
name_by_agreement(struct naming *naming, bool *done)
{
	char room[LOG_NAME_SIZE_MAX];
	struct text agreed = {room, 0};
	bool contradicted = false;
	statement_bind_u64(naming->names, 1, naming->log);
	enum step step = statement_step(naming->names);
	for (; step == STEP_ROW; step = statement_step(naming->names)) {
		const struct text name = statement_text(naming->names, 0);
		struct hash genesis;
		if (statement_u64(naming->names, 1) > 1 || !may_have(naming, name, &genesis))
			continue;
		contradicted = contradicted || (agreed.size > 0 && !text_equal(agreed, name));
		if (agreed.size == 0)
			memcpy(room, name.data, name.size);
		agreed.size = agreed.size == 0 ? name.size : agreed.size;
	}
	statement_reset(naming->names);
	if (step != STEP_DONE || agreed.size == 0 || contradicted)
		return repair_step(step);
	return insert(naming, agreed, done);
}

static enum status
prepare(struct naming *naming)
{
	const struct {
		struct statement **statement;
		const char *sql;
	} statements[] = {
		{&naming->next,
		 "SELECT min(log) FROM (SELECT min(log) AS log FROM actions WHERE log > ?1"
		 " UNION ALL SELECT min(log) FROM names WHERE log > ?1 AND rank < 2)"},
		{&naming->names, "SELECT name, rank FROM names WHERE log = ?1 ORDER BY rank"},
		{&naming->first, "SELECT " FIRST " FROM actions WHERE log = ?1 AND seq = 1"
				 " UNION ALL"
				 " SELECT " FIRST " FROM spare WHERE log = ?1 AND seq = 1"},
		{&naming->insert,
		 "INSERT OR IGNORE INTO logs SELECT ?1, ?2, ifnull(known.seq, known.top),"
		 " CASE WHEN known.seq IS NOT NULL THEN known.link ELSE ifnull((SELECT link"
		 " FROM actions WHERE log = ?1 AND seq = known.top), zeroblob(32)) END,"
		 " known.received_at, 0 FROM (SELECT head.seq, head.link,"
		 " ifnull(head.received_at, 0) AS received_at, max(1,"
		 " (SELECT ifnull(max(seq), 0) FROM actions WHERE log = ?1),"
		 " (SELECT ifnull(max(last), 0) FROM batches WHERE log = ?1)) AS top"
		 " FROM (SELECT 1) LEFT JOIN (SELECT seq, link, received_at FROM names"
		 " WHERE log = ?1 AND rank = 0 AND seq <= 9007199254740991 AND (seq > 0 OR seq = 0"
		 " AND NOT EXISTS (SELECT 1 FROM actions WHERE log = ?1)"
		 " AND NOT EXISTS (SELECT 1 FROM batches WHERE log = ?1))"
		 " AND length(link) = 32 LIMIT 1) AS head) AS known"},
		{&naming->records, "SELECT record FROM journal ORDER BY id"},
	};
	enum status status = STATUS_OK;
	for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]) && status == STATUS_OK;
	     i++)
		status =
			db_prepare(naming->salvage->to, statements[i].sql, statements[i].statement);
	return status;
}

static enum status
name_one(struct naming *naming, bool by_proof)
{
	bool done = false;
	if (!by_proof)
		return name_by_agreement(naming, &done);
	const enum status status = name_by_proof(naming, &done);
	return status == STATUS_OK && !done ? name_by_guess(naming, &done) : status;
}

enum status
salvage_name_logs(struct salvage *salvage)
{
	struct naming naming = {.salvage = salvage};
	enum status status = prepare(&naming);
	/* Two may have one name, and one of them proves it. */
	for (int pass = 0; pass < 2 && status == STATUS_OK; pass++) {
		naming.log = 0;
		while (status == STATUS_OK) {
			statement_bind_u64(naming.next, 1, naming.log);
			const enum step step = statement_step(naming.next);
			naming.log = step == STEP_ROW ? statement_u64(naming.next, 0) : 0;
			statement_reset(naming.next);
			if (step != STEP_ROW)
				return repair_step(step);
			if (naming.log == 0)
				break;
			status = name_one(&naming, pass == 0);
		}
	}
	return status;
}
