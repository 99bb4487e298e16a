#include "loadtest/replay.h"

#include <string.h>

#include "loadtest/scan.h"

/* From the genesis, which is computed from the log's name. */
static void
rewind_stream(struct lane *lane)
{
	char name[LOG_NAME_SIZE_MAX + 1];
	lane->at.seq = 0;
	chain_genesis(users_name(lane->run->users, lane->user, name), &lane->at.link);
	lane->streamed = 0;
	lane->stream_ended = false;
	lane->stream_fault = NULL;
}

bool
replay_start(struct lane *lane, bool measured, uint64_t intended_usec)
{
	uint32_t user = users_take(lane->run->users);
	if (user == USERS_NONE)
		return false;
	lane->measure = (struct measure){.measured = measured, .intended_usec = intended_usec};
	lane->user = user;
	rewind_stream(lane);
	lane_get(lane, STEP_STREAM, "/actions?after=0", TEXT("Accept: application/x-ndjson\r\n"));
	return true;
}

static const char *
take_first(const struct lane *lane, struct scan scan)
{
	struct text name;
	struct text skipped;
	struct hash previous;
	bool found = false;
	while (scan_member(&scan, &name)) {
		if (text_equal(name, TEXT("prevHash")))
			found = scan_hash(&scan, &previous);
		else
			(void)scan_skip(&scan, &skipped);
	}
	if (!scan_end(&scan) || !found)
		return "a stream begins wrongly";
	return hash_equal(&previous, &lane->at.link) ? NULL : "a stream begins with another hash";
}

static const char *
take_last(struct lane *lane, struct scan scan)
{
	struct text name;
	struct text skipped;
	struct position end = {0};
	uint64_t count = UINT64_MAX;
	lane->stream_ended = true;
	while (scan_member(&scan, &name)) {
		if (text_equal(name, TEXT("count")))
			(void)scan_u64(&scan, &count);
		else if (text_equal(name, TEXT("seq")))
			(void)scan_u64(&scan, &end.seq);
		else if (text_equal(name, TEXT("stateHash")))
			(void)scan_hash(&scan, &end.link);
		else
			(void)scan_skip(&scan, &skipped);
	}
	if (!scan_end(&scan) || count != lane->at.seq || end.seq != lane->at.seq)
		return "a stream ends with another count, or an error";
	return hash_equal(&end.link, &lane->at.link) ? NULL : "a stream ends with another hash";
}

static const char *
take_line(struct lane *lane, char *line, size_t size)
{
	static const char count_begin[] = "{\"count\"";
	static const char error_begin[] = "{\"error\"";
	struct scan scan = scan_of(line, size);
	struct scanned_action action;
	if (lane->stream_ended)
		return "lines behind the last one";
	if (lane->streamed++ == 0)
		return take_first(lane, scan);
	if (size > strlen(count_begin) && (memcmp(line, count_begin, strlen(count_begin)) == 0 ||
					   memcmp(line, error_begin, strlen(error_begin)) == 0))
		return take_last(lane, scan);
	if (!scan_action(&scan, &action) || !scan_end(&scan) || action.seq != lane->at.seq + 1)
		return "a line is not the next action";
	lane->at.seq++;
	chain_link(&lane->at.link, &action.digest, &lane->at.link);
	return NULL;
}

/* All whole lines that are there; the rest waits for more. */
static void
part(struct lane *lane)
{
	struct connection *connection = &lane->connection;
	size_t size;
	char *body = connection_reply(connection, &size);
	size_t at = 0;
	if (connection->reply.status != 200)
		return;
	while (lane->stream_fault == NULL && at < size) {
		char *end = memchr(body + at, '\n', size - at);
		if (end == NULL)
			break;
		size_t line_size = (size_t)(end - (body + at));
		lane->stream_fault = take_line(lane, body + at, line_size);
		at += line_size + 1;
	}
	if (lane->stream_fault != NULL)
		at = size;
	reply_consume(&connection->reply, at, connection->in, &connection->in_size);
}

static void
answered(struct lane *lane)
{
	struct run *run = lane->run;
	unsigned status = lane->connection.reply.status;
	char name[LOG_NAME_SIZE_MAX + 1];
	struct text log = users_name(run->users, lane->user, name);
	size_t size;
	const char *body = connection_reply(&lane->connection, &size);
	users_give_back(run->users, lane->user);
	lane_rest(lane);
	if (status == 429 || status == 503) {
		run_count_refusal(run, &lane->measure, status, TEXT(""), 0);
	} else if (status != 200) {
		run_count_unexpected(run, log, status, (struct text){body, size});
	} else if (lane->stream_fault != NULL || !lane->stream_ended) {
		const char *why = lane->stream_fault;
		run_count_wrong(run, log, why == NULL ? "a stream was cut" : why, TEXT(""));
	} else {
		run_count_success(run, &lane->measure, lane->at.seq, 0);
		if (lane->measure.measured)
			run->result->replayed += lane->at.seq;
	}
}

static void
lost(struct lane *lane)
{
	rewind_stream(lane);
}

const struct work replay_work = {.answered = answered, .lost = lost, .part = part};
