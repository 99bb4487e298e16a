/*
 * pull_stream: replays a log from the server's NDJSON stream (protocol 4.2), verifying as it goes.
 *
 * A cut stream is continued after its last whole line: the next one must begin with the very hash
 * that was computed up to there.
 */
#ifndef CLI_PULL_STREAM_H
#define CLI_PULL_STREAM_H

#include "chain/chain.h"
#include "cli/cli.h"
#include "cli/source.h"

/* Visits every action behind *at, up to options->until, and moves *at. EXIT_FINE, or reported; EXIT_LOCAL
 * only when the visitor stopped it. */
enum exit_code pull_stream_read(const struct cli_options *, struct position *at, sourced_visitor *,
				void *cookie);

/*
 * Chains the log's actions from its genesis up to a position, and shows none: the server's word for
 * it is not enough. EXIT_FINE: *found or not. EXIT_UNVERIFIED: what is there does not chain, or the
 * server says so itself; EXIT_UNREACHABLE; reported.
 */
enum exit_code pull_stream_find(const struct cli_options *, const struct position *, bool *found);

#endif
