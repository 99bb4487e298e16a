/*
 * import: gives an export to a server, as a phone would that holds the whole log and heals a server
 * without it: the phone_* files do the work, on a state file that ends with the process.
 *
 *     export_read, verify all ─▶ export_read, confirm into the state ─▶ phone_sync_run
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/export_file.h"
#include "cli/phone_sync.h"
#include "cli/report.h"
#include "cli/scratch.h"

#define ACTIONS_A_TRANSACTION 5000
#define ASIDES_SHOWN 20

#define PARTS 5

struct import {
	const struct cli_options *options;
	char log[LOG_NAME_SIZE_MAX + 1]; /* the file's */
	struct position end;		 /* the file's */
	uint64_t redacted;		 /* the first; 0: none */
	char *paths[PARTS];		 /* the state's folder, then its files */
	struct phone_sync sync;
	uint64_t asides; /* shown */
};

/* --- the file --- */

static bool
look(void *cookie, const struct sourced *sourced)
{
	struct import *import = cookie;

	if (sourced->logged.kept.redacted && import->redacted == 0)
		import->redacted = sourced->logged.seq;
	return true;
}

static enum exit_code
verify_file(struct import *import)
{
	struct export_reading reading = {.path = import->options->argument,
					 .visit = look,
					 .cookie = import,
					 .log = import->log};
	const enum exit_code code = export_read(&reading);

	import->end = reading.at;
	if (code != EXIT_FINE || import->redacted == 0)
		return code;
	report_error("%s: action %" PRIu64
		     " is redacted: what it was is gone, and no server takes an action without it. "
		     "export --check verifies this file; backup and restore bring the log to "
		     "another server",
		     reading.path, import->redacted);
	return EXIT_UNVERIFIED;
}

/* --- the state --- */

static bool
make_paths(struct import *import)
{
	static const char *const SUFFIXES[PARTS] = {"", "/state", "/state-wal", "/state-shm",
						    "/state-lock"};
	const char *folder = getenv("TMPDIR");

	if (folder == NULL || folder[0] == '\0')
		folder = "/tmp";
	if (asprintf(&import->paths[0], "%s/edgereplay-import.XXXXXX", folder) == -1) {
		import->paths[0] = NULL;
		errno = ENOMEM;
	} else if (mkdtemp(import->paths[0]) != NULL && scratch_remember(import->paths[0])) {
		for (int i = 1; i < PARTS; i++) {
			if (asprintf(&import->paths[i], "%s%s", import->paths[0], SUFFIXES[i]) ==
			    -1)
				import->paths[i] = NULL;
			if (import->paths[i] == NULL || !scratch_remember(import->paths[i]))
				return false;
		}
		return true;
	}
	report_error("%s: %s", folder, strerror(errno));
	return false;
}

static void
release(struct import *import)
{
	phone_store_close(import->sync.store);
	transport_free(import->sync.transport);
	phone_sync_release(&import->sync);
	for (int i = PARTS - 1; i >= 0; i--) {
		if (import->paths[i] != NULL)
			scratch_remove(import->paths[i]);
		free(import->paths[i]);
	}
}

static bool
confirm(void *cookie, const struct sourced *sourced)
{
	struct import *import = cookie;
	struct phone_store *store = import->sync.store;
	enum status status = phone_store_confirm(store, &sourced->logged.kept);

	if (status == STATUS_OK && sourced->logged.seq % ACTIONS_A_TRANSACTION == 0) {
		status = phone_store_commit(store);
		if (status == STATUS_OK)
			status = phone_store_begin(store);
	}
	return status == STATUS_OK;
}

static enum exit_code
fill_state(struct import *import)
{
	const struct cli_options *options = import->options;
	struct export_reading reading = {
		.path = options->argument, .visit = confirm, .cookie = import, .log = import->log};
	const char *name = options->as != NULL ? options->as : import->log;
	enum exit_code code = EXIT_LOCAL;

	if (phone_store_open(import->paths[1], name, NULL, &import->sync.store) != STATUS_OK ||
	    phone_store_begin(import->sync.store) != STATUS_OK)
		return EXIT_LOCAL;
	code = export_read(&reading);
	if (code == EXIT_FINE && !position_equal(&reading.at, &import->end)) {
		report_error("%s has changed meanwhile", options->argument);
		code = EXIT_UNVERIFIED;
	}
	if (code != EXIT_FINE)
		phone_store_abort(import->sync.store);
	else if (phone_store_commit(import->sync.store) != STATUS_OK)
		code = EXIT_LOCAL;
	return code;
}

/* --- what became of it --- */

static bool
show_aside(void *cookie, const struct phone_action *kept, struct text reason)
{
	struct import *import = cookie;

	report_error("refused for good: the action of %.*s stamped %" PRIu64 ": %.*s",
		     (int)kept->action.device.size, kept->action.device.data, kept->action.ts,
		     (int)reason.size, reason.data);
	return ++import->asides < ASIDES_SHOWN;
}

static bool
show(struct import *import)
{
	const struct cli_options *options = import->options;
	const struct sync_totals *totals = &import->sync.totals;
	const struct position *base = phone_store_base(import->sync.store);
	const struct text log = phone_store_log(import->sync.store);
	const uint64_t count = import->end.seq;
	const uint64_t taken = totals->applied + totals->set_aside;
	const uint64_t present = taken < count ? count - taken : 0;
	char link[HASH_TEXT_SIZE];

	hash_to_text(&base->link, link);
	if (options->json)
		printf("{\"log\":\"%.*s\",\"count\":%" PRIu64 ",\"applied\":%" PRIu64
		       ",\"present\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"setAside\":%" PRIu64
		       ",\"seq\":%" PRIu64 ",\"stateHash\":\"%.*s\",\"sameHistory\":%s}\n",
		       (int)log.size, log.data, count, totals->applied, present, totals->refused,
		       totals->set_aside, base->seq, HASH_TEXT_SIZE, link,
		       position_equal(base, &import->end) ? "true" : "false");
	report_note("log %.*s: of %" PRIu64 " actions %" PRIu64 " applied, %" PRIu64
		    " there already, %" PRIu64 " refused and stamped anew, %" PRIu64
		    " refused for good; it ends at %" PRIu64 " %.*s%s",
		    (int)log.size, log.data, count, totals->applied, present, totals->refused,
		    totals->set_aside, base->seq, HASH_TEXT_SIZE, link,
		    position_equal(base, &import->end) ? ", as the file does" : "");
	if (totals->applied > 0)
		report_note("times of receipt, writers and receipts are the new server's: HTTP "
			    "cannot carry the old ones");
	return phone_store_asides(import->sync.store, show_aside, import) == STATUS_OK &&
	       report_output_done();
}

static enum exit_code
run(struct import *import)
{
	const struct cli_options *options = import->options;
	enum exit_code code = verify_file(import);

	if (code != EXIT_FINE)
		return code;
	if (options->as != NULL && strcmp(options->as, import->log) != 0)
		report_note("log %s becomes %s: its chain is made anew, every link and state hash "
			    "changes, and no receipt of %s is one of %s",
			    import->log, options->as, import->log, options->as);
	if (!make_paths(import))
		return EXIT_LOCAL;
	import->sync.transport = transport_new(options->url, options);
	if (import->sync.transport == NULL)
		return EXIT_USAGE;
	code = fill_state(import);
	if (code != EXIT_FINE)
		return code;
	import->sync.push = true;
	import->sync.batch_max = (size_t)options->batch;
	import->sync.give_up_msec = options->give_up_sec * 1000;
	code = phone_sync_run(&import->sync);
	if (code == EXIT_FINE || (code == EXIT_UNVERIFIED && import->sync.at_head)) {
		if (!show(import))
			code = EXIT_LOCAL;
	} else {
		report_note("%" PRIu64 " actions were applied before that; import again goes on: "
			    "nothing is applied twice",
			    import->sync.totals.applied);
	}
	return code;
}

enum exit_code
cmd_import(const struct cli_options *options)
{
	struct import import = {.options = options};
	enum exit_code code;

	phone_sync_init(&import.sync);
	code = run(&import);
	release(&import);
	return code;
}
