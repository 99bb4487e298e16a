/*
 * backup_live: a running daemon's shards, copied by the daemon itself, which is asked on its admin listener
 * (server/admin/backups.h).
 *
 * Threads: one.
 */
#ifndef CLI_BACKUP_LIVE_H
#define CLI_BACKUP_LIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/cli.h"
#include "cli/transport.h"

struct backup_live {
	struct transport *transport; /* NULL: there is none */
	bool is_asked;		     /* for the shard */
	unsigned shard;
};

/* address: "unix:/path", "host:port" or a URL; the options are transport_new()'s. False, and reported, when it
 * is none. */
bool backup_live_open(struct backup_live *, const char *address, const struct cli_options *);
void backup_live_close(struct backup_live *);

/* Whether a daemon answers there. */
bool backup_live_answers(struct backup_live *);

/* Whether the data directory of the daemon is another one than dir; what it does not say is none. */
bool backup_live_is_of_another(struct backup_live *, const char *dir);

struct backup_live_order {
	unsigned shard;
	const char *to; /* absolute */
	uint64_t rate;
	void (*progress)(void *cookie, uint64_t bytes,
			 uint64_t bytes_total); /* may end the process */
	void *cookie;
};

/* Has one shard copied; anew, a bounded number of times, when content was removed from it meanwhile. */
enum exit_code backup_live_copy(struct backup_live *, const struct backup_live_order *);

/* Has the daemon give up what was asked for, if that is under way. */
void backup_live_give_up(struct backup_live *);

#endif
