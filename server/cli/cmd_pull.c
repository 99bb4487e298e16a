/* pull: the log's actions as NDJSON, from the stream, or from a state that it brings to the head.
 */
#include <stdio.h>

#include "cli/action_line.h"
#include "cli/cli.h"
#include "cli/flags.h"
#include "cli/phone_snapshot.h"
#include "cli/phone_sync.h"
#include "cli/pull_stream.h"
#include "cli/report.h"

/* Payload and its escapes, a line. */
#define OUT_SIZE_MAX ((size_t)1 << 30)

struct printing {
	struct phone_store *store;
	struct position at; /* of the last line */
	struct buffer out;
	enum exit_code code;
};

/* The local file may have rotted since: what does not chain is not printed. */
static bool
verify_confirmed(struct printing *printing, const struct logged *logged)
{
	struct logged computed = *logged;
	struct hash stored;

	phone_action_digest(&computed.kept);
	if (chain_actions(&printing->at, &computed, 1) &&
	    phone_store_link(printing->store, logged->seq, &stored) == STATUS_OK &&
	    hash_equal(&printing->at.link, &stored))
		return true;
	report_error("the state's copy of seq %ju does not verify; pull without --state reads the "
		     "server's",
		     (uintmax_t)logged->seq);
	printing->code = EXIT_UNVERIFIED;
	return false;
}

static bool
print_confirmed(void *cookie, const struct logged *logged)
{
	struct printing *printing = cookie;
	struct buffer *out = &printing->out;

	if (!verify_confirmed(printing, logged))
		return false;
	out->size = 0;
	action_line_write(out, logged);
	if (out->failed || fwrite(out->data, 1, out->size, stdout) != out->size)
		printing->code = EXIT_LOCAL;
	return printing->code == EXIT_FINE;
}

static enum exit_code
print_after(struct phone_store *store, uint64_t after)
{
	struct printing printing = {.store = store, .at.seq = after, .code = EXIT_FINE};
	enum status status = phone_store_link(store, after, &printing.at.link);

	if (after < phone_store_start(store)->seq) {
		report_error("the state began from a snapshot: it has no actions up to %ju",
			     (uintmax_t)phone_store_start(store)->seq);
		return EXIT_UNVERIFIED;
	}
	if (status == STATUS_NOT_FOUND)
		return EXIT_FINE; /* beyond the base: there is nothing to print */
	buffer_init(&printing.out, OUT_SIZE_MAX);
	if (status == STATUS_OK)
		status = phone_store_confirmed(store, after, print_confirmed, &printing);
	buffer_release(&printing.out);
	if (status != STATUS_OK || !report_output_done())
		return EXIT_LOCAL;
	return printing.code;
}

/* What was confirmed is printed even if the end was not reached: it will not be new next time. */
static enum exit_code
pull_state(const struct cli_options *options)
{
	struct phone_sync sync;
	enum exit_code code = EXIT_LOCAL;
	enum status status;

	phone_sync_init(&sync);
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
	if (status == STATUS_OK)
		code = options->snapshot != NULL ? phone_snapshot_begin(&sync) : EXIT_FINE;
	if (status == STATUS_OK && code == EXIT_FINE) {
		code = phone_sync_run(&sync);
		enum exit_code printed = EXIT_FINE;
		if (code != EXIT_LOCAL)
			printed = print_after(sync.store, (options->given & BIT(FLAG_AFTER)) != 0
								  ? options->after
								  : sync.lowest_base);
		if (printed != EXIT_FINE)
			code = printed;
	}
	phone_store_close(sync.store);
	transport_free(sync.transport);
	phone_sync_release(&sync);
	return code;
}

static bool
print_pulled(void *cookie, const struct sourced *sourced)
{
	struct buffer *out = cookie;

	out->size = 0;
	action_line_write(out, &sourced->logged);
	if (!out->failed && fwrite(out->data, 1, out->size, stdout) == out->size)
		return true;
	report_error("stdout: cannot write");
	return false;
}

static enum exit_code
pull_log(const struct cli_options *options)
{
	struct position at = {.seq = options->after};
	struct buffer out;
	enum exit_code code;

	chain_genesis(text_of(options->log), &at.link);
	if (options->hash != NULL && !hash_from_text(text_of(options->hash), &at.link)) {
		report_error("--hash=%s: 64 lower-case hex digits are needed", options->hash);
		return EXIT_USAGE;
	}
	buffer_init(&out, OUT_SIZE_MAX);
	code = pull_stream_read(options, &at, print_pulled, &out);
	buffer_release(&out);
	if (code != EXIT_LOCAL && !report_output_done())
		code = EXIT_LOCAL;
	return code;
}

enum exit_code
cmd_pull(const struct cli_options *options)
{
	if (options->state == NULL && options->after > 0 && options->hash == NULL) {
		report_error("--after needs --hash, the hash there: nothing could be verified");
		return EXIT_USAGE;
	}
	if (options->state == NULL && options->snapshot != NULL) {
		report_error("--snapshot goes with --state: it is a phone that begins from one");
		return EXIT_USAGE;
	}
	if (options->state != NULL && (options->hash != NULL || options->until != NULL)) {
		report_error("--hash and --until do not go with --state");
		return EXIT_USAGE;
	}
	return options->state != NULL ? pull_state(options) : pull_log(options);
}
