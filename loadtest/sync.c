#include "loadtest/subscriber.h"
#include "loadtest/sync.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"

static void
finish(struct lane *lane)
{
	users_give_back(lane->run->users, lane->user);
	lane_rest(lane);
}

static void
send_batch(struct lane *lane)
{
	struct users *users = lane->run->users;
	char *body = lane_body(lane, users_body_size_max(users, lane->batch.count));
	if (body == NULL) {
		finish(lane);
		return;
	}
	size_t size = users_write(users, lane->user, &lane->batch, body, &lane->expectation);
	lane_post(lane, STEP_SYNC, size);
}

/* --- beginning --- */

static bool
start_repeat(struct lane *lane)
{
	struct users *users = lane->run->users;
	if (!lane->repeatable || !users_take_this(users, lane->user))
		return false;
	/* Others may have written since: the head is where they left it. */
	CHECK(users_head(users, lane->user, &lane->expectation.head));
	lane->expectation.copies = COPIES_SURE;
	lane->failures = 0;
	lane_repeat(lane);
	return true;
}

/* The phone still has what was refused: the same bytes, which cost nothing to make. */
static bool
start_refused(struct lane *lane)
{
	struct users *users = lane->run->users;
	if (!lane->refused || !users_take_this(users, lane->user))
		return false;
	if (!users_is_newest(users, lane->user, &lane->expectation)) {
		users_give_back(users, lane->user);
		return false;
	}
	lane->failures = 0;
	lane_repeat(lane);
	return true;
}

bool
sync_start(struct lane *lane, bool measured, uint64_t intended_usec)
{
	struct run *run = lane->run;
	const struct plan *plan = run->plan;
	double drawn = random_share(&run->random);
	struct position head;
	lane->measure = (struct measure){.measured = measured, .intended_usec = intended_usec};
	if (start_refused(lane) || (drawn < plan->retries && start_repeat(lane)))
		return true;
	uint32_t user = users_take(run->users);
	if (user == USERS_NONE)
		return false;
	drawn -= plan->retries;
	bool pull = drawn >= 0 && drawn < plan->pulls;
	lane->user = user;
	lane->repeatable = false;
	lane->refused = false;
	lane->batch.count = pull ? 0 : spread_draw(&plan->actions, &run->random);
	lane->batch.stale = !pull && drawn >= 0 && drawn < plan->pulls + plan->stale;
	if (users_head(run->users, user, &head))
		send_batch(lane);
	else
		lane_get(lane, STEP_HEAD, "/head", TEXT(""));
	return true;
}

/* --- answers --- */

static struct text
reply_text(const struct lane *lane)
{
	size_t size;
	const char *body = connection_reply(&lane->connection, &size);
	return (struct text){body, size};
}

/* The log is not used for anything but requests that fail the same way. */
static void
finish_wrong(struct lane *lane, const char *why)
{
	struct run *run = lane->run;
	char name[LOG_NAME_SIZE_MAX + 1];
	struct text log = users_name(run->users, lane->user, name);
	run_count_status(run, &lane->measure, lane->connection.reply.status);
	if (why == NULL)
		run_count_unexpected(run, log, lane->connection.reply.status, reply_text(lane));
	else
		run_count_wrong(run, log, why, reply_text(lane));
	users_doubt(run->users, lane->user);
	lane->refused = false;
	finish(lane);
}

static void
take_head(struct lane *lane, char *body, size_t size)
{
	struct position head;
	const char *why = answer_head(body, size, &head);
	char path[64];
	if (why != NULL) {
		finish_wrong(lane, why);
		return;
	}
	if (head.seq == 0) {
		struct hash genesis;
		char name[LOG_NAME_SIZE_MAX + 1];
		chain_genesis(users_name(lane->run->users, lane->user, name), &genesis);
		if (!hash_equal(&genesis, &head.link)) {
			finish_wrong(lane, "an empty log with another hash");
			return;
		}
		users_know(lane->run->users, lane->user, &head, 0);
		send_batch(lane);
		return;
	}
	lane->expectation.head = head;
	(void)snprintf(path, sizeof(path), "/actions?after=%" PRIu64, head.seq - 1);
	lane_get(lane, STEP_NEWEST, path, TEXT("Accept: application/json\r\n"));
}

/* The newest action tells from which stamp on the log's stamps are free. */
static void
take_newest(struct lane *lane, char *body, size_t size)
{
	const struct position *head = &lane->expectation.head;
	uint64_t newest = 0;
	struct position end;
	const char *why = answer_last(body, size, head->seq - 1, &end, &newest);
	if (why == NULL && (end.seq != head->seq || !hash_equal(&end.link, &head->link)))
		why = "the newest action does not lead to the head";
	if (why != NULL) {
		finish_wrong(lane, why);
		return;
	}
	users_know(lane->run->users, lane->user, head, newest);
	send_batch(lane);
}

static void
take_sync(struct lane *lane, char *body, size_t size)
{
	struct run *run = lane->run;
	struct answer answer;
	const char *why = answer_sync(body, size, &lane->expectation, &answer);
	if (why != NULL) {
		finish_wrong(lane, why);
		return;
	}
	run_count_success(run, &lane->measure, answer.applied + answer.duplicates,
			  answer.duplicates);
	users_acknowledge(run->users, lane->user, &lane->expectation);
	subscriber_told(run, lane->user, lane->expectation.head.seq, lane->measure.answered_usec);
	lane->repeatable = lane->expectation.count > 0;
	lane->refused = false;
	finish(lane);
}

static void
refused(struct lane *lane, char *body, size_t size)
{
	struct run *run = lane->run;
	const struct reply *reply = &lane->connection.reply;
	struct answer answer = {.retry_after_msec = 0};
	bool no_problem = answer_problem(body, size, &answer) != NULL;
	uint64_t msec = answer.retry_after_msec > 0 ? answer.retry_after_msec
						    : reply->retry_after_sec * 1000;
	run_count_refusal(run, &lane->measure, reply->status, answer.code,
			  lane->step == STEP_SYNC ? lane->batch.count : 0);
	/* What is no problem document is a proxy's word, which knows nothing of the outcome. */
	if (lane->expectation.copies == COPIES_NONE &&
	    (no_problem || text_equal(answer.code, TEXT("STORAGE_UNAVAILABLE"))))
		lane->expectation.copies = COPIES_UNKNOWN;
	bool unknown = lane->step == STEP_SYNC && lane->expectation.copies == COPIES_UNKNOWN;
	/* So many requests as were asked for are all served in the end. */
	bool wanted = run->plan->honour_retry_after && (!run->ended || run->plan->requests > 0);
	if (unknown || wanted) {
		lane_pause(lane, msec);
		return;
	}
	lane->refused = lane->step == STEP_SYNC && lane->expectation.copies == COPIES_NONE;
	finish(lane);
}

static void
answered(struct lane *lane)
{
	size_t size;
	char *body = connection_reply(&lane->connection, &size);
	unsigned status = lane->connection.reply.status;
	if (status == 429 || status == 503)
		refused(lane, body, size);
	else if (status != 200)
		finish_wrong(lane, NULL);
	else if (lane->step == STEP_HEAD)
		take_head(lane, body, size);
	else if (lane->step == STEP_NEWEST)
		take_newest(lane, body, size);
	else
		take_sync(lane, body, size);
}

static void
lost(struct lane *lane)
{
	if (lane->step == STEP_SYNC && lane->expectation.copies == COPIES_NONE)
		lane->expectation.copies = COPIES_UNKNOWN;
}

const struct work sync_work = {.answered = answered, .lost = lost};
