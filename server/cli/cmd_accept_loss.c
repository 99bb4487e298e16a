/* accept-loss: makes a shard of a stopped daemon serve again though its files lack what they had. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "cli/cli.h"
#include "cli/json_text.h"
#include "cli/report.h"
#include "cli/stamp.h"
#include "store/accept.h"
#include "store/directory.h"

#define LINE_MAX_SIZE 65536

/* --json: {"what":…}, one line a sentence. */
static void
write_sentence(const char *sentence)
{
	struct buffer line;

	buffer_init(&line, LINE_MAX_SIZE);
	buffer_append_text(&line, TEXT("{\"what\":"));
	json_write_string(&line, text_of(sentence));
	buffer_append_text(&line, TEXT("}\n"));
	if (!line.failed)
		fwrite(line.data, 1, line.size, stdout);
	buffer_release(&line);
}

static void
show_sentence(void *cookie, const char *sentence)
{
	const struct cli_options *options = cookie;

	if (options->json)
		write_sentence(sentence);
	else
		report_note("%s", sentence);
}

static void
show_end(const struct acceptance *acceptance, const struct cli_options *options)
{
	if (options->json)
		printf("{\"lost\":%s,\"dryRun\":%s,\"logs\":%" PRIu64 "}\n",
		       acceptance->lost ? "true" : "false", options->dry_run ? "true" : "false",
		       acceptance->logs);
	else if (!acceptance->lost)
		report_note("shard %u has all that it had: there is nothing to accept",
			    acceptance->shard);
	else if (options->dry_run)
		report_note("nothing was changed: this was a dry run");
	else
		report_note(
			"shard %u has the heads of %" PRIu64 " logs, and serves at the next "
			"start. A phone that is ahead of it is told SERVER_BEHIND and pushes "
			"again what it holds; what no phone holds stays lost. What was redacted or "
			"erased comes back with it: replay the list of that (edgereplay redact "
			"--replay) before phones come, and again when they have come",
			acceptance->shard, acceptance->logs);
}

static enum exit_code
accept_shard(const struct directory *directory, const struct cli_options *options)
{
	char stamp[CLOCK_TEXT_SIZE];
	const char *problem = "out of memory";
	struct acceptance acceptance = {.shard = (unsigned)options->shard,
					.shards = directory->shards,
					.directory = directory,
					.stamp = stamp,
					.dry_run = options->dry_run,
					.say = show_sentence,
					.cookie = (void *)options};
	enum status status = STATUS_STORAGE_UNAVAILABLE;
	char *path;

	if (options->shard >= directory->shards) {
		report_error("--shard=%" PRIu64 ": %s has %u shards, from 0", options->shard,
			     options->argument, directory->shards);
		return EXIT_USAGE;
	}
	stamp_now(stamp);
	acceptance.id = directory->ids[options->shard];
	path = directory_shard_path(directory, acceptance.shard);
	acceptance.path = path;
	if (path != NULL)
		status = accept_loss(&acceptance, &problem);
	free(path);
	if (status != STATUS_OK) {
		report_error("%s", problem);
		return EXIT_LOCAL;
	}
	show_end(&acceptance, options);
	return EXIT_FINE;
}

enum exit_code
cmd_accept_loss(const struct cli_options *options)
{
	struct directory directory;
	const char *problem = NULL;
	enum exit_code code;

	if (directory_open_existing(&directory, options->argument, &problem) != STATUS_OK) {
		report_error("%s", problem);
		return EXIT_LOCAL;
	}
	code = accept_shard(&directory, options);
	if (!report_output_done())
		code = EXIT_LOCAL;
	directory_close(&directory);
	return code;
}
