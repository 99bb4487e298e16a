/* status: what a state file holds, without a server. */
#include <inttypes.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/json_text.h"
#include "cli/phone_store.h"
#include "cli/report.h"

#define LINE_SIZE_LIMIT ((size_t)1 << 30)

/* The actions that were set aside, on their way out. */
struct listing {
	struct buffer line;
	const char *before; /* JSON: what separates an action from the one before */
	bool json;
};

/* A redacted action has neither type nor payload left. */
static bool
print_aside(void *cookie, const struct phone_action *kept, struct text reason)
{
	struct listing *listing = cookie;
	struct buffer *line = &listing->line;

	line->size = 0;
	buffer_printf(line, "%s{\"reason\":", listing->json ? listing->before : "set aside  ");
	json_write_string(line, reason);
	buffer_append_text(line, TEXT(",\"device\":"));
	json_write_string(line, kept->action.device);
	buffer_append_text(line, TEXT(",\"ts\":"));
	buffer_append_u64(line, kept->action.ts);
	if (!kept->redacted) {
		buffer_append_text(line, TEXT(",\"type\":"));
		json_write_string(line, kept->action.type);
		buffer_append_text(line, TEXT(",\"payload\":"));
		json_write_string(line, kept->action.payload);
	}
	buffer_append_text(line, listing->json ? TEXT("}") : TEXT("}\n"));
	listing->before = ",";
	if (line->failed)
		return false;
	fwrite(line->data, 1, line->size, stdout);
	return true;
}

static enum status
print_status(struct phone_store *store, const struct phone_counts *counts, bool json)
{
	const struct position *base = phone_store_base(store);
	const uint64_t start = phone_store_start(store)->seq;
	struct text device = phone_store_device(store);
	struct text log = phone_store_log(store);
	struct listing listing = {.before = "", .json = json};
	char link[HASH_TEXT_SIZE];
	enum status status;

	hash_to_text(&base->link, link);
	/* Names need no escapes in JSON: their grammar has none of the characters that do. */
	printf(json ? "{\"log\":\"%.*s\",\"device\":\"%.*s\",\"seq\":%" PRIu64
		      ",\"stateHash\":\"%.*s\",\"queued\":%" PRIu64 ",\"setAside\":%" PRIu64
		      ",\"offsetMs\":%" PRId64 ",\"snapshotSeq\":%" PRIu64 ",\"setAsideActions\":["
		    : "log        %.*s\ndevice     %.*s\nbase       %" PRIu64
		      "\nstate hash %.*s\nqueued     %" PRIu64 "\nset aside  %" PRIu64
		      "\noffset     %" PRId64 " ms\nsnapshot   %" PRIu64 "\n",
	       (int)log.size, log.data, (int)device.size, device.data, base->seq, HASH_TEXT_SIZE,
	       link, counts->queued, counts->set_aside, phone_store_offset(store), start);
	buffer_init(&listing.line, LINE_SIZE_LIMIT);
	status = phone_store_asides(store, print_aside, &listing);
	if (json)
		puts("]}");
	if (listing.line.failed) {
		report_error("out of memory");
		status = STATUS_INTERNAL;
	}
	buffer_release(&listing.line);
	return status;
}

enum exit_code
cmd_status(const struct cli_options *options)
{
	struct phone_store *store = NULL;
	struct phone_counts counts;
	enum exit_code code = EXIT_LOCAL;

	if (phone_store_look(options->state, &store) != STATUS_OK)
		return EXIT_LOCAL;
	if (phone_store_counts(store, &counts) == STATUS_OK &&
	    print_status(store, &counts, options->json) == STATUS_OK && report_output_done())
		code = EXIT_FINE;
	phone_store_close(store);
	return code;
}
