/*
 * chaos_link: one connection through the chaos proxy: two sockets, a bounded piece of bytes in each
 * direction, and the faults that they meet. Private to chaos.
 *
 * A direction reads only when all it had is written, so that a piece is what one recv() gave, and a
 * slow receiver slows its sender.
 *
 * Ownership: chaos.c makes and frees links and keeps them in its lists; chaos_link.c moves bytes.
 * Threads: the proxy's.
 */
#ifndef LOADTEST_CHAOS_LINK_H
#define LOADTEST_CHAOS_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "loadtest/chaos_fault.h"
#include "loadtest/random.h"
#include "loadtest/result.h"

#define PIECE_SIZE_MAX ((size_t)16 << 10)

enum ending { ENDING_NONE, ENDING_CLOSE, ENDING_RESET };

/* One direction of a link. */
struct flow {
	int from, to;
	char piece[PIECE_SIZE_MAX];
	size_t begin, end;   /* of what is still to be written */
	size_t whole;	     /* bytes that go before the single ones */
	unsigned slices;     /* single bytes to come */
	uint64_t hold_until; /* monotonic milliseconds; 0: nothing is held */
	enum ending ending;  /* of the link, once the piece is written */
	bool at_end;	     /* the sender has closed */
};

struct link {
	int client, daemon;
	struct flow request, answer;
	struct random random;
	struct fault fault; /* of this exchange; none once it was met */
	bool in_exchange;   /* no byte of its answer has come yet */
	uint64_t now_msec;
	struct chaos_counts *counts; /* the proxy's */

	bool dead;
	bool waits; /* is in the list of those that hold something */
	LIST_ENTRY(link) all;
	LIST_ENTRY(link) waiting;
	SLIST_ENTRY(link) dying;
};

/* Two sockets that do not block become a link; number is the connection's. */
void link_init(struct link *, int client, int daemon, uint64_t seed, uint64_t number);

/* Moves in both directions what can be moved now. False when the link is over. */
bool link_pump(struct link *, uint64_t now_msec);

/* Whether it wants to be pumped again by the clock, without an event. */
bool link_holds(const struct link *);

/* Closes both sockets, with a reset where a fault wants one. */
void link_close(struct link *);

#endif
