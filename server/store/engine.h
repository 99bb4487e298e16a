/*
 * engine: what a database must offer to keep logs. It contains no rule of the protocol: it is asked
 * for facts and told what to write.
 *
 *     the writer's thread:  gather ─▶ (settle) ─▶ write;  tend, when there is time
 *     readers' threads:     head, read, seek, scrub
 *
 * An engine may acknowledge from a journal and put rows in place later; all its answers, to the
 * writer and to readers, are as if every acknowledged row were in place.
 *
 * Threads: the writer's operations from the shard's writer alone; the readers' from any number of
 * threads at once, and at the same time as the writer's.
 * Errors: STATUS_STORAGE_UNAVAILABLE after any fault of the storage; the fault has been logged.
 * After a fault in one of the writer's operations the engine must be closed and opened again: a
 * failed commit is unknown, not absent.
 */
#ifndef STORE_ENGINE_H
#define STORE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "chain/chain.h"
#include "chain/settle.h"

struct engine; /* each engine's own; begins with a struct engine_ops pointer */

/* One question of a group. Names a log by its name and genesis link. */
enum lookup_kind {
	LOOKUP_HEAD,   /* → head; a log nobody wrote has seq 0 and its genesis */
	LOOKUP_LINK,   /* seq, 1..head → link; found is false when there is no such row */
	LOOKUP_TAKEN,  /* device, ts → taken */
	LOOKUP_NEWEST, /* device → newest, 0 if none */
};

struct lookup {
	enum lookup_kind kind;
	struct text log;
	const struct hash *genesis;
	uint64_t seq;
	struct text device;
	uint64_t ts;

	/* Answers. */
	enum status status; /* OK, or LOG_DAMAGED: what is stored does not verify; head is then the
			       last good one */
	bool found;
	struct head head;
	struct hash link;
	struct taken taken;
	uint64_t newest;
};

/* What one job adds to one log: those actions of the batch whose outcome is APPLIED, in order.
 * Borrowed for the call. */
struct append {
	const struct batch *batch;
	const struct outcome *outcomes;
	size_t applied;	      /* ≥ 1 */
	struct head expected; /* the log's head before */
	struct head head;   /* and after; its received_at is that of every action of this append */
	struct text writer; /* the subject that brought it; empty when unknown */
};

/* One stored action on its way out. Texts are borrowed for the visitor's call. */
struct row {
	uint64_t seq;
	struct action action;
	struct hash digest;
	struct hash link;
	uint64_t received_at;
	struct text writer;
};

/* Returns false to stop: the row is then not counted as read. */
typedef bool row_visitor(void *cookie, const struct row *);

struct range {
	uint64_t after; /* rows after this seq … */
	uint64_t upto;	/* … up to this one, both included in the log's head */
	uint64_t rows_max;
};

/* Where a walk through everything in place stands. Begins zeroed. */
struct walk {
	uint64_t log; /* the engine's number of a log; 0: before the first */
	bool inside;  /* of it; else behind it */
	struct position at;
	uint64_t skip; /* the engine's */
};

/* What a step of it came to. */
struct walked {
	uint64_t logs;	  /* of which the end was reached */
	uint64_t actions; /* verified */
	uint64_t damaged; /* logs, those that were marked before included */
	bool ended;	  /* nothing is left */
};

struct engine_ops {
	/* Whether nobody else writes these logs while the engine is open. If not, facts are not
	 * kept between groups and write() may find a head moved. */
	bool alone;

	/* --- writer --- */

	/* Answers all lookups, in any order. */
	enum status (*gather)(struct engine *, struct lookup *, size_t count);

	/* Makes all appends durable in one commit, or none. Nothing was written, and the group is
	 * to be gathered and settled again, after STATUS_CONFLICT (only if not alone): a head is
	 * not the expected one; and after STATUS_LOG_DAMAGED: a log was found damaged since it was
	 * gathered. */
	enum status (*write)(struct engine *, const struct append *, size_t count);

	/* Does one bounded slice of background work. idle: no group is waiting. Sets *wait_msec to
	 * when it wants to be called again at the latest (0: at once). */
	enum status (*tend)(struct engine *, bool idle, uint64_t *wait_msec);

	/* Ends all background work: after a clean stop the journal is empty and the WAL truncated.
	 */
	enum status (*settle_down)(struct engine *);

	/* Frees everything, without writing anything. Readers must have ended. */
	void (*close)(struct engine *);

	/* --- readers --- */

	/* The head as acknowledged. STATUS_LOG_DAMAGED: *head is the last good position. */
	enum status (*head)(struct engine *, struct text log, const struct hash *genesis,
			    struct head *);

	/*
	 * Visits rows in order, each verified: its link is H(link before ‖ its digest). *end (out)
	 * is the position of the last row visited, or of `after`. First sets *start to the position
	 * of `after`. STATUS_LOG_DAMAGED when a row is missing or does not verify: *end is the last
	 * good one. One call is one read transaction.
	 */
	enum status (*read)(struct engine *, struct text log, const struct hash *genesis,
			    const struct range *, row_visitor *, void *cookie,
			    struct position *start, struct position *end);

	/* Searches downwards from seq `from` through at most steps rows for a row with this link.
	 * found: *seq is its position. Not found: *seq is where to go on, 0 when the log is done.
	 */
	enum status (*seek)(struct engine *, struct text log, const struct hash *genesis,
			    const struct hash *link, uint64_t from, uint64_t steps, bool *found,
			    uint64_t *seq);

	/* Verifies up to so many rows in place from where the walk stands on, and moves it; logs come
	 * in an order that does not change. A finding marks its log, as a reader's would. One call is
	 * one read transaction. By one thread at a time. After STATUS_STORAGE_UNAVAILABLE the walk
	 * has left the log that it was in. */
	enum status (*scrub)(struct engine *, struct walk *, uint64_t rows_max, struct walked *);
};

struct engine {
	const struct engine_ops *ops;
};

#endif
