#include "cli/pull_stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/action_line.h"
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
	bool moved; /* by this stream */
	struct backoff backoff;
	struct answer problem; /* why the stream ended, unless by its last line */
	struct buffer out;     /* one line */
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
 * and is not printed. */
static enum status
take_action(struct replay *replay, const json_t *root)
{
	struct position next = replay->at;
	struct logged logged;
	struct hash claimed;

	if (!json_read_logged(root, &logged))
		return fail(replay, "the next line is no action");
	if (!chain_actions(&next, &logged, 1) || !json_read_hash(root, "link", &claimed) ||
	    !hash_equal(&next.link, &claimed))
		return fail(replay, "the next action does not link");
	replay->at = next;
	replay->moved = true;
	replay->out.size = 0;
	action_line_write(&replay->out, &logged);
	if (replay->out.failed ||
	    fwrite(replay->out.data, 1, replay->out.size, stdout) != replay->out.size) {
		report_error("stdout: cannot write");
		return STATUS_STORAGE_UNAVAILABLE;
	}
	report_progress("pulled", replay->at.seq, 0);
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
		if (problem->kind == ANSWER_PROBLEM && problem->retry != RETRY_AFTER) {
			report_error("%s", problem->why);
			return problem->retry == RETRY_AUTH ? EXIT_UNREACHABLE : EXIT_UNVERIFIED;
		}
		if (replay->moved)
			backoff_succeeded(&replay->backoff);
		why = problem->why[0] != '\0' ? problem->why : "the stream was cut";
		report_note("after action %" PRIu64 ": %s", replay->at.seq, why);
		if (!backoff_wait(&replay->backoff, problem->retry_after_msec)) {
			report_error("gave up: %s", why);
			return EXIT_UNREACHABLE;
		}
	}
}

/* --until: a seq, a link, or both with a colon between. */
struct until {
	bool has_seq, has_link;
	struct position position;
};

static bool
until_read(const char *text, struct until *until)
{
	const char *colon = strchr(text, ':');
	struct text seq = text_of(text);

	*until = (struct until){.has_seq = false};
	until->has_link = hash_from_text(seq, &until->position.link);
	if (until->has_link)
		return true;
	if (colon != NULL) {
		until->has_link = hash_from_text(text_of(colon + 1), &until->position.link);
		seq.size = (size_t)(colon - text);
	}
	until->has_seq = text_to_u64(seq, SEQ_MAX, &until->position.seq);
	return until->has_seq && (colon == NULL || until->has_link);
}

static bool
until_is(const struct until *until, const struct position *end)
{
	return (!until->has_seq || until->position.seq == end->seq) &&
	       (!until->has_link || hash_equal(&until->position.link, &end->link));
}

enum exit_code
pull_stream(const struct cli_options *options)
{
	struct replay replay = {.options = options, .at = {.seq = options->after}};
	struct until until = {.has_seq = false};
	enum exit_code code;

	if (options->until != NULL && !until_read(options->until, &until)) {
		report_error("--until=%s: SEQ, SEQ:LINK or LINK is needed", options->until);
		return EXIT_USAGE;
	}
	replay.transport = transport_new(options->url);
	if (replay.transport == NULL)
		return EXIT_USAGE;
	buffer_init(&replay.out, 6 * LINE_SIZE_MAX);
	chain_genesis(text_of(options->log), &replay.at.link);
	if (options->hash != NULL && !hash_from_text(text_of(options->hash), &replay.at.link)) {
		report_error("--hash=%s: 64 lower-case hex digits are needed", options->hash);
		code = EXIT_USAGE;
		goto free_transport;
	}
	code = replay_all(&replay);
	if (code == EXIT_FINE && !until_is(&until, &replay.at)) {
		report_error("the log ends at %" PRIu64 ", and not at --until=%s", replay.at.seq,
			     options->until);
		code = EXIT_UNVERIFIED;
	}
	report_progress_end();
	if (code != EXIT_LOCAL && !report_output_done())
		code = EXIT_LOCAL;

free_transport:
	answer_release(&replay.problem);
	buffer_release(&replay.out);
	transport_free(replay.transport);
	return code;
}
