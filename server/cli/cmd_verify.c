/* verify: audits the data directory of a stopped daemon, without changing it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/audit_all.h"
#include "cli/report.h"
#include "store/offline_gone.h"
#include "store/snapshot_walk.h"

static void
show_totals(const struct audit_totals *totals, uint64_t snapshots,
	    const struct cli_options *options)
{
	if (!options->json) {
		report_note("%s: %" PRIu64 " logs, %" PRIu64 " actions in place, %" PRIu64
			    " payload bytes, %" PRIu64 " journal records with %" PRIu64
			    " actions, %" PRIu64 " snapshots, %" PRIu64 " findings, %" PRIu64
			    " unfinished removals",
			    options->argument, totals->logs, totals->actions, totals->bytes,
			    totals->journal_records, totals->journal_actions, snapshots,
			    totals->findings, totals->unfinished);
		return;
	}
	printf("{\"logs\":%" PRIu64 ",\"actions\":%" PRIu64 ",\"payloadBytes\":%" PRIu64
	       ",\"journalRecords\":%" PRIu64 ",\"journalActions\":%" PRIu64
	       ",\"snapshots\":%" PRIu64 ",\"findings\":%" PRIu64 ",\"unfinishedRemovals\":%" PRIu64
	       "}\n",
	       totals->logs, totals->actions, totals->bytes, totals->journal_records,
	       totals->journal_actions, snapshots, totals->findings, totals->unfinished);
}

struct snapshot_audit {
	const struct cli_options *options;
	struct audit_totals *totals;
	struct snapshots snapshots;
	uint64_t count;
};

static void
look_at_snapshot(void *cookie, const char *path, const struct snapshot_facts *facts)
{
	struct snapshot_audit *audit = cookie;

	audit->count++;
	if (facts != NULL)
		return;
	audit->totals->findings++;
	audit_show(audit->options,
		   &(struct audit_finding){.path = path,
					   .what = "the snapshot does not verify: it may be "
						   "deleted"});
}

/* Snapshots go after the content: what they were left from was cut off. Of a log that has content the rows
 * have said so. */
static enum status
look_at_erased(void *cookie, struct text log, bool is_cleared)
{
	struct snapshot_audit *audit = cookie;
	struct snapshot_list list;
	struct hash genesis;

	chain_genesis(log, &genesis);
	const enum status status = snapshots_list(&audit->snapshots, &genesis, &list);
	if (status != STATUS_OK)
		return status;
	audit->totals->unfinished += is_cleared && list.count > 0 ? 1 : 0;
	for (size_t i = 0; i < list.count; i++)
		audit_show_unfinished(
			audit->options,
			&(struct audit_finding){.path = audit->snapshots.path,
						.log = log,
						.seq = list.seqs[i],
						.what = "the snapshot is left from an erasure that "
							"was cut off: the daemon takes it when it "
							"runs, or erase again"});
	return STATUS_OK;
}

/* What the audit of the shards cannot read it has named. */
static enum status
audit_erased(struct snapshot_audit *audit, const struct directory *directory)
{
	enum status status = STATUS_OK;
	const char *problem;

	for (unsigned shard = 0; shard < directory->shards && status == STATUS_OK; shard++) {
		const struct audit_target target = {.path = directory_shard_path(directory, shard),
						    .shard = shard,
						    .shards = directory->shards,
						    .id = directory->ids[shard]};

		if (target.path != NULL)
			status = offline_erased(&target, look_at_erased, audit, &problem);
		free((char *)target.path);
	}
	return status;
}

static enum status
audit_snapshots(struct snapshot_audit *audit, const struct directory *directory)
{
	enum status status = STATUS_INTERNAL;

	if (snapshots_open(&audit->snapshots, audit->options->argument))
		status = snapshots_audit(&audit->snapshots, look_at_snapshot, audit);
	else
		report_error("out of memory");
	if (status == STATUS_OK)
		status = audit_erased(audit, directory);
	snapshots_close(&audit->snapshots);
	return status;
}

enum exit_code
cmd_verify(const struct cli_options *options)
{
	struct audit_totals totals = {0};
	struct snapshot_audit snapshots = {.options = options, .totals = &totals};
	struct directory directory;
	const char *problem = NULL;
	enum exit_code code = EXIT_FINE;

	if (directory_open_existing(&directory, options->argument, &problem) != STATUS_OK) {
		report_error("%s", problem);
		return EXIT_LOCAL;
	}
	if (audit_all(&directory, options, &totals) != STATUS_OK ||
	    audit_snapshots(&snapshots, &directory) != STATUS_OK)
		code = EXIT_LOCAL;
	if (totals.findings > 0)
		code = EXIT_UNVERIFIED;
	report_progress_end();
	show_totals(&totals, snapshots.count, options);
	if (!report_output_done())
		code = EXIT_LOCAL;
	directory_close(&directory);
	return code;
}
