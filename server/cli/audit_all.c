#include "cli/audit_all.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/interrupt.h"
#include "cli/json_text.h"
#include "cli/report.h"

#define LINE_MAX_SIZE 65536

static void
write_finding(const struct audit_finding *finding, bool is_unfinished)
{
	struct buffer line;

	buffer_init(&line, LINE_MAX_SIZE);
	buffer_append_text(&line, TEXT("{\"file\":"));
	json_write_any(&line, text_of(finding->path));
	if (finding->log.size > 0 && text_is_utf8(finding->log)) {
		buffer_append_text(&line, TEXT(",\"log\":"));
		json_write_string(&line, finding->log);
		buffer_append_text(&line, TEXT(",\"seq\":"));
		buffer_append_u64(&line, finding->seq);
	}
	buffer_append_text(&line, TEXT(",\"what\":"));
	json_write_string(&line, text_of(finding->what));
	buffer_append_text(&line, is_unfinished ? TEXT(",\"unfinished\":true}\n") : TEXT("}\n"));
	if (!line.failed)
		fwrite(line.data, 1, line.size, stdout);
	buffer_release(&line);
}

void
audit_show(const struct cli_options *options, const struct audit_finding *finding)
{
	if (options->json)
		write_finding(finding, false);
	else if (finding->log.size > 0)
		report_error("%s: log %.*s, action %" PRIu64 ": %s", finding->path,
			     (int)finding->log.size, finding->log.data, finding->seq,
			     finding->what);
	else
		report_error("%s: %s", finding->path, finding->what);
}

void
audit_show_unfinished(const struct cli_options *options, const struct audit_finding *finding)
{
	if (options->json)
		write_finding(finding, true);
	else
		report_note("%s: log %.*s, action %" PRIu64 ": %s", finding->path,
			    (int)finding->log.size, finding->log.data, finding->seq, finding->what);
}

static void
show_finding(void *cookie, const struct audit_finding *finding)
{
	audit_show(cookie, finding);
}

static void
show_unfinished(void *cookie, const struct audit_finding *finding)
{
	audit_show_unfinished(cookie, finding);
}

static void
show_progress(void *cookie, uint64_t actions, uint64_t actions_total)
{
	(void)cookie;
	report_progress("verified", actions, actions_total);
	interrupt_look();
}

enum status
audit_all(const struct directory *directory, const struct cli_options *options,
	  struct audit_totals *totals)
{
	const struct audit_observer observer = {.finding = show_finding,
						.unfinished = show_unfinished,
						.progress = show_progress,
						.cookie = (void *)options};
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
