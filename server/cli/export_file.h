/*
 * export_file: a log in a file that can be verified without a server: NDJSON, as the stream of protocol
 * 4.2 with meta=1, between a line that says of what and one that says how it ends.
 *
 *     {"format":"edgereplay-export","version":1,"log":"…","genesis":"…"}
 *     {"seq":1,"device":"…","ts":…,"type":"…","payload":"…","id":"…","link":"…","receivedAt":…,"writer":"…"}
 *     …
 *     {"count":N,"seq":N,"stateHash":"…","receipt":"…"}
 *
 * Nothing in it depends on when or whence it was made, but for the receipt, which not every server gives:
 * two exports of one history are the same bytes. receivedAt and writer are left out where they are not
 * known.
 */
#ifndef CLI_EXPORT_FILE_H
#define CLI_EXPORT_FILE_H

#include <stdbool.h>

#include "base/mem.h"
#include "chain/receipt.h"
#include "cli/cli.h"
#include "cli/source.h"

void export_write_first(struct buffer *, struct text log);
void export_write_last(struct buffer *, const struct position *end, struct text receipt);

/* One action, also for whoever prints actions elsewhere. */
void export_write_action(struct buffer *, const struct sourced *);

/* The lines of a file on their way in. */
struct export_reading {
	/* Given. */
	const char *path;
	sourced_visitor *visit;
	void *cookie;
	struct until until; /* the reading ends there: what is behind it is not looked at */
	bool trusts;	    /* judges nothing: takes what other tools print, and what was changed */

	/* Found. */
	char *log; /* of LOG_NAME_SIZE_MAX + 1; not empty: must be that one; trusting, it must be given */
	struct position at; /* of the last action */
	bool has_first, has_last;
	bool stopped; /* by the visitor */
	uint64_t received_at;
	char receipt[NOTE_SIZE_MAX + 1]; /* empty: none */

	bool failed; /* and reported */
};

/* EXIT_FINE: the file is one log, from its first action, every link, id and hash in it is right, and it
 * is whole or until was reached. EXIT_UNVERIFIED or EXIT_LOCAL, reported; EXIT_LOCAL also when stopped. */
enum exit_code export_read(struct export_reading *);

#endif
