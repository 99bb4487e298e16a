/* reshard: another number of shards for a stopped daemon's directory. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "cli/audit_all.h"
#include "cli/cli.h"
#include "cli/interrupt.h"
#include "cli/report.h"
#include "cli/tree.h"
#include "store/reshard.h"
#include "store/shard_stat.h"

/* All of it takes so many times as long as verifying the old files: measured with small actions, 1 in 10 000
 * logs, and rounded up. */
#define TIMES_VERIFY 6

/* What new files take of what old ones have: they are filled in order. A write-ahead log comes with it. */
#define ROOM_BYTES ((uint64_t)64 << 20)

#define LOOK_EVERY 1024

struct resharding {
	const struct cli_options *options;
	struct directory directory;
	unsigned shards;
	const char *what; /* of the progress */
	uint64_t done, total, unseen;
	uint64_t bytes, room_free, verify_msec;
	bool is_unsettled; /* a journal or a WAL has something */
	struct audit_totals before, after;
	struct reshard work;
};

static void
add_progress(void *cookie, uint64_t actions)
{
	struct resharding *resharding = cookie;

	resharding->done += actions;
	resharding->unseen += actions;
	if (resharding->unseen < LOOK_EVERY)
		return;
	resharding->unseen = 0;
	report_progress(resharding->what, resharding->done, resharding->total);
	interrupt_look();
}

static void
begin_progress(struct resharding *resharding, const char *what)
{
	resharding->what = what;
	resharding->done = 0;
	resharding->total = resharding->before.actions;
}

/* --- beforehand --- */

static void
ignore_log(void *cookie, struct text log, uint64_t actions, uint64_t bytes, uint64_t received_at)
{
	(void)cookie;
	(void)log;
	(void)actions;
	(void)bytes;
	(void)received_at;
}

static enum exit_code
look_at_shard(struct resharding *resharding, unsigned shard)
{
	const struct directory *directory = &resharding->directory;
	struct shard_stat_order order = {.target = {.path = directory_shard_path(directory, shard),
						    .shard = shard,
						    .shards = directory->shards,
						    .id = directory->ids[shard]},
					 .visit = ignore_log};
	const char *problem = "out of memory";
	struct shard_stat stat;
	enum exit_code code = EXIT_LOCAL;

	if (order.target.path != NULL && shard_stat_read(&order, &stat, &problem) == STATUS_OK)
		code = EXIT_FINE;
	else
		report_error("%s", problem);
	free((char *)order.target.path);
	if (code != EXIT_FINE)
		return code;
	if (stat.refusal[0] != '\0') {
		report_error("a start would refuse shard %u: %s", shard, stat.refusal);
		return EXIT_UNVERIFIED;
	}
	resharding->bytes += (stat.pages - stat.free_pages) * stat.page_bytes + stat.wal_bytes +
			     stat.journal_bytes;
	resharding->is_unsettled =
		resharding->is_unsettled || stat.waiting_records > 0 || stat.wal_bytes > 0;
	return EXIT_FINE;
}

static uint64_t
room_needed(const struct resharding *resharding)
{
	return resharding->bytes + resharding->bytes / 8 + ROOM_BYTES;
}

static enum exit_code
look(struct resharding *resharding)
{
	struct statvfs disk;
	enum exit_code code = EXIT_FINE;

	for (unsigned shard = 0; shard < resharding->directory.shards && code == EXIT_FINE; shard++)
		code = look_at_shard(resharding, shard);
	if (code != EXIT_FINE)
		return code;
	if (statvfs(resharding->directory.path, &disk) == -1) {
		report_error("%s: %s", resharding->directory.path, strerror(errno));
		return EXIT_LOCAL;
	}
	resharding->room_free = (uint64_t)disk.f_bavail * disk.f_frsize;
	return EXIT_FINE;
}

/* A log that does not verify stays where repair finds all that there is of it. */
static enum exit_code
verify_old(struct resharding *resharding)
{
	const uint64_t began = clock_monotonic_msec();
	const enum status status =
		audit_all(&resharding->directory, resharding->options, &resharding->before);

	resharding->verify_msec = clock_monotonic_msec() - began;
	report_progress_end();
	if (status == STATUS_OK && resharding->before.findings == 0)
		return EXIT_FINE;
	report_error("%s does not verify: see edgereplay repair, then do this again",
		     resharding->directory.path);
	return EXIT_UNVERIFIED;
}

static bool
has_room(const struct resharding *resharding)
{
	return resharding->room_free >= room_needed(resharding);
}

static enum exit_code
show_plan(const struct resharding *resharding)
{
	const uint64_t msec = resharding->verify_msec * TIMES_VERIFY;
	const uint64_t actions = resharding->before.actions + resharding->before.journal_actions;

	if (resharding->options->json)
		printf("{\"dryRun\":true,\"from\":%u,\"to\":%u,\"logs\":%" PRIu64
		       ",\"actions\":%" PRIu64 ",\"bytesNeeded\":%" PRIu64 ",\"bytesFree\":%" PRIu64
		       ",\"seconds\":%" PRIu64 ",\"fits\":%s}\n",
		       resharding->directory.shards, resharding->shards, resharding->before.logs,
		       actions, room_needed(resharding), resharding->room_free, msec / 1000 + 1,
		       has_room(resharding) ? "true" : "false");
	else
		report_note("%s: %" PRIu64 " logs with %" PRIu64
			    " actions from %u shards to %u: about %" PRIu64 " seconds, and %" PRIu64
			    " bytes of disk until the old files are removed; %" PRIu64
			    " are free. Nothing was changed: this was a dry run",
			    resharding->directory.path, resharding->before.logs, actions,
			    resharding->directory.shards, resharding->shards, msec / 1000 + 1,
			    room_needed(resharding), resharding->room_free);
	return has_room(resharding) ? EXIT_FINE : EXIT_LOCAL;
}

/* --- the work --- */

static enum exit_code
fail(enum status status, const char *problem)
{
	report_error("%s", problem);
	return status == STATUS_LOG_DAMAGED ? EXIT_UNVERIFIED : EXIT_LOCAL;
}

static enum exit_code
bring_to_rest(const struct resharding *resharding)
{
	const char *problem = NULL;
	enum status status = STATUS_OK;

	for (unsigned i = 0; i < resharding->directory.shards && resharding->is_unsettled; i++) {
		status = reshard_settle(&resharding->directory, i, &problem);
		if (status != STATUS_OK)
			return fail(status, problem);
	}
	return EXIT_FINE;
}

static enum exit_code
make_new(struct resharding *resharding)
{
	struct reshard *work = &resharding->work;
	const char *problem = NULL;
	enum status status = reshard_begin(work, &problem);

	if (status == STATUS_OK && work->is_resumed)
		report_note("goes on with what %s has", work->folder);
	begin_progress(resharding, "copied");
	if (status == STATUS_OK)
		status = reshard_copy(work, &problem);
	begin_progress(resharding, "compared");
	if (status == STATUS_OK)
		status = reshard_compare(work, &problem);
	return status == STATUS_OK ? EXIT_FINE : fail(status, problem);
}

/* Every link of the new files, from each genesis, and every head. */
static enum exit_code
verify_new(struct resharding *resharding)
{
	const struct audit_totals *before = &resharding->before, *after = &resharding->after;

	if (audit_all(&resharding->work.to, resharding->options, &resharding->after) == STATUS_OK &&
	    after->findings == 0 && after->logs == before->logs &&
	    after->actions == before->actions && after->bytes == before->bytes)
		return EXIT_FINE;
	report_progress_end();
	report_error("the new files do not verify");
	return EXIT_UNVERIFIED;
}

static enum exit_code
put_in_force(struct resharding *resharding)
{
	const char *problem = NULL;
	enum status status;

	if (!tree_give(resharding->work.folder, resharding->directory.path))
		return EXIT_LOCAL;
	status = reshard_switch(&resharding->work, &problem);
	if (status != STATUS_OK)
		return fail(status, problem);
	status = reshard_clean(&resharding->work.to, &problem);
	if (status == STATUS_OK)
		return EXIT_FINE;
	report_error("the new files are in force, and not all old ones removed: %s", problem);
	return EXIT_LOCAL;
}

static void
show(const struct resharding *resharding)
{
	const struct reshard *work = &resharding->work;

	report_progress_end();
	if (resharding->options->json)
		printf("{\"from\":%u,\"to\":%u,\"logs\":%" PRIu64 ",\"resumed\":%" PRIu64
		       ",\"actions\":%" PRIu64 "}\n",
		       resharding->directory.shards, resharding->shards, work->logs,
		       work->logs_resumed, resharding->after.actions);
	else
		report_note("%s: %" PRIu64 " logs with %" PRIu64
			    " actions, verified, are in %u shards; start it with store.shards=%u",
			    resharding->directory.path, work->logs, resharding->after.actions,
			    resharding->shards, resharding->shards);
}

static enum exit_code
change(struct resharding *resharding)
{
	const char *problem = NULL;
	enum exit_code code = EXIT_FINE;

	if (!has_room(resharding)) {
		report_error("%s: %" PRIu64 " bytes are free, and it takes about %" PRIu64,
			     resharding->directory.path, resharding->room_free,
			     room_needed(resharding));
		return EXIT_LOCAL;
	}
	code = bring_to_rest(resharding);
	if (code == EXIT_FINE)
		code = verify_old(resharding);
	if (code == EXIT_FINE)
		code = make_new(resharding);
	if (code == EXIT_FINE)
		code = verify_new(resharding);
	/* What is wrong in them must not be gone on with. */
	if (code == EXIT_UNVERIFIED && resharding->work.folder != NULL &&
	    reshard_clean(&resharding->directory, &problem) == STATUS_OK)
		report_error("nothing has been changed, and what was made is removed");
	interrupt_look();
	if (code == EXIT_FINE)
		code = put_in_force(resharding);
	if (code == EXIT_FINE)
		show(resharding);
	return code;
}

static void
show_unchanged(const struct resharding *resharding)
{
	if (resharding->options->json)
		printf("{\"dryRun\":%s,\"from\":%u,\"to\":%u,\"unchanged\":true}\n",
		       resharding->options->dry_run ? "true" : "false", resharding->shards,
		       resharding->shards);
	else
		report_note("%s has %u shards already", resharding->directory.path,
			    resharding->shards);
}

static enum exit_code
reshard(struct resharding *resharding)
{
	const char *problem = NULL;
	enum exit_code code;

	if (resharding->shards == resharding->directory.shards) {
		if (!resharding->options->dry_run &&
		    reshard_clean(&resharding->directory, &problem) != STATUS_OK)
			return fail(STATUS_STORAGE_UNAVAILABLE, problem);
		show_unchanged(resharding);
		return EXIT_FINE;
	}
	code = look(resharding);
	if (code == EXIT_FINE && !resharding->options->dry_run)
		return change(resharding);
	if (code == EXIT_FINE)
		code = verify_old(resharding);
	return code == EXIT_FINE ? show_plan(resharding) : code;
}

/* What is left of it at any moment is gone on with: there is nothing to take away. */
static void
say_interrupted(void *cookie)
{
	const struct resharding *resharding = cookie;

	report_progress_end();
	report_note(
		"%s is as it was; the same command goes on, and edgereplay reshard %u takes out "
		"what there is of it",
		resharding->directory.path, resharding->directory.shards);
}

enum exit_code
cmd_reshard(const struct cli_options *options)
{
	struct resharding resharding = {.options = options};
	const char *problem = NULL;
	uint64_t shards = 0;
	enum exit_code code;

	if (!text_to_u64(text_of(options->argument), SHARDS_MAX, &shards) || shards == 0 ||
	    (shards & (shards - 1)) != 0) {
		report_error("%s: the number of shards is a power of two, up to %d",
			     options->argument, SHARDS_MAX);
		return EXIT_USAGE;
	}
	if (directory_open_existing(&resharding.directory, options->second, &problem) != STATUS_OK)
		return fail(STATUS_STORAGE_UNAVAILABLE, problem);
	resharding.shards = (unsigned)shards;
	resharding.work = (struct reshard){.from = &resharding.directory,
					   .shards = resharding.shards,
					   .progress = add_progress,
					   .cookie = &resharding};
	interrupt_watch(say_interrupted, &resharding);
	code = reshard(&resharding);
	report_progress_end();
	interrupt_forget();
	reshard_release(&resharding.work);
	directory_close(&resharding.directory);
	return report_output_done() ? code : EXIT_LOCAL;
}
