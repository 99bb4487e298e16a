/*
 * limits: what this machine allows, measured without the daemon: the floor under its figures.
 *
 *     limits_http     libmicrohttpd answers a constant to the POST of a sync
 *     limits_insert   SQLite takes the rows of the same actions, in bulk, in the daemon's schema
 *     limits_hash     the chain is computed over the same actions
 *     limits_append   a file grows, and each piece is synced
 *
 * Each measures for itself and in turn, adds its figures in the order in which they are printed,
 * and returns false after it has said on stderr what failed. CPU seconds are of the measured
 * process, user and system together.
 *
 * Threads: the functions are called from one thread, which has not started another: limits_http
 * forks.
 */
#ifndef LOADTEST_LIMITS_H
#define LOADTEST_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/option.h"

#define LIMITS_ACTIONS_MAX 1000

/* libmicrohttpd 0.9.75 takes 128 events at a time, and when it gets as many it waits for others
 * before it serves them. With fewer connections it cannot. */
#define LIMITS_CONNECTIONS_MAX 127

#define LIMITS_LOGS_MAX 10000000
#define LIMITS_FIGURES_MAX 12

/* What to measure; each limit looks at its own part. */
struct limits_plan {
	uint64_t actions; /* a request, or a batch */
	uint64_t payload; /* bytes an action */
	uint64_t rows;	  /* actions in all */

	uint64_t connections; /* http */
	uint64_t threads;
	uint64_t warmup; /* seconds */
	uint64_t duration;
	uint64_t hold_usec; /* how long a suspended request waits for others at least */
	bool suspend;

	uint64_t logs; /* insert */

	uint64_t size; /* append: bytes a piece */
	uint64_t count;

	bool json;
	char dir[OPTION_TEXT_SIZE]; /* insert and append: where the file is made, and removed */
};

struct figure {
	const char *name; /* in camel case, its unit last; a constant */
	double value;
};

struct figures {
	struct figure list[LIMITS_FIGURES_MAX];
	size_t count;
};

void figures_add(struct figures *, const char *name, double value);

bool limits_http(const struct limits_plan *, struct figures *);
bool limits_insert(const struct limits_plan *, struct figures *);
bool limits_hash(const struct limits_plan *, struct figures *);
bool limits_append(const struct limits_plan *, struct figures *);

/* "edgereplay-limits: WHAT: WHY" on stderr. False, for the caller to return. */
bool limits_failed(const char *what, const char *why);

/* Seconds on one of the system's clocks, a process's or a thread's CPU clock among them. */
double limits_clock_sec(int clock);

#endif
