/*
 * settle: what becomes of a batch (protocol 4.1, steps 3 to 5), as a pure function of facts.
 *
 *     facts about the log as it stood before the group ─┐
 *     what earlier jobs of the group appended ──────────┼─▶ settle ─▶ verdict, outcomes,
 *     the batch ────────────────────────────────────────┘             the log moved on
 *
 * A group is settled job by job. struct settle_log is one log while its group settles: its head
 * moves, and the rows appended so far answer for positions and stamps that the facts, gathered
 * before, do not know.
 *
 * Who calls: a shard's writer; tests. No database, no clock, no lock: time and facts come in as
 * values.
 */
#ifndef CHAIN_SETTLE_H
#define CHAIN_SETTLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/status.h"
#include "chain/batch.h"

/* What of a log's content is gone by an operator's word, but for single actions: those say it themselves. */
struct gone {
	uint64_t pruned;    /* of the actions up to this seq; 0: of none */
	uint64_t erased_at; /* all of it, at that time in milliseconds; 0: it is not erased */
	uint64_t cleared; /* up to this seq it was taken; kept when an erased log is opened again */
};

/* The newest position of a log. receivedAt of the empty log is 0. */
struct head {
	struct position position;
	uint64_t received_at; /* milliseconds; never decreases along a log */
	uint64_t bytes;	      /* action_size() of all its actions */
	struct gone gone;
};

/* The strict policies of section 4.1 step 4. Off by default. */
struct clock_policy {
	uint64_t max_skew_msec; /* 0: off */
	bool monotonic;
};

/* How far a log may grow (section 4.1 step 4). 0: no limit. */
struct quota {
	uint64_t log_actions; /* behind what is cleared */
	uint64_t log_bytes;

	/* Of logs that a subject begins. As a fact it is 0 unless who brings the batch has begun so many
	 * already, and may not begin this one. */
	uint64_t subject_logs;
};

enum quota_kind { QUOTA_LOG_ACTIONS, QUOTA_LOG_BYTES, QUOTA_SUBJECT_LOGS };

/* What a log keeps under one (device, ts). */
struct taken {
	bool found;
	uint64_t seq;
	struct hash digest;
};

/* What is known of a log's device: its newest stamp, 0 if it wrote nothing. settle moves it. */
struct device_facts {
	uint64_t newest;
};

/* The facts one batch needs, all from before the group. */
struct facts {
	/* The stored link at the base's seq and at each locator's seq; NULL where that seq is
	 * beyond the head from before the group. links[0] is the base's, links[1 + i] locator i's.
	 * Seq 0 has the genesis. */
	const struct hash *links[1 + LOCATOR_PAIRS_MAX];

	/* One an action. Must be filled where the action's ts is ≤ its device's newest from before
	 * the group; elsewhere .found is false, for a later stamp cannot be in the log. */
	const struct taken *taken;

	/* One a device of the batch: the log's, shared by all jobs of the group. */
	struct device_facts *devices[BATCH_DEVICES_MAX];

	struct quota quota;
};

enum outcome_kind { OUTCOME_APPLIED, OUTCOME_DUPLICATE, OUTCOME_REFUSED };

/* What became of one action. */
struct outcome {
	enum outcome_kind kind;
	enum status refusal; /* OUTCOME_REFUSED: which */
	uint64_t detail;  /* CLOCK_SKEW: milliseconds ahead; NON_MONOTONIC_TIMESTAMP: the newest */
	uint64_t seq;	  /* applied, duplicate: where it is */
	struct hash link; /* applied: its link in the log */
};

struct verdict {
	enum status status; /* OK, or the refusal of the whole batch: nothing of it was appended */
	struct head head;   /* the log's head after this job (and not after later ones) */

	/* OK */
	size_t applied, duplicates, refused;
	uint64_t first_seq; /* of the applied ones; they are contiguous */
	size_t late;	    /* applied though not after the device's newest */
	size_t ahead;	    /* applied though over 5 minutes ahead of now */
	bool fast_forward;
	bool state_holds; /* the batch has a state report, and its position is one of the log */

	/* SERVER_BEHIND, HASH_MISMATCH: the newest of the pairs sent that the log has. */
	struct position ancestor;

	/* QUOTA_EXCEEDED: which, and what it is. */
	enum quota_kind quota;
	uint64_t limit;

	/* The refusals of mode reject: the action at fault, whose outcome has the detail. CONFLICT:
	 * outcomes say which are duplicates. What is said of another status is zero. */
	size_t index;
};

/* An action appended by the group. */
struct settled_row {
	const struct batch_action *action;
	const struct outcome *outcome;
};

/* One log while a group settles. */
struct settle_log {
	struct head before; /* the head that the facts speak of */
	struct head head;   /* after the jobs settled so far */

	struct settled_row *rows; /* rows[i] is seq before.seq + 1 + i */
	size_t row_count, row_capacity;

	/* Index of the rows by (device, ts); chain/stamps.h. */
	uint32_t *stamps;
	size_t stamp_slots, stamp_count;

	struct arena *arena; /* the group's */
};

void settle_log_init(struct settle_log *, const struct head *, struct arena *group);

/*
 * Settles one verified batch that was received at now_msec. Fills *verdict, and outcomes[0 ..
 * action_count) (the caller's array) when the verdict is OK or CONFLICT: rows point to those of an
 * OK, so they live as long as the group, and so does the batch. For CONFLICT an outcome's kind is
 * DUPLICATE, with its seq, for what was in the log before this batch, anything else for the rest.
 * When the verdict's status is not OK the log and the devices are as before.
 *
 * Each applied action costs a hash; each that is stamped no later than its device's newest, a
 * look-up among the group's rows besides. Neither depends on how much the group has appended.
 *
 * Returns STATUS_OK (whatever the verdict says), or STATUS_INTERNAL when memory is out: then the
 * whole group must be dropped.
 */
MUST_CHECK enum status settle(struct settle_log *, const struct batch *, const struct facts *,
			      const struct clock_policy *, uint64_t now_msec, struct verdict *,
			      struct outcome *outcomes);

#endif
