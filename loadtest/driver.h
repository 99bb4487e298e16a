/*
 * driver: makes a run happen: opens connections, says when the next request goes out, and ends it.
 *
 *     waiters are held ─▶ warm-up ─▶ measured part ─▶ what is under way is awaited
 *
 * Closed loop: each connection sends its next request when it has the answer to the last. Open
 * loop: requests go out at their time whatever the daemon does; one that finds no free connection,
 * or no free log, goes out later, and its latency counts from the time when it should have. What
 * has not been sent when the measured part ends is counted as unsent.
 *
 * The measured part lasts from its first request (in an open loop: from when it was due) to its last
 * answer.
 *
 * Threads: it uses the caller's alone.
 */
#ifndef LOADTEST_DRIVER_H
#define LOADTEST_DRIVER_H

#include <stdint.h>
#include <sys/socket.h>

#include "base/status.h"
#include "loadtest/plan.h"
#include "loadtest/result.h"
#include "loadtest/users.h"

struct driver_target {
	const struct sockaddr *address; /* the daemon's, or the proxy's before it */
	socklen_t address_size;
	const volatile int *stop; /* not 0: end now, and say what was measured */
};

/* Runs the plan. Everything measured is in the result, which result_init() has made. A status other
 * than STATUS_OK means that there was no run: the system refused something, said on stderr. */
MUST_CHECK enum status driver_run(const struct plan *, const struct driver_target *, struct users *,
				  struct result *);

#endif
