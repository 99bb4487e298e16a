/* remove_online: content goes from a running daemon's logs, by its admin listener (admin/remove.h). */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "cli/json_text.h"
#include "cli/phone_answer.h"
#include "cli/remove.h"
#include "cli/report.h"

#define BODY_SIZE_MAX ((size_t)1 << 20)

#define NEXT_SIZE 128 /* of what a page says where the next begins */

/* A step may have to read a whole shard's file. */
#define STEP_MSEC_MAX UINT64_C(3600000)

/* A list, or a command line, may name many logs. */
static void
report_refusal(const struct removing *removing, const struct answer *answer)
{
	const struct removal *removal = removing->removal;

	if (removal != NULL && answer->kind == ANSWER_PROBLEM)
		report_error("log %.*s: %s", (int)removal->log.size, removal->log.data,
			     answer->why);
	else
		report_error("%s", answer->why);
}

/* Asks until the answer is none that says to ask again. The answer's root is a 200's, else NULL. body: NULL
 * for a GET. */
static enum exit_code
ask(struct removing *removing, const char *path, const struct buffer *body, struct answer *answer)
{
	const struct text text = {body == NULL ? "" : body->data, body == NULL ? 0 : body->size};
	struct http_answer http;

	http_answer_init(&http);
	for (;;) {
		transport_ask(removing->transport, path, body == NULL ? NULL : &text, STEP_MSEC_MAX,
			      &http);
		answer_read_failure(&http, answer);
		if (http.arrived && http.http == 200 && answer->root != NULL)
			break;
		const bool again = answer->kind == ANSWER_NONE || answer->retry == RETRY_AFTER;
		const bool is_damaged = answer->kind == ANSWER_PROBLEM &&
					text_equal(answer->code, TEXT("LOG_DAMAGED"));

		remove_look(removing);
		if (!again || is_damaged ||
		    !backoff_wait(&removing->backoff, answer->retry_after_msec)) {
			report_refusal(removing, answer);
			http_answer_release(&http);
			return again && !is_damaged ? EXIT_UNREACHABLE : EXIT_UNVERIFIED;
		}
		answer_release(answer);
	}
	backoff_succeeded(&removing->backoff);
	http_answer_release(&http);
	return EXIT_FINE;
}

static void
read_leftovers(struct removing *removing, const json_t *root, const char *member, bool in_the_way)
{
	const json_t *leftovers = json_object_get(root, member);

	for (size_t i = 0; i < json_array_size(leftovers); i++) {
		const char *path = json_string_value(json_array_get(leftovers, i));

		if (path != NULL)
			remove_add_leftover(removing, path, in_the_way);
	}
}

/* --- a log --- */

static void
write_actions(struct buffer *body, const struct removal *removal)
{
	char id[ID_TEXT_SIZE];

	buffer_append_text(body,
			   removal->ids_are_known ? TEXT(",\"actions\":[") : TEXT(",\"seqs\":["));
	for (size_t i = 0; i < removal->seq_count; i++) {
		if (i > 0)
			buffer_append_text(body, TEXT(","));
		if (!removal->ids_are_known) {
			buffer_append_u64(body, removal->seqs[i]);
			continue;
		}
		id_to_text(removal->ids[i], id);
		buffer_printf(body, "{\"seq\":%" PRIu64 ",\"id\":\"%.*s\"}", removal->seqs[i],
			      ID_TEXT_SIZE, id);
	}
	buffer_append_text(body, TEXT("]"));
}

static void
write_erasure(struct buffer *body, const struct removal *removal)
{
	buffer_printf(body, ",\"seq\":%" PRIu64 ",\"receivedBefore\":%" PRIu64 ",\"stateHash\":",
		      removal->upto, removal->received_before);
	json_write_hash(body, removal->erased_link);
	buffer_printf(body, ",\"reopened\":%s", removal->stays_open ? "true" : "false");
}

static const char *
write_body(struct buffer *body, const struct removal *removal, bool without_snapshot)
{
	buffer_append_text(body, TEXT("{\"log\":"));
	json_write_string(body, removal->log);
	switch (removal->kind) {
	case REMOVE_ACTIONS:
		write_actions(body, removal);
		break;
	case REMOVE_BEFORE:
		if (removal->upto < SEQ_MAX)
			buffer_printf(body, ",\"before\":%" PRIu64, removal->upto + 1);
		buffer_printf(body, ",\"receivedBefore\":%" PRIu64 ",\"withoutSnapshot\":%s",
			      removal->received_before, without_snapshot ? "true" : "false");
		break;
	case REMOVE_ALL:
		if (removal->erased_link != NULL)
			write_erasure(body, removal);
		break;
	case REMOVE_NOTHING:
	case REMOVE_BEGUN: /* the daemon's own */
		break;
	}
	buffer_append_text(body, TEXT(",\"overwrite\":false}"));
	return removal->kind == REMOVE_ACTIONS	? "/redact"
	       : removal->kind == REMOVE_ALL	? "/erase"
	       : removal->kind == REMOVE_BEFORE ? "/prune"
						: "/reopen";
}

static bool
read_ids(const json_t *root, struct removal *removal)
{
	const json_t *actions = json_object_get(root, "actions");

	if (removal->ids == NULL || removal->ids_are_known)
		return true;
	for (size_t i = 0; i < removal->seq_count; i++) {
		struct text id;

		if (!json_read_text(json_array_get(actions, i), "id", &id) ||
		    !id_from_text(id, removal->ids[i]))
			return false;
	}
	return true;
}

/* What of a step came is added up: each begins anew on the server. */
static bool
read_step(const json_t *root, struct removal *removal)
{
	struct head *head = &removal->head;
	const json_t *position = json_object_get(root, "head");
	uint64_t removed, absent, gone_before;

	if (!json_read_u64(root, "removed", SEQ_MAX, &removed) ||
	    !json_read_u64(root, "goneBefore", SEQ_MAX, &gone_before) ||
	    !json_read_u64(root, "absent", SEQ_MAX, &absent) ||
	    !json_read_u64(root, "pruned", SEQ_MAX, &head->gone.pruned) ||
	    !json_read_u64(root, "erasedAt", TS_MAX, &head->gone.erased_at) ||
	    !json_read_u64(position, "seq", SEQ_MAX, &head->position.seq) ||
	    !json_read_hash(position, "stateHash", &head->position.link) ||
	    !read_ids(root, removal))
		return false;
	removal->more = json_is_true(json_object_get(root, "more"));
	/* What was gone before a later step, an earlier one has taken. */
	if (removal->removed == 0)
		removal->gone_before = gone_before;
	removal->removed += removed;
	removal->absent = absent;
	return true;
}

enum exit_code
remove_online(struct removing *removing, struct removal *removal)
{
	enum exit_code code = EXIT_FINE;
	struct buffer body;
	const char *path;

	buffer_init(&body, BODY_SIZE_MAX);
	path = write_body(&body, removal, removing->options->without_snapshot);
	do {
		struct answer answer;

		code = body.failed ? EXIT_LOCAL : ask(removing, path, &body, &answer);
		if (body.failed)
			break;
		if (code == EXIT_FINE &&
		    (!read_step(answer.root, removal) ||
		     !json_read_u64(answer.root, "shards", SHARDS_MAX, &removing->shards))) {
			report_error("the answer is none of an admin listener: is --url that of "
				     "admin.listen?");
			code = EXIT_UNREACHABLE;
		}
		if (code == EXIT_FINE)
			read_leftovers(removing, answer.root, "inTheWay", true);
		answer_release(&answer);
		if (code == EXIT_FINE)
			remove_step_done(removing);
	} while (code == EXIT_FINE && removal->more);
	buffer_release(&body);
	return code;
}

/* --- which logs --- */

/* *next: where the page behind this one begins; empty: there is none. */
static enum exit_code
visit_page(struct removing *removing, const json_t *root, remove_visitor *visit,
	   char next[NEXT_SIZE])
{
	const json_t *logs = json_object_get(root, "logs");
	const char *behind = json_string_value(json_object_get(root, "next"));
	enum exit_code code = EXIT_FINE;

	(void)snprintf(next, NEXT_SIZE, "%s", behind != NULL ? behind : "");
	for (size_t i = 0; i < json_array_size(logs) && code == EXIT_FINE; i++) {
		const char *log = json_string_value(json_array_get(logs, i));

		if (log != NULL && log_name_is_valid(text_of(log)))
			code = visit(removing, log);
	}
	return code;
}

enum exit_code
remove_online_visit(struct removing *removing, remove_visitor *visit)
{
	enum exit_code code = EXIT_FINE;
	char next[NEXT_SIZE] = "", path[NEXT_SIZE + 32];

	do {
		struct answer answer;

		(void)snprintf(path, sizeof(path), "/snapshots%s%s",
			       next[0] != '\0' ? "?after=" : "", next);
		code = ask(removing, path, NULL, &answer);
		if (code == EXIT_FINE)
			code = visit_page(removing, answer.root, visit, next);
		answer_release(&answer);
	} while (code == EXIT_FINE && next[0] != '\0');
	return code;
}

/* --- the end --- */

static void
read_end(struct removing *removing, const json_t *root)
{
	uint64_t kept = 0;

	read_leftovers(removing, root, "leftovers", false);
	read_leftovers(removing, root, "inTheWay", true);
	(void)json_read_u64(root, "keptRecords", SEQ_MAX, &kept);
	removing->kept += kept;
}

static bool
is_touched(const struct removing *removing, uint64_t shard)
{
	bool is_touched = false;

	for (unsigned first = 0; first < SHARDS_MAX; first++) {
		const struct hash link = {.bytes = {(uint8_t)first}};

		is_touched |= removing->touched[first] &&
			      directory_shard_of(&link, (unsigned)removing->shards) == shard;
	}
	return is_touched;
}

enum exit_code
remove_online_end(struct removing *removing)
{
	enum exit_code code = EXIT_FINE;

	for (uint64_t shard = 0; shard < removing->shards && code == EXIT_FINE; shard++) {
		struct answer answer;
		struct buffer body;

		report_progress("overwritten shards", shard, removing->shards);
		if (!is_touched(removing, shard))
			continue;
		remove_look(removing);
		buffer_init(&body, BODY_SIZE_MAX);
		buffer_printf(&body, "{\"shard\":%" PRIu64 "}", shard);
		code = ask(removing, "/overwrite", &body, &answer);
		if (code == EXIT_FINE)
			read_end(removing, answer.root);
		answer_release(&answer);
		buffer_release(&body);
	}
	return code;
}
