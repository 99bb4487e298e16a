#include "cli/pull_stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/backoff.h"
#include "cli/phone_answer.h"
#include "cli/report.h"
#include "cli/transport.h"

#define PATH_SIZE_MAX 1024

/* What one stream has shown so far. */
enum stage { STAGE_FIRST, STAGE_ACTIONS, STAGE_ENDED };

struct replay {
	const struct cli_options *options;
	struct transport *transport;
	struct position at; /* verified and printed up to here */
	enum stage stage;
	bool moved;		/* by this stream */
	sourced_visitor *visit; /* NULL: a position is sought, and no repair waited for */
	void *cookie;
	struct backoff backoff;
	struct answer problem; /* why the stream ended, unless by its last line */
};

static enum status
fail(const struct replay *replay, const char *what)
{
	report_error("after action %" PRIu64 ": %s", replay->at.seq, what);
	return STATUS_CHAIN_BROKEN;
}

/* {"after": 41, "prevHash": "…"} */
static enum status
take_first(struct replay *replay, const json_t *root)
{
	struct position start;

	if (!json_read_u64(root, "after", SEQ_MAX, &start.seq) ||
	    !json_read_hash(root, "prevHash", &start.link))
		return fail(replay, "the stream does not begin as the protocol says");
	if (!position_equal(&start, &replay->at))
		return fail(replay, "the log has another hash here");
	replay->stage = STAGE_ACTIONS;
	return STATUS_OK;
}

/* {"count": N, "seq": …, "stateHash": "…", …} */
static enum status
take_last(struct replay *replay, const json_t *root)
{
	struct position end;

	if (!json_read_u64(root, "seq", SEQ_MAX, &end.seq) ||
	    !json_read_hash(root, "stateHash", &end.link))
		return fail(replay, "the stream does not end as the protocol says");
	if (!position_equal(&end, &replay->at))
		return fail(replay, "the end's hash is not the one that the actions give");
	replay->stage = STAGE_ENDED;
	return STATUS_OK;
}

/* With meta=1 each line has its link, so that the first action that does not link is known by name,
 * and is not shown. */
static enum status
take_action(struct replay *replay, const json_t *root)
{
	struct position next = replay->at;
	struct sourced sourced = {.stated = &sourced.link};

	if (!json_read_logged(root, &sourced.logged))
		return fail(replay, "the next line is no action");
	if (!chain_actions(&next, &sourced.logged, 1) ||
	    !json_read_hash(root, "link", &sourced.link) || !hash_equal(&next.link, &sourced.link))
		return fail(replay, "the next action does not link");
	json_read_u64(root, "receivedAt", TS_MAX, &sourced.received_at);
	json_read_text(root, "writer", &sourced.writer);
	if (replay->visit != NULL && !replay->visit(replay->cookie, &sourced))
		return STATUS_STORAGE_UNAVAILABLE;
	replay->at = next;
	replay->moved = true;
	report_progress(replay->visit == NULL ? "verified" : "pulled", replay->at.seq, 0);
	return STATUS_OK;
}

static enum status
take_line(void *cookie, struct text line)
{
	struct replay *replay = cookie;
	json_t *root =
		json_loadb(line.data, line.size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	enum status status = STATUS_OK;

	if (!json_is_object(root) || replay->stage == STAGE_ENDED) {
		status = fail(replay, "the next line is not as the protocol says");
	} else if (json_object_get(root, "error") != NULL) {
		answer_release(&replay->problem);
		answer_read_inline(json_object_get(root, "error"), &replay->problem);
	} else if (replay->stage == STAGE_FIRST) {
		status = take_first(replay, root);
	} else if (json_object_get(root, "count") != NULL) {
		status = take_last(replay, root);
	} else {
		status = take_action(replay, root);
	}
	json_decref(root);
	return status;
}

static void
write_path(const struct replay *replay, struct buffer *path)
{
	transport_log_path(path, text_of(replay->options->log), "/actions?meta=1&after=");
	buffer_append_u64(path, replay->at.seq);
	if (replay->options->until != NULL) {
		buffer_append_text(path, TEXT("&until="));
		buffer_append_text(path, text_of(replay->options->until));
	}
	buffer_append(path, "", 1);
}

/* One stream. STATUS_OK: it may have ended, or been cut, or answered with a problem. */
static enum status
stream_once(struct replay *replay)
{
	struct http_answer http;
	struct buffer path;
	struct lines lines;
	enum status status;

	replay->stage = STAGE_FIRST;
	replay->moved = false;
	answer_release(&replay->problem);
	replay->problem = (struct answer){0};
	buffer_init(&path, PATH_SIZE_MAX);
	http_answer_init(&http);
	lines_init(&lines, take_line, replay);
	write_path(replay, &path);
	status = transport_stream(replay->transport, path.data, &lines, &http);
	if (status == STATUS_MALFORMED)
		status = fail(replay, "the next line is too long");
	if (status == STATUS_OK && replay->stage != STAGE_ENDED && replay->problem.root == NULL)
		answer_read_failure(&http, &replay->problem);
	lines_release(&lines);
	http_answer_release(&http);
	buffer_release(&path);
	return status;
}

/* What is sought is not in the log: that is an answer. */
static bool
is_absent(const struct replay *replay)
{
	return replay->visit == NULL && replay->problem.kind == ANSWER_PROBLEM &&
	       text_equal(replay->problem.code, TEXT("UNKNOWN_STATE"));
}

static bool
is_final(const struct replay *replay)
{
	const struct answer *problem = &replay->problem;

	return problem->kind == ANSWER_PROBLEM &&
	       (problem->retry != RETRY_AFTER ||
		(replay->visit == NULL && text_equal(problem->code, TEXT("LOG_DAMAGED"))));
}

/* Streams until the end came, again after a cut. */
static enum exit_code
replay_all(struct replay *replay)
{
	backoff_start(&replay->backoff, replay->options->give_up_sec * 1000);
	for (;;) {
		const struct answer *problem = &replay->problem;
		enum status status = stream_once(replay);
		const char *why;

		if (status == STATUS_STORAGE_UNAVAILABLE)
			return EXIT_LOCAL;
		if (status != STATUS_OK)
			return EXIT_UNVERIFIED;
		if (replay->stage == STAGE_ENDED)
			return EXIT_FINE;
		if (is_final(replay)) {
			if (!is_absent(replay))
				report_error("%s", problem->why);
			return problem->retry == RETRY_AUTH ? EXIT_UNREACHABLE : EXIT_UNVERIFIED;
		}
		if (replay->moved)
			backoff_succeeded(&replay->backoff);
		why = problem->why[0] != '\0' ? problem->why : "the stream was cut";
		report_note("after action %" PRIu64 ": %s", replay->at.seq, why);
		if (!backoff_wait(&replay->backoff, problem->retry_after_msec)) {
			report_error("gave up: %s", why);
			return problem->kind == ANSWER_PROBLEM &&
					       text_equal(problem->code, TEXT("LOG_DAMAGED"))
				       ? EXIT_UNVERIFIED
				       : EXIT_UNREACHABLE;
		}
	}
}

enum exit_code
pull_stream_find(const struct cli_options *options, const struct position *position, bool *found)
{
	struct cli_options find = *options;
	struct replay replay = {.options = &find};
	char until[U64_DIGITS_MAX + HASH_TEXT_SIZE + 2];
	char link[HASH_TEXT_SIZE];
	enum exit_code code;

	hash_to_text(&position->link, link);
	snprintf(until, sizeof(until), "%" PRIu64 ":%.*s", position->seq, HASH_TEXT_SIZE, link);
	find.until = until;
	replay.transport = transport_new(options->url, options);
	if (replay.transport == NULL)
		return EXIT_USAGE;
	chain_genesis(text_of(options->log), &replay.at.link);
	code = replay_all(&replay);
	*found = code == EXIT_FINE && position_equal(&replay.at, position);
	if (is_absent(&replay))
		code = EXIT_FINE;
	report_progress_end();
	answer_release(&replay.problem);
	transport_free(replay.transport);
	return code;
}

enum exit_code
pull_stream_read(const struct cli_options *options, struct position *at, sourced_visitor *visit,
		 void *cookie)
{
	struct replay replay = {.options = options, .at = *at, .visit = visit, .cookie = cookie};
	struct until until;
	enum exit_code code;

	if (!until_read(options->until, &until))
		return EXIT_USAGE;
	replay.transport = transport_new(options->url, options);
	if (replay.transport == NULL)
		return EXIT_USAGE;
	code = replay_all(&replay);
	if (code == EXIT_FINE && !until_is(&until, &replay.at)) {
		report_error("the log ends at %" PRIu64 ", and not at --until=%s", replay.at.seq,
			     options->until);
		code = EXIT_UNVERIFIED;
	}
	*at = replay.at;
	report_progress_end();
	answer_release(&replay.problem);
	transport_free(replay.transport);
	return code;
}
