#include "store/sqlite/order.h"

enum status
order_check(struct db *db, const char *sql, bool *is_kept)
{
	struct statement *keys;
	uint64_t first = 0, second = 0;
	enum status status = db_prepare(db, sql, &keys);
	*is_kept = status == STATUS_OK;
	if (status != STATUS_OK)
		return status;
	enum step step = statement_step(keys);
	for (; step == STEP_ROW && *is_kept; step = statement_step(keys)) {
		const uint64_t next[2] = {statement_u64(keys, 0), statement_u64(keys, 1)};
		*is_kept = next[0] > first || (next[0] == first && next[1] > second);
		first = next[0];
		second = next[1];
	}
	statement_reset(keys);
	*is_kept = *is_kept && step != STEP_DAMAGED;
	return step == STEP_FAULT ? STATUS_STORAGE_UNAVAILABLE : STATUS_OK;
}
