/* erase: all content of logs goes, or they are opened again. */
#include "base/clock.h"
#include "cli/cli.h"
#include "cli/remove.h"
#include "cli/report.h"

static enum exit_code
erase(struct removing *removing, const char *log)
{
	const struct cli_options *options = removing->options;
	struct removal removal = {.kind = options->reopen ? REMOVE_NOTHING : REMOVE_ALL,
				  .log = text_of(log),
				  .from_first = options->data != NULL,
				  .now_msec = clock_server_msec()};

	return remove_from(removing, &removal);
}

enum exit_code
cmd_erase(const struct cli_options *options)
{
	struct removing removing;
	enum exit_code code, end = EXIT_FINE;
	bool is_done;

	for (size_t i = 0; i < options->argument_count; i++) {
		if (!log_name_is_valid(text_of(options->arguments[i]))) {
			report_error("%s: not a valid name", options->arguments[i]);
			return EXIT_USAGE;
		}
	}
	code = remove_open(&removing, options);
	for (size_t i = 0; i < options->argument_count && code == EXIT_FINE; i++)
		code = erase(&removing, options->arguments[i]);
	is_done = code == EXIT_FINE;
	if (remove_needs_end(&removing, code))
		end = remove_end(&removing, false);
	code = is_done ? end : code;
	if (code == EXIT_FINE || (is_done && removing.is_not_reached))
		remove_show(&removing, options->reopen ? "\"reopened\":true," : "");
	remove_close(&removing);
	return report_output_done() || code != EXIT_FINE ? code : EXIT_LOCAL;
}
