#include "cli/phone_refusal.h"

#include "cli/report.h"

/* How long a copy of a request may be under way. */
#define UNDER_WAY_MSEC UINT64_C(60000)

/* Until the limit is asked for again. */
#define LIMIT_UNKNOWN_MSEC 1000

/* The actions that get a new stamp, as the two walks over the queue see them. */
struct restamping {
	struct phone_sync *sync;
	int64_t *places; /* ascending */
	size_t count;
	bool behind;	   /* also everything own that was never sent */
	uint64_t at_least; /* new stamps are after this one */
	bool clear;	   /* first walk: their old stamps must not count as the newest */
	enum status status;
};

static bool
is_restamped(const struct restamping *restamping, const struct queued *queued)
{
	size_t low = 0;
	size_t high = restamping->count;

	if (queued->place > restamping->sync->sent_upto)
		return restamping->behind && !queued->confirmed_once;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (restamping->places[middle] == queued->place)
			return true;
		if (restamping->places[middle] < queued->place)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

static bool
restamp_queued(void *cookie, const struct queued *queued)
{
	struct restamping *restamping = cookie;
	struct phone_store *store = restamping->sync->store;
	uint64_t ts = 0;

	if (!is_restamped(restamping, queued))
		return true;
	if (!restamping->clear) {
		restamping->status =
			phone_store_stamp(store, queued->place, restamping->at_least, &ts);
		if (restamping->status != STATUS_OK)
			return false;
		/* The rule does not follow a device that is far ahead; a log that wants rising
		 * stamps does. */
		if (ts <= restamping->at_least)
			ts = restamping->at_least + 1;
		if (restamping->at_least > 0)
			restamping->at_least = ts;
	}
	restamping->status = phone_store_restamp(store, queued, ts);
	return restamping->status == STATUS_OK;
}

/* New stamps in the queue's order. Updating a row's stamp does not move it, so that walking and
 * updating go together. */
static enum status
restamp(struct restamping *restamping)
{
	struct phone_store *store = restamping->sync->store;
	enum status status;

	if (restamping->count == 0)
		return STATUS_OK;
	restamping->clear = true;
	status = phone_store_queue(store, restamp_queued, restamping);
	restamping->clear = false;
	if (status == STATUS_OK && restamping->status == STATUS_OK)
		status = phone_store_queue(store, restamp_queued, restamping);
	return status == STATUS_OK ? restamping->status : status;
}

static enum status
set_aside(struct phone_sync *sync, int64_t place, struct text reason, uint64_t *count)
{
	(*count)++;
	report_note("set aside: an action was refused with %.*s", (int)reason.size, reason.data);
	return phone_store_set_aside(sync->store, place, reason);
}

/* Whether the action may still be accepted as it is; then waits until its stamp is in range. */
static bool
waits_for_clock(struct phone_sync *sync, const struct phone_result *result)
{
	uint64_t limit = sync->limits.max_skew_msec;
	uint64_t wait = result->ahead_ms - limit;

	/* The limit was never read, or is another one by now: whether the action can wait is not
	 * known, and a new stamp cannot be taken back. */
	if (!sync->limits_known || result->ahead_ms <= limit) {
		sync->limits_wanted = true;
		wait = LIMIT_UNKNOWN_MSEC;
	} else if (wait >= UNDER_WAY_MSEC) {
		return false;
	}
	if (sync->wait_msec < wait)
		sync->wait_msec = wait;
	return true;
}

static enum status
refuse(struct restamping *restamping, const struct queued *item, const struct phone_result *result,
       uint64_t *count)
{
	struct phone_sync *sync = restamping->sync;
	bool skew = text_equal(result->code, TEXT("CLOCK_SKEW"));

	if (text_equal(result->code, TEXT("TIMESTAMP_TAKEN")) && item->kept.action.ts < TS_MAX)
		return phone_store_step_stamp(sync->store, item);
	if (skew && waits_for_clock(sync, result))
		return STATUS_OK;
	if (item->confirmed_once ||
	    (!skew && !text_equal(result->code, TEXT("NON_MONOTONIC_TIMESTAMP"))))
		return set_aside(sync, item->place, result->code, count);
	restamping->places[restamping->count++] = item->place;
	restamping->behind = restamping->behind || skew;
	if (restamping->at_least < result->newest)
		restamping->at_least = result->newest;
	return STATUS_OK;
}

enum status
phone_refusal_apply(struct phone_sync *sync, const struct phone_batch *batch,
		    const struct phone_result *results, uint64_t *count)
{
	struct restamping restamping = {.sync = sync};
	enum status status = STATUS_OK;

	restamping.places =
		arena_calloc(&sync->arena, batch->count + 1, sizeof(*restamping.places));
	if (restamping.places == NULL) {
		report_error("out of memory");
		return STATUS_INTERNAL;
	}
	for (size_t i = 0; i < batch->count && status == STATUS_OK; i++) {
		if (results[i].refused)
			status = refuse(&restamping, &batch->items[i], &results[i], count);
	}
	return status == STATUS_OK ? restamp(&restamping) : status;
}

/* Ends a transaction that changed only the queue. */
static enum step
finish(struct phone_sync *sync, enum status status, uint64_t count)
{
	if (status != STATUS_OK) {
		phone_store_abort(sync->store);
		return STEP_BROKEN;
	}
	if (phone_store_commit(sync->store) != STATUS_OK)
		return STEP_BROKEN;
	sync->totals.set_aside += count;
	if (count > 0)
		phone_sync_succeeded(sync);
	return STEP_ON;
}

enum step
phone_refusal_index(struct phone_sync *sync, const struct phone_batch *batch,
		    const struct answer *answer)
{
	struct phone_result *results = arena_calloc(&sync->arena, batch->count, sizeof(*results));
	uint64_t count = 0;
	enum status status;
	enum step step;

	if (results == NULL || phone_store_begin(sync->store) != STATUS_OK)
		return STEP_BROKEN;
	results[answer->index] = (struct phone_result){.refused = true,
						       .code = answer->code,
						       .ahead_ms = answer->ahead_msec,
						       .newest = answer->newest};
	status = phone_refusal_apply(sync, batch, results, &count);
	step = finish(sync, status, count);
	if (step != STEP_ON)
		return step;
	sync->totals.refused++;
	if (sync->wait_msec > 0)
		return STEP_PAUSE;
	return phone_sync_idle(sync);
}

enum step
phone_refusal_set_aside(struct phone_sync *sync, int64_t place, struct text reason)
{
	uint64_t count = 0;
	enum status status;

	if (phone_store_begin(sync->store) != STATUS_OK)
		return STEP_BROKEN;
	status = set_aside(sync, place, reason, &count);
	return finish(sync, status, count);
}
