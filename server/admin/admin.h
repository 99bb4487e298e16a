/*
 * admin: the operator's side: is it alive, is it ready, what does it count, what does it log. A second
 * listener, with a thread and limits of its own, so that it answers whatever the phones' side is doing; and
 * a third, for who only looks.
 *
 *     GET /livez       200: the process answers                      │ these three
 *     GET /readyz      200, or 503 with the reasons (ready.h)        │ also at
 *     GET /metrics     OpenMetrics (figures.h)                       │ ADMIN_METRICS
 *     GET /log-level   the level; PUT sets it until it is configured anew (SIGHUP)
 *     /backup          copies of shards (backups.h)
 *     POST /redact, /prune, /erase, /reopen, /overwrite: content goes (remove.h)
 *     GET /snapshots   the logs that have a snapshot (snapshots.h)
 *
 *     admin_new ─▶ STARTING ─ admin_serving ─▶ SERVING ─ admin_draining ─▶ DRAINING ─▶ admin_stop
 *
 * It is there before the shards are recovered, which may take long, and until they are at rest. It has no
 * authentication: who reaches ADMIN_OPERATOR's address is the operator, and who reaches ADMIN_METRICS' sees
 * figures and changes nothing; what is refused of what comes over TCP says guard.h. Nothing of it is
 * reachable through the phones' listener, whose app does not know this room.
 *
 * Threads: all functions from the owner's thread.
 */
#ifndef ADMIN_ADMIN_H
#define ADMIN_ADMIN_H

#include <stdbool.h>

#include "base/status.h"

struct admin;
struct api;
struct listener;
struct snapshots;
struct store;
struct webhook;

enum admin_endpoint { ADMIN_OPERATOR, ADMIN_METRICS, ADMIN_ENDPOINTS };

struct admin_options {
	unsigned socket_mode;
	unsigned connections; /* at each endpoint */
	const char *hosts;    /* names that it may be asked by, commas between them (guard.h) */
	bool allow_changes;   /* over TCP, too */
	struct api *api;
	struct store *store;	 /* opened, not necessarily started */
	struct webhook *webhook; /* NULL: there is none */
};

/* It listens nowhere yet. NULL: memory is out. */
struct admin *admin_new(const struct admin_options *);

/* Once for each endpoint; the address as the listener's. On failure (always INTERNAL) *problem says why
 * (base/problem). */
MUST_CHECK enum status admin_listen(struct admin *, enum admin_endpoint, const char *address,
				    const char **problem);

/* Where it listens: listener_address(). */
const char *admin_address(const struct admin *, enum admin_endpoint);

/* The store has started and the listener for phones is there, which must outlive this, as must the snapshots. */
void admin_serving(struct admin *, const struct listener *phones, struct snapshots *);
void admin_draining(struct admin *);

/* Before what it looks at is freed. NULL is allowed. */
void admin_stop(struct admin *);

/* File descriptors that all its endpoints will need at most. */
unsigned admin_descriptors(unsigned connections);

#endif
