/*
 * pull_stream: replays a log from the server's NDJSON stream (protocol 4.2), verifying as it goes.
 *
 * A cut stream is continued after its last whole line: the next one must begin with the very hash
 * that was computed up to there.
 */
#ifndef CLI_PULL_STREAM_H
#define CLI_PULL_STREAM_H

#include "cli/cli.h"

/* Prints every action after options->after to stdout, as received. */
enum exit_code pull_stream(const struct cli_options *);

#endif
