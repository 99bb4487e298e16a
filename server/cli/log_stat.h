/*
 * log_stat: the figures of one log, from wherever it is; every action is read and verified for them.
 */
#ifndef CLI_LOG_STAT_H
#define CLI_LOG_STAT_H

#include "cli/cli.h"

/* options: from, log, until. Prints them. */
enum exit_code log_stat(const struct cli_options *);

#endif
