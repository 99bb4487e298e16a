/*
 * subscriber: what the lanes do that hold a log's event stream (protocol 4.4), and how late news are.
 *
 *     sync: answered ─▶ subscriber_told (answer of seq n) ─╮
 *                                                          ├─▶ the first event from n on: so late
 *     lane: event of seq n or later ───────────────────────╯
 *
 * The subscriber with number i has the stream of log i; those beyond the run's logs follow logs that
 * nobody writes. An event that is here before the answer to the sync that made it is not late at all.
 * At the end each must know the log's last head.
 *
 * Threads: the run's own.
 */
#ifndef LOADTEST_SUBSCRIBER_H
#define LOADTEST_SUBSCRIBER_H

#include <stdbool.h>
#include <stdint.h>

#include "loadtest/lane.h"

#define SUBSCRIBER_UNSEEN_MAX 8 /* answers of a log that no event has covered */

struct subscriber {
	struct lane *lane;
	uint64_t unseen_count;
	struct {
		uint64_t seq;
		uint64_t usec;
	} unseen[SUBSCRIBER_UNSEEN_MAX];
};

extern const struct work subscriber_work;

/* Begins to follow this log. */
void subscriber_start(struct lane *, uint32_t user);

/* A sync of this log was answered: the head is this one. */
void subscriber_told(struct run *, uint32_t user, uint64_t seq, uint64_t usec);

/* How many do not know the last head of their log yet. */
uint64_t subscribers_behind(const struct run *);

#endif
