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

#include "base/origin.h"
#include "base/status.h"
#include "chain/chain.h"
#include "chain/drift.h"
#include "chain/settle.h"

struct engine; /* each engine's own; begins with a struct engine_ops pointer */

/* A log has grown, or was erased; what this points to is there for the call. */
struct committed {
	struct text log;
	const struct hash *genesis;
	const struct head *head;
	const struct origin *origin; /* of the job; NULL: none */
	bool erased;
};

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
			       last good one; or INDEX_DAMAGED: the answer cannot be told; or
			       STORAGE_UNAVAILABLE: this log cannot be read now */
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

/* How an engine is doing. */
struct engine_figures {
	uint64_t journal_bytes; /* of what is acknowledged and not in place, in the journal */
	uint64_t tail_bytes;	/* the same in memory */
	uint64_t tail_bytes_max;
	uint64_t lag_msec; /* how long the oldest of it has been acknowledged; 0: there is none */
	uint64_t damaged;  /* logs that are marked */
};

/* Where a walk through everything in place stands. Begins zeroed, but for what the caller wants to say. */
struct walk {
	/* Asked at each row and after each log: false ends the step, and is not taken back in it. NULL:
	 * nobody is asked. */
	bool (*goes_on)(void *cookie);
	void *cookie;

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

/* A report to keep, after which those of positions below one and from another on are gone, and at its own
 * that of a device (size 0: of none). */
struct kept_state {
	const struct drift_report *report;
	uint64_t below, from;
	struct text displaced;
};

typedef void state_visitor(void *cookie, const struct drift_report *);

/* A copy of one shard, made while it is written. */
struct backup_order {
	const char *path; /* absolute; of a file that is not there yet */
	uint64_t rate;	  /* bytes a second; 0: no limit */
};

enum backup_state { BACKUP_NONE, BACKUP_RUNNING, BACKUP_DONE, BACKUP_FAILED };

#define BACKUP_PROBLEM_SIZE 512
#define BACKUP_PATIENCE_MSEC 30000

struct backup_figures {
	enum backup_state state;
	uint64_t bytes, bytes_total;	   /* so far, of so many as there were lately */
	uint64_t commits;		   /* DONE: the newest that is in it */
	char problem[BACKUP_PROBLEM_SIZE]; /* FAILED */
	bool again; /* FAILED: content was removed from the shard; one that begins now may end */
};

/* What is to go of one log. Its rows keep device, ts, digest and link: chain, duplicates and receipts
 * hold on. Nothing of it needs memory of what was there before. */
enum removal_kind {
	REMOVE_ACTIONS, /* the content of these seqs (redact) */
	REMOVE_BEFORE,	/* that of the actions up to a seq and received before a time (prune) */
	REMOVE_ALL, /* all content; the log is erased from then on, also one that is not there */
	REMOVE_NOTHING, /* an erased log takes actions again, and begins with its first */
	REMOVE_BEGUN,	/* what of a log that was pruned or erased is still there */
};

/* How far rows are known to stand in the order of their keys, and the last one that does. The engine's. */
struct ordering {
	bool begun, ended;
	uint64_t log, seq;
	struct hash link;
};

struct removal {
	enum removal_kind kind;
	struct text log;
	const struct hash *genesis;
	const uint64_t *seqs; /* REMOVE_ACTIONS */
	size_t seq_count;

	/* REMOVE_ACTIONS: as many as seqs, or NULL. is_known: an action is removed only if it has this id;
	 * if not, one that has it is sought in the log, for a log that was healed may have another order.
	 * Else they are answers: which ids the actions have. */
	uint8_t (*ids)[ID_SIZE];
	bool ids_are_known;
	uint64_t upto;		  /* REMOVE_BEFORE */
	uint64_t received_before; /* likewise: milliseconds */
	uint64_t now_msec;	  /* REMOVE_ALL */
	bool from_first; /* REMOVE_NOTHING: a log that is not erased is not pruned, either */

	/* REMOVE_ALL, of an erasure that a kept list has; else NULL. It took the actions up to `upto`, whose
	 * link this is, and was before received_before. stays_open: the log was opened again since: no later
	 * ones are removed, and where the log has another link there, none that were not received before.
	 * Else all are that it took or that were received before; if there are no others, the log is erased. */
	const struct hash *erased_link;
	bool stays_open;

	/* Answers; zero first. A long removal is done in steps: while there is more of it, and the status
	 * is OK, it is to be given again as it is; a step may have looked and taken nothing. NOT_FOUND:
	 * there is no such log, but for REMOVE_ALL. UNKNOWN_STATE: it has not all of these seqs.
	 * LOG_DAMAGED: it is to be repaired first, which an erasure asks for only where rows are out of
	 * order or what is said of the log is no more than rot (its name, its head's link, its entry in
	 * `gone`, pruned beyond the head). ERASED: REMOVE_NOTHING, and the erasure was cut off. */
	enum status status; /* OK, or one of those above */
	struct head head;   /* afterwards */
	bool more;
	bool reopened;	      /* REMOVE_NOTHING: the log was erased */
	uint64_t removed;     /* actions whose content is gone by it */
	uint64_t gone_before; /* and whose was already */
	uint64_t first;	      /* REMOVE_ACTIONS: the lowest seq of those; 0: none */
	uint64_t absent; /* ids that it lacks; of erased_link: seqs of which it cannot be told */
	uint64_t at;	 /* how far it is */

	/* The engine's: rows up to there that are bare; and the whole file's, where some are missing. */
	uint64_t bare;
	struct ordering ordered;
};

/* A log that was pruned or erased, and whose content is not gone to the end of that: cut off, or being done. */
struct unfinished {
	uint64_t log; /* in: after this number of the engine's, 0 at first; out: its number */
	bool found;
	bool erased; /* else pruned */
	size_t name_size;
	char name[LOG_NAME_SIZE_MAX];
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

	/*
	 * Removes content, after all that is acknowledged is in place: from rows, journals and memory,
	 * and with the WAL's old bytes. overwrite: at the end also what files keep of it where
	 * nothing stands any more; until then it may be read from the raw files. Killed anywhere, it
	 * can be done again. STATUS_BACKPRESSURE: readers were in the way for too long, and it is to
	 * be done again; STATUS_LOG_DAMAGED: the file has malformed pages, where something may stand
	 * still. *kept: records in the journal's table which have rotted, and may hold anything.
	 */
	enum status (*remove)(struct engine *, struct removal *, size_t count, bool overwrite,
			      uint64_t *kept);

	/* After a fault: gives up what writes, without writing anything. Readers go on, and see what was
	 * acknowledged; nobody may write any more, but another engine may be opened on the same files. */
	void (*retire)(struct engine *);

	/* Frees everything, without writing anything. Readers must have ended. */
	void (*close)(struct engine *);

	/* --- writer, what devices say of their states: advice, and no user's data. Both NULL in an
	 * engine that keeps none of it --- */

	/* The log's reports. Of what cannot be read now nothing is said. */
	void (*load_states)(struct engine *, struct text log, state_visitor *, void *cookie);

	/* Takes it along with what is put in place next; until then, and where too much of it comes at
	 * once, it may be lost. */
	void (*keep_state)(struct engine *, struct text log, const struct kept_state *);

	/* --- readers --- */

	/* The head as acknowledged. STATUS_LOG_DAMAGED: *head is the last good position. Of this and of
	 * all reads, STATUS_INDEX_DAMAGED: whether there is such a log cannot be told. */
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

	/* How many logs begin with a batch that this writer brought, but for the one of a name (data is
	 * NULL: none). STATUS_INDEX_DAMAGED: it cannot be told. */
	enum status (*count_begun)(struct engine *, struct text writer, struct text except,
				   uint64_t *count);

	/* The next that REMOVE_BEGUN is for, in the order of the engine's numbers. */
	enum status (*find_unfinished)(struct engine *, struct unfinished *);

	/* Verifies up to so many rows in place from where the walk stands on, one at least, and moves
	 * it; logs come in an order that does not change. A finding marks its log, as a reader's would. One call is
	 * one read transaction. By one thread at a time. After STATUS_STORAGE_UNAVAILABLE the walk
	 * has left the log that it was in. */
	enum status (*scrub)(struct engine *, struct walk *, uint64_t rows_max, struct walked *);

	/* At once, whatever the writer is doing. */
	void (*measure)(struct engine *, struct engine_figures *);

	/* --- operator, any thread --- */

	/*
	 * Begins a copy that has everything that was acknowledged before, and whole commits of what came
	 * until it ended: a shard file at rest, in need of no journal. STATUS_BACKPRESSURE: one is being
	 * made; STATUS_STORAGE_UNAVAILABLE: nobody writes who could.
	 */
	enum status (*back_up)(struct engine *, const struct backup_order *);

	/* What came of the last one. One that nobody looks at for BACKUP_PATIENCE_MSEC is given up. */
	void (*look_at_backup)(struct engine *, struct backup_figures *);

	/* Gives up the one that is being made, whose file is removed; forgets the last one. */
	void (*end_backup)(struct engine *);
};

struct engine {
	const struct engine_ops *ops;
};

#endif
