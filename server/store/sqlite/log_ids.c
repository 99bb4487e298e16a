#include "store/sqlite/log_ids.h"

#include <string.h>

enum status
log_ids_prepare(struct log_ids *ids, struct db *db)
{
	const struct {
		struct statement **statement;
		const char *sql;
	} statements[] = {
		{&ids->name, "SELECT name FROM logs WHERE id = ?1"},
		{&ids->actions, "SELECT 1 FROM actions WHERE log = ?1 LIMIT 1"},
		{&ids->next_name, "SELECT id FROM logs WHERE id > ?1 ORDER BY id LIMIT 1"},
		{&ids->next_action, "SELECT log FROM actions WHERE log > ?1 ORDER BY log LIMIT 1"},
	};
	enum status status = STATUS_OK;
	for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]) && status == STATUS_OK;
	     i++)
		status = db_prepare(db, statements[i].sql, statements[i].statement);
	return status;
}

/* found->id is 0 when neither table has that id, or can be read there. */
static enum step
look_at(struct log_ids *ids, uint64_t id, struct found_log *found)
{
	*found = (struct found_log){0};
	statement_bind_u64(ids->name, 1, id);
	enum step step = statement_step(ids->name);
	if (step == STEP_ROW) {
		const struct text name = statement_text(ids->name, 0);
		found->id = id;
		if (log_name_is_valid(name)) {
			found->name_size = name.size;
			memcpy(found->name, name.data, name.size);
		}
	}
	statement_reset(ids->name);
	if (step == STEP_ROW || step == STEP_FAULT)
		return step;
	statement_bind_u64(ids->actions, 1, id);
	step = statement_step(ids->actions);
	statement_reset(ids->actions);
	if (step == STEP_ROW)
		found->id = id;
	return step;
}

/* What comes first behind an id in one of the tables: *next, 0 if nothing does. What a search comes to
 * that lies before where it began is as good as malformed. */
static enum step
look_behind(struct statement *statement, uint64_t id, uint64_t *next)
{
	*next = 0;
	statement_bind_u64(statement, 1, id);
	enum step step = statement_step(statement);
	if (step == STEP_ROW)
		*next = statement_u64(statement, 0);
	statement_reset(statement);
	if (step == STEP_ROW && (*next <= id || *next > SEQ_MAX)) {
		*next = 0;
		step = STEP_DAMAGED;
	}
	return step;
}

static enum status
step_over_gap(struct log_ids *ids, uint64_t id, struct found_log *found)
{
	uint64_t name, action;
	const enum step by_name = look_behind(ids->next_name, id, &name);
	const enum step by_action = look_behind(ids->next_action, id, &action);
	if (by_name == STEP_FAULT || by_action == STEP_FAULT)
		return STATUS_STORAGE_UNAVAILABLE;
	if (by_name == STEP_DAMAGED && by_action == STEP_DAMAGED)
		return STATUS_LOG_DAMAGED;
	uint64_t next = name;
	if (name == 0 || (action != 0 && action < name))
		next = action;
	if (next == 0)
		return STATUS_OK;
	if (look_at(ids, next, found) == STEP_FAULT)
		return STATUS_STORAGE_UNAVAILABLE;
	found->id = next; /* even if the search for just that one does not lead there */
	return STATUS_OK;
}

enum status
log_ids_next(struct log_ids *ids, uint64_t after, struct found_log *found)
{
	const enum step step = look_at(ids, after + 1, found);
	if (step == STEP_FAULT)
		return STATUS_STORAGE_UNAVAILABLE;
	return found->id != 0 ? STATUS_OK : step_over_gap(ids, after + 1, found);
}
