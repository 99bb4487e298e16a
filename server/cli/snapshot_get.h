/*
 * snapshot_get: a log's newest snapshot, from a server into a file (protocol, section 4.6).
 */
#ifndef CLI_SNAPSHOT_GET_H
#define CLI_SNAPSHOT_GET_H

#include <stdbool.h>
#include <stdint.h>

#include "chain/chain.h"
#include "cli/cli.h"
#include "cli/transport.h"

struct snapshot_wish {
	struct transport *transport;
	struct text log;
	uint64_t before; /* 0: the newest */
	uint64_t give_up_sec;
	const char *path; /* of the file */
};

struct snapshot_got {
	bool found; /* else there is none, and the file is as it was */
	struct position position;
	uint64_t size;
	char app_version[256], media_type[256];
};

/* Repeated until it is there whole. EXIT_FINE, or reported. */
enum exit_code snapshot_get(const struct snapshot_wish *, struct snapshot_got *);

#endif
