/* pull: the log's actions as NDJSON, from the stream, or from a state that it brings to the head.
 */
#include <stdio.h>

#include "cli/action_line.h"
#include "cli/cli.h"
#include "cli/phone_sync.h"
#include "cli/pull_stream.h"
#include "cli/report.h"

/* Payload and its escapes, a line. */
#define OUT_SIZE_MAX ((size_t)1 << 30)

struct printing {
	struct buffer out;
	bool failed;
};

static bool
print_confirmed(void *cookie, const struct logged *logged)
{
	struct printing *printing = cookie;
	struct buffer *out = &printing->out;

	out->size = 0;
	action_line_write(out, logged);
	if (out->failed || fwrite(out->data, 1, out->size, stdout) != out->size)
		printing->failed = true;
	return !printing->failed;
}

static enum exit_code
print_after(struct phone_store *store, uint64_t after)
{
	struct printing printing = {.failed = false};
	enum status status;

	buffer_init(&printing.out, OUT_SIZE_MAX);
	status = phone_store_confirmed(store, after, print_confirmed, &printing);
	buffer_release(&printing.out);
	if (status != STATUS_OK)
		return EXIT_LOCAL;
	return report_output_done() && !printing.failed ? EXIT_FINE : EXIT_LOCAL;
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
	sync.transport = transport_new(options->url);
	if (sync.transport == NULL) {
		phone_sync_release(&sync);
		return EXIT_USAGE;
	}
	status = phone_store_open(options->state, options->log, options->device, &sync.store);
	if (status == STATUS_MALFORMED)
		code = EXIT_USAGE;
	if (status == STATUS_OK) {
		code = phone_sync_run(&sync);
		if (code != EXIT_LOCAL &&
		    print_after(sync.store, options->has_after ? options->after
							       : sync.lowest_base) != EXIT_FINE)
			code = EXIT_LOCAL;
	}
	phone_store_close(sync.store);
	transport_free(sync.transport);
	phone_sync_release(&sync);
	return code;
}

enum exit_code
cmd_pull(const struct cli_options *options)
{
	if (options->state == NULL && options->has_after && options->after > 0 &&
	    options->hash == NULL) {
		report_error("--after needs --hash, the hash there: nothing could be verified");
		return EXIT_USAGE;
	}
	if (options->state != NULL && (options->hash != NULL || options->until != NULL)) {
		report_error("--hash and --until do not go with --state");
		return EXIT_USAGE;
	}
	return options->state != NULL ? pull_state(options) : pull_stream(options);
}
