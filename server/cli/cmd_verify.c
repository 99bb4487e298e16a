/* verify: audits the data directory of a stopped daemon, without changing it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/json_text.h"
#include "cli/report.h"
#include "store/audit.h"
#include "store/directory.h"

#define LINE_MAX_SIZE 65536

/* --json: {"file":…,"log":…,"seq":…,"what":…}, one line a finding. */
static void
write_finding(const struct audit_finding *finding)
{
	struct buffer line;

	buffer_init(&line, LINE_MAX_SIZE);
	buffer_append_text(&line, TEXT("{\"file\":"));
	json_write_string(&line, text_of(finding->path));
	if (finding->log.size > 0 && text_is_utf8(finding->log)) {
		buffer_append_text(&line, TEXT(",\"log\":"));
		json_write_string(&line, finding->log);
		buffer_append_text(&line, TEXT(",\"seq\":"));
		buffer_append_u64(&line, finding->seq);
	}
	buffer_append_text(&line, TEXT(",\"what\":"));
	json_write_string(&line, text_of(finding->what));
	buffer_append_text(&line, TEXT("}\n"));
	if (!line.failed)
		fwrite(line.data, 1, line.size, stdout);
	buffer_release(&line);
}

static void
show_finding(void *cookie, const struct audit_finding *finding)
{
	const struct cli_options *options = cookie;

	if (options->json)
		write_finding(finding);
	else if (finding->log.size > 0)
		report_error("%s: log %.*s, action %" PRIu64 ": %s", finding->path,
			     (int)finding->log.size, finding->log.data, finding->seq,
			     finding->what);
	else
		report_error("%s: %s", finding->path, finding->what);
}

static void
show_progress(void *cookie, uint64_t actions, uint64_t actions_total)
{
	(void)cookie;
	report_progress("verified", actions, actions_total);
}

static void
show_totals(const struct audit_totals *totals, const struct cli_options *options)
{
	if (!options->json) {
		report_note("%s: %" PRIu64 " logs, %" PRIu64 " actions in place, %" PRIu64
			    " payload bytes, %" PRIu64 " journal records with %" PRIu64
			    " actions, %" PRIu64 " findings",
			    options->argument, totals->logs, totals->actions, totals->bytes,
			    totals->journal_records, totals->journal_actions, totals->findings);
		return;
	}
	printf("{\"logs\":%" PRIu64 ",\"actions\":%" PRIu64 ",\"payloadBytes\":%" PRIu64
	       ",\"journalRecords\":%" PRIu64 ",\"journalActions\":%" PRIu64
	       ",\"findings\":%" PRIu64 "}\n",
	       totals->logs, totals->actions, totals->bytes, totals->journal_records,
	       totals->journal_actions, totals->findings);
}

/* Every shard is looked at, also after one that could not be. */
static enum status
audit_all(const struct directory *directory, const struct cli_options *options,
	  struct audit_totals *totals)
{
	const struct audit_observer observer = {
		.finding = show_finding, .progress = show_progress, .cookie = (void *)options};
	enum status worst = STATUS_OK;

	for (unsigned i = 0; i < directory->shards; i++) {
		struct audit_target target = {
			.shard = i, .shards = directory->shards, .id = directory->ids[i]};
		char *path = directory_shard_path(directory, i);

		if (path == NULL) {
			report_error("out of memory");
			return STATUS_INTERNAL;
		}
		target.path = path;
		if (audit_shard(&target, &observer, totals) != STATUS_OK)
			worst = STATUS_STORAGE_UNAVAILABLE;
		free(path);
	}
	return worst;
}

enum exit_code
cmd_verify(const struct cli_options *options)
{
	struct audit_totals totals = {0};
	struct directory directory;
	const char *problem = NULL;
	enum exit_code code = EXIT_FINE;

	if (directory_open_existing(&directory, options->argument, &problem) != STATUS_OK) {
		report_error("%s", problem);
		return EXIT_LOCAL;
	}
	if (audit_all(&directory, options, &totals) != STATUS_OK || totals.findings > 0)
		code = EXIT_UNVERIFIED;
	report_progress_end();
	show_totals(&totals, options);
	if (!report_output_done())
		code = EXIT_LOCAL;
	directory_close(&directory);
	return code;
}
