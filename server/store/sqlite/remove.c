#include "store/sqlite/remove.h"

#include "store/sqlite/overwrite.h"
#include "store/sqlite/removal.h"

/* Each waits for readers for 50 ms. */
#define REST_ATTEMPTS 100

void
remove_release(struct remove *remove)
{
	remover_free(remove->remover);
	*remove = (struct remove){.db = NULL};
}

/* Readers are in the way for one of their steps, and others come. */
static enum status
rest_at_last(struct remove *remove)
{
	bool complete = false;
	enum status status = STATUS_OK;
	for (unsigned i = 0; i < REST_ATTEMPTS && status == STATUS_OK && !complete; i++)
		status = generations_settle_down(remove->generations, &complete);
	return status == STATUS_OK && !complete ? STATUS_BACKPRESSURE : status;
}

/* An erasure goes on over what does not verify. Of what was begun, it is seen row by row. */
static bool
bears_damage(const struct removal *removal)
{
	return removal->kind == REMOVE_BEGUN ||
	       (removal->kind == REMOVE_ALL && !removal->stays_open);
}

static enum status
change_rows(struct remove *remove, struct removal *removals, size_t count)
{
	struct head good;
	enum status status = db_sync_commits(remove->db, true);
	if (status == STATUS_OK && remove->remover == NULL)
		status = remover_new(remove->db, remove->next_log_id, &remove->remover);
	for (size_t i = 0; i < count && status == STATUS_OK; i++) {
		struct removal *removal = &removals[i];
		if (!bears_damage(removal) &&
		    damage_find(remove->damage, removal->genesis, &good)) {
			removal->status = STATUS_LOG_DAMAGED;
			continue;
		}
		status = removal_step(remove->remover, removal);
		if ((status == STATUS_OK && removal->status == STATUS_OK) || removal->at > 0)
			damage_set_gone(remove->damage, removal->genesis, &removal->head.gone);
	}
	return status;
}

static bool
is_done(const struct removal *removals, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (removals[i].more)
			return false;
	}
	return true;
}

/* Pages that were read before would be written again with what they had then: they are forgotten. */
static enum status
overwrite_all(struct remove *remove, uint64_t *kept)
{
	enum status status = rest_at_last(remove);
	if (status != STATUS_OK)
		return status;
	status = overwrite_free(remove->db);
	db_forget_pages(remove->db);
	if (status == STATUS_STORAGE_UNAVAILABLE)
		return status;
	const enum status counted = db_query_u64(remove->db, "SELECT count(*) FROM journal", kept);
	return counted == STATUS_OK ? status : counted;
}

enum status
remove_content(struct remove *remove, struct removal *removals, size_t count, bool overwrite,
	       uint64_t *kept)
{
	struct applier *applier = &remove->generations->applier;
	*kept = 0;
	enum status status = rest_at_last(remove);
	if (status != STATUS_OK)
		return status;
	applier_hold(applier, overwrite ? "content was removed meanwhile" : NULL);
	status = change_rows(remove, removals, count);
	if (status == STATUS_OK && overwrite && is_done(removals, count))
		status = overwrite_all(remove, kept);
	applier_let_go(applier);
	return status;
}
