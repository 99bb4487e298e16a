/* prune: the content of logs' oldest actions goes. */
#include "base/clock.h"
#include "cli/cli.h"
#include "cli/remove.h"
#include "cli/report.h"

#define DAY_MSEC UINT64_C(86400000)

static enum exit_code
prune(struct removing *removing, const char *log)
{
	const struct cli_options *options = removing->options;
	const uint64_t now = clock_server_msec(), age = options->older_than_days * DAY_MSEC;
	struct removal removal = {.kind = REMOVE_BEFORE,
				  .log = text_of(log),
				  .upto = options->before == 0 ? SEQ_MAX : options->before - 1,
				  .received_before = age == 0	 ? TS_MAX
						     : now > age ? now - age
								 : 0};

	return remove_from(removing, &removal);
}

/* One that cannot be pruned does not keep the others from it. */
static enum exit_code
prune_next(struct removing *removing, const char *log)
{
	const enum exit_code code = prune(removing, log);

	if (code == EXIT_UNVERIFIED)
		removing->failed++;
	return code == EXIT_UNVERIFIED ? EXIT_FINE : code;
}

static bool
check_options(const struct cli_options *options)
{
	if (options->all != (options->argument_count == 0)) {
		report_error("prune: either logs or --all is needed");
		return false;
	}
	if (options->all && (options->before > 0 || options->without_snapshot)) {
		report_error("prune: --all goes by each log's snapshots, and not with --before or "
			     "--without-snapshot");
		return false;
	}
	if (options->without_snapshot && options->before == 0 && options->older_than_days == 0) {
		report_error("prune: --without-snapshot needs --before or --older-than");
		return false;
	}
	for (size_t i = 0; i < options->argument_count; i++) {
		if (!log_name_is_valid(text_of(options->arguments[i]))) {
			report_error("%s: not a valid name", options->arguments[i]);
			return false;
		}
	}
	return true;
}

enum exit_code
cmd_prune(const struct cli_options *options)
{
	struct removing removing;
	enum exit_code code, end;

	if (!check_options(options))
		return EXIT_USAGE;
	code = remove_open(&removing, options);
	if (code == EXIT_FINE && options->all)
		code = remove_visit(&removing, prune_next);
	for (size_t i = 0; i < options->argument_count && code == EXIT_FINE; i++)
		code = prune(&removing, options->arguments[i]);
	if (removing.removed + removing.gone_before > 0) {
		end = remove_end(&removing, true);
		code = code == EXIT_FINE ? end : code;
	}
	if (code == EXIT_FINE)
		remove_show(&removing, "");
	if (code == EXIT_FINE && removing.failed > 0)
		code = EXIT_UNVERIFIED;
	remove_close(&removing);
	return report_output_done() || code != EXIT_FINE ? code : EXIT_LOCAL;
}
