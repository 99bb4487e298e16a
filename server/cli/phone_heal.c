#include "cli/phone_heal.h"

#include <inttypes.h>

#include "cli/report.h"

/* Then wait: something is wrong that rolling back does not mend. */
#define MISMATCHES_IN_A_ROW 5

/* Whether a position is one of our own history before the base. */
static enum status
is_own(struct phone_sync *sync, const struct position *position, bool *own)
{
	struct hash link;
	enum status status;

	*own = false;
	if (position->seq >= phone_store_base(sync->store)->seq)
		return STATUS_OK;
	status = phone_store_link(sync->store, position->seq, &link);
	if (status == STATUS_NOT_FOUND)
		return STATUS_OK;
	*own = status == STATUS_OK && hash_equal(&link, &position->link);
	return status;
}

static enum step
roll_back(struct phone_sync *sync, const struct position *ancestor)
{
	uint64_t set_aside = 0;

	report_note("the log does not have our position %" PRIu64 ": rolling back to %" PRIu64
		    " and giving it what it lacks",
		    phone_store_base(sync->store)->seq, ancestor->seq);
	if (phone_store_begin(sync->store) != STATUS_OK)
		return STEP_BROKEN;
	if (phone_store_roll_back(sync->store, ancestor, &set_aside) != STATUS_OK) {
		phone_store_abort(sync->store);
		return STEP_BROKEN;
	}
	if (phone_store_commit(sync->store) != STATUS_OK)
		return STEP_BROKEN;
	sync->totals.set_aside += set_aside;
	if (sync->lowest_base > ancestor->seq)
		sync->lowest_base = ancestor->seq;
	sync->with_locator = false;
	sync->pull_first = true;
	return STEP_ON;
}

enum step
phone_heal(struct phone_sync *sync, const struct phone_batch *batch, const struct answer *answer)
{
	struct position ancestor = answer->ancestor;
	enum step step;
	bool own = false;

	sync->at_head = false;
	sync->mismatches++;
	if (!answer->has_head || !answer->has_ancestor)
		return phone_sync_again(sync, "a 409 without head and ancestor");
	if (is_own(sync, &answer->head, &own) != STATUS_OK)
		return STEP_BROKEN;
	if (own) {
		ancestor = answer->head;
	} else if (ancestor.seq == 0 && !batch->has_locator && sync->limits.locator) {
		sync->with_locator = true;
		return sync->mismatches >= MISMATCHES_IN_A_ROW ? phone_sync_again(sync, answer->why)
							       : STEP_ON;
	} else if (is_own(sync, &ancestor, &own) != STATUS_OK) {
		return STEP_BROKEN;
	}
	if (!own)
		return phone_sync_again(sync, "the ancestor that the server names is not in our "
					      "history: nothing is rolled back");
	step = roll_back(sync, &ancestor);
	if (step == STEP_ON && sync->mismatches >= MISMATCHES_IN_A_ROW)
		return phone_sync_again(sync, answer->why);
	return step;
}
