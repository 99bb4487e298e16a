/* receipt verify: who signed a receipt, and whether a log contains what it says. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "chain/receipt.h"
#include "cli/cli.h"
#include "cli/json_text.h"
#include "cli/offline_log.h"
#include "cli/phone_chain.h"
#include "cli/pull_stream.h"
#include "cli/receipt_check.h"
#include "cli/report.h"

#define LINE_SIZE 8192

/* Reads at most one byte more than a note may have: then it is none. */
static bool
read_note(const char *path, struct buffer *note)
{
	const bool is_stdin = strcmp(path, "-") == 0;
	const int file = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	ssize_t size = -1;
	int error = errno;

	if (file != -1) {
		do {
			char *to = buffer_reserve(note, NOTE_SIZE_MAX + 1 - note->size);

			size = to == NULL ? -1 : read(file, to, NOTE_SIZE_MAX + 1 - note->size);
			error = to == NULL ? ENOMEM : errno;
			note->size += size > 0 ? (size_t)size : 0;
		} while (size > 0 || (size == -1 && error == EINTR));
		if (!is_stdin)
			close(file);
	}
	if (size == -1)
		report_error("%s: %s", path, strerror(error));
	return size == 0;
}

static enum exit_code
find_in_directory(const struct cli_options *options, const struct position *position, bool *found)
{
	const struct offline_order order = {.log = text_of(options->log), .upto = position->seq};
	struct offline_end end;
	const enum exit_code code = offline_log_read(options->data, &order, &end);

	*found = code == EXIT_FINE && position_equal(&end.at, position);
	return code;
}

/* {"server":…,"log":…,"seq":…,"stateHash":…,"serverTimestamp":…,"contained":…} */
static void
print_json(const struct receipt *receipt, const char *contained)
{
	struct buffer line;

	buffer_init(&line, LINE_SIZE);
	buffer_append_text(&line, TEXT("{\"server\":"));
	json_write_string(&line, receipt->server);
	buffer_append_text(&line, TEXT(",\"log\":"));
	json_write_string(&line, receipt->log);
	buffer_append_text(&line, TEXT(",\"seq\":"));
	buffer_append_u64(&line, receipt->position.seq);
	buffer_append_text(&line, TEXT(",\"stateHash\":"));
	json_write_hash(&line, &receipt->position.link);
	buffer_append_text(&line, TEXT(",\"serverTimestamp\":"));
	buffer_append_u64(&line, receipt->msec);
	if (receipt->kind == RECEIPT_ERASED)
		buffer_append_text(&line, TEXT(",\"erased\":true"));
	if (contained != NULL)
		buffer_printf(&line, ",\"contained\":%s", contained);
	buffer_append_text(&line, TEXT("}\n"));
	if (!line.failed)
		fwrite(line.data, 1, line.size, stdout);
	buffer_release(&line);
}

static void
print_receipt(const struct receipt *receipt)
{
	char time[CLOCK_TEXT_SIZE];
	char link[HASH_TEXT_SIZE];

	clock_format(receipt->msec, time);
	hash_to_text(&receipt->position.link, link);
	printf("%.*s signed at %s: log %.*s %s action %" PRIu64 " with state hash %.*s\n",
	       (int)receipt->server.size, receipt->server.data, time, (int)receipt->log.size,
	       receipt->log.data, receipt->kind == RECEIPT_ERASED ? "was erased after" : "had",
	       receipt->position.seq, HASH_TEXT_SIZE, link);
}

static enum exit_code
look_up(const struct cli_options *options, const struct receipt *receipt)
{
	struct cli_options with_log = *options;
	char log[LOG_NAME_SIZE_MAX + 1] = "";
	enum exit_code code;
	bool found = false;

	memcpy(log, receipt->log.data, receipt->log.size);
	with_log.log = log;
	code = options->url != NULL ? pull_stream_find(&with_log, &receipt->position, &found)
				    : find_in_directory(&with_log, &receipt->position, &found);
	if (code != EXIT_FINE)
		return code;
	if (options->json)
		print_json(receipt, found ? "true" : "false");
	else
		puts(found ? "this log contains what was receipted"
			   : "this log does not contain what was receipted: it was rewritten, or "
			     "restored and healed in another order");
	return found ? EXIT_FINE : EXIT_UNVERIFIED;
}

static enum exit_code
verify(const struct cli_options *options, struct text note)
{
	const bool looks = options->url != NULL || options->data != NULL;
	struct receipt receipt;
	enum exit_code code = EXIT_FINE;

	if (!receipt_check(options, note, &receipt))
		return EXIT_UNVERIFIED;
	if (options->log != NULL && !text_equal(text_of(options->log), receipt.log)) {
		report_error("%s: the receipt is for log %.*s", options->argument,
			     (int)receipt.log.size, receipt.log.data);
		return EXIT_UNVERIFIED;
	}
	if (!options->json)
		print_receipt(&receipt);
	else if (!looks)
		print_json(&receipt, NULL);
	if (looks)
		code = look_up(options, &receipt);
	return report_output_done() ? code : EXIT_LOCAL;
}

enum exit_code
cmd_receipt_verify(const struct cli_options *options)
{
	enum exit_code code = EXIT_LOCAL;
	struct buffer note;

	if (options->url != NULL && options->data != NULL) {
		report_error("--url and --data do not go together");
		return EXIT_USAGE;
	}
	buffer_init(&note, NOTE_SIZE_MAX + 1);
	if (read_note(options->argument, &note))
		code = verify(options, (struct text){note.data, note.size});
	buffer_release(&note);
	return code;
}
