#include "cli/phone_sync.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "chain/note.h"
#include "cli/phone_batch.h"
#include "cli/phone_heal.h"
#include "cli/phone_pull.h"
#include "cli/phone_receipt.h"
#include "cli/phone_refusal.h"
#include "cli/phone_settle.h"
#include "cli/phone_snapshot.h"
#include "cli/report.h"

#define ROUND_MEMORY_MAX ((size_t)2 << 30)
#define REQUEST_MSEC_MAX UINT64_C(60000)
#define INFO_MSEC_MAX UINT64_C(5000)
#define IDLE_ROUNDS_MAX 1000

/* Smaller changes of the offset are the network's noise, and not worth a transaction. */
#define OFFSET_NOISE_MSEC 100

void
phone_sync_init(struct phone_sync *sync)
{
	*sync = (struct phone_sync){
		.batch_max = 500,
		.give_up_msec = 60000,
		.limits = {.batch_actions = 1000,
			   .body_bytes = UINT64_C(1) << 20,
			   .locator = true,
			   .on_conflict = true,
			   .receipt = true},
	};
	buffer_init(&sync->receipt, NOTE_SIZE_MAX);
	arena_init(&sync->arena, ROUND_MEMORY_MAX);
}

void
phone_sync_release(struct phone_sync *sync)
{
	arena_release(&sync->arena);
	buffer_release(&sync->receipt);
}

/* --- what the other phone_* files report ----------------------------------------------------- */

void
phone_sync_succeeded(struct phone_sync *sync)
{
	sync->idle_rounds = 0;
	backoff_succeeded(&sync->backoff);
	sync->batch_limit =
		sync->batch_limit < sync->batch_max / 2 ? 2 * sync->batch_limit : sync->batch_max;
}

enum step
phone_sync_again(struct phone_sync *sync, const char *why)
{
	if (strcmp(sync->problem, why) != 0 || sync->backoff.failures == 0)
		report_note("%s", why);
	snprintf(sync->problem, sizeof(sync->problem), "%s", why);
	return STEP_AGAIN;
}

enum step
phone_sync_idle(struct phone_sync *sync)
{
	if (++sync->idle_rounds > IDLE_ROUNDS_MAX)
		return phone_sync_again(sync, "the log refuses one stamp after the other");
	backoff_succeeded(&sync->backoff);
	return STEP_ON;
}

enum step
phone_sync_problem(struct phone_sync *sync, const struct answer *answer)
{
	sync->wait_msec = answer->retry_after_msec;
	if (answer->kind == ANSWER_NONE || answer->retry == RETRY_AFTER)
		return phone_sync_again(sync, answer->why);
	if (answer->retry == RETRY_SNAPSHOT)
		return phone_snapshot_go_on(sync, answer);
	report_error("%s", answer->why);
	return answer->retry == RETRY_AUTH ? STEP_LOCKED : STEP_STOP;
}

enum status
phone_sync_learn_time(struct phone_sync *sync, const struct http_answer *http,
		      const struct answer *answer)
{
	int64_t before = phone_store_offset(sync->store);
	int64_t offset = before;

	if (!answer->has_time || !clock_offset(&http->sample, answer->server_msec, &offset))
		return STATUS_OK;
	if (offset - before < OFFSET_NOISE_MSEC && before - offset < OFFSET_NOISE_MSEC)
		return STATUS_OK;
	return phone_store_set_offset(sync->store, offset);
}

/* A request does not outlast the time after which the run gives up. */
static uint64_t
request_timeout(const struct phone_sync *sync)
{
	uint64_t left = backoff_left(&sync->backoff);

	return left < REQUEST_MSEC_MAX ? left : REQUEST_MSEC_MAX;
}

void
phone_sync_ask(struct phone_sync *sync, const char *tail, const struct text *body,
	       struct http_answer *answer)
{
	struct buffer path;

	buffer_init(&path, 4096);
	transport_log_path(&path, phone_store_log(sync->store), tail);
	CHECK(!path.failed);
	transport_ask(sync->transport, path.data, body, request_timeout(sync), answer);
	buffer_release(&path);
}

/* --- a round that pushes --------------------------------------------------------------------- */

/* Halves the batch; one action alone that is too large is set aside. */
static enum step
split(struct phone_sync *sync, const struct phone_batch *batch, const struct answer *answer)
{
	if (batch->count == 0) {
		report_error("%s", answer->why);
		return STEP_STOP;
	}
	if (batch->count > 1) {
		sync->batch_limit = batch->count / 2;
		return STEP_ON;
	}
	sync->batch_limit = sync->batch_max;
	return phone_refusal_set_aside(sync, batch->items[0].place, answer->code);
}

/* The table of protocol section 7. */
static enum step
judge(struct phone_sync *sync, const struct phone_batch *batch, const struct answer *answer)
{
	bool has_item = answer->has_index && answer->index < batch->count;

	if (answer->kind == ANSWER_SUCCESS)
		return phone_settle(sync, batch, answer);
	if (answer->kind == ANSWER_NONE)
		return phone_sync_problem(sync, answer);
	switch (answer->retry) {
	case RETRY_REBASE:
		if (text_equal(answer->code, TEXT("CONFLICT")))
			return phone_settle_conflict(sync, batch, answer);
		return phone_heal(sync, batch, answer);
	case RETRY_SPLIT:
		return split(sync, batch, answer);
	case RETRY_RESTAMP:
		return has_item ? phone_refusal_index(sync, batch, answer)
				: phone_sync_problem(sync, answer);
	case RETRY_NEVER:
		if (!has_item)
			return phone_sync_problem(sync, answer);
		return phone_refusal_set_aside(sync, batch->items[answer->index].place,
					       answer->code);
	case RETRY_AFTER:
	case RETRY_AUTH:
	case RETRY_SNAPSHOT:
		break;
	}
	return phone_sync_problem(sync, answer);
}

static void
take_drift(struct phone_sync *sync, const struct phone_batch *batch, const struct answer *answer)
{
	if (!batch->has_state || answer->kind != ANSWER_SUCCESS)
		return;
	sync->state_said = true;
	sync->agree = answer->has_drift ? answer->drift.agree : 0;
	sync->differ = answer->has_drift ? answer->drift.differ : 0;
}

static enum step
send_batch(struct phone_sync *sync, const struct phone_batch *batch)
{
	struct text body = {batch->body.data, batch->body.size};
	struct http_answer http;
	struct answer answer;
	enum step step;

	if (batch->count > 0 && sync->sent_upto < batch->items[batch->count - 1].place)
		sync->sent_upto = batch->items[batch->count - 1].place;
	http_answer_init(&http);
	phone_sync_ask(sync, "/sync", &body, &http);
	answer_read_sync(&http, &sync->arena, &answer);
	phone_receipt_take(sync, &answer);
	take_drift(sync, batch, &answer);
	if (phone_sync_learn_time(sync, &http, &answer) != STATUS_OK)
		step = STEP_BROKEN;
	else
		step = judge(sync, batch, &answer);
	answer_release(&answer);
	http_answer_release(&http);
	return step;
}

static enum step
push_round(struct phone_sync *sync)
{
	struct phone_batch batch;
	enum step step = STEP_BROKEN;

	if (phone_batch_take(sync, &batch) == STATUS_OK) {
		step = batch.damaged
			       ? phone_refusal_set_aside(sync, batch.damaged_place, TEXT("DAMAGED"))
			       : send_batch(sync, &batch);
	}
	phone_batch_release(&batch);
	return step;
}

/* --- the loop -------------------------------------------------------------------------------- */

static bool
note_front(void *cookie, const struct queued *queued)
{
	struct phone_sync *sync = cookie;

	sync->pull_first = queued->confirmed_once;
	return false;
}

static bool
note_any(void *cookie, const struct queued *queued)
{
	bool *queue_empty = cookie;

	(void)queued;
	*queue_empty = false;
	return false;
}

/* What the server takes; the protocol's defaults where it does not say. */
static void
read_limits(struct phone_sync *sync)
{
	struct http_answer info;

	sync->limits_wanted = false;
	http_answer_init(&info);
	transport_ask(sync->transport, "/v1/info", NULL, INFO_MSEC_MAX, &info);
	if (answer_read_limits(&info, &sync->limits))
		sync->limits_known = true;
	http_answer_release(&info);
	if (sync->limits.batch_actions < 1)
		sync->limits.batch_actions = 1;
	if (sync->batch_max > sync->limits.batch_actions)
		sync->batch_max = (size_t)sync->limits.batch_actions;
	if (sync->batch_limit > sync->batch_max)
		sync->batch_limit = sync->batch_max;
}

/* An earlier process may have left a roll-back in the middle: its actions are in front. */
static enum status
start(struct phone_sync *sync)
{
	struct phone_counts counts;
	enum status status = phone_store_queue(sync->store, note_front, sync);

	if (status == STATUS_OK)
		status = phone_store_counts(sync->store, &counts);
	if (status != STATUS_OK)
		return status;
	sync->queued_at_start = counts.queued;
	sync->batch_limit = sync->batch_max;
	read_limits(sync);
	sync->lowest_base = phone_store_base(sync->store)->seq;
	backoff_start(&sync->backoff, sync->give_up_msec);
	return STATUS_OK;
}

/* STEP_ON until everything is done: then *done. */
static enum step
round_once(struct phone_sync *sync, bool *done)
{
	bool queue_empty = true;
	enum step step;

	arena_reset(&sync->arena);
	sync->wait_msec = 0;
	if (sync->limits_wanted)
		read_limits(sync);
	step = sync->pull_first ? phone_pull(sync) : push_round(sync);
	if (step != STEP_ON && step != STEP_PAUSE)
		return step;
	if (phone_store_queue(sync->store, note_any, &queue_empty) != STATUS_OK)
		return STEP_BROKEN;
	if (sync->push)
		report_progress("pushed", sync->totals.applied + sync->totals.duplicates,
				sync->queued_at_start);
	else
		report_progress("pulled", phone_store_base(sync->store)->seq, 0);
	*done = sync->at_head && !sync->pull_first && (!sync->push || queue_empty);
	return step;
}

/* False when the pause would be longer than the run goes on without a success. */
static bool
pause_asked(struct phone_sync *sync)
{
	if (sync->wait_msec > backoff_left(&sync->backoff)) {
		snprintf(sync->problem, sizeof(sync->problem),
			 "the server asks for a pause of %" PRIu64 " ms", sync->wait_msec);
		return false;
	}
	backoff_sleep(sync->wait_msec);
	return true;
}

enum exit_code
phone_sync_run(struct phone_sync *sync)
{
	enum step step = start(sync) == STATUS_OK ? STEP_ON : STEP_BROKEN;
	bool done = false;

	while (!done) {
		if (step == STEP_ON)
			step = round_once(sync, &done);
		if (step == STEP_PAUSE && !done && !pause_asked(sync))
			break;
		if (step == STEP_AGAIN && !backoff_wait(&sync->backoff, sync->wait_msec))
			break;
		if (step == STEP_STOP || step == STEP_LOCKED || step == STEP_BROKEN)
			break;
		step = STEP_ON;
	}
	report_progress_end();
	if (done)
		return sync->totals.set_aside > 0 ? EXIT_UNVERIFIED : EXIT_FINE;
	if (step == STEP_BROKEN)
		return EXIT_LOCAL;
	if (step == STEP_STOP)
		return EXIT_UNVERIFIED;
	if (step == STEP_AGAIN || step == STEP_PAUSE)
		report_error("gave up: %s", sync->problem);
	return EXIT_UNREACHABLE;
}
