/*
 * inside: what this room's files share. Nobody else includes it.
 */
#ifndef ADMIN_INSIDE_H
#define ADMIN_INSIDE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "admin/admin.h"
#include "http/listener.h"
#include "store/directory.h"

struct api;
struct snapshots;
struct store;
struct webhook;

enum admin_state { ADMIN_STARTING, ADMIN_SERVING, ADMIN_DRAINING };

/* Of a shard, by what its owner was told. */
struct backup_times {
	atomic_bool is_under_way;
	_Atomic uint64_t done_msec; /* the last that was complete; 0: none since the start */
};

/* One address of it, and the listener's app there. */
struct endpoint {
	struct admin *admin;
	char *listen; /* as admin_listen() was told */
	bool metrics_only;
	struct listener *listener; /* NULL: it listens nowhere */
};

struct admin {
	struct api *api;
	struct store *store;
	struct webhook *webhook; /* NULL: there is none */
	char *hosts;		 /* as the options */
	bool allow_changes;
	unsigned socket_mode, connections;
	_Atomic enum admin_state state;
	struct snapshots *snapshots;		 /* once it serves */
	_Atomic(const struct listener *) phones; /* NULL until it serves */
	struct endpoint endpoints[ADMIN_ENDPOINTS];
	struct backup_times backups[SHARDS_MAX];
};

#endif
