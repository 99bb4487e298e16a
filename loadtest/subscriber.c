#include "loadtest/subscriber.h"

#include <string.h>

#include "base/clock.h"

#define COMMENT_SEC 15 /* how often something must come */

static struct subscriber *
subscriber_of(struct run *run, uint32_t user)
{
	return user < run->subscriber_count ? &run->subscribers[user] : NULL;
}

void
subscriber_start(struct lane *lane, uint32_t user)
{
	lane->user = user;
	subscriber_of(lane->run, user)->lane = lane;
	lane_get(lane, STEP_SUBSCRIBE, "/events", TEXT("Accept: text/event-stream\r\n"));
}

static void
seen(struct run *run, struct subscriber *subscriber, uint64_t seq)
{
	const uint64_t now = clock_monotonic_usec();
	uint64_t left = 0;
	for (uint64_t i = 0; i < subscriber->unseen_count; i++) {
		if (subscriber->unseen[i].seq > seq)
			subscriber->unseen[left++] = subscriber->unseen[i];
		else
			histogram_record(&run->result->events, now - subscriber->unseen[i].usec);
	}
	subscriber->unseen_count = left;
}

/* Beyond the bound the oldest, which are the latest, are enough. */
void
subscriber_told(struct run *run, uint32_t user, uint64_t seq, uint64_t usec)
{
	struct subscriber *subscriber = subscriber_of(run, user);
	if (subscriber == NULL || subscriber->lane == NULL || run->first_usec == 0)
		return;
	if (subscriber->lane->at.seq >= seq) {
		histogram_record(&run->result->events, 0);
	} else if (subscriber->unseen_count < SUBSCRIBER_UNSEEN_MAX) {
		subscriber->unseen[subscriber->unseen_count].seq = seq;
		subscriber->unseen[subscriber->unseen_count++].usec = usec;
	}
}

uint64_t
subscribers_behind(const struct run *run)
{
	uint64_t behind = 0;
	for (uint64_t i = 0; i < run->subscriber_count; i++) {
		const struct lane *lane = run->subscribers[i].lane;
		struct position head;
		uint64_t newest;
		if (lane == NULL || lane->step != STEP_EVENTS)
			behind++;
		else if (i < run->plan->users &&
			 users_settled(run->users, (uint32_t)i, &head, &newest))
			behind +=
				lane->at.seq != head.seq || !hash_equal(&lane->at.link, &head.link);
	}
	return behind;
}

/* --- events --- */

static const char *
take_event(struct lane *lane, char *event, size_t size)
{
	static const char begin[] = "event: head\nid: ";
	static const char data[] = "\ndata: ";
	struct position head;
	if (event[0] == ':') {
		lane->step = STEP_EVENTS;
		lane->run->result->comments += lane->run->first_usec > 0;
		return NULL;
	}
	if (size < sizeof(begin) || memcmp(event, begin, sizeof(begin) - 1) != 0)
		return "an event that is no head";
	char *found = memmem(event, size, data, sizeof(data) - 1);
	if (found == NULL)
		return "an event without data";
	found += sizeof(data) - 1;
	const char *why = answer_head(found, size - (size_t)(found - event), &head);
	if (why != NULL)
		return why;
	if (lane->step == STEP_EVENTS && head.seq <= lane->at.seq)
		return "a head that is not newer than the one before";
	lane->at = head;
	lane->step = STEP_EVENTS;
	lane->streamed++;
	seen(lane->run, subscriber_of(lane->run, lane->user), head.seq);
	return NULL;
}

/* All whole events that are there. */
static void
part(struct lane *lane)
{
	struct run *run = lane->run;
	struct connection *connection = &lane->connection;
	char name[LOG_NAME_SIZE_MAX + 1];
	size_t size;
	char *body = connection_reply(connection, &size);
	size_t at = 0;
	if (connection->reply.status != 200)
		return;
	while (at < size) {
		char *end = memmem(body + at, size - at, "\n\n", 2);
		if (end == NULL)
			break;
		size_t event_size = (size_t)(end - (body + at));
		const char *why = take_event(lane, body + at, event_size);
		if (why != NULL)
			run_count_wrong(run, users_name(run->users, lane->user, name), why,
					(struct text){body + at, event_size});
		at += event_size + 2;
	}
	reply_consume(&connection->reply, at, connection->in, &connection->in_size);
	lane->until_usec =
		clock_monotonic_usec() + (uint64_t)((COMMENT_SEC + run->plan->timeout_sec) * 1e6);
}

/* No stream should end. */
static void
answered(struct lane *lane)
{
	struct run *run = lane->run;
	const unsigned status = lane->connection.reply.status;
	char name[LOG_NAME_SIZE_MAX + 1];
	size_t size;
	const char *body = connection_reply(&lane->connection, &size);
	run_count_unexpected(run, users_name(run->users, lane->user, name), status,
			     (struct text){body, size});
	lane_rest(lane);
}

/* Subscribing again is all there is to do. */
static void
lost(struct lane *lane)
{
	lane->step = STEP_SUBSCRIBE;
}

const struct work subscriber_work = {
	.answered = answered, .lost = lost, .part = part, .wait_sec = COMMENT_SEC};
