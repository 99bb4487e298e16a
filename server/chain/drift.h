/*
 * drift: what devices say of their apps' state at a log's newest positions, and who disagrees (protocol
 * 4.1, `state`). Equal links are equal histories, so of a deterministic reducer they are equal states:
 * two digests for one link are a reducer that is not.
 *
 *     drift_log:  position 40 ── phone: 5e1f…, 1.4      position 42 ── phone: 77ab…, 1.4
 *                             ╰─ tablet: 5e1f…, 1.3
 *
 * Bounded: so many positions, the newest; and so many devices at each, the first that came, but for this:
 * where there is no more room, who has fewer reports there than another takes a place of who has most, so
 * that no subject fills a position that others report on.
 *
 * Pure: no I/O, no clock, no lock. Ownership: a drift_log owns its memory, and copies what it takes.
 *
 * Invariants:
 * 1. All reports of a position are of one link, the one that the newest of them was made for.
 * 2. A device has at most one report at a position, its newest.
 * 3. Devices that say the same never drift.
 * 4. A writer's reports at a position are numbered from 1 on, without a gap.
 */
#ifndef CHAIN_DRIFT_H
#define CHAIN_DRIFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chain/batch.h"
#include "chain/chain.h"

struct drift_limits {
	size_t positions; /* 0: nothing is kept, and nobody drifts */
	size_t devices;	  /* ≥ 1 */
};

/* A device's word. The link is the log's at state.seq. */
struct drift_report {
	struct text device;
	struct text writer; /* the subject; empty when unknown */
	struct hash link;
	struct state_report state;
};

/* One that is kept; its texts stand behind it. */
struct drift_entry {
	struct drift_entry *next;
	struct text device, writer, digest, app;
	size_t nth; /* of its writer's there */
};

struct drift_position {
	struct position at;
	struct drift_entry *entries; /* in the order they came */
	size_t count;
};

/* Begins zeroed. */
struct drift_log {
	struct drift_position *positions; /* ascending */
	size_t count, capacity;
	size_t bytes; /* about how much memory it takes */
};

/* How many devices, of those whose reports are kept and of the one that reports, say what that one says,
 * itself included, and how many another thing. */
struct drift {
	size_t agree, differ;
};

/* What a report came to. Pointers are into the log, until it changes. */
struct drift_finding {
	struct drift drift;
	bool kept;     /* the log has changed: the report is in it, as it was not before */
	bool is_news;  /* the report differs from another one, and was not known to */
	bool is_first; /* nobody differed there before: the others' reports are news, too */
	const struct drift_position
		*position;		 /* NULL: older than what is kept, so nothing is known */
	const struct drift_entry *other; /* the first that differs */

	/* What left the log: positions below the one, from the other on. */
	uint64_t below, from;

	/* Whose report left the position for this one; size 0: nobody's. */
	char displaced[DEVICE_SIZE_MAX];
	size_t displaced_size;
};

/*
 * Takes a report for a log whose head is at a seq, and which has the report's link at its position.
 * What is kept of positions beyond the head, and of those from one on that has another link, is of a
 * history that the log has no more, and is dropped. Position 0 is never kept.
 *
 * False: memory is out; the log is as it was, or lacks what was dropped.
 */
MUST_CHECK bool drift_take(struct drift_log *, const struct drift_limits *,
			   const struct drift_report *, uint64_t head, struct drift_finding *);

void drift_release(struct drift_log *);

#endif
