/* stat: what a data directory holds, what a server says of itself, or the figures of one log. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/json_text.h"
#include "cli/log_stat.h"
#include "cli/phone_answer.h"
#include "cli/report.h"
#include "cli/source.h"
#include "store/directory.h"
#include "store/shard_stat.h"

#define OUT_SIZE_MAX ((size_t)16 << 20)
#define LOGS_SHOWN 10

struct large_log {
	char name[LOG_NAME_SIZE_MAX + 1];
	uint64_t actions, bytes, received_at;
	unsigned shard;
};

struct stat_of {
	bool json;
	struct buffer out;
	unsigned shard; /* the one being read */
	size_t log_count;
	struct large_log logs[LOGS_SHOWN]; /* the largest first */
	uint64_t logs_total, actions_total, bytes_total;
	bool is_bad; /* something is damaged, or would be refused */
};

/* --- a directory --- */

static void
keep_log(void *cookie, struct text name, uint64_t actions, uint64_t bytes, uint64_t received_at)
{
	struct stat_of *stat_of = cookie;
	size_t at = stat_of->log_count;

	while (at > 0 && stat_of->logs[at - 1].actions < actions)
		at--;
	if (at == LOGS_SHOWN || name.size > LOG_NAME_SIZE_MAX || !log_name_is_valid(name))
		return;
	if (stat_of->log_count < LOGS_SHOWN)
		stat_of->log_count++;
	memmove(&stat_of->logs[at + 1], &stat_of->logs[at],
		(stat_of->log_count - at - 1) * sizeof(stat_of->logs[0]));
	stat_of->logs[at] = (struct large_log){.actions = actions,
					       .bytes = bytes,
					       .received_at = received_at,
					       .shard = stat_of->shard};
	memcpy(stat_of->logs[at].name, name.data, name.size);
}

static void
write_shard_json(struct stat_of *stat_of, const struct shard_stat *stat)
{
	struct buffer *out = &stat_of->out;

	buffer_printf(out,
		      "%s{\"shard\":%u,\"schema\":%" PRIu64 ",\"logs\":%" PRIu64
		      ",\"actions\":%" PRIu64 ",\"actionBytes\":%" PRIu64 ",\"fileBytes\":%" PRIu64
		      ",\"walBytes\":%" PRIu64 ",\"journalBytes\":%" PRIu64
		      ",\"pageBytes\":%" PRIu64 ",\"pages\":%" PRIu64 ",\"freePages\":%" PRIu64,
		      stat_of->shard > 0 ? "," : "", stat_of->shard, stat->schema, stat->logs,
		      stat->actions, stat->action_bytes, stat->file_bytes, stat->wal_bytes,
		      stat->journal_bytes, stat->page_bytes, stat->pages, stat->free_pages);
	buffer_printf(out,
		      ",\"waitingRecords\":%" PRIu64 ",\"waitingActions\":%" PRIu64
		      ",\"keptRecords\":%" PRIu64 ",\"rottenRecords\":%" PRIu64
		      ",\"commits\":%" PRIu64,
		      stat->waiting_records, stat->waiting_actions, stat->kept_records,
		      stat->rotten_records, stat->commits);
	if (stat->anchor.is_readable)
		buffer_printf(out,
			      ",\"anchor\":{\"commits\":%" PRIu64 ",\"transactions\":%" PRIu64
			      ",\"fileBytes\":%" PRIu64 "}",
			      stat->anchor.commits, stat->anchor.transactions,
			      stat->anchor.file_bytes);
	if (stat->refusal[0] != '\0') {
		buffer_append_text(out, TEXT(",\"refusal\":"));
		json_write_string(out, text_of(stat->refusal));
	}
	buffer_append_text(out, TEXT("}"));
}

static void
write_shard_words(struct stat_of *stat_of, const struct shard_stat *stat)
{
	struct buffer *out = &stat_of->out;

	buffer_printf(out,
		      "shard %u: schema %" PRIu64 ", %" PRIu64 " logs, %" PRIu64
		      " actions of %" PRIu64 " bytes in place\n"
		      "  on the disk  %" PRIu64 " bytes, WAL %" PRIu64 ", journal %" PRIu64 "\n"
		      "  free pages   %" PRIu64 " of %" PRIu64 ", of %" PRIu64 " bytes each\n"
		      "  journal      %" PRIu64 " records with %" PRIu64
		      " actions wait for the next start\n",
		      stat_of->shard, stat->schema, stat->logs, stat->actions, stat->action_bytes,
		      stat->file_bytes, stat->wal_bytes, stat->journal_bytes, stat->free_pages,
		      stat->pages, stat->page_bytes, stat->waiting_records, stat->waiting_actions);
	if (stat->anchor.is_readable)
		buffer_printf(out,
			      "  anchor       commit %" PRIu64 " of %" PRIu64
			      ", transaction %" PRIu64 ", %" PRIu64 " bytes must be there\n",
			      stat->anchor.commits, stat->commits, stat->anchor.transactions,
			      stat->anchor.file_bytes);
	if (stat->kept_records > 0)
		buffer_printf(out,
			      "  DAMAGED      %" PRIu64 " records could not be put in place: "
			      "edgereplay verify names their logs\n",
			      stat->kept_records);
	if (stat->rotten_records > 0)
		buffer_printf(out, "  DAMAGED      %" PRIu64 " journal records do not verify\n",
			      stat->rotten_records);
	if (stat->refusal[0] != '\0')
		buffer_printf(out, "  REFUSED      a start refuses it: %s\n", stat->refusal);
}

static void
write_logs(struct stat_of *stat_of)
{
	struct buffer *out = &stat_of->out;
	char time[CLOCK_TEXT_SIZE];

	if (stat_of->json)
		buffer_append_text(out, TEXT("],\"largestLogs\":["));
	else if (stat_of->log_count > 0)
		buffer_append_text(out, TEXT("largest logs\n"));
	for (size_t i = 0; i < stat_of->log_count; i++) {
		const struct large_log *log = &stat_of->logs[i];

		clock_format(log->received_at, time);
		if (stat_of->json) {
			/* It may have rotted. */
			buffer_append_text(out, i > 0 ? TEXT(",{\"log\":") : TEXT("{\"log\":"));
			json_write_any(out, text_of(log->name));
			buffer_printf(out,
				      ",\"actions\":%" PRIu64 ",\"bytes\":%" PRIu64
				      ",\"receivedLast\":%" PRIu64 ",\"shard\":%u}",
				      log->actions, log->bytes, log->received_at, log->shard);
		} else {
			buffer_printf(out,
				      "  %-32s %10" PRIu64 " actions of %" PRIu64
				      " bytes, the last of %s, shard %u\n",
				      log->name, log->actions, log->bytes, time, log->shard);
		}
	}
}

static enum exit_code
read_shard(struct stat_of *stat_of, const struct directory *directory)
{
	struct shard_stat_order order = {
		.target = {.path = directory_shard_path(directory, stat_of->shard),
			   .shard = stat_of->shard,
			   .shards = directory->shards,
			   .id = directory->ids[stat_of->shard]},
		.logs_max = LOGS_SHOWN,
		.visit = keep_log,
		.cookie = stat_of,
	};
	const char *problem = "out of memory";
	struct shard_stat stat = {.logs = 0};
	enum status status = STATUS_STORAGE_UNAVAILABLE;

	if (order.target.path != NULL)
		status = shard_stat_read(&order, &stat, &problem);
	if (status != STATUS_OK) {
		report_error("%s", problem);
		(void)snprintf(stat.refusal, sizeof(stat.refusal), "%s", problem);
	}
	stat_of->logs_total += stat.logs;
	stat_of->actions_total += stat.actions + stat.waiting_actions;
	stat_of->bytes_total += stat.file_bytes + stat.wal_bytes + stat.journal_bytes;
	if (stat.refusal[0] != '\0' || stat.kept_records > 0 || stat.rotten_records > 0)
		stat_of->is_bad = true;
	if (stat_of->json)
		write_shard_json(stat_of, &stat);
	else
		write_shard_words(stat_of, &stat);
	free((char *)order.target.path);
	return status == STATUS_STORAGE_UNAVAILABLE ? EXIT_LOCAL : EXIT_FINE;
}

static enum exit_code
stat_directory(struct stat_of *stat_of, const char *dir)
{
	struct directory directory;
	const char *problem = NULL;
	enum exit_code code = EXIT_FINE;

	if (directory_open_existing(&directory, dir, &problem) != STATUS_OK) {
		report_error("%s", problem);
		return EXIT_LOCAL;
	}
	if (stat_of->json)
		buffer_append_text(&stat_of->out, TEXT("{\"shards\":["));
	for (; stat_of->shard < directory.shards; stat_of->shard++) {
		if (read_shard(stat_of, &directory) != EXIT_FINE)
			code = EXIT_LOCAL;
		report_progress("shards", stat_of->shard + 1, directory.shards);
	}
	report_progress_end();
	write_logs(stat_of);
	buffer_printf(&stat_of->out,
		      stat_of->json ? "],\"logs\":%" PRIu64 ",\"actions\":%" PRIu64
				      ",\"bytes\":%" PRIu64 "}\n"
				    : "in all: %" PRIu64 " logs, %" PRIu64 " actions, %" PRIu64
				      " bytes\n",
		      stat_of->logs_total, stat_of->actions_total, stat_of->bytes_total);
	directory_close(&directory);
	return code == EXIT_FINE && stat_of->is_bad ? EXIT_UNVERIFIED : code;
}

/* --- a server --- */

/* What /v1/info says, a line a value. */
static void
write_value(struct buffer *out, const char *name, const json_t *value)
{
	char *text = json_is_string(value) ? strdup(json_string_value(value))
					   : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

	buffer_printf(out, "%-26s %s\n", name, text != NULL ? text : "");
	free(text);
}

static void
write_info(struct buffer *out, json_t *info)
{
	const char *name, *inner;
	json_t *value, *part;

	json_object_foreach(info, name, value)
	{
		if (!json_is_object(value)) {
			write_value(out, name, value);
			continue;
		}
		json_object_foreach(value, inner, part)
		{
			char both[128];

			(void)snprintf(both, sizeof(both), "%s.%s", name, inner);
			write_value(out, both, part);
		}
	}
}

static enum exit_code
stat_server(struct stat_of *stat_of, const struct cli_options *options, const char *url)
{
	struct transport *transport = transport_new(url, options);
	struct http_answer http;
	struct answer answer;
	enum exit_code code = EXIT_UNREACHABLE;

	if (transport == NULL)
		return EXIT_USAGE;
	http_answer_init(&http);
	transport_ask(transport, "/v1/info", NULL, options->give_up_sec * 1000, &http);
	answer_read_failure(&http, &answer);
	if (http.arrived && http.http == 200 && answer.root != NULL) {
		code = EXIT_FINE;
		if (stat_of->json) {
			buffer_append(&stat_of->out, http.body.data, http.body.size);
			buffer_append_text(&stat_of->out, TEXT("\n"));
		} else {
			write_info(&stat_of->out, answer.root);
		}
	} else {
		report_error("%s", answer.why);
	}
	answer_release(&answer);
	http_answer_release(&http);
	transport_free(transport);
	return code;
}

enum exit_code
cmd_stat(const struct cli_options *options)
{
	struct cli_options with_from = *options;
	struct stat_of stat_of = {.json = options->json};
	struct source source;
	enum exit_code code;

	with_from.from = options->argument;
	if (options->log != NULL)
		return log_stat(&with_from);
	code = source_find_kind(&source, &with_from);
	if (code != EXIT_FINE)
		return code;
	if (source.kind == SOURCE_EXPORT || source.kind == SOURCE_STATE)
		return log_stat(&with_from);
	buffer_init(&stat_of.out, OUT_SIZE_MAX);
	if (source.kind == SOURCE_SERVER)
		code = stat_server(&stat_of, options, options->argument);
	else
		code = stat_directory(&stat_of, options->argument);
	if (stat_of.out.size > 0)
		fwrite(stat_of.out.data, 1, stat_of.out.size, stdout);
	buffer_release(&stat_of.out);
	return report_output_done() ? code : EXIT_LOCAL;
}
