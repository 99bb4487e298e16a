#include "cli/phone_settle.h"

#include "cli/phone_pull.h"
#include "cli/phone_refusal.h"
#include "cli/report.h"

static const char DIFFERS[] = "the server's hash is not the one that its actions give: "
			      "nothing of it is confirmed";

/* What lies after the base, verified, and not yet confirmed. */
struct settlement {
	struct phone_sync *sync;
	const struct phone_batch *batch;
	const struct answer *answer;
	struct logged *chain; /* the contiguous part after the base */
	size_t chain_count;
	struct answer page; /* hasMore: the page behind the chain, which proves its hash */
	bool pull_first;    /* there is more behind the page */
	size_t already;	    /* of the batch, dropped: at or before the base */
	uint64_t set_aside;
};

/* An item's place in the log is one that we confirmed, and it is that action there. */
struct finding {
	uint64_t seq;
	const struct hash *digest;
	bool found;
};

static bool
find_confirmed(void *cookie, const struct logged *logged)
{
	struct finding *finding = cookie;

	finding->found =
		logged->seq == finding->seq && hash_equal(&logged->kept.digest, finding->digest);
	return false;
}

/* A duplicate at or before the base is confirmed already, unless the server is wrong: then the
 * action stays in the queue. Before the start there is only the server's word, as for the start itself. */
static enum status
drop_if_confirmed(struct settlement *settlement, size_t index, uint64_t seq)
{
	const struct queued *item = &settlement->batch->items[index];
	struct phone_store *store = settlement->sync->store;
	struct finding finding = {.seq = seq, .digest = &item->kept.digest};
	enum status status = STATUS_OK;

	if (seq <= phone_store_start(store)->seq)
		finding.found = true;
	else
		status = phone_store_confirmed(store, seq - 1, find_confirmed, &finding);

	if (status != STATUS_OK || !finding.found)
		return status;
	settlement->already++;
	return phone_store_drop(store, item->place);
}

/* Own actions keep their place in the queue until their seq is confirmed. */
static struct logged
logged_of(const struct settlement *settlement, const struct ordered *ordered)
{
	if (!ordered->own)
		return settlement->answer->missed[ordered->index];
	return (struct logged){.seq = ordered->seq,
			       .kept = settlement->batch->items[ordered->index].kept};
}

/* Orders, chains and compares. STEP_ON: the chain and the page are verified. */
static enum step
verify(struct settlement *settlement)
{
	const struct answer *answer = settlement->answer;
	struct phone_sync *sync = settlement->sync;
	struct merge merge = {.base = settlement->batch->base.seq,
			      .missed = answer->missed,
			      .missed_count = answer->missed_count,
			      .results = answer->results,
			      .result_count = answer->result_count};
	size_t room = merge.missed_count + merge.result_count;
	struct ordered *order = arena_calloc(&sync->arena, room, sizeof(*order));
	struct position end = settlement->batch->base;
	enum step step;
	size_t total;

	settlement->chain = arena_calloc(&sync->arena, room, sizeof(*settlement->chain));
	if (order == NULL || settlement->chain == NULL) {
		report_error("out of memory");
		return STEP_BROKEN;
	}
	total = chain_order(&merge, order, &settlement->chain_count);
	for (size_t i = 0; i < settlement->chain_count; i++)
		settlement->chain[i] = logged_of(settlement, &order[i]);
	if (!chain_actions(&end, settlement->chain, settlement->chain_count))
		return phone_sync_again(sync, DIFFERS);
	if (!answer->has_more) {
		if (settlement->chain_count != total || !position_equal(&end, &answer->head))
			return phone_sync_again(sync, DIFFERS);
		return STEP_ON;
	}
	step = phone_pull_fetch(sync, &end, &settlement->page);
	settlement->pull_first = settlement->page.has_more;
	return step;
}

/* In a transaction. */
static enum status
apply(struct settlement *settlement)
{
	struct phone_sync *sync = settlement->sync;
	const struct answer *answer = settlement->answer;
	uint64_t base = settlement->batch->base.seq;
	enum status status = phone_pull_confirm(sync, settlement->chain, settlement->chain_count);

	if (status == STATUS_OK)
		status = phone_pull_confirm(sync, settlement->page.missed,
					    settlement->page.missed_count);
	for (size_t i = 0; i < answer->result_count && status == STATUS_OK; i++) {
		const struct phone_result *result = &answer->results[i];

		if (!result->refused && result->seq <= base)
			status = drop_if_confirmed(settlement, i, result->seq);
	}
	for (size_t i = 0; i < answer->known_count && status == STATUS_OK; i++) {
		if (answer->known[i].index < settlement->batch->count && answer->known[i].seq > 0 &&
		    answer->known[i].seq <= base)
			status = drop_if_confirmed(settlement, answer->known[i].index,
						   answer->known[i].seq);
	}
	if (status == STATUS_OK && answer->result_count > 0)
		status = phone_refusal_apply(sync, settlement->batch, answer->results,
					     &settlement->set_aside);
	return status;
}

/* Verifies and applies, or does nothing. STEP_ON: done; *moved tells whether anything was. */
static enum step
settle(struct settlement *settlement, bool *moved)
{
	struct phone_sync *sync = settlement->sync;
	enum step step = verify(settlement);

	if (step != STEP_ON)
		goto release_page;
	step = STEP_BROKEN;
	if (phone_store_begin(sync->store) != STATUS_OK)
		goto release_page;
	if (apply(settlement) != STATUS_OK) {
		phone_store_abort(sync->store);
		goto release_page;
	}
	if (phone_store_commit(sync->store) != STATUS_OK)
		goto release_page;
	step = STEP_ON;
	*moved =
		settlement->chain_count + settlement->page.missed_count + settlement->already > 0 ||
		settlement->set_aside > 0;
	sync->totals.set_aside += settlement->set_aside;
	sync->pull_first = settlement->pull_first;
	sync->at_head = !settlement->pull_first;

release_page:
	answer_release(&settlement->page);
	return step;
}

/* Nobody else wrote: our chain is the log's. */
static enum step
fast_forward(struct phone_sync *sync, const struct phone_batch *batch, const struct answer *answer)
{
	struct position end = {.seq = batch->base.seq + batch->count, .link = batch->end};
	enum status status;

	if (!position_equal(&end, &answer->head))
		return phone_sync_again(sync, DIFFERS);
	sync->at_head = true;
	phone_sync_succeeded(sync);
	if (batch->count == 0)
		return STEP_ON;
	status = phone_store_begin(sync->store);
	if (status != STATUS_OK)
		return STEP_BROKEN;
	for (size_t i = 0; i < batch->count && status == STATUS_OK; i++)
		status = phone_store_confirm(sync->store, &batch->items[i].kept);
	if (status != STATUS_OK) {
		phone_store_abort(sync->store);
		return STEP_BROKEN;
	}
	return phone_store_commit(sync->store) == STATUS_OK ? STEP_ON : STEP_BROKEN;
}

enum step
phone_settle(struct phone_sync *sync, const struct phone_batch *batch, const struct answer *answer)
{
	struct settlement settlement = {.sync = sync, .batch = batch, .answer = answer};
	enum step step;
	bool moved = false;

	if (answer->fast_forward) {
		step = fast_forward(sync, batch, answer);
		moved = true;
	} else if (answer->result_count != batch->count) {
		return phone_sync_again(sync, "not one result for each action that was sent");
	} else {
		step = settle(&settlement, &moved);
	}
	if (step != STEP_ON)
		return step;
	sync->totals.applied += answer->applied;
	sync->totals.duplicates += answer->duplicates;
	sync->totals.refused += answer->refused;
	sync->mismatches = 0;
	sync->conflicts = 0;
	sync->with_locator = false;
	if (moved)
		phone_sync_succeeded(sync);
	if (sync->wait_msec < answer->backoff_msec)
		sync->wait_msec = answer->backoff_msec;
	if (sync->wait_msec > 0)
		return STEP_PAUSE;
	return moved ? STEP_ON : phone_sync_idle(sync);
}

enum step
phone_settle_conflict(struct phone_sync *sync, const struct phone_batch *batch,
		      const struct answer *answer)
{
	struct settlement settlement = {.sync = sync, .batch = batch, .answer = answer};
	enum step step;
	bool moved = false;

	sync->conflicts++;
	step = settle(&settlement, &moved);
	if (step != STEP_ON)
		return step;
	if (!moved)
		return phone_sync_again(sync, "a conflict with nothing that we do not have");
	phone_sync_succeeded(sync);
	return STEP_ON;
}
