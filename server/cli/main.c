/*
 * main: the command line of edgereplay.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/flags.h"
#include "cli/rate.h"
#include "cli/report.h"

/* Whether the command has the flags and arguments it needs, and no others. */
static bool
check_usage(const struct command *command, uint64_t given, int arguments)
{
	uint64_t missing = command->needs & ~given;
	uint64_t foreign = given & ~(command->needs | command->takes | FLAGS_EVERYWHERE);

	for (int i = 0; i < FLAG_COUNT; i++) {
		if ((missing & BIT(i)) != 0) {
			report_error("%s: --%s is needed", command->name, flag_name((enum flag)i));
			return false;
		}
		if ((foreign & BIT(i)) != 0) {
			report_error("%s: --%s does not belong here", command->name,
				     flag_name((enum flag)i));
			return false;
		}
	}
	if (arguments < command->arguments_min || arguments > command->arguments_max) {
		report_error("%s: %s; see edgereplay %s --help", command->name,
			     arguments < command->arguments_min ? "an argument is missing"
								: "too many arguments",
			     command->name);
		return false;
	}
	return true;
}

/* False: one is wrong, and reported. */
static bool
read_flags(int argc, char **argv, struct cli_options *options)
{
	struct option known[FLAG_COUNT + 1];
	int value;

	flags_describe(known);
	for (;;) {
		value = getopt_long(argc, argv, "q", known, NULL);
		if (value == -1)
			return true;
		if (value == 'q')
			value = FLAG_VALUE + FLAG_QUIET;
		if (value == '?' || !flag_set((enum flag)(value - FLAG_VALUE), optarg, options))
			return false;
	}
}

/* Also of a command line that cannot be read otherwise. */
static bool
wants_json(int argc, char **argv)
{
	bool wants = false;

	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		wants = wants || strcmp(argv[i], "--json") == 0;
	return wants;
}

static enum exit_code
run(int argc, char **argv)
{
	struct cli_options options = {
		.batch = 500, .give_up_sec = 60, .expires_sec = 3600, .rate = RATE_INITIAL};
	const struct command *command = NULL;
	int words = 0;

	if (!read_flags(argc, argv, &options))
		return EXIT_USAGE;
	if (optind < argc)
		command = command_find(argv + optind, &words);
	if (options.help && (command != NULL || optind == argc)) {
		command_print_help(command);
		return EXIT_FINE;
	}
	if (options.help && argc - optind == 1 && command_print_help_of_word(argv[optind]))
		return EXIT_FINE;
	if (options.version) {
		printf("edgereplay " EDGEREPLAY_VERSION "\n");
		return EXIT_FINE;
	}
	if (command == NULL) {
		report_error("%s%s; see edgereplay --help", optind < argc ? argv[optind] : "",
			     optind < argc ? ": no such command" : "a command is needed");
		return EXIT_USAGE;
	}
	if (!check_usage(command, options.given, argc - optind - words))
		return EXIT_USAGE;
	if (optind + words < argc)
		options.argument = argv[optind + words];
	if (optind + words + 1 < argc)
		options.second = argv[optind + words + 1];
	options.arguments = argv + optind + words;
	options.argument_count = (size_t)(argc - optind - words);
	report_configure(options.quiet);
	return command->run(&options);
}

int
main(int argc, char **argv)
{
	enum exit_code code;

	if (wants_json(argc, argv))
		report_expect_json();
	code = run(argc, argv);
	if (code != EXIT_FINE)
		report_failure();
	return (int)code;
}
