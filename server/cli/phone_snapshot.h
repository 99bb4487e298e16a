/*
 * phone_snapshot: a phone goes on from the log's newest snapshot (protocol section 7, retry "snapshot").
 *
 * What is queued stays, and so does what was confirmed before: it is not the log's beginning any more, and
 * goes round if the log should have lost it. Before the state says where it is, the file is there.
 *
 * Threads: one.
 */
#ifndef CLI_PHONE_SNAPSHOT_H
#define CLI_PHONE_SNAPSHOT_H

#include "cli/phone_sync.h"

/* Of a phone that has confirmed nothing; if there is none, it reads the log from its start. */
enum exit_code phone_snapshot_begin(struct phone_sync *);

/* The log answers PRUNED: STEP_PAUSE, of no time, behind the snapshot; STEP_STOP, and why, without --snapshot, or where
 * there is none ahead of the base. A round's end. */
enum step phone_snapshot_go_on(struct phone_sync *, const struct answer *);

#endif
