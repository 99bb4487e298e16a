#include "base/clock.h"
#include "store/salvage_work.h"
#include "store/sqlite/gone.h"

/* A log without an entry: its rows are all redacted up to the one with seq `bared`; 0: not even the first. */
struct open_log {
	uint64_t id, head, bared;
	struct text name;
};

/* Its content may have gone action by action: only what all is gone of is taken for erased. */
static enum status
suppose(struct salvage *salvage, const struct open_log *log)
{
	struct gone gone = {.pruned = log->bared, .cleared = log->bared};
	struct hash genesis;
	if (log->bared == 0)
		return STATUS_OK;
	if (log->bared == log->head)
		gone.erased_at = clock_server_msec();
	salvage->done->supposed++;
	salvage->order->suppose(salvage->order->supposing, log->name, &gone);
	if (gone.erased_at > 0)
		gone.pruned = 0;
	chain_genesis(log->name, &genesis);
	return gone_write(salvage->to, log->id, &genesis, &gone);
}

enum status
salvage_suppose_gone(struct salvage *salvage)
{
	struct statement *next;
	struct open_log log = {0};
	enum step step = STEP_ROW;
	if (salvage->done->unreadable == 0)
		return STATUS_OK;
	enum status status = db_prepare(
		salvage->to,
		"SELECT id, name, head, ifnull((SELECT max(seq) FROM actions WHERE log = id"
		" AND seq < content), 0) FROM (SELECT id, name, seq AS head,"
		" ifnull((SELECT seq FROM actions WHERE log = id AND type <> ''"
		" ORDER BY seq LIMIT 1), 9223372036854775807) AS content FROM logs"
		" WHERE id > ?1 AND id NOT IN (SELECT log FROM gone) ORDER BY id LIMIT 1)",
		&next);
	while (status == STATUS_OK && step == STEP_ROW) {
		statement_bind_u64(next, 1, log.id);
		step = statement_step(next);
		if (step == STEP_ROW) {
			log = (struct open_log){.id = statement_u64(next, 0),
						.name = statement_text(next, 1),
						.head = statement_u64(next, 2),
						.bared = statement_u64(next, 3)};
			status = suppose(salvage, &log);
		}
		statement_reset(next);
	}
	return status == STATUS_OK ? repair_step(step) : status;
}
