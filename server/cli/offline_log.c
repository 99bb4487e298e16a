#include "cli/offline_log.h"

#include <inttypes.h>
#include <stdlib.h>

#include "cli/report.h"

bool
offline_log_target(const struct directory *directory, struct text log, struct audit_target *target)
{
	struct hash genesis;

	chain_genesis(log, &genesis);
	const unsigned shard = directory_shard_of(&genesis, directory->shards);
	*target = (struct audit_target){.path = directory_shard_path(directory, shard),
					.shard = shard,
					.shards = directory->shards,
					.id = directory->ids[shard]};
	if (target->path == NULL)
		report_error("out of memory");
	return target->path != NULL;
}

enum exit_code
offline_log_read(const char *dir, const struct offline_order *order, struct offline_end *end)
{
	struct directory directory;
	struct audit_target target;
	const char *problem = "";
	enum status status = directory_open_existing(&directory, dir, &problem);

	if (status != STATUS_OK) {
		report_error("%s", problem);
		return EXIT_LOCAL;
	}
	status = STATUS_STORAGE_UNAVAILABLE;
	if (offline_log_target(&directory, order->log, &target)) {
		status = offline_read(&target, order, end, &problem);
		if (status != STATUS_OK)
			report_error("%s", problem);
		free((char *)target.path);
	}
	directory_close(&directory);
	if (status == STATUS_LOG_DAMAGED)
		return EXIT_UNVERIFIED;
	return status == STATUS_OK ? EXIT_FINE : EXIT_LOCAL;
}

/* --- as a source --- */

struct passing {
	struct source *source;
	sourced_visitor *visit;
	void *cookie;
	struct position at;
	const struct offline_end *end;
	bool is_damaged;
};

/* The last action that is there, as far as is known, and asked for. */
static uint64_t
last_wanted(const struct passing *passing)
{
	const struct until *until = &passing->source->until;
	const uint64_t named = passing->end->named;

	return until->has_seq && until->position.seq < named ? until->position.seq : named;
}

static bool
pass(void *cookie, const struct row *row, bool is_stored)
{
	struct passing *passing = cookie;
	struct sourced sourced = {
		.logged = {.seq = row->seq,
			   .kept = {.action = row->action,
				    .digest = row->digest,
				    .redacted = action_is_redacted(&row->action)}},
		.link = row->link,
		.stated = &row->link,
		.received_at = row->received_at,
		.writer = row->writer,
	};

	passing->is_damaged = !is_stored || !device_is_valid(row->action.device) ||
			      !(type_is_valid(row->action.type) || sourced.logged.kept.redacted);
	if (passing->is_damaged)
		return false;
	if (sourced.logged.kept.redacted)
		sourced.logged.kept.action.payload = TEXT("");
	if (!passing->visit(passing->cookie, &sourced)) {
		passing->source->stopped = true;
		return false;
	}
	passing->at = (struct position){row->seq, row->link};
	report_progress("read", row->seq, last_wanted(passing));
	return !until_reached(&passing->source->until, &passing->at);
}

/* What stands in the way of the end that was asked for. */
static enum exit_code
judge(const struct passing *passing)
{
	const struct until *until = &passing->source->until;

	if (passing->source->stopped)
		return EXIT_LOCAL;
	if (until_reached(until, &passing->at))
		return EXIT_FINE;
	if (passing->is_damaged || passing->at.seq < last_wanted(passing))
		report_error("log %s: action %" PRIu64
			     " is %s: edgereplay verify says more, repair puts it right",
			     passing->source->log, passing->at.seq + 1,
			     passing->is_damaged ? "damaged" : "missing");
	else if (!until_is(until, &passing->at))
		report_error("log %s ends at action %" PRIu64 ", and not at --until",
			     passing->source->log, passing->at.seq);
	else
		return EXIT_FINE;
	return EXIT_UNVERIFIED;
}

enum exit_code
offline_log_source(struct source *source, struct position *at, sourced_visitor *visit, void *cookie)
{
	struct offline_end end = {.named = 0};
	struct passing passing = {
		.source = source, .visit = visit, .cookie = cookie, .at = *at, .end = &end};
	const struct until *until = &source->until;
	const struct offline_order order = {.log = text_of(source->log),
					    .upto = until->has_seq ? until->position.seq : SEQ_MAX,
					    .visit = pass,
					    .cookie = &passing};
	enum exit_code code = EXIT_FINE;

	if (!until_reached(until, at)) {
		code = offline_log_read(source->where, &order, &end);
		report_progress_end();
		if (code == EXIT_FINE)
			code = judge(&passing);
	}
	*at = passing.at;
	return code;
}
