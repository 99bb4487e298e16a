#include "store/states.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/tally.h"

#define LOG_OVERHEAD (sizeof(struct states_log) + 64) /* of malloc and the map */

void
states_init(struct states *states, const struct drift_limits *limits, size_t bytes_max)
{
	memset(states, 0, sizeof(*states));
	states->limits = *limits;
	states->bytes_max = bytes_max;
}

static void
unlink_log(struct states *states, struct states_log *log)
{
	if (log->newer != NULL)
		log->newer->older = log->older;
	else
		states->newest = log->older;
	if (log->older != NULL)
		log->older->newer = log->newer;
	else
		states->oldest = log->newer;
	log->newer = log->older = NULL;
}

static void
link_newest(struct states *states, struct states_log *log)
{
	log->older = states->newest;
	if (states->newest != NULL)
		states->newest->newer = log;
	else
		states->oldest = log;
	states->newest = log;
}

static void
forget(struct states *states, struct states_log *log)
{
	unlink_log(states, log);
	CHECK(states->oldest != log && states->newest != log);
	states->bytes -= LOG_OVERHEAD + log->log.bytes;
	HASH_DEL(states->logs, log); // NOLINT(clang-analyzer-*): uthash's invariants
	drift_release(&log->log);
	free(log);
}

void
states_forget_log(struct states *states, const struct hash *genesis)
{
	struct states_log *log = NULL;
	HASH_FIND(hh, states->logs, genesis, sizeof(*genesis), log);
	if (log != NULL)
		forget(states, log);
}

void
states_forget(struct states *states)
{
	while (states->oldest != NULL)
		forget(states, states->oldest);
}

/* --- remembering --- */

struct loading {
	struct states *states;
	struct states_log *log;
	uint64_t head;
};

static void
load(void *cookie, const struct drift_report *report)
{
	const struct loading *loading = cookie;
	struct drift_finding ignored;
	if (report->state.seq > loading->head)
		loading->log->stale_from = loading->head + 1;
	else
		(void)!drift_take(&loading->log->log, &loading->states->limits, report,
				  loading->head, &ignored);
}

/* NULL: memory is out. */
static struct states_log *
find(struct states *states, struct engine *engine, const struct job *job)
{
	const struct batch *batch = job->batch;
	struct states_log *log = NULL;
	HASH_FIND(hh, states->logs, &batch->genesis, sizeof(batch->genesis), log);
	if (log != NULL) {
		unlink_log(states, log);
		link_newest(states, log);
		return log;
	}
	log = calloc(1, sizeof(*log));
	if (log == NULL)
		return NULL;
	log->genesis = batch->genesis;
	log->stale_from = UINT64_MAX;
	HASH_ADD(hh, states->logs, genesis, sizeof(log->genesis), log);
	if (log->hh.tbl == NULL) {
		free(log);
		return NULL;
	}
	link_newest(states, log);
	struct loading loading = {states, log, job->verdict.head.position.seq};
	if (engine->ops->load_states != NULL)
		engine->ops->load_states(engine, batch->log, load, &loading);
	states->bytes += LOG_OVERHEAD + log->log.bytes;
	return log;
}

/* --- judging --- */

static void
keep(struct states_log *log, struct engine *engine, const struct job *job,
     const struct drift_report *report, const struct drift_finding *finding)
{
	struct kept_state kept = {.report = report,
				  .below = finding->below,
				  .from = finding->from,
				  .displaced = {finding->displaced, finding->displaced_size}};
	if (engine->ops->keep_state == NULL)
		return;
	if (log->stale_from < kept.from)
		kept.from = log->stale_from;
	log->stale_from = UINT64_MAX;
	engine->ops->keep_state(engine, job->batch->log, &kept);
}

/* Each report that differs is counted once, by its own app's version. */
static void
tell(const struct job *job, const struct drift_finding *finding)
{
	const struct batch *batch = job->batch;
	const struct drift_entry *other = finding->other;
	size_t news = 1;
	tally_add(TALLY_STATES, batch->state.app);
	for (const struct drift_entry *entry = finding->position->entries;
	     finding->is_first && entry != NULL; entry = entry->next) {
		if (text_equal(entry->device, batch->device))
			continue;
		tally_add(TALLY_STATES, entry->app);
		news++;
	}
	counter_add(COUNTER_STATE_DRIFT, news);
	log_limited(LOG_WARN, "store", "states differ", LOG_TEXT("log", batch->log),
		    LOG_U64("seq", batch->state.seq), LOG_TEXT("device", batch->device),
		    LOG_TEXT("app", batch->state.app), LOG_TEXT("digest", batch->state.digest),
		    LOG_TEXT("other_device", other->device), LOG_TEXT("other_app", other->app),
		    LOG_TEXT("other_digest", other->digest), LOG_U64("agree", job->drift.agree),
		    LOG_U64("differ", job->drift.differ), LOG_ORIGIN(&job->origin));
}

static void
judge(struct states *states, struct engine *engine, struct job *job)
{
	const struct batch *batch = job->batch;
	const struct drift_report report = {.device = batch->device,
					    .writer = job->writer,
					    .link = *batch_link_at(batch, batch->state.seq),
					    .state = batch->state};
	struct drift_finding finding;
	counter_add(COUNTER_STATES, 1);
	/* Nobody differs in the empty log, which need not even be there. */
	if (batch->state.seq == 0)
		return;
	struct states_log *log = find(states, engine, job);
	if (log == NULL)
		return;
	const size_t bytes = log->log.bytes;
	const bool taken = drift_take(&log->log, &states->limits, &report,
				      job->verdict.head.position.seq, &finding);
	states->bytes += log->log.bytes - bytes;
	if (!taken)
		return;
	job->drift = finding.drift;
	if (finding.kept)
		keep(log, engine, job, &report, &finding);
	if (finding.is_news)
		tell(job, &finding);
}

void
states_judge(struct states *states, struct engine *engine, struct job **jobs, size_t count)
{
	if (states->limits.positions == 0)
		return;
	for (size_t i = 0; i < count; i++) {
		const struct verdict *verdict = &jobs[i]->verdict;
		if (jobs[i]->status == STATUS_OK && verdict->status == STATUS_OK &&
		    verdict->state_holds)
			judge(states, engine, jobs[i]);
	}
	while (states->bytes > states->bytes_max && states->oldest != NULL)
		forget(states, states->oldest);
}
