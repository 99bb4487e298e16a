#include "loadtest/waiter.h"

#include <inttypes.h>
#include <stdio.h>

#define WAIT_SEC 30 /* as long as the protocol allows */
#define PATH_SIZE 64

static void
wait_for_news(struct lane *lane)
{
	char path[PATH_SIZE];
	(void)snprintf(path, sizeof(path), "/actions?after=%" PRIu64 "&wait=%d", lane->at.seq,
		       WAIT_SEC);
	lane_get(lane, STEP_WAIT, path, TEXT("Accept: application/json\r\n"));
}

void
waiter_start(struct lane *lane, uint32_t user)
{
	lane->user = user;
	if (users_head(lane->run->users, user, &lane->at))
		wait_for_news(lane);
	else
		lane_get(lane, STEP_HEAD, "/head", TEXT(""));
}

static const char *
take(struct lane *lane, char *body, size_t size)
{
	uint64_t newest;
	if (lane->step == STEP_HEAD)
		return answer_head(body, size, &lane->at);
	const char *why = answer_page(body, size, &lane->at, &newest);
	if (why == NULL && lane->run->first_usec > 0)
		lane->run->result->waiters_answered++;
	return why;
}

static void
answered(struct lane *lane)
{
	struct run *run = lane->run;
	const struct reply *reply = &lane->connection.reply;
	char name[LOG_NAME_SIZE_MAX + 1];
	size_t size;
	char *body = connection_reply(&lane->connection, &size);
	if (reply->status == 429 || reply->status == 503) {
		struct answer answer = {.retry_after_msec = 0};
		(void)answer_problem(body, size, &answer);
		lane->measure.measured = run->first_usec > 0;
		run_count_refusal(run, &lane->measure, reply->status, answer.code, 0);
		lane_pause(lane, reply->retry_after_sec * 1000);
		return;
	}
	const char *why = reply->status == 200 ? take(lane, body, size) : NULL;
	struct text log = users_name(run->users, lane->user, name);
	if (reply->status == 200 && why == NULL) {
		wait_for_news(lane);
		return;
	}
	if (why != NULL)
		run_count_wrong(run, log, why, (struct text){body, size});
	else
		run_count_unexpected(run, log, reply->status, (struct text){body, size});
	lane_rest(lane);
}

/* Asking again is all there is to do. */
static void
lost(struct lane *lane)
{
	(void)lane;
}

const struct work waiter_work = {.answered = answered, .lost = lost, .wait_sec = WAIT_SEC};
