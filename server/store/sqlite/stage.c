#include "store/sqlite/stage.h"

#include <stdlib.h>

#include "base/log.h"

static enum status
out_of_memory(const struct stager *stager)
{
	log_error("store", "out of memory", LOG_STR("file", db_path(rows_db(stager->rows))));
	return STATUS_STORAGE_UNAVAILABLE;
}

/* Whether an append before this one in the group is of the same log. */
static bool
has_one_before(const struct append *appends, size_t i)
{
	const struct hash *genesis = &appends[i].batch->genesis;
	while (i-- > 0) {
		if (hash_equal(&appends[i].batch->genesis, genesis))
			return true;
	}
	return false;
}

/* The row of a log that comes into the tail must be what was gathered. If it is not any more, gathering
 * again finds out why. */
static enum status
look_up(struct stager *stager, const struct append *appends, size_t i, struct log_row *log)
{
	const struct append *append = &appends[i];
	const struct batch *from = append->batch;
	const struct position *head = &log->head.position;
	if (tail_find(stager->tail, &from->genesis) != NULL)
		return STATUS_OK;
	const enum status status = rows_log(stager->rows, from->log, &from->genesis, log);
	if (status != STATUS_OK)
		return status;
	if (head->seq == append->expected.position.seq &&
	    hash_equal(&head->link, &append->expected.position.link))
		return STATUS_OK;
	if (has_one_before(appends, i))
		return STATUS_OK;
	log_error("store", "a log's row has changed on disk",
		  LOG_STR("file", db_path(rows_db(stager->rows))), LOG_TEXT("log", from->log),
		  LOG_U64("seq", head->seq), LOG_U64("expected", append->expected.position.seq));
	return STATUS_LOG_DAMAGED;
}

static enum status
look_up_all(struct stager *stager, const struct append *appends, size_t count, struct log_row *logs)
{
	enum status status = db_begin(rows_db(stager->rows), false);
	for (size_t i = 0; i < count && status == STATUS_OK; i++)
		status = look_up(stager, appends, i, &logs[i]);
	db_rollback(rows_db(stager->rows));
	return status;
}

/* A log that is new gets an id, which its row will have when its first action is in place. */
static enum status
stage_all(struct stager *stager, struct tail_batch *first, const struct append *appends,
	  struct log_row *logs)
{
	struct tail_batch *batch = first;
	for (size_t i = 0; batch != NULL; i++, batch = batch->next) {
		const struct hash *genesis = &appends[i].batch->genesis;
		if (!logs[i].found && tail_find(stager->tail, genesis) == NULL)
			logs[i].id = stager->next_log_id++;
		if (!tail_stage(stager->tail, batch, genesis, logs[i].id, !logs[i].found))
			return out_of_memory(stager);
	}
	return STATUS_OK;
}

enum status
stage_group(struct stager *stager, struct tail_batch *first, const struct append *appends,
	    size_t count)
{
	struct log_row *logs = calloc(count, sizeof(*logs));
	if (logs == NULL)
		return out_of_memory(stager);
	enum status status = look_up_all(stager, appends, count, logs);
	if (status == STATUS_OK)
		status = stage_all(stager, first, appends, logs);
	free(logs);
	return status;
}
