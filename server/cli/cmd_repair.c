/* repair: puts one damaged log of a stopped daemon's data directory right. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/json_text.h"
#include "cli/repair_audit.h"
#include "cli/repair_copy.h"
#include "cli/repair_out.h"
#include "cli/report.h"
#include "store/directory.h"
#include "store/reshard.h"
#include "store/salvage.h"
#include "store/salvage_place.h"
#include "store/snapshots.h"

#define LINE_MAX_SIZE 65536

struct job {
	const struct cli_options *options;
	struct repair_target target;
	struct text log;
	struct repair_out out;
	struct repair_state state; /* as it is in the end; of a dry run, as it is */
	uint64_t refilled, withheld, returned, removed, bared, missing;
	bool is_kept_whole; /* nothing may be cut off, for removed content would come back */
	bool is_salvaged;   /* once: a second new file would be no better */
	struct salvaged salvaged;
	struct repair_audit audit;
	enum exit_code code;
};

static void
fail(struct job *job, enum exit_code code, const char *problem)
{
	job->code = code;
	report_error("%s", problem);
}

static bool
is_whole(const struct repair_state *state)
{
	return state->bad == 0 && state->records == 0 && !state->head_differs &&
	       !state->index_differs && !state->batches_differ && !state->gone_differs;
}

static void
show_salvaged(const struct job *job)
{
	const struct salvaged *done = &job->salvaged;

	report_note("%s is malformed: %" PRIu64 " actions were copied into a new file, %" PRIu64
		    " pages and records could not be read; the old file is %s, until you remove it",
		    job->target.path, done->actions, done->unreadable, done->kept);
	if (done->removed > 0)
		report_note("%" PRIu64 " actions that do not fit any log are in %s; %" PRIu64
			    " of them were on free pages, which an earlier cut leaves",
			    done->removed, job->out.path, done->removed - done->removed_live);
	if (done->unreadable > 0)
		report_error(
			"what stood there is known only as far as the rest of the shard tells: "
			"logs that are short of something are named below, but one of which "
			"nothing else is left is not. Phones that have such a log bring it back");
	if (done->unnamed > 0)
		report_error(
			"of %" PRIu64 " logs there are rows or entries, and no name: actions "
			"are in %s under their numbers. If you know a name of this shard that "
			"is gone, put the old files back and repair with that name; phones that "
			"have such a log bring it back",
			done->unnamed, job->out.path);
}

/* An erased log has no snapshots. */
static bool
has_snapshots(const struct job *job, struct text log)
{
	struct snapshots snapshots;
	struct snapshot_list list = {0};
	struct hash genesis;

	chain_genesis(log, &genesis);
	if (!snapshots_open(&snapshots, job->options->argument))
		return false;
	const enum status status = snapshots_list(&snapshots, &genesis, &list);
	snapshots_close(&snapshots);
	return status == STATUS_OK && list.count > 0;
}

static void
suppose(void *supposing, struct text log, struct gone *gone)
{
	const int size = (int)log.size;

	if (gone->erased_at > 0 && has_snapshots(supposing, log))
		gone->erased_at = 0;
	if (gone->erased_at > 0)
		report_error("log %.*s: no action has content, and what said why may be lost: it "
			     "counts as erased, until edgereplay erase %.*s --reopen opens it",
			     size, log.data, size, log.data);
	else
		report_error("log %.*s: no action up to %" PRIu64 " has content, and what said why "
			     "may be lost: it counts as pruned up to there, until edgereplay erase "
			     "%.*s --reopen --data=DIR has it begin with the first action",
			     size, log.data, gone->pruned, size, log.data);
}

/* What can be read of a malformed file goes into a new one. */
static bool
salvage(struct job *job)
{
	const struct salvage_order order = {.target = job->target,
					    .log = job->log,
					    .keeper = repair_out_keep,
					    .sync = repair_out_sync,
					    .suppose = suppose,
					    .supposing = job,
					    .cookie = &job->out};
	const char *problem = "its new file is malformed, too";

	if (job->options->dry_run) {
		fail(job, EXIT_UNVERIFIED,
		     "the shard's file is malformed: what can be read of it would be copied into a "
		     "new file first");
	} else if (job->is_salvaged ||
		   salvage_shard(&order, &job->salvaged, &problem) != STATUS_OK) {
		fail(job, EXIT_LOCAL, problem);
	} else {
		job->is_salvaged = true;
		show_salvaged(job);
	}
	return job->code == EXIT_FINE;
}

/* Nothing is written to a malformed file, not even by a start. */
static bool
make_sound(struct job *job)
{
	const char *problem = "";
	bool is_sound;

	if (!job->options->dry_run && salvage_undo(job->target.path, &problem) != STATUS_OK) {
		fail(job, EXIT_LOCAL, problem);
		return false;
	}
	if (repair_check(&job->target, &is_sound, &problem) != STATUS_OK) {
		fail(job, EXIT_LOCAL, problem);
		return false;
	}
	return is_sound || salvage(job);
}

/* As a start does. False, and reported, when it cannot. */
static bool
recover(struct job *job)
{
	const char *problem = "";

	if (!job->options->dry_run && repair_recover(&job->target, &problem) != STATUS_OK)
		fail(job, EXIT_LOCAL, problem);
	return job->code == EXIT_FINE;
}

/* NULL, and reported, when there is nothing that could be repaired. */
static struct repair *
open_log(struct job *job)
{
	const char *problem = "";
	struct repair *repair = NULL;

	if (!recover(job))
		return NULL;
	enum status status = repair_open(&job->target, job->log, &repair, &problem);
	if (status == STATUS_LOG_DAMAGED) {
		if (!salvage(job) || !recover(job))
			return NULL;
		status = repair_open(&job->target, job->log, &repair, &problem);
	}
	if (status == STATUS_NOT_FOUND)
		fail(job, EXIT_UNVERIFIED, "there is no log of that name, and no action of it");
	else if (status != STATUS_OK)
		fail(job, EXIT_LOCAL, problem);
	return repair;
}

/* One transaction: puts right what is proven, and with cut takes out what is behind that. False:
 * malformed pages are in the way. */
static bool
run_once(struct job *job, struct repair *repair, bool cut)
{
	const struct cli_options *options = job->options;
	const struct repair_state *state = repair_state(repair);
	enum status status = STATUS_OK;

	if (options->from != NULL)
		job->code = repair_copy_read(options->from, job->log, repair);
	if (job->code != EXIT_FINE)
		return true;
	status = repair_refill(repair);
	job->is_kept_whole = cut && !repair_may_cut(repair);
	if (status == STATUS_OK && cut && !job->is_kept_whole)
		status = repair_truncate(repair, repair_out_keep, &job->out);
	if (status == STATUS_OK)
		status = repair_out_sync(&job->out);
	const enum status ended = repair_end(repair, status == STATUS_OK && !options->dry_run);
	if (status == STATUS_OK)
		status = ended;
	if (status == STATUS_LOG_DAMAGED)
		return false;
	job->refilled += state->refilled;
	job->withheld += state->withheld;
	job->returned += state->returned;
	job->removed += state->removed;
	job->bared += state->bared;
	job->missing += state->missing;
	if (!options->dry_run)
		job->state = *state;
	if (status != STATUS_OK)
		fail(job, EXIT_LOCAL, "the log could not be repaired; nothing was changed");
	return true;
}

/* Once more when kept records may have been put in place, as they are when the log is opened. Only what
 * is left then is cut. */
static void
run(struct job *job)
{
	const bool dry_run = job->options->dry_run;

	for (int pass = dry_run ? 1 : 0; pass < 3; pass++) {
		struct repair *repair = open_log(job);
		if (repair == NULL)
			return;
		job->state = *repair_state(repair);
		const bool done = pass == 2 || is_whole(&job->state);
		const bool malformed =
			!done && !run_once(job, repair, pass == 1 && job->options->from == NULL);
		repair_close(repair);
		if (malformed && salvage(job))
			pass--;
		const bool is_gone = job->removed + job->missing > 0 && job->state.good.seq == 0;
		if (done || dry_run || is_gone || job->code != EXIT_FINE)
			return;
	}
}

/* Nothing is called whole before all of the shard has been looked at. What is wrong with the file as
 * such, a new one puts right. */
static void
run_and_audit(struct job *job)
{
	if (!make_sound(job))
		return;
	run(job);
	while (job->code == EXIT_FINE && !job->options->dry_run) {
		if (repair_audit(&job->target, job->log, &job->audit) != STATUS_OK) {
			fail(job, EXIT_LOCAL, "the shard could not be verified afterwards");
			return;
		}
		if (job->audit.of_file == 0 || job->is_salvaged || !salvage(job))
			return;
		run(job);
	}
}

/* All that the store is known to have had is in the log, or was taken out of it as it must be. */
static bool
is_all_there(const struct job *job)
{
	const struct salvaged *done = &job->salvaged;

	return is_whole(&job->state) && job->audit.findings == 0 && job->missing == 0 &&
	       done->unreadable == 0 && done->unnamed == 0 && done->removed_live == 0;
}

static void
show_json(const struct job *job)
{
	struct buffer line;

	buffer_init(&line, LINE_MAX_SIZE);
	buffer_append_text(&line, TEXT("{\"log\":"));
	json_write_string(&line, job->log);
	buffer_printf(&line,
		      ",\"refilled\":%" PRIu64 ",\"withheld\":%" PRIu64 ",\"returned\":%" PRIu64
		      ",\"removed\":%" PRIu64 ",\"bared\":%" PRIu64 ",\"missing\":%" PRIu64
		      ",\"bad\":%" PRIu64 ",\"records\":%" PRIu64 ",\"seq\":%" PRIu64
		      ",\"stateHash\":",
		      job->refilled, job->withheld, job->returned, job->removed, job->bared,
		      job->missing, job->state.bad, job->state.records, job->state.good.seq);
	json_write_hash(&line, &job->state.good.link);
	if (job->out.count > 0 && job->out.path != NULL) {
		buffer_append_text(&line, TEXT(",\"out\":"));
		json_write_any(&line, text_of(job->out.path));
	}
	if (job->salvaged.kept != NULL) {
		buffer_printf(&line,
			      ",\"unnamed\":%" PRIu64 ",\"unreadable\":%" PRIu64
			      ",\"supposed\":%" PRIu64 ",\"kept\":",
			      job->salvaged.unnamed, job->salvaged.unreadable,
			      job->salvaged.supposed);
		json_write_any(&line, text_of(job->salvaged.kept));
	}
	buffer_printf(&line, ",\"findings\":%" PRIu64, job->audit.findings);
	buffer_append_text(&line, job->options->dry_run ? TEXT(",\"dryRun\":true}\n")
							: TEXT(",\"dryRun\":false}\n"));
	if (!line.failed)
		fwrite(line.data, 1, line.size, stdout);
	buffer_release(&line);
}

/* What is to be known of content that an operator has removed. */
static void
show_removed(const struct job *job)
{
	const char *log = job->options->log;

	if (job->withheld > 0)
		report_note("the content of %" PRIu64 " of them had been removed and stays so",
			    job->withheld);
	if (job->returned > 0)
		report_error("of %" PRIu64 " of them nothing was left that would tell of a "
			     "redaction, and their content is there: if log %s was redacted, "
			     "replay the list of it (edgereplay redact --replay) before phones "
			     "come",
			     job->returned, log);
	if (job->bared > 0)
		report_error("%" PRIu64 " of those taken out had been redacted, and phones push "
			     "them again with their content: when they have, replay the list of "
			     "it (edgereplay redact --replay)",
			     job->bared);
	if (job->is_kept_whole)
		report_error("log %s was erased or pruned beyond action %" PRIu64
			     ": it is not cut there, for phones would bring back what was "
			     "removed. Repair it with a copy, of which such content stays out",
			     log, job->state.good.seq);
}

static void
show(const struct job *job)
{
	const struct repair_state *state = &job->state;
	const char *would = job->options->dry_run ? "would be " : "";
	const char *log = job->options->log;

	if (job->options->json) {
		show_json(job);
		return;
	}
	report_note("log %s: %" PRIu64 " actions %sput right, %" PRIu64 " %staken out", log,
		    job->refilled, would, job->removed, would);
	show_removed(job);
	if (job->out.count > 0 && job->out.path != NULL)
		report_note("what was taken out is in %s", job->out.path);
	if (job->missing > 0)
		report_error("of log %s %" PRIu64 " actions %slost: there was nothing to take out",
			     log, job->missing, job->options->dry_run ? "would be " : "are ");
	if (is_whole(state) && job->audit.of_log == 0)
		report_note("log %s is whole: it ends at action %" PRIu64, log, state->good.seq);
	else if (state->bad == 0 && state->records == 0)
		report_error("log %s is good up to action %" PRIu64
			     "; what leads to its actions is not right",
			     log, state->good.seq);
	else if (!job->is_kept_whole)
		report_error("log %s is good up to action %" PRIu64 "; %" PRIu64
			     " actions behind it are not, %" PRIu64
			     " kept journal records do not connect: repair it with another copy, "
			     "or without one to cut it there",
			     log, state->good.seq, state->bad, state->records);
	if (job->audit.findings > job->audit.of_log)
		report_error("other logs of the shard are not whole: edgereplay verify names them; "
			     "repair each");
}

/* Beside the directory, whatever name was given for it: where an erasure looks for it. */
static char *
default_out(const struct cli_options *options)
{
	char *path = NULL, *dir = realpath(options->argument, NULL);

	if (dir == NULL || asprintf(&path, "%s.removed-%s-%" PRIu64 ".ndjson", dir, options->log,
				    clock_server_msec()) == -1)
		path = NULL;
	free(dir);
	return path;
}

static enum exit_code
repair_log(const struct cli_options *options, const struct directory *directory)
{
	struct job job = {.options = options, .log = text_of(options->log), .code = EXIT_FINE};
	struct hash genesis;
	char *out = default_out(options);

	chain_genesis(job.log, &genesis);
	const unsigned shard = directory_shard_of(&genesis, directory->shards);
	char *path = directory_shard_path(directory, shard);
	job.target = (struct repair_target){.path = path,
					    .shard = shard,
					    .shards = directory->shards,
					    .id = directory->ids[shard]};
	const char *problem = NULL;
	if (path == NULL || out == NULL) {
		fail(&job, EXIT_LOCAL, "out of memory");
	} else if (!options->dry_run && reshard_keep(directory, &problem) != STATUS_OK) {
		fail(&job, EXIT_LOCAL, problem);
	} else {
		const char *chosen = options->out != NULL ? options->out : out;
		repair_out_init(&job.out, options->dry_run ? NULL : chosen);
		run_and_audit(&job);
		if (job.code == EXIT_FINE)
			show(&job);
		repair_out_release(&job.out);
	}
	free(job.salvaged.kept);
	free(path);
	free(out);
	if (job.code == EXIT_FINE && !options->dry_run && !is_all_there(&job))
		return EXIT_UNVERIFIED;
	return job.code;
}

enum exit_code
cmd_repair(const struct cli_options *options)
{
	struct directory directory;
	const char *problem = NULL;
	enum exit_code code;

	if (directory_open_existing(&directory, options->argument, &problem) != STATUS_OK) {
		report_error("%s", problem);
		return EXIT_LOCAL;
	}
	code = repair_log(options, &directory);
	if (!report_output_done())
		code = EXIT_LOCAL;
	directory_close(&directory);
	return code;
}
