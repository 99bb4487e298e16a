/*
 * commands: what edgereplay can do: a table with each command's flags, arguments and help.
 */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/cli.h"

struct command {
	const char *name; /* one or two words */
	enum exit_code (*run)(const struct cli_options *);
	uint64_t needs; /* flags, by their bits */
	uint64_t takes; /* beside those, and beside FLAGS_EVERYWHERE */
	int arguments_min, arguments_max;
	const char *help; /* begins with the command line */
};

#define FLAGS_EVERYWHERE (BIT(FLAG_QUIET) | BIT(FLAG_JSON) | BIT(FLAG_HELP) | BIT(FLAG_VERSION))

/* By its name's words, which a NULL ends; *count is how many they are. NULL: there is no such command. */
const struct command *command_find(char **words, int *count);

/* All of them, or one's. */
void command_print_help(const struct command *);

/* Those of two words of which this is the first. False: there are none, and nothing was printed. */
bool command_print_help_of_word(const char *word);

#endif
