/*
 * phone_store: the local file of one phone and one log: everything that protocol section 7 says a
 * client keeps, in one SQLite file (WAL, synchronous FULL). Whatever was committed survives kill -9
 * and power cuts; a process that starts again goes on from it.
 *
 *     enqueue ─▶ queue ─────── confirm ──────▶ confirmed
 *                  │  ▲                            │
 *                  │  └── heal: what the server ───┘
 *                  ▼      lost goes in front
 *               set_aside, with the reason: nothing is ever thrown away
 *
 * What is kept:
 *   phone       the device id (16 random bytes in hex unless the user chose one; it is in this file
 *               and nowhere else: who copies the file to a second device clones the device, which
 *               must not be), the log's name, the base, the clock offset, the start: where the
 *               confirmed actions begin, genesis unless it began from a snapshot
 *   confirmed   every action from the start up to the base, with the link after it, and what was confirmed
 *               before a snapshot was gone on from. A link on every row, not only
 *               at page ends: 32 bytes each make every locator one seek, and let a rotten row be
 *               told from its neighbours
 *   queue       what is to be pushed, in order. confirmed_once: it was in the log before the server
 *               lost it, and may be another device's
 *   set_aside   what the log will not take, for the user to see
 *   inputs      how many lines of each input have been queued
 *
 * Invariants:
 * 1. The base is the last confirmed row (or the start), and its link was computed here, but for that of a
 *    snapshot: of what is before it nothing is known here.
 * 2. An action is in the queue before it is sent, and leaves it only in the transaction that
 *    confirms it or sets it aside, or finds it at or before the base.
 * 3. One process at a time: path-lock is locked while the store is open for writing.
 *
 * Errors: a failure is reported on stderr where it happens; STATUS_STORAGE_UNAVAILABLE is returned.
 * Between phone_store_begin and phone_store_commit the caller answers a failure with
 * phone_store_abort. Threads: one.
 */
#ifndef CLI_PHONE_STORE_H
#define CLI_PHONE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "cli/phone_chain.h"

struct phone_store;

struct queued {
	int64_t place; /* orders the queue */
	struct phone_action kept;
	bool confirmed_once;
};

struct phone_counts {
	uint64_t confirmed;
	uint64_t queued;
	uint64_t set_aside;
};

/* Return false to stop. What they get lives until they return. */
typedef bool queued_visitor(void *cookie, const struct queued *);
typedef bool confirmed_visitor(void *cookie, const struct logged *);
typedef bool aside_visitor(void *cookie, const struct phone_action *, struct text reason);

/*
 * Opens the file, or makes it: then log is needed, and device is the id (NULL: a random one).
 * Later, log and device (unless NULL) must be those of the file: STATUS_MALFORMED if not.
 */
MUST_CHECK enum status phone_store_open(const char *path, const char *log, const char *device,
					struct phone_store **);

/* Whether the file is an SQLite database, and so no NDJSON. */
bool phone_store_is_state(const char *path);

/* Opens an existing file to look at it; works beside a process that writes it. */
MUST_CHECK enum status phone_store_look(const char *path, struct phone_store **);
void phone_store_close(struct phone_store *);

struct text phone_store_device(const struct phone_store *);
struct text phone_store_log(const struct phone_store *);
const struct position *phone_store_base(const struct phone_store *);
const struct position *phone_store_start(const struct phone_store *);
int64_t phone_store_offset(const struct phone_store *);
MUST_CHECK enum status phone_store_counts(struct phone_store *, struct phone_counts *);

/* The own link at a seq; STATUS_NOT_FOUND beyond the base, and before the start but for 0. */
MUST_CHECK enum status phone_store_link(struct phone_store *, uint64_t seq, struct hash *);

/* Walks the queue from its front, or the confirmed actions after a seq. */
MUST_CHECK enum status phone_store_queue(struct phone_store *, queued_visitor *, void *cookie);
MUST_CHECK enum status phone_store_confirmed(struct phone_store *, uint64_t after,
					     confirmed_visitor *, void *cookie);

/* What was set aside, oldest first. */
MUST_CHECK enum status phone_store_asides(struct phone_store *, aside_visitor *, void *cookie);

/* The last place of the queue that is taken; 0 if it is empty. */
MUST_CHECK enum status phone_store_last_place(struct phone_store *, int64_t *place);

/* One local transaction. */
MUST_CHECK enum status phone_store_begin(struct phone_store *);
MUST_CHECK enum status phone_store_commit(struct phone_store *);
void phone_store_abort(struct phone_store *);

/* --- inside a transaction --- */

/* The stamp that the own device may give now to an action at that place of the queue (protocol
 * section 7): stamp_first, then + 1 until free. The newest is that of the log and of what is in
 * front of the place, or at_least if that is newer. */
MUST_CHECK enum status phone_store_stamp(struct phone_store *, int64_t place, uint64_t at_least,
					 uint64_t *ts);

/* The place behind the whole queue. */
#define PLACE_END INT64_MAX

/* Appends to the queue. With ts 0 the action is stamped. The device is the own one. */
MUST_CHECK enum status phone_store_enqueue(struct phone_store *, const struct action *);

/* Appends one action to the confirmed ones, moves the base to it, and drops it from the queue. */
MUST_CHECK enum status phone_store_confirm(struct phone_store *, const struct phone_action *);

/* Begins from a snapshot of this position, which the server names, ahead of the base: start and base. What
 * was confirmed before stays, though nothing leads from it to the start. */
MUST_CHECK enum status phone_store_begin_from(struct phone_store *, const struct position *);

/* Takes an action out of the queue that is known to be confirmed. */
MUST_CHECK enum status phone_store_drop(struct phone_store *, int64_t place);

/* Gives a queued action another stamp, and so another digest. */
MUST_CHECK enum status phone_store_restamp(struct phone_store *, const struct queued *,
					   uint64_t ts);

/* TIMESTAMP_TAKEN: gives it ts + 1. Steps of 1 that the log is known to refuse, because a confirmed
 * action has that stamp, are taken at once. What was never confirmed also steps over the queue's
 * stamps, by the stamping rule; what was confirmed once does not, because another phone's queue is
 * another, and both must come to the same stamp. */
MUST_CHECK enum status phone_store_step_stamp(struct phone_store *, const struct queued *);

/* Moves a queued action to those set aside. */
MUST_CHECK enum status phone_store_set_aside(struct phone_store *, int64_t place,
					     struct text reason);

/*
 * Rolls back to an ancestor, a position that is confirmed here, or seq 0, which is then the start, too: everything after it goes to the
 * front of the queue, oldest first, marked confirmed_once. What does not verify, or was redacted
 * and so cannot be sent again, is set aside; *set_aside counts it.
 */
MUST_CHECK enum status phone_store_roll_back(struct phone_store *, const struct position *ancestor,
					     uint64_t *set_aside);

MUST_CHECK enum status phone_store_set_offset(struct phone_store *, int64_t offset);

/* How many lines of an input were queued. */
MUST_CHECK enum status phone_store_lines(struct phone_store *, const char *input, uint64_t *lines);
MUST_CHECK enum status phone_store_set_lines(struct phone_store *, const char *input,
					     uint64_t lines);

#endif
