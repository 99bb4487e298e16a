#include "cli/phone_pull.h"

#include <inttypes.h>
#include <stdio.h>

enum step
phone_pull_fetch(struct phone_sync *sync, const struct position *after, struct answer *page)
{
	struct position end = *after;
	struct http_answer http;
	enum status status;
	char tail[64];

	http_answer_init(&http);
	snprintf(tail, sizeof(tail), "/actions?after=%" PRIu64, after->seq);
	phone_sync_ask(sync, tail, NULL, &http);
	answer_read_page(&http, &sync->arena, page);
	status = phone_sync_learn_time(sync, &http, page);
	http_answer_release(&http);
	if (status != STATUS_OK)
		return STEP_BROKEN;
	if (page->kind == ANSWER_PROBLEM && page->retry == RETRY_REBASE) {
		/* The head is before our base: a sync finds the fork point. */
		sync->pull_first = false;
		return phone_sync_again(sync, page->why);
	}
	if (page->kind != ANSWER_SUCCESS)
		return phone_sync_problem(sync, page);
	if (!position_equal(&page->before, after) ||
	    !chain_actions(&end, page->missed, page->missed_count) ||
	    !position_equal(&end, &page->head) || (page->has_more && page->missed_count == 0)) {
		sync->pull_first = false;
		return phone_sync_again(sync, "the page does not give the hash that it claims: "
					      "nothing of it is confirmed");
	}
	return STEP_ON;
}

enum status
phone_pull_confirm(struct phone_sync *sync, const struct logged *actions, size_t count)
{
	enum status status = STATUS_OK;

	for (size_t i = 0; i < count && status == STATUS_OK; i++)
		status = phone_store_confirm(sync->store, &actions[i].kept);
	return status;
}

enum step
phone_pull(struct phone_sync *sync)
{
	struct answer page;
	enum step step = phone_pull_fetch(sync, phone_store_base(sync->store), &page);

	if (step != STEP_ON)
		goto release_page;
	if (phone_store_begin(sync->store) != STATUS_OK) {
		step = STEP_BROKEN;
		goto release_page;
	}
	if (phone_pull_confirm(sync, page.missed, page.missed_count) != STATUS_OK) {
		phone_store_abort(sync->store);
		step = STEP_BROKEN;
		goto release_page;
	}
	if (phone_store_commit(sync->store) != STATUS_OK) {
		step = STEP_BROKEN;
		goto release_page;
	}
	sync->pull_first = page.has_more;
	sync->at_head = !page.has_more;
	if (page.missed_count > 0)
		phone_sync_succeeded(sync);

release_page:
	answer_release(&page);
	return step;
}
