/*
 * links: a log's links, for finding where two copies of it part: at hand, or asked of a server one by one.
 */
#ifndef CLI_LINKS_H
#define CLI_LINKS_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/backoff.h"
#include "cli/source.h"
#include "cli/transport.h"

struct links {
	struct source source;
	uint64_t end;	      /* the log's newest seq */
	struct hash *at_hand; /* of seq 0 to end; NULL: a server's */
	uint64_t capacity;
	uint64_t changed; /* the first action that is not what its copy says it was; 0: none */
	struct hash changed_was; /* the link that its copy says it had */
	struct transport *transport;
	uint64_t requests;
};

/*
 * Reads a copy of the log, or asks a server how long it is. trusts: the copy is taken as it is, and
 * `changed` says where it does not verify. EXIT_FINE, or reported. Release in any case.
 */
enum exit_code links_open(struct links *, const struct cli_options *, const char *log, bool trusts);
void links_release(struct links *);

/* The link at a seq up to end. EXIT_FINE, or reported. */
enum exit_code links_get(struct links *, uint64_t seq, struct hash *);

/* The action behind a position, as export_write_action writes it. EXIT_FINE, or reported. */
enum exit_code links_action(struct links *, const struct position *before, struct buffer *line);

#endif
