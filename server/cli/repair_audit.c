#include "cli/repair_audit.h"

#include <inttypes.h>

#include "cli/report.h"
#include "store/audit.h"

#define REPORTED_MAX 20

struct watch {
	struct repair_audit *audit;
	struct text log;
};

static void
take_finding(void *cookie, const struct audit_finding *finding)
{
	const struct watch *watch = cookie;

	watch->audit->findings++;
	if (text_equal(finding->log, watch->log))
		watch->audit->of_log++;
	else if (finding->log.size == 0)
		watch->audit->of_file++;
	if (watch->audit->findings > REPORTED_MAX)
		return;
	if (finding->log.size == 0)
		report_error("%s: %s", finding->path, finding->what);
	else
		report_error("log %.*s, action %" PRIu64 ": %s", (int)finding->log.size,
			     finding->log.data, finding->seq, finding->what);
}

enum status
repair_audit(const struct repair_target *target, struct text log, struct repair_audit *audit)
{
	const struct audit_target whole = {.path = target->path,
					   .shard = target->shard,
					   .shards = target->shards,
					   .id = target->id};
	struct watch watch = {audit, log};
	const struct audit_observer observer = {.finding = take_finding, .cookie = &watch};
	struct audit_totals totals = {0};

	*audit = (struct repair_audit){0};
	return audit_shard(&whole, &observer, &totals);
}
