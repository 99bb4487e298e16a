/* push: lines into the durable queue, then the queue to the server. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/action_line.h"
#include "cli/cli.h"
#include "cli/phone_receipt.h"
#include "cli/phone_sync.h"
#include "cli/report.h"

/* One local transaction takes so many lines. */
#define LINES_A_TRANSACTION 1000
#define READ_SIZE 65536

/* An input on its way into the queue. */
struct intake {
	struct phone_store *store;
	const char *name;
	uint64_t skip;	/* lines that an earlier run took */
	uint64_t lines; /* read so far */
	bool begun;	/* a transaction */
};

static enum status
end_chunk(struct intake *intake)
{
	enum status status;

	if (!intake->begun)
		return STATUS_OK;
	intake->begun = false;
	status = phone_store_set_lines(intake->store, intake->name, intake->lines);
	if (status != STATUS_OK) {
		phone_store_abort(intake->store);
		return status;
	}
	report_progress("queued lines", intake->lines, 0);
	return phone_store_commit(intake->store);
}

static enum status
begin_chunk(struct intake *intake)
{
	enum status status;

	if (intake->begun)
		return STATUS_OK;
	status = phone_store_begin(intake->store);
	intake->begun = status == STATUS_OK;
	return status;
}

/* Lines before a bad one stay in the queue, and are counted: after mending it, --resume goes on. */
static enum status
take_line(void *cookie, struct text text)
{
	struct intake *intake = cookie;
	struct action_line line;
	char problem[256];
	enum status status;

	if (intake->lines < intake->skip || text.size == 0) {
		intake->lines++;
		return STATUS_OK;
	}
	if (!action_line_read(text, &line, problem, sizeof(problem))) {
		report_error("%s, line %" PRIu64 ": %s", intake->name, intake->lines + 1, problem);
		action_line_release(&line);
		status = end_chunk(intake);
		return status == STATUS_OK ? STATUS_MALFORMED : status;
	}
	status = begin_chunk(intake);
	if (status == STATUS_OK)
		status = phone_store_enqueue(intake->store, &line.action);
	action_line_release(&line);
	if (status != STATUS_OK)
		return status;
	intake->lines++;
	return intake->lines % LINES_A_TRANSACTION == 0 ? end_chunk(intake) : STATUS_OK;
}

static enum status
take_file(struct intake *intake, int file)
{
	struct lines lines;
	enum status status = STATUS_OK;
	char *piece = malloc(READ_SIZE);

	lines_init(&lines, take_line, intake);
	if (piece == NULL)
		status = STATUS_INTERNAL;
	while (status == STATUS_OK) {
		ssize_t size = read(file, piece, READ_SIZE);

		if (size == -1 && errno == EINTR)
			continue;
		if (size == -1) {
			report_error("%s: %s", intake->name, strerror(errno));
			status = STATUS_STORAGE_UNAVAILABLE;
		}
		if (size <= 0)
			break;
		status = lines_feed(&lines, piece, (size_t)size);
	}
	if (status == STATUS_OK)
		status = lines_finish(&lines);
	if (status == STATUS_OK)
		status = end_chunk(intake);
	if (lines.partial.failed)
		report_error("%s, line %" PRIu64 ": too long", intake->name, intake->lines + 1);
	if (intake->begun)
		phone_store_abort(intake->store);
	report_progress_end();
	lines_release(&lines);
	free(piece);
	return status;
}

/* Puts the whole input into the queue before anything is sent. */
static enum status
take_input(struct phone_store *store, const struct cli_options *options)
{
	struct intake intake = {.store = store, .name = options->argument};
	bool is_stdin = strcmp(options->argument, "-") == 0;
	char *path = NULL;
	enum status status;
	int file = STDIN_FILENO;

	if (!is_stdin) {
		path = realpath(options->argument, NULL);
		file = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
		if (file == -1) {
			report_error("%s: %s", options->argument, strerror(errno));
			free(path);
			return STATUS_STORAGE_UNAVAILABLE;
		}
		intake.name = path;
	}
	status = phone_store_lines(store, intake.name, &intake.skip);
	if (!options->resume && intake.skip > 0) {
		report_note("%s: %" PRIu64 " lines were taken before and are taken again; "
			    "--resume would skip them",
			    intake.name, intake.skip);
		intake.skip = 0;
	}
	if (status == STATUS_OK)
		status = take_file(&intake, file);
	if (!is_stdin)
		close(file);
	free(path);
	return status;
}

static enum status
print_result(const struct phone_sync *sync, const struct cli_options *options)
{
	const struct position *base = phone_store_base(sync->store);
	const struct sync_totals *totals = &sync->totals;
	struct phone_counts counts;
	char link[HASH_TEXT_SIZE];
	enum status status = phone_store_counts(sync->store, &counts);

	if (status != STATUS_OK)
		return status;
	hash_to_text(&base->link, link);
	if (!options->json) {
		report_note("at %" PRIu64 " %.*s: %" PRIu64 " applied, %" PRIu64
			    " duplicates, %" PRIu64 " refused, %" PRIu64 " set aside, %" PRIu64
			    " queued",
			    base->seq, HASH_TEXT_SIZE, link, totals->applied, totals->duplicates,
			    totals->refused, totals->set_aside, counts.queued);
		return STATUS_OK;
	}
	printf("{\"seq\":%" PRIu64 ",\"stateHash\":\"%.*s\",\"applied\":%" PRIu64
	       ",\"duplicates\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"setAside\":%" PRIu64
	       ",\"queued\":%" PRIu64 "}\n",
	       base->seq, HASH_TEXT_SIZE, link, totals->applied, totals->duplicates,
	       totals->refused, totals->set_aside, counts.queued);
	return report_output_done() ? STATUS_OK : STATUS_STORAGE_UNAVAILABLE;
}

static enum exit_code
tell_drift(const struct phone_sync *sync)
{
	const struct state_report *state = &sync->state;

	if (state->digest.data != NULL && !sync->state_said)
		report_note("the server was not told of the state at %" PRIu64, state->seq);
	if (sync->differ == 0)
		return EXIT_FINE;
	report_error("the state at %" PRIu64 " differs from that of %" PRIu64
		     " other devices with the same history; %" PRIu64
		     ", this one included, have it so: a reducer is not deterministic",
		     state->seq, sync->differ, sync->agree);
	return EXIT_UNVERIFIED;
}

enum exit_code
cmd_push(const struct cli_options *options)
{
	struct phone_sync sync;
	enum exit_code code = EXIT_LOCAL;
	enum status status;

	if ((options->digest == NULL) != (options->app == NULL)) {
		report_error("--digest and --app go together");
		return EXIT_USAGE;
	}
	phone_sync_init(&sync);
	sync.push = true;
	sync.reject = options->reject;
	sync.batch_max = (size_t)options->batch;
	sync.give_up_msec = options->give_up_sec * 1000;
	sync.snapshot = options->snapshot;
	sync.transport = transport_new(options->url, options);
	if (sync.transport == NULL) {
		phone_sync_release(&sync);
		return EXIT_USAGE;
	}
	status = phone_store_open(options->state, options->log, options->device, &sync.store);
	if (status == STATUS_MALFORMED)
		code = EXIT_USAGE;
	/* An earlier run may have sent what it left in the queue, and not have seen the answer. */
	if (status == STATUS_OK)
		status = phone_store_last_place(sync.store, &sync.sent_upto);
	if (status == STATUS_OK && options->argument != NULL)
		status = take_input(sync.store, options);
	if (status != STATUS_OK)
		goto close_store;
	sync.receipts = options->receipt != NULL;
	if (options->digest != NULL)
		sync.state = (struct state_report){.seq = phone_store_base(sync.store)->seq,
						   .digest = text_of(options->digest),
						   .app = text_of(options->app)};
	code = phone_sync_run(&sync);
	if (code == EXIT_FINE && options->receipt != NULL)
		code = phone_receipt_keep(&sync, options->receipt);
	if (code == EXIT_FINE)
		code = tell_drift(&sync);
	if (print_result(&sync, options) != STATUS_OK)
		code = EXIT_LOCAL;

close_store:
	phone_store_close(sync.store);
	transport_free(sync.transport);
	phone_sync_release(&sync);
	return code;
}
