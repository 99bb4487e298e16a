#include "loadtest/lane.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/check.h"
#include "base/clock.h"

#define LINE_SIZE 512 /* of a request line and an accept */
#define BACKOFF_MSEC UINT64_C(100)
#define BACKOFF_MSEC_MAX UINT64_C(30000)

#define HUNG_UP ((uint32_t)EPOLLRDHUP | (uint32_t)EPOLLHUP | (uint32_t)EPOLLERR)

/* Nobody knows what became of the request. */
static void
lose(struct lane *lane, const char *why)
{
	connection_close(&lane->connection);
	run_count_lost(lane->run, why);
	lane->work->lost(lane);
	lane_pause(lane, 0);
}

static void
transmit(struct lane *lane)
{
	struct run *run = lane->run;
	struct connection *connection = &lane->connection;
	lane->measure.sent_usec = clock_monotonic_usec();
	lane->until_usec = lane->measure.sent_usec +
			   (uint64_t)((run->plan->timeout_sec + lane->work->wait_sec) * 1e6);
	lane->state = LANE_SENT;
	if (connection->fd == -1 && connection_open(connection, run->address, run->address_size,
						    run->epoll, lane) != STATUS_OK) {
		lose(lane, strerror(errno));
		return;
	}
	connection_send(connection);
}

char *
lane_body(struct lane *lane, size_t size_max)
{
	char *body = connection_body(&lane->connection,
				     LINE_SIZE + CONNECTION_HEAD_SIZE + lane->run->fields_size,
				     size_max);
	if (body == NULL)
		lane->run->aborted = true;
	return body;
}

static void
begin(struct lane *lane, enum lane_step step, struct text line, size_t body_size)
{
	const struct connection_head head = {.line = line,
					     .fields = {lane->run->fields, lane->run->fields_size}};
	connection_begin(&lane->connection, &head, body_size);
	lane->step = step;
	lane->failures = 0;
	transmit(lane);
}

/* Writes by hand what every request has: it is the hot path's only formatting. */
static size_t
write_line(const struct lane *lane, char line[LINE_SIZE], const char *method, const char *path)
{
	char name[LOG_NAME_SIZE_MAX + 1];
	const struct text pieces[] = {text_of(method), TEXT(" /v1/logs/"),
				      users_name(lane->run->users, lane->user, name), text_of(path),
				      TEXT(" HTTP/1.1\r\n")};
	size_t size = 0;
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		CHECK(pieces[i].size < LINE_SIZE - size);
		memcpy(line + size, pieces[i].data, pieces[i].size);
		size += pieces[i].size;
	}
	return size;
}

void
lane_post(struct lane *lane, enum lane_step step, size_t body_size)
{
	char line[LINE_SIZE];
	size_t size = write_line(lane, line, "POST", "/sync");
	begin(lane, step, (struct text){line, size}, body_size);
}

void
lane_get(struct lane *lane, enum lane_step step, const char *path, struct text accept)
{
	char line[LINE_SIZE];
	size_t size = write_line(lane, line, "GET", path);
	CHECK(accept.size < LINE_SIZE - size);
	if (accept.size > 0)
		memcpy(line + size, accept.data, accept.size);
	if (lane_body(lane, 0) == NULL)
		lane_rest(lane);
	else
		begin(lane, step, (struct text){line, size + accept.size}, 0);
}

void
lane_repeat(struct lane *lane)
{
	if (lane->state == LANE_PAUSED) {
		struct run *run = lane->run;
		struct lane *last = run->paused[--run->paused_count];
		run->paused[lane->place] = last;
		last->place = lane->place;
	}
	connection_again(&lane->connection);
	transmit(lane);
}

void
lane_pause(struct lane *lane, uint64_t msec)
{
	struct run *run = lane->run;
	uint64_t spread = lane->failures < 10 ? BACKOFF_MSEC << lane->failures : BACKOFF_MSEC_MAX;
	if (spread > BACKOFF_MSEC_MAX)
		spread = BACKOFF_MSEC_MAX;
	lane->failures++;
	lane->until_usec = clock_monotonic_usec() + msec * 1000 +
			   random_below(&run->random, spread * 1000 + 1);
	lane->state = LANE_PAUSED;
	lane->place = run->paused_count;
	run->paused[run->paused_count++] = lane;
}

void
lane_rest(struct lane *lane)
{
	lane->state = LANE_IDLE;
}

static enum reply_state
receive(struct lane *lane, bool hung_up)
{
	struct connection *connection = &lane->connection;
	enum reply_state state;
	/* Edge-triggered: an end that was reported once is not reported again. */
	do {
		state = connection_receive(connection);
		if (lane->work->part != NULL && state != REPLY_HEAD && state != REPLY_BAD)
			lane->work->part(lane);
	} while ((state == REPLY_HEAD || state == REPLY_BODY) &&
		 !(hung_up ? connection->blocked : connection->drained));
	return state;
}

void
lane_event(struct lane *lane, uint32_t events)
{
	struct connection *connection = &lane->connection;
	bool hung_up = (events & HUNG_UP) != 0;
	if (connection->fd == -1)
		return;
	if (lane->state != LANE_SENT) {
		if (hung_up)
			connection_close(connection);
		return;
	}
	if (connection->out_at < connection->out_end)
		connection_send(connection);
	if (!connection->broken && !hung_up && (events & (uint32_t)EPOLLIN) == 0)
		return;
	enum reply_state state = receive(lane, hung_up || connection->broken);
	if (state == REPLY_BAD) {
		const char *why = connection->error == 0 ? "the daemon ended the connection"
							 : strerror(connection->error);
		lose(lane, connection->broken ? why : "the answer is no HTTP");
		return;
	}
	if (state != REPLY_WHOLE)
		return;
	/* An answer before the request's end: what is left of it is not sent any more. */
	if (connection->reply.close || hung_up || connection->broken ||
	    connection->out_at < connection->out_end)
		connection_close(connection);
	lane->measure.answered_usec = clock_monotonic_usec();
	lane->work->answered(lane);
}

void
lane_expire(struct lane *lane)
{
	lose(lane, "no answer in time");
}
