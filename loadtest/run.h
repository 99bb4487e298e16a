/*
 * run: a run under way: what all its connections share, and what is counted.
 *
 *     driver ── opens lanes, says when ──▶ sync, waiter, subscriber, replay ── what it does ──▶ lane
 *                                             └── what came of it ──▶ run_count_… ──▶ result
 *
 * Ownership: the driver's; plan, users and result are the caller's. Threads: the run's own.
 */
#ifndef LOADTEST_RUN_H
#define LOADTEST_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/status.h"
#include "loadtest/answer.h"
#include "loadtest/plan.h"
#include "loadtest/random.h"
#include "loadtest/result.h"
#include "loadtest/users.h"

#define RUN_FIELDS_SIZE 8192

struct lane;
struct subscriber;

struct run {
	const struct plan *plan;
	struct users *users;
	struct result *result;
	struct random random;
	const struct sockaddr *address;
	socklen_t address_size;
	int epoll;
	char fields[RUN_FIELDS_SIZE]; /* of every request: host, token */
	size_t fields_size;

	bool ended;   /* nothing new begins */
	bool aborted; /* nor is anything repeated: this leads nowhere */
	unsigned told;

	uint64_t first_usec; /* of the measured part; 0 before it */
	uint64_t last_usec;  /* its last answer */
	size_t series_capacity;

	struct subscriber *subscribers; /* by the number of their log */
	uint64_t subscriber_count;

	struct lane **paused;
	size_t paused_count;
};

/* A request that counts, or does not: those of the warm-up do not. */
struct measure {
	bool measured;
	uint64_t intended_usec;
	uint64_t sent_usec;
	uint64_t answered_usec;
};

/* A 2xx; the actions are those that it acknowledges. */
void run_count_success(struct run *, const struct measure *, uint64_t actions, uint64_t duplicates);

/* A 429 or 503. */
void run_count_refusal(struct run *, const struct measure *, unsigned status, struct text code,
		       uint64_t actions);

/* An answer that is not what the tool's own chain says, a status that the plan does not allow, and
 * no answer at all. The first few are told on stderr. */
void run_count_wrong(struct run *, struct text log, const char *why, struct text answer);
void run_count_unexpected(struct run *, struct text log, unsigned status, struct text answer);
void run_count_lost(struct run *, const char *why);

/* For 200 while something is measured. */
void run_count_status(struct run *, const struct measure *, unsigned status);

#endif
