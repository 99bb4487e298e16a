#include "store/engine_has.h"

static bool
visit_none(void *cookie, const struct row *row)
{
	(void)cookie;
	(void)row;
	return false;
}

enum status
engine_has(struct engine *engine, struct text log, const struct hash *genesis,
	   const struct position *position, struct head *head)
{
	const struct range none = {.after = position->seq, .upto = position->seq, .rows_max = 1};
	struct position stored, end;
	enum status status = engine->ops->head(engine, log, genesis, head);
	if (status != STATUS_OK && status != STATUS_LOG_DAMAGED)
		return status;
	if (head->gone.erased_at > 0)
		return STATUS_ERASED;
	if (position->seq < head->gone.pruned)
		return STATUS_PRUNED;
	if (position->seq > head->position.seq)
		return status == STATUS_OK ? STATUS_SERVER_BEHIND : status;
	stored = head->position;
	if (position->seq < stored.seq) {
		status = engine->ops->read(engine, log, genesis, &none, visit_none, NULL, &stored,
					   &end);
		if (status != STATUS_OK)
			return status;
	}
	return hash_equal(&stored.link, &position->link) ? STATUS_OK : STATUS_HASH_MISMATCH;
}
