/* remove_offline: content goes from a stopped daemon's data directory: its shards are opened as at a start. */
#include <stdlib.h>

#include "cli/remove.h"
#include "cli/report.h"
#include "store/engine_has.h"
#include "store/leftovers.h"
#include "store/reshard.h"
#include "store/snapshot_removal.h"
#include "store/snapshot_walk.h"
#include "store/sqlite/sqlite_engine.h"

static enum exit_code
failed(enum status status, struct text log)
{
	switch (status) {
	case STATUS_NOT_FOUND:
		report_error("there is no log %.*s", (int)log.size, log.data);
		return EXIT_UNVERIFIED;
	case STATUS_UNKNOWN_STATE:
		report_error("log %.*s does not have all of these actions: nothing was removed",
			     (int)log.size, log.data);
		return EXIT_UNVERIFIED;
	case STATUS_ERASED:
		report_error("the erasure of log %.*s was cut off, and content is left: erase it "
			     "again, then open it",
			     (int)log.size, log.data);
		return EXIT_UNVERIFIED;
	case STATUS_NO_SNAPSHOT:
		report_error(
			"no snapshot of log %.*s stands for these actions: nothing was removed "
			"(--without-snapshot does without)",
			(int)log.size, log.data);
		return EXIT_UNVERIFIED;
	case STATUS_LOG_DAMAGED:
		report_error("log %.*s or its file is damaged: repair it, then do this again; "
			     "content may still be there",
			     (int)log.size, log.data);
		return EXIT_UNVERIFIED;
	default:
		report_error("the shard cannot be written: the log has the reason. Some content "
			     "may be gone, some not: do this again");
		return EXIT_LOCAL;
	}
}

static enum exit_code
open_shard(struct removing *removing, unsigned shard)
{
	const struct directory *directory = &removing->directory;
	char *path = directory_shard_path(directory, shard);
	const char *problem = "out of memory";
	enum status status = STATUS_STORAGE_UNAVAILABLE;

	if (path != NULL) {
		const struct sqlite_options options = sqlite_options_of_tool(
			path, shard, directory->shards, directory->ids[shard]);

		status = sqlite_engine_open(&options, &removing->engines[shard], &problem);
	}
	free(path);
	if (status == STATUS_OK)
		return EXIT_FINE;
	report_error("%s", problem);
	return EXIT_LOCAL;
}

static enum status
has_position(void *cookie, const struct removal *removal, const struct position *position)
{
	struct head head;

	return engine_has(cookie, removal->log, removal->genesis, position, &head);
}

enum exit_code
remove_offline(struct removing *removing, struct removal *removal)
{
	const unsigned shard = directory_shard_of(removal->genesis, removing->directory.shards);
	enum exit_code code = EXIT_FINE;
	enum status status = STATUS_OK;
	uint64_t kept;

	if (removing->engines[shard] == NULL)
		code = open_shard(removing, shard);
	if (code != EXIT_FINE)
		return code;
	struct engine *engine = removing->engines[shard];
	if (removal->kind == REMOVE_BEFORE && !removing->options->without_snapshot)
		status = snapshots_stand_for(&removing->snapshots, removal, has_position, engine);
	removal->more = status == STATUS_OK;
	while (status == STATUS_OK && removal->more) {
		status = engine->ops->remove(engine, removal, 1, false, &kept);
		if (status == STATUS_OK)
			status = removal->status;
		if (status == STATUS_OK)
			remove_step_done(removing);
	}
	if (status == STATUS_OK)
		status = snapshots_follow(&removing->snapshots, removal);
	if (status == STATUS_OK)
		leftovers_follow(removing->directory.path, removal, REMOVE_LEFTOVERS_MAX / 2,
				 remove_add_leftover, removing);
	removing->has_failed = removing->has_failed || status != STATUS_OK;
	return status == STATUS_OK ? EXIT_FINE : failed(status, removal->log);
}

struct visiting {
	struct removing *removing;
	remove_visitor *visit;
	enum exit_code code;
};

static bool
visit_log(void *cookie, const struct snapshot_facts *oldest)
{
	struct visiting *visiting = cookie;

	visiting->code = visiting->visit(visiting->removing, oldest->log.data);
	return visiting->code == EXIT_FINE;
}

enum exit_code
remove_offline_visit(struct removing *removing, remove_visitor *visit)
{
	struct visiting visiting = {.removing = removing, .visit = visit, .code = EXIT_FINE};

	if (snapshots_logs(&removing->snapshots, NULL, visit_log, &visiting) == STATUS_OK)
		return visiting.code;
	report_error("the folder of snapshots cannot be read");
	return EXIT_LOCAL;
}

/* What a reshard left may be all that is left of a shard that does not open, or of a log that is damaged. */
static void
drop_copies(const struct removing *removing)
{
	const struct directory *directory = &removing->directory;
	const char *problem = NULL;
	enum status status = removing->has_failed ? STATUS_LOG_DAMAGED : STATUS_OK;

	if (!reshard_has_left(directory))
		return;
	for (unsigned shard = 0; shard < directory->shards && status == STATUS_OK; shard++) {
		if (removing->engines[shard] == NULL)
			status = reshard_settle(directory, shard, &problem);
		if (problem != NULL && status != STATUS_OK)
			report_error("%s", problem);
	}
	if (status == STATUS_OK)
		reshard_drop(directory);
}

enum exit_code
remove_offline_end(struct removing *removing)
{
	enum status status = STATUS_OK;

	for (unsigned shard = 0; shard < removing->directory.shards && status == STATUS_OK;
	     shard++) {
		struct engine *engine = removing->engines[shard];
		uint64_t kept = 0;

		report_progress("overwritten shards", shard, removing->directory.shards);
		if (engine == NULL)
			continue;
		remove_look(removing);
		status = engine->ops->remove(engine, NULL, 0, true, &kept);
		if (status == STATUS_OK)
			status = engine->ops->settle_down(engine);
		removing->kept += kept;
	}
	removing->has_failed = removing->has_failed || status != STATUS_OK;
	drop_copies(removing);
	leftovers_visit(removing->directory.path, REMOVE_LEFTOVERS_MAX / 2, remove_add_leftover,
			removing);
	return status == STATUS_OK ? EXIT_FINE : failed(status, TEXT(""));
}
