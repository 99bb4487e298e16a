/* export: a log as a file that can be verified by itself; export --check verifies one. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/end_receipt.h"
#include "cli/export_file.h"
#include "cli/out_file.h"
#include "cli/receipt_check.h"
#include "cli/report.h"
#include "cli/source.h"

#define LINE_SIZE_LIMIT ((size_t)1 << 30)

/* A log that is written all the while gets no receipt in the end. */
#define RECEIPT_TRIES 5

struct export
{
	struct source source;
	struct out_file *out;
	struct buffer line;
	struct buffer receipt;
	struct position at;
};

static bool
write_line(struct export *export)
{
	const struct text line = {export->line.data, export->line.size};

	if (export->line.failed)
		report_error("out of memory");
	return !export->line.failed && out_file_write(export->out, line);
}

static bool
write_action(void *cookie, const struct sourced *sourced)
{
	struct export *export = cookie;

	export->line.size = 0;
	if (export->at.seq == 0 && sourced->logged.seq == 1)
		export_write_first(&export->line, text_of(export->source.log));
	export_write_action(&export->line, sourced);
	return write_line(export);
}

/* A receipt is for the head: what came meanwhile is read, too. */
static enum exit_code
read_all(struct export *export)
{
	enum exit_code code = EXIT_FINE;

	for (int i = 0; i < RECEIPT_TRIES; i++) {
		code = source_read(&export->source, &export->at, write_action, export);
		if (code != EXIT_FINE || export->source.kind != SOURCE_SERVER ||
		    end_receipt_ask(&export->source.options, &export->at, &export->receipt))
			break;
	}
	if (code == EXIT_FINE && export->at.seq == 0) {
		report_error("log %s is empty: nobody has written it", export->source.log);
		code = EXIT_UNVERIFIED;
	}
	return code;
}

static enum exit_code
write_last(struct export *export)
{
	const struct text receipt = {export->receipt.data, export->receipt.size};

	export->line.size = 0;
	export_write_last(&export->line, &export->at, receipt);
	return write_line(export) ? EXIT_FINE : EXIT_LOCAL;
}

/* {"log":…,"count":…,"stateHash":…,"receipt":…} */
static void
print_summary(const struct cli_options *options, const char *log, const struct position *at,
	      const char *receipt)
{
	char link[HASH_TEXT_SIZE];

	hash_to_text(&at->link, link);
	/* A name needs no escapes in JSON: its grammar has none of the characters that do. */
	if (options->json)
		printf("{\"log\":\"%s\",\"count\":%" PRIu64
		       ",\"stateHash\":\"%.*s\",\"receipt\":\"%s\"}\n",
		       log, at->seq, HASH_TEXT_SIZE, link, receipt);
	else
		report_note("log %s: %" PRIu64 " actions, state hash %.*s, receipt: %s", log,
			    at->seq, HASH_TEXT_SIZE, link, receipt);
}

static enum exit_code
export_log(const struct cli_options *options)
{
	struct export export = {.at.seq = 0};
	const bool to_stdout = options->out == NULL || strcmp(options->out, "-") == 0;
	enum exit_code code;

	code = source_open(&export.source, options, options->argument);
	if (code != EXIT_FINE)
		return code;
	export.out = out_file_open(options->out);
	if (export.out == NULL)
		return EXIT_LOCAL;
	buffer_init(&export.line, LINE_SIZE_LIMIT);
	buffer_init(&export.receipt, NOTE_SIZE_MAX);
	code = read_all(&export);
	if (code == EXIT_FINE)
		code = write_last(&export);
	if (code != EXIT_FINE)
		(void)out_file_discard(export.out);
	else if (!out_file_commit(export.out))
		code = EXIT_LOCAL;
	else if (!to_stdout)
		print_summary(options, export.source.log, &export.at,
			      export.receipt.size > 0 ? "included" : "none");
	buffer_release(&export.receipt);
	buffer_release(&export.line);
	return report_output_done() ? code : EXIT_LOCAL;
}

static enum exit_code
check_file(const struct cli_options *options)
{
	char log[LOG_NAME_SIZE_MAX + 1] = "";
	struct export_reading reading = {.path = options->argument, .log = log};
	const enum exit_code code = export_read(&reading);
	struct receipt receipt;

	if (code != EXIT_FINE)
		return code;
	if (options->vkey_count > 0 && reading.receipt[0] == '\0') {
		report_error("%s has no receipt", options->argument);
		return EXIT_UNVERIFIED;
	}
	if (options->vkey_count > 0 && !receipt_check(options, text_of(reading.receipt), &receipt))
		return EXIT_UNVERIFIED;
	print_summary(options, log, &reading.at,
		      reading.receipt[0] == '\0' ? "none"
		      : options->vkey_count > 0	 ? "verified"
						: "not verified: --vkey says who must have signed");
	return report_output_done() ? EXIT_FINE : EXIT_LOCAL;
}

enum exit_code
cmd_export(const struct cli_options *options)
{
	const char *wrong = NULL;

	if (options->check && (options->from != NULL || options->out != NULL))
		wrong = "--check reads a FILE: no --from and no --out go with it";
	else if (!options->check && options->from == NULL)
		wrong = "--from is needed: a server's URL, or the data directory of a stopped "
			"daemon";
	else if (!options->check && options->vkey_count > 0)
		wrong = "--vkey goes with --check";
	if (wrong != NULL) {
		report_error("export: %s", wrong);
		return EXIT_USAGE;
	}
	return options->check ? check_file(options) : export_log(options);
}
