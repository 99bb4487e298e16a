/*
 * metrics: what the process counts, in tables: counters, requests by where they went and how they
 * ended, histograms.
 *
 *     counter_add, request_count, histogram_add ─▶ the thread's own block ─▶ metrics_read: the sum
 *
 * Each thread counts in a block of its own, so counting is a plain addition (about a nanosecond; no
 * lock, no locked instruction, no shared cache line). A thread that ends leaves its block, with what it
 * has, to the next one that begins. Where memory is out a thread counts nothing.
 *
 * Names are Prometheus's: a family, with labels that tell its members apart. Counters' families are
 * without _total. Rows of a family stand together; its help is that of the first. No label has a
 * value that a client chose.
 *
 * Threads: all functions from any thread.
 */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* enumerator, name in the log's last line, family (NULL: in the log only), labels, help */
#define COUNTER_TABLE(X)                                                                           \
	X(COUNTER_REQUESTS, "requests", NULL, NULL, NULL)                                          \
	X(COUNTER_COMMITS, "commits", "edgereplay_commits", NULL,                                  \
	  "Groups of syncs that were stored with one sync of the journal.")                        \
	X(COUNTER_APPLIED, "actions_applied", "edgereplay_actions", "result=\"applied\"",          \
	  "Actions of syncs that were answered with success, by what became of them.")             \
	X(COUNTER_DUPLICATES, "actions_duplicate", "edgereplay_actions", "result=\"duplicate\"",   \
	  NULL)                                                                                    \
	X(COUNTER_REFUSED, "actions_refused", "edgereplay_actions", "result=\"refused\"", NULL)    \
	X(COUNTER_REFUSED_TAKEN, "actions_refused_taken", "edgereplay_actions_refused",            \
	  "code=\"TIMESTAMP_TAKEN\"", "Refused actions by code.")                                  \
	X(COUNTER_REFUSED_SKEW, "actions_refused_skew", "edgereplay_actions_refused",              \
	  "code=\"CLOCK_SKEW\"", NULL)                                                             \
	X(COUNTER_REFUSED_OLD, "actions_refused_old", "edgereplay_actions_refused",                \
	  "code=\"NON_MONOTONIC_TIMESTAMP\"", NULL)                                                \
	X(COUNTER_LATE, "actions_stamped_late", "edgereplay_actions_stamped_late", NULL,           \
	  "Applied actions that were stamped before their device's newest.")                       \
	X(COUNTER_AHEAD, "actions_stamped_ahead", "edgereplay_actions_stamped_ahead", NULL,        \
	  "Applied actions that were stamped ahead of the server's clock.")                        \
	X(COUNTER_CHAIN_BROKEN, "chain_broken", "edgereplay_hash_verification_failures",           \
	  "where=\"received\"",                                                                    \
	  "Hashes that did not verify: of batches as they came, of logs and of snapshots as they " \
	  "are stored.")                                                                           \
	X(COUNTER_DAMAGED, "logs_damaged", "edgereplay_hash_verification_failures",                \
	  "where=\"stored\"", NULL)                                                                \
	X(COUNTER_SNAPSHOT_HASHES, "snapshot_hashes", "edgereplay_hash_verification_failures",     \
	  "where=\"snapshot\"", NULL)                                                              \
	X(COUNTER_MISMATCHES, "hash_mismatches", "edgereplay_replay_drift",                        \
	  "source=\"hash_mismatch\"",                                                              \
	  "Requests in which a phone and the server had different histories.")                     \
	X(COUNTER_BEHIND, "server_behind", "edgereplay_replay_drift", "source=\"server_behind\"",  \
	  NULL)                                                                                    \
	X(COUNTER_STATES, "state_reports", "edgereplay_state_reports", NULL,                       \
	  "Syncs in which a phone said what its app's state is at a position of the log.")         \
	X(COUNTER_STATE_DRIFT, "state_drift", "edgereplay_state_drift", NULL,                      \
	  "Such reports that differ from another phone's for the same history.")                   \
	X(COUNTER_BACKPRESSURE, "backpressure", "edgereplay_backpressure", NULL,                   \
	  "Requests that were told to come again later, as more came than can be done.")           \
	X(COUNTER_RATE_LIMITED, "rate_limited", "edgereplay_rate_limited", NULL,                   \
	  "Requests that were refused as one subject or address asked for too much.")              \
	X(COUNTER_TOKEN_HITS, "token_cache_hits", "edgereplay_token_cache", "result=\"hit\"",      \
	  "Tokens by whether they were known from a request before.")                              \
	X(COUNTER_TOKEN_MISSES, "token_cache_misses", "edgereplay_token_cache", "result=\"miss\"", \
	  NULL)                                                                                    \
	X(COUNTER_AUTH_ABSENT, "auth_absent", "edgereplay_auth_failures", "reason=\"absent\"",     \
	  "Requests without good credentials, by what was wrong with them.")                       \
	X(COUNTER_AUTH_MALFORMED, "auth_malformed", "edgereplay_auth_failures",                    \
	  "reason=\"malformed\"", NULL)                                                            \
	X(COUNTER_AUTH_ALGORITHM, "auth_algorithm", "edgereplay_auth_failures",                    \
	  "reason=\"algorithm\"", NULL)                                                            \
	X(COUNTER_AUTH_KEY, "auth_key", "edgereplay_auth_failures", "reason=\"key\"", NULL)        \
	X(COUNTER_AUTH_SIGNATURE, "auth_signature", "edgereplay_auth_failures",                    \
	  "reason=\"signature\"", NULL)                                                            \
	X(COUNTER_AUTH_CLAIMS, "auth_claims", "edgereplay_auth_failures", "reason=\"claims\"",     \
	  NULL)                                                                                    \
	X(COUNTER_AUTH_PROXY, "auth_proxy", "edgereplay_auth_failures", "reason=\"proxy\"", NULL)  \
	X(COUNTER_AUTH_SUBJECT, "auth_subject", "edgereplay_auth_failures", "reason=\"subject\"",  \
	  NULL)                                                                                    \
	X(COUNTER_SCRUBBED, "actions_scrubbed", "edgereplay_scrubbed_actions", NULL,               \
	  "Stored actions that the background walk has verified.")                                 \
	X(COUNTER_SCRUB_ROUNDS, "scrub_rounds", "edgereplay_scrub_rounds", NULL,                   \
	  "Rounds of the background walk through everything that is stored.")                      \
	X(COUNTER_SNAPSHOTS_STORED, "snapshots_stored", "edgereplay_snapshots_stored", NULL,       \
	  "Snapshots that were stored.")                                                           \
	X(COUNTER_SNAPSHOTS_SENT, "snapshots_sent", "edgereplay_snapshots_sent", NULL,             \
	  "Snapshots that verified and were sent, in whole or in part.")                           \
	X(COUNTER_SNAPSHOTS_ROTTEN, "snapshots_rotten", "edgereplay_snapshots_rotten", NULL,       \
	  "Snapshots that did not verify any more when they were to be sent; none was.")           \
	X(COUNTER_PRUNED, "actions_pruned", "edgereplay_pruned_actions", NULL,                     \
	  "Actions whose content was removed by snapshots.prune_sec.")                             \
	X(COUNTER_STORAGE_FAULTS, "storage_faults", "edgereplay_storage_faults", NULL,             \
	  "Operations on files that failed, and shards that were closed for that.")                \
	X(COUNTER_EVENTS, "events_sent", "edgereplay_events", NULL,                                \
	  "Heads that were sent to subscribers of event streams.")                                 \
	X(COUNTER_WEBHOOK_SENT, "webhook_sent", "edgereplay_webhook_notices",                      \
	  "result=\"delivered\"", "Notices for the webhook that were delivered, or given up.")     \
	X(COUNTER_WEBHOOK_DROPPED, "webhook_dropped", "edgereplay_webhook_notices",                \
	  "result=\"dropped\"", NULL)                                                              \
	X(COUNTER_WEBHOOK_FAILED, "webhook_failed", "edgereplay_webhook_failures", NULL,           \
	  "POSTs to the webhook that were not answered with success.")

#define COUNTER_ENUMERATOR(name, logged, family, labels, help) name,
enum counter { COUNTER_TABLE(COUNTER_ENUMERATOR) COUNTER_COUNT };
#undef COUNTER_ENUMERATOR

/* Where a request went: enumerator, label. */
#define TRAFFIC_TABLE(X)                                                                           \
	X(TRAFFIC_SYNC, "sync")                                                                    \
	X(TRAFFIC_ACTIONS, "actions")                                                              \
	X(TRAFFIC_HEAD, "head")                                                                    \
	X(TRAFFIC_EVENTS, "events")                                                                \
	X(TRAFFIC_INFO, "info")                                                                    \
	X(TRAFFIC_SNAPSHOT_PUT, "snapshot_put")                                                    \
	X(TRAFFIC_SNAPSHOT_GET, "snapshot_get")                                                    \
	X(TRAFFIC_OPTIONS, "options")                                                              \
	X(TRAFFIC_NONE, "none") /* no path of ours, or refused before that was looked at */

#define TRAFFIC_ENUMERATOR(name, label) name,
enum traffic { TRAFFIC_TABLE(TRAFFIC_ENUMERATOR) TRAFFIC_COUNT };
#undef TRAFFIC_ENUMERATOR

/* How a request ended: one of enum status, or one of these. */
enum ending {
	ENDING_NO_CONTENT = STATUS_COUNT,
	ENDING_NOT_MODIFIED,
	ENDING_UNANSWERED, /* the client left, or was cut */
	ENDING_COUNT
};

/* enumerator, family, labels, what is measured, help */
#define HISTOGRAM_TABLE(X)                                                                         \
	X(HISTOGRAM_SYNC, "edgereplay_request_duration_seconds", "route=\"sync\"", MEASURE_TIME,   \
	  "From a request's last byte, or the end of its waiting, until its answer is ready.")     \
	X(HISTOGRAM_ACTIONS, "edgereplay_request_duration_seconds", "route=\"actions\"",           \
	  MEASURE_TIME, NULL)                                                                      \
	X(HISTOGRAM_HEAD, "edgereplay_request_duration_seconds", "route=\"head\"", MEASURE_TIME,   \
	  NULL)                                                                                    \
	X(HISTOGRAM_INFO, "edgereplay_request_duration_seconds", "route=\"info\"", MEASURE_TIME,   \
	  NULL)                                                                                    \
	X(HISTOGRAM_SNAPSHOT_PUT, "edgereplay_request_duration_seconds", "route=\"snapshot_put\"", \
	  MEASURE_TIME, NULL)                                                                      \
	X(HISTOGRAM_SNAPSHOT_GET, "edgereplay_request_duration_seconds", "route=\"snapshot_get\"", \
	  MEASURE_TIME, NULL)                                                                      \
	X(HISTOGRAM_DECODE, "edgereplay_sync_phase_seconds", "phase=\"decode\"", MEASURE_TIME,     \
	  "Syncs: decoding and verifying, waiting in the shard's queue, settling and storing "     \
	  "together with others, and making the answer.")                                          \
	X(HISTOGRAM_QUEUE, "edgereplay_sync_phase_seconds", "phase=\"queue\"", MEASURE_TIME, NULL) \
	X(HISTOGRAM_COMMIT, "edgereplay_sync_phase_seconds", "phase=\"commit\"", MEASURE_TIME,     \
	  NULL)                                                                                    \
	X(HISTOGRAM_ANSWER, "edgereplay_sync_phase_seconds", "phase=\"answer\"", MEASURE_TIME,     \
	  NULL)                                                                                    \
	X(HISTOGRAM_GROUP, "edgereplay_group_requests", NULL, MEASURE_COUNT,                       \
	  "Syncs that a shard's writer took together.")                                            \
	X(HISTOGRAM_JOURNAL_SYNC, "edgereplay_journal_sync_seconds", NULL, MEASURE_TIME,           \
	  "fdatasync of the journal: what an acknowledgement rests on.")                           \
	X(HISTOGRAM_SLICE, "edgereplay_apply_slice_seconds", NULL, MEASURE_TIME,                   \
	  "Putting a slice of what is acknowledged in place, behind the answers.")                 \
	X(HISTOGRAM_CHECKPOINT, "edgereplay_checkpoint_seconds", NULL, MEASURE_TIME,               \
	  "Checkpoints: moving the WAL into the file.")

#define HISTOGRAM_ENUMERATOR(name, family, labels, measure, help) name,
enum histogram { HISTOGRAM_TABLE(HISTOGRAM_ENUMERATOR) HISTOGRAM_COUNT };
#undef HISTOGRAM_ENUMERATOR

/* Microseconds, shown as seconds; or a number of things. */
enum measure { MEASURE_TIME, MEASURE_COUNT, MEASURE_KINDS };

#define BUCKETS 20 /* the last one has no bound */

struct histogram_cells {
	uint64_t buckets[BUCKETS]; /* each its own, not what is below it */
	uint64_t sum;
};

struct metrics {
	uint64_t counters[COUNTER_COUNT];
	uint64_t requests[TRAFFIC_COUNT][ENDING_COUNT];
	struct histogram_cells histograms[HISTOGRAM_COUNT];
};

void counter_add(enum counter, uint64_t);
uint64_t counter_value(enum counter);

/* In the log. */
const char *counter_name(enum counter);

/* ending: one of enum status or enum ending. */
void request_count(enum traffic, unsigned ending);

void histogram_add(enum histogram, uint64_t value);

/* Everything as it is now; what is counted meanwhile may be in or not. */
void metrics_read(struct metrics *);

/* --- how it is shown --- */

/* One member of a family. Rows of a table come in order; the strings are constants. */
struct metric_row {
	const char *family; /* NULL: not shown */
	const char *labels; /* NULL: none */
	const char *help;   /* NULL: that of the row before */
	enum measure measure;
};

const struct metric_row *counter_row(enum counter);
const struct metric_row *histogram_row(enum histogram);
const char *traffic_label(enum traffic);
unsigned ending_http(unsigned ending); /* 0: there was no answer */
const char *ending_code(unsigned ending);

/* The largest value of a bucket, as OpenMetrics writes it ("0.001", "+Inf"), in seconds or things. */
const char *bucket_bound(enum measure, unsigned bucket);

#endif
