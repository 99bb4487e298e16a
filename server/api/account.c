#include "api/account.h"

#include "api/asker.h"
#include "api/call.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/tally.h"

static enum traffic
traffic_of(const struct call *call)
{
	if (!call || call->status == STATUS_NOT_FOUND)
		return TRAFFIC_NONE;
	switch (call->route.target) {
	case ROUTE_OPTIONS:
		return TRAFFIC_OPTIONS;
	case ROUTE_SYNC:
		return TRAFFIC_SYNC;
	case ROUTE_ACTIONS:
		return TRAFFIC_ACTIONS;
	case ROUTE_HEAD:
		return TRAFFIC_HEAD;
	case ROUTE_EVENTS:
		return TRAFFIC_EVENTS;
	case ROUTE_INFO:
		return TRAFFIC_INFO;
	case ROUTE_SNAPSHOT_PUT:
		return TRAFFIC_SNAPSHOT_PUT;
	case ROUTE_SNAPSHOT_GET:
		return TRAFFIC_SNAPSHOT_GET;
	}
	return TRAFFIC_NONE;
}

/* The note is the status of the problem that was answered. */
static unsigned
ending_of(const struct request *request)
{
	const unsigned answered = request_answered(request), status = request_note(request);
	if (answered == 0)
		return ENDING_UNANSWERED;
	if (status != STATUS_OK)
		return status;
	if (answered >= 500)
		return STATUS_INTERNAL; /* memory was out for the answer */
	return answered == 204	 ? ENDING_NO_CONTENT
	       : answered == 304 ? ENDING_NOT_MODIFIED
				 : STATUS_OK;
}

static void
count_ending(enum traffic traffic, unsigned ending)
{
	counter_add(COUNTER_REQUESTS, 1);
	request_count(traffic, ending);
	switch (ending) {
	case STATUS_BACKPRESSURE:
		counter_add(COUNTER_BACKPRESSURE, 1);
		break;
	case STATUS_RATE_LIMITED:
		counter_add(COUNTER_RATE_LIMITED, 1);
		break;
	case STATUS_CHAIN_BROKEN:
		counter_add(COUNTER_CHAIN_BROKEN, 1);
		break;
	case STATUS_HASH_MISMATCH:
		counter_add(COUNTER_MISMATCHES, 1);
		break;
	case STATUS_SERVER_BEHIND:
		counter_add(COUNTER_BEHIND, 1);
		break;
	default:
		break;
	}
}

/* --- time --- */

static void
measure_duration(enum traffic traffic, uint64_t usec)
{
	switch (traffic) {
	case TRAFFIC_SYNC:
		histogram_add(HISTOGRAM_SYNC, usec);
		break;
	case TRAFFIC_ACTIONS:
		histogram_add(HISTOGRAM_ACTIONS, usec);
		break;
	case TRAFFIC_HEAD:
		histogram_add(HISTOGRAM_HEAD, usec);
		break;
	case TRAFFIC_INFO:
		histogram_add(HISTOGRAM_INFO, usec);
		break;
	case TRAFFIC_SNAPSHOT_PUT:
		histogram_add(HISTOGRAM_SNAPSHOT_PUT, usec);
		break;
	case TRAFFIC_SNAPSHOT_GET:
		histogram_add(HISTOGRAM_SNAPSHOT_GET, usec);
		break;
	default:
		break;
	}
}

static void
measure_phases(const struct phases *phases, uint64_t answered)
{
	histogram_add(HISTOGRAM_DECODE, phases->submitted_usec - phases->began_usec);
	histogram_add(HISTOGRAM_QUEUE, phases->taken_usec - phases->submitted_usec);
	histogram_add(HISTOGRAM_COMMIT, phases->done_usec - phases->taken_usec);
	histogram_add(HISTOGRAM_ANSWER, answered - phases->done_usec);
}

#define ABOUT(request, traffic)                                                                    \
	LOG_STR("route", traffic_label(traffic)),                                                  \
		LOG_STR("code", ending_code(ending_of(request))),                                  \
		LOG_TEXT("path", request_path(request)), LOG_REQUEST(request)
#define TIMES(request, phases, answered)                                                           \
	LOG_U64("receive_ms", request_receive_msec(request)),                                      \
		LOG_U64("total_us", (answered) - (phases)->began_usec),                            \
		LOG_U64("send_us", clock_monotonic_usec() - (answered))

static void
log_slow(const struct request *request, enum traffic traffic, const struct phases *phases,
	 uint64_t answered)
{
	if (phases->done_usec == 0)
		log_limited(LOG_WARN, "api", "slow request", ABOUT(request, traffic),
			    TIMES(request, phases, answered));
	else
		log_limited(LOG_WARN, "api", "slow request", ABOUT(request, traffic),
			    TIMES(request, phases, answered),
			    LOG_U64("decode_us", phases->submitted_usec - phases->began_usec),
			    LOG_U64("queue_us", phases->taken_usec - phases->submitted_usec),
			    LOG_U64("commit_us", phases->done_usec - phases->taken_usec),
			    LOG_U64("answer_us", answered - phases->done_usec));
}

void
account_end(struct request *request, const struct call *call)
{
	const enum traffic traffic = traffic_of(call);
	const uint64_t answered = request_answered_usec(request);
	count_ending(traffic, ending_of(request));
	if (!call || call->phases.began_usec == 0 || request_answered(request) == 0)
		return;
	const struct phases *phases = &call->phases;
	const uint64_t slow_msec = call->limits->slow_msec;
	measure_duration(traffic, answered - phases->began_usec);
	if (phases->done_usec != 0)
		measure_phases(phases, answered);
	if (slow_msec > 0 && answered - phases->began_usec >= 1000 * slow_msec)
		log_slow(request, traffic, phases, answered);
}

/* --- actions --- */

static enum counter
counter_of(enum status refusal)
{
	return refusal == STATUS_TIMESTAMP_TAKEN ? COUNTER_REFUSED_TAKEN
	       : refusal == STATUS_CLOCK_SKEW	 ? COUNTER_REFUSED_SKEW
						 : COUNTER_REFUSED_OLD;
}

/* How many, and the first of them. */
static void
log_refused(const struct call *call, const struct job *job, size_t first)
{
	struct asker asker;
	asker_find(&asker, call->request, call);
	log_limited(LOG_INFO, "api", "actions refused", LOG_TEXT("log", job->batch->log),
		    LOG_TEXT("device", job->batch->device), LOG_U64("count", job->verdict.refused),
		    LOG_U64("index", first),
		    LOG_STR("code", status_info(job->outcomes[first].refusal)->code),
		    LOG_REQUEST(call->request), LOG_ASKER(&asker));
}

void
account_actions(const struct call *call, const struct job *job)
{
	const struct verdict *verdict = &job->verdict;
	const size_t count = job->batch->action_count;
	size_t first = count;
	counter_add(COUNTER_APPLIED, verdict->applied);
	if (verdict->duplicates > 0)
		counter_add(COUNTER_DUPLICATES, verdict->duplicates);
	if (verdict->late > 0)
		counter_add(COUNTER_LATE, verdict->late);
	if (verdict->ahead > 0)
		counter_add(COUNTER_AHEAD, verdict->ahead);
	if (verdict->refused == 0)
		return;
	counter_add(COUNTER_REFUSED, verdict->refused);
	for (size_t i = 0; i < count; i++) {
		if (job->outcomes[i].kind != OUTCOME_REFUSED)
			continue;
		counter_add(counter_of(job->outcomes[i].refusal), 1);
		first = i < first ? i : first;
	}
	if (first < count)
		log_refused(call, job, first);
}

void
account_history(const struct job *job)
{
	const struct state_report *state = &job->batch->state;
	if (state->digest.data)
		tally_add(job->verdict.status == STATUS_SERVER_BEHIND ? TALLY_BEHIND
								      : TALLY_MISMATCHES,
			  state->app);
}
