#include "admin/figures.h"

#include <stdio.h>
#include <string.h>

#include "admin/exposition.h"
#include "admin/inside.h"
#include "admin/process.h"
#include "admin/ready.h"
#include "api/api.h"
#include "base/metrics.h"
#include "base/tally.h"
#include "store/store.h"
#include "webhook/webhook.h"

#define LABELS_SIZE 128

static void
gauge(struct exposition *to, const char *family, const char *help, uint64_t value,
      unsigned decimals)
{
	exposition_family(to, "gauge", family, help);
	exposition_sample(to, "", NULL, value, decimals);
}

/* --- what is counted --- */

static void
write_counters(struct exposition *to, const struct metrics *metrics)
{
	for (unsigned i = 0; i < COUNTER_COUNT; i++) {
		const struct metric_row *row = counter_row((enum counter)i);
		if (row->family == NULL)
			continue;
		exposition_family(to, "counter", row->family, row->help);
		exposition_sample(to, "_total", row->labels, metrics->counters[i], 0);
	}
}

/* Versions are words of clients: their grammar has nothing that a label would have to escape. */
static void
write_tally(struct exposition *to, enum tally tally, const char *more)
{
	struct tally_row rows[TALLY_WORDS_MAX + 1];
	const size_t count = tally_read(tally, rows);
	for (size_t i = 0; i < count; i++) {
		char labels[LABELS_SIZE];
		snprintf(labels, sizeof(labels), "%sapp=\"%.*s\"", more, TALLY_WORD_SIZE_MAX,
			 rows[i].word);
		exposition_sample(to, "_total", labels, rows[i].count, 0);
	}
}

static void
write_drift(struct exposition *to)
{
	exposition_family(to, "counter", "edgereplay_state_drift_app",
			  "Reports of states that differ, by the app's version; beyond so many "
			  "versions: others.");
	write_tally(to, TALLY_STATES, "");
	exposition_family(to, "counter", "edgereplay_replay_drift_app",
			  "Syncs with another history than the server's that said their app's "
			  "version (state), by it; beyond so many versions: others.");
	write_tally(to, TALLY_MISMATCHES, "source=\"hash_mismatch\",");
	write_tally(to, TALLY_BEHIND, "source=\"server_behind\",");
}

static bool
is_same(unsigned ending, unsigned other)
{
	return ending_http(ending) == ending_http(other) &&
	       strcmp(ending_code(ending), ending_code(other)) == 0;
}

/* Several statuses may look the same to a client, and then do so here: those are one, shown in the place
 * of the first. */
static bool
is_first(unsigned ending)
{
	for (unsigned other = 0; other < ending; other++) {
		if (is_same(ending, other))
			return false;
	}
	return true;
}

static uint64_t
count_of(const struct metrics *metrics, unsigned traffic, unsigned ending)
{
	uint64_t count = 0;
	for (unsigned other = ending; other < ENDING_COUNT; other++)
		count += is_same(ending, other) ? metrics->requests[traffic][other] : 0;
	return count;
}

/* What has not happened is left out, but for an endpoint's successes and failures, whose rise from
 * nothing must be seen. */
static bool
is_always_shown(unsigned traffic, unsigned ending)
{
	return traffic != TRAFFIC_NONE && traffic != TRAFFIC_OPTIONS &&
	       (ending == STATUS_OK || ending_http(ending) >= 500);
}

static void
write_request(struct exposition *to, const struct metrics *metrics, unsigned traffic,
	      unsigned ending)
{
	char labels[LABELS_SIZE];
	const uint64_t count = count_of(metrics, traffic, ending);
	if (!is_first(ending) || (count == 0 && !is_always_shown(traffic, ending)))
		return;
	snprintf(labels, sizeof(labels), "route=\"%s\",status=\"%u\",code=\"%s\"",
		 traffic_label((enum traffic)traffic), ending_http(ending), ending_code(ending));
	exposition_sample(to, "_total", labels, count, 0);
}

static void
write_requests(struct exposition *to, const struct metrics *metrics)
{
	exposition_family(
		to, "counter", "edgereplay_requests",
		"Requests by where they went and how they ended. Status 0: the client left "
		"before there was an answer.");
	for (unsigned traffic = 0; traffic < TRAFFIC_COUNT; traffic++) {
		for (unsigned ending = 0; ending < ENDING_COUNT; ending++)
			write_request(to, metrics, traffic, ending);
	}
}

static void
write_histogram(struct exposition *to, const struct metric_row *row,
		const struct histogram_cells *cells)
{
	const unsigned decimals = row->measure == MEASURE_TIME ? 6 : 0;
	uint64_t count = 0;
	exposition_family(to, "histogram", row->family, row->help);
	for (unsigned i = 0; i < BUCKETS; i++) {
		char labels[LABELS_SIZE];
		snprintf(labels, sizeof(labels), "%s%sle=\"%s\"",
			 row->labels == NULL ? "" : row->labels, row->labels == NULL ? "" : ",",
			 bucket_bound(row->measure, i));
		count += cells->buckets[i];
		exposition_sample(to, "_bucket", labels, count, 0);
	}
	exposition_sample(to, "_count", row->labels, count, 0);
	exposition_sample(to, "_sum", row->labels, cells->sum, decimals);
}

static void
write_counted(struct exposition *to)
{
	struct metrics metrics;
	metrics_read(&metrics);
	write_requests(to, &metrics);
	write_counters(to, &metrics);
	write_drift(to);
	for (unsigned i = 0; i < HISTOGRAM_COUNT; i++)
		write_histogram(to, histogram_row((enum histogram)i), &metrics.histograms[i]);
}

/* --- shards --- */

static uint64_t
is_up(const struct shard_figures *figures)
{
	return figures->state == SHARD_SERVING;
}

static uint64_t
queued(const struct shard_figures *figures)
{
	return figures->queued;
}

static uint64_t
queued_max(const struct shard_figures *figures)
{
	return figures->queued_max;
}

static uint64_t
queue_msec(const struct shard_figures *figures)
{
	return figures->queue_msec;
}

static uint64_t
journal_bytes(const struct shard_figures *figures)
{
	return figures->engine.journal_bytes;
}

static uint64_t
tail_bytes(const struct shard_figures *figures)
{
	return figures->engine.tail_bytes;
}

static uint64_t
tail_bytes_max(const struct shard_figures *figures)
{
	return figures->engine.tail_bytes_max;
}

static uint64_t
lag_msec(const struct shard_figures *figures)
{
	return figures->engine.lag_msec;
}

static uint64_t
damaged(const struct shard_figures *figures)
{
	return figures->engine.damaged;
}

static void
write_shards(struct exposition *to, struct store *store)
{
	static const struct {
		const char *family;
		uint64_t (*value)(const struct shard_figures *);
		unsigned decimals;
		const char *help;
	} rows[] = {
		{"edgereplay_shard_up", is_up, 0, "Whether the shard serves its logs."},
		{"edgereplay_queue_requests", queued, 0, "Syncs that wait for the shard's writer."},
		{"edgereplay_queue_limit_requests", queued_max, 0,
		 "The most that may wait there; beyond it 429 (store.queue)."},
		{"edgereplay_queue_age_seconds", queue_msec, 3,
		 "How long the oldest sync without a verdict has waited for it."},
		{"edgereplay_journal_bytes", journal_bytes, 0,
		 "The part of the journal that is not yet in place."},
		{"edgereplay_tail_bytes", tail_bytes, 0, "The same as it is held in memory."},
		{"edgereplay_tail_limit_bytes", tail_bytes_max, 0,
		 "The most that is held there; beyond it syncs wait (store.tail_bytes)."},
		{"edgereplay_apply_lag_seconds", lag_msec, 3,
		 "How long the oldest of what is not yet in place has been in the journal."},
		{"edgereplay_damaged_logs", damaged, 0,
		 "Logs in which something stored does not verify."},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		exposition_family(to, "gauge", rows[i].family, rows[i].help);
		for (unsigned shard = 0; shard < store_shards(store); shard++) {
			struct shard_figures figures;
			char labels[LABELS_SIZE];
			store_measure_shard(store, shard, &figures);
			snprintf(labels, sizeof(labels), "shard=\"%u\"", shard);
			exposition_sample(to, "", labels, rows[i].value(&figures),
					  rows[i].decimals);
		}
	}
}

/* --- the rest --- */

static void
write_disk(struct exposition *to, const struct store *store)
{
	struct disk_figures disk;
	if (!store_measure_disk(store, &disk))
		return;
	gauge(to, "edgereplay_disk_free_bytes", "Free on the disk of the data directory.",
	      disk.free_bytes, 0);
	gauge(to, "edgereplay_disk_size_bytes", "The size of that disk.", disk.bytes, 0);
}

static void
write_connections(struct exposition *to, const struct listener *phones)
{
	struct listener_figures figures = {.connections = 0};
	if (phones != NULL)
		listener_measure(phones, &figures);
	gauge(to, "edgereplay_connections", "Open connections of clients.", figures.connections, 0);
	/* Before it serves nobody knows it, and none is refused. */
	if (phones != NULL)
		gauge(to, "edgereplay_connections_limit",
		      "The most there may be; beyond it they are closed at once "
		      "(server.connections).",
		      figures.connections_max, 0);
	exposition_family(to, "counter", "edgereplay_connections_refused",
			  "Connections that were closed at once: too many were open (full), or too "
			  "many of their address (address).");
	exposition_sample(to, "_total", "reason=\"full\"", figures.refused_full, 0);
	exposition_sample(to, "_total", "reason=\"address\"", figures.refused_address, 0);
}

static void
write_keys(struct exposition *to, const struct key_figures *keys)
{
	gauge(to, "edgereplay_keys_age_seconds",
	      "Since the keys of auth.jwks_url were fetched last with success, or since the start.",
	      keys->age_msec, 3);
	gauge(to, "edgereplay_keys_refresh_seconds", "How often they are (auth.jwks_refresh_sec).",
	      keys->refresh_msec, 3);
}

static void
write_traffic(struct exposition *to, struct admin *admin)
{
	struct api_figures api;
	api_measure(admin->api, &api);
	write_connections(to, atomic_load(&admin->phones));
	if (api.has_keys)
		write_keys(to, &api.keys);
	gauge(to, "edgereplay_waiters",
	      "Requests that wait for a commit (?wait=), and event streams.", api.waiters, 0);
	gauge(to, "edgereplay_waiters_limit",
	      "The most there may be; beyond it 429 (limits.waiters).", api.waiters_max, 0);
	gauge(to, "edgereplay_syncs_under_way", "Syncs that are decoded and not yet answered.",
	      api.syncs, 0);
	gauge(to, "edgereplay_syncs_admitted", "As many may be under way now; beyond it 429.",
	      api.syncs_max, 0);
	gauge(to, "edgereplay_snapshot_transfers", "Snapshots that are being sent or received.",
	      api.snapshots, 0);
}

/* Of shards that were copied since the start. */
static void
write_backups(struct exposition *to, struct admin *admin)
{
	bool begun = false;
	for (unsigned shard = 0; shard < store_shards(admin->store); shard++) {
		const uint64_t msec = atomic_load(&admin->backups[shard].done_msec);
		char labels[LABELS_SIZE];
		if (msec == 0)
			continue;
		if (!begun)
			exposition_family(to, "gauge",
					  "edgereplay_backup_last_success_timestamp_seconds",
					  "When a copy of the shard was complete last (edgereplay "
					  "backup), since the Unix epoch.");
		begun = true;
		snprintf(labels, sizeof(labels), "shard=\"%u\"", shard);
		exposition_sample(to, "", labels, msec, 3);
	}
}

/* Without a webhook there is nothing to say of it. */
static void
write_webhook(struct exposition *to, struct webhook *webhook)
{
	struct webhook_figures figures;
	if (webhook == NULL)
		return;
	webhook_measure(webhook, &figures);
	gauge(to, "edgereplay_webhook_logs", "Logs that grew and that the webhook was not told of.",
	      figures.logs, 0);
	gauge(to, "edgereplay_webhook_limit_logs",
	      "The most there may be; beyond it notices are dropped (webhook.queue).",
	      figures.logs_max, 0);
}

static void
write_process(struct exposition *to)
{
	struct process_figures process;
	process_measure(&process);
	exposition_family(to, "counter", "process_cpu_seconds", "CPU time, user and system.");
	exposition_sample(to, "_total", NULL, process.cpu_usec, 6);
	gauge(to, "process_resident_memory_bytes", "Memory that is in use.", process.resident_bytes,
	      0);
	gauge(to, "process_virtual_memory_bytes", "Memory that is mapped.", process.virtual_bytes,
	      0);
	gauge(to, "process_open_fds", "Open file descriptors.", process.descriptors, 0);
	gauge(to, "process_max_fds", "The most there may be.", process.descriptors_max, 0);
	gauge(to, "process_threads", "Threads.", process.threads, 0);
	gauge(to, "process_start_time_seconds", "When the process began, since the Unix epoch.",
	      process.started_msec, 3);
}

void
figures_write(struct admin *admin, struct buffer *out, bool open_metrics)
{
	struct exposition to = {.out = out, .open_metrics = open_metrics};
	exposition_family(&to, "gauge", "edgereplay_build_info", "What was built.");
	exposition_sample(&to, "", "version=\"" EDGEREPLAY_VERSION "\"", 1, 0);
	gauge(&to, "edgereplay_ready", "Whether /readyz says 200.", ready_is(admin), 0);
	write_counted(&to);
	write_shards(&to, admin->store);
	write_traffic(&to, admin);
	write_backups(&to, admin);
	write_webhook(&to, admin->webhook);
	write_disk(&to, admin->store);
	write_process(&to);
	exposition_end(&to);
}
