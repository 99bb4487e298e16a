/* repair: puts one damaged log of a stopped daemon's data directory right. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/json_text.h"
#include "cli/repair_copy.h"
#include "cli/repair_out.h"
#include "cli/report.h"
#include "store/directory.h"
#include "store/salvage.h"

#define LINE_MAX_SIZE 65536

struct job {
	const struct cli_options *options;
	struct repair_target target;
	struct text log;
	struct repair_out out;
	struct repair_state state; /* as it is in the end */
	uint64_t refilled, removed;
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
	       !state->index_differs;
}

static enum status
look(const struct job *job, struct repair **repair, const char **problem)
{
	enum status status = STATUS_OK;

	if (!job->options->dry_run)
		status = repair_recover(&job->target, problem);
	return status == STATUS_OK ? repair_open(&job->target, job->log, repair, problem) : status;
}

/* Malformed pages are in the way: what can be read goes into a new file. */
static bool
salvage(struct job *job)
{
	struct salvaged done = {0};
	const char *problem;

	if (job->options->dry_run)
		fail(job, EXIT_UNVERIFIED,
		     "pages of the shard's file are malformed: what can be read of it would be "
		     "copied into a new file first");
	else if (salvage_shard(&job->target, &done, &problem) != STATUS_OK)
		fail(job, EXIT_LOCAL, problem);
	else
		report_note("%s has malformed pages: %" PRIu64
			    " actions were copied into a new file, %" PRIu64
			    " stretches could not be read; the old file is %s. Run "
			    "edgereplay verify to see which other logs lack actions, and repair "
			    "those, too",
			    job->target.path, done.actions, done.gaps, done.kept);
	free(done.kept);
	return job->code == EXIT_FINE;
}

/* NULL, and reported, when there is nothing that could be repaired. */
static struct repair *
open_log(struct job *job)
{
	const char *problem = "its new file has malformed pages, too";
	struct repair *repair = NULL;
	enum status status = look(job, &repair, &problem);

	if (status == STATUS_LOG_DAMAGED && salvage(job))
		status = look(job, &repair, &problem);
	if (job->code != EXIT_FINE)
		return NULL;
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
	if (status == STATUS_OK && cut)
		status = repair_truncate(repair, repair_out_keep, &job->out);
	if (status == STATUS_OK)
		status = repair_out_sync(&job->out);
	const enum status ended = repair_end(repair, status == STATUS_OK && !options->dry_run);
	if (status == STATUS_OK)
		status = ended;
	if (status == STATUS_LOG_DAMAGED)
		return false;
	job->refilled += state->refilled;
	job->removed += state->removed;
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
	bool salvaged = false;

	for (int pass = dry_run ? 1 : 0; pass < 3; pass++) {
		struct repair *repair = open_log(job);
		if (repair == NULL)
			return;
		job->state = *repair_state(repair);
		bool done = pass == 2 || is_whole(&job->state);
		const bool malformed =
			!done && !run_once(job, repair, pass == 1 && job->options->from == NULL);
		repair_close(repair);
		if (malformed && salvaged)
			fail(job, EXIT_LOCAL, "the new file has malformed pages, too");
		if (malformed && !salvaged && salvage(job))
			pass--;
		salvaged = salvaged || malformed;
		const bool is_gone = job->removed > 0 && job->state.good.seq == 0;
		if (done || dry_run || is_gone || job->code != EXIT_FINE)
			return;
	}
}

static void
show_json(const struct job *job)
{
	struct buffer line;

	buffer_init(&line, LINE_MAX_SIZE);
	buffer_append_text(&line, TEXT("{\"log\":"));
	json_write_string(&line, job->log);
	buffer_printf(&line,
		      ",\"refilled\":%" PRIu64 ",\"removed\":%" PRIu64 ",\"bad\":%" PRIu64
		      ",\"records\":%" PRIu64 ",\"seq\":%" PRIu64 ",\"stateHash\":",
		      job->refilled, job->removed, job->state.bad, job->state.records,
		      job->state.good.seq);
	json_write_hash(&line, &job->state.good.link);
	if (job->out.count > 0 && job->out.path != NULL) {
		buffer_append_text(&line, TEXT(",\"out\":"));
		json_write_string(&line, text_of(job->out.path));
	}
	buffer_append_text(&line, job->options->dry_run ? TEXT(",\"dryRun\":true}\n")
							: TEXT(",\"dryRun\":false}\n"));
	if (!line.failed)
		fwrite(line.data, 1, line.size, stdout);
	buffer_release(&line);
}

static void
show(const struct job *job)
{
	const struct repair_state *state = &job->state;
	const char *would = job->options->dry_run ? "would be " : "";

	if (job->options->json) {
		show_json(job);
		return;
	}
	report_note("log %s: %" PRIu64 " actions %sput right, %" PRIu64 " %staken out",
		    job->options->log, job->refilled, would, job->removed, would);
	if (job->out.count > 0 && job->out.path != NULL)
		report_note("what was taken out is in %s", job->out.path);
	if (is_whole(state))
		report_note("log %s is whole: it ends at action %" PRIu64, job->options->log,
			    state->good.seq);
	else
		report_error("log %s is good up to action %" PRIu64 "; %" PRIu64
			     " actions behind it are not, %" PRIu64
			     " kept journal records do not connect: repair it with another copy, "
			     "or without one to cut it there",
			     job->options->log, state->good.seq, state->bad, state->records);
}

/* Beside the directory. */
static char *
default_out(const struct cli_options *options)
{
	char *path = NULL;
	size_t size = strlen(options->argument);

	while (size > 1 && options->argument[size - 1] == '/')
		size--;
	if (asprintf(&path, "%.*s.removed-%s-%" PRIu64 ".ndjson", (int)size, options->argument,
		     options->log, clock_server_msec()) == -1)
		return NULL;
	return path;
}

static enum exit_code
repair_log(const struct cli_options *options, const struct directory *directory)
{
	struct job job = {.options = options, .log = text_of(options->log), .code = EXIT_FINE};
	struct hash genesis;
	char *out = default_out(options);

	chain_genesis(job.log, &genesis);
	const unsigned shard = genesis.bytes[0] * directory->shards / 256;
	char *path = directory_shard_path(directory, shard);
	job.target = (struct repair_target){.path = path,
					    .shard = shard,
					    .shards = directory->shards,
					    .id = directory->ids[shard]};
	if (path == NULL || out == NULL) {
		fail(&job, EXIT_LOCAL, "out of memory");
	} else {
		const char *chosen = options->out != NULL ? options->out : out;
		repair_out_init(&job.out, options->dry_run ? NULL : chosen);
		run(&job);
		if (job.code == EXIT_FINE)
			show(&job);
		repair_out_release(&job.out);
	}
	free(path);
	free(out);
	if (job.code == EXIT_FINE && !options->dry_run && !is_whole(&job.state))
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
