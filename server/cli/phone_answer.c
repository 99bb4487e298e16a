#include "cli/phone_answer.h"

#include <stdio.h>
#include <string.h>

#define JSON_FLAGS (JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL)

bool
json_read_u64(const json_t *object, const char *name, uint64_t max, uint64_t *value)
{
	const json_t *member = json_object_get(object, name);

	if (!json_is_integer(member) || json_integer_value(member) < 0 ||
	    (uint64_t)json_integer_value(member) > max)
		return false;
	*value = (uint64_t)json_integer_value(member);
	return true;
}

bool
json_read_text(const json_t *object, const char *name, struct text *text)
{
	const json_t *member = json_object_get(object, name);

	if (!json_is_string(member))
		return false;
	*text = (struct text){json_string_value(member), json_string_length(member)};
	return true;
}

bool
json_read_hash(const json_t *object, const char *name, struct hash *hash)
{
	struct text digits;

	return json_read_text(object, name, &digits) && hash_from_text(digits, hash);
}

static bool
read_bool(const json_t *object, const char *name, bool *value)
{
	const json_t *member = json_object_get(object, name);

	if (!json_is_boolean(member))
		return false;
	*value = json_is_true(member);
	return true;
}

static bool
read_position(const json_t *object, const char *seq, const char *link, struct position *position)
{
	return json_read_u64(object, seq, SEQ_MAX, &position->seq) &&
	       json_read_hash(object, link, &position->link);
}

bool
json_read_logged(const json_t *object, struct logged *logged)
{
	struct action *action = &logged->kept.action;

	*logged = (struct logged){0};
	if (!json_read_u64(object, "seq", SEQ_MAX, &logged->seq) || logged->seq == 0 ||
	    !json_read_text(object, "device", &action->device) ||
	    !device_is_valid(action->device) || !json_read_u64(object, "ts", TS_MAX, &action->ts) ||
	    action->ts == 0)
		return false;
	if (json_is_true(json_object_get(object, "redacted"))) {
		logged->kept.redacted = true;
		return json_read_hash(object, "digest", &logged->kept.digest);
	}
	if (!json_read_text(object, "type", &action->type) || !type_is_valid(action->type) ||
	    !json_read_text(object, "payload", &action->payload))
		return false;
	phone_action_digest(&logged->kept);
	return true;
}

static bool
read_actions(const json_t *array, struct arena *arena, struct answer *answer)
{
	if (!json_is_array(array))
		return false;
	answer->missed_count = json_array_size(array);
	answer->missed = arena_calloc(arena, answer->missed_count, sizeof(*answer->missed));
	if (answer->missed == NULL)
		return false;
	for (size_t i = 0; i < answer->missed_count; i++) {
		if (!json_read_logged(json_array_get(array, i), &answer->missed[i]))
			return false;
	}
	return true;
}

static bool
read_result(const json_t *object, struct phone_result *result)
{
	*result = (struct phone_result){0};
	if (json_object_get(object, "refused") != NULL) {
		result->refused = true;
		json_read_u64(object, "aheadMs", UINT64_C(1) << 60, &result->ahead_ms);
		json_read_u64(object, "newest", TS_MAX, &result->newest);
		return json_read_text(object, "refused", &result->code);
	}
	result->duplicate = json_is_true(json_object_get(object, "duplicate"));
	return json_read_u64(object, "seq", SEQ_MAX, &result->seq) && result->seq > 0;
}

static bool
read_results(const json_t *array, struct arena *arena, struct answer *answer)
{
	if (!json_is_array(array))
		return false;
	answer->result_count = json_array_size(array);
	answer->results = arena_calloc(arena, answer->result_count, sizeof(*answer->results));
	if (answer->results == NULL)
		return false;
	for (size_t i = 0; i < answer->result_count; i++) {
		if (!read_result(json_array_get(array, i), &answer->results[i]))
			return false;
	}
	return true;
}

/* CONFLICT names the batch's actions that are in the log; without the member there are none. */
static bool
read_known(const json_t *array, struct arena *arena, struct answer *answer)
{
	uint64_t index = 0;

	if (array == NULL)
		return true;
	answer->known_count = json_array_size(array);
	answer->known = arena_calloc(arena, answer->known_count, sizeof(*answer->known));
	if (!json_is_array(array) || answer->known == NULL)
		return false;
	for (size_t i = 0; i < answer->known_count; i++) {
		const json_t *object = json_array_get(array, i);

		if (!json_read_u64(object, "index", SIZE_MAX >> 1, &index) ||
		    !json_read_u64(object, "seq", SEQ_MAX, &answer->known[i].seq))
			return false;
		answer->known[i].index = (size_t)index;
	}
	return true;
}

static enum retry
read_retry(struct text word)
{
	static const enum retry KNOWN[] = {RETRY_AFTER,	 RETRY_AUTH,	RETRY_SPLIT,
					   RETRY_REBASE, RETRY_RESTAMP, RETRY_SNAPSHOT};

	for (size_t i = 0; i < sizeof(KNOWN) / sizeof(KNOWN[0]); i++) {
		if (text_equal(word, text_of(retry_word(KNOWN[i]))))
			return KNOWN[i];
	}
	return RETRY_NEVER;
}

static bool
read_problem(struct arena *arena, struct answer *answer)
{
	const json_t *root = answer->root;
	struct text retry = {NULL, 0};
	struct text detail = TEXT("");
	uint64_t index = 0;

	if (!json_read_text(root, "code", &answer->code) || !json_read_text(root, "retry", &retry))
		return false;
	answer->retry = read_retry(retry);
	answer->has_index = json_read_u64(root, "index", SIZE_MAX >> 1, &index);
	answer->index = (size_t)index;
	answer->has_head =
		read_position(json_object_get(root, "head"), "seq", "stateHash", &answer->head);
	answer->has_ancestor = read_position(json_object_get(root, "ancestor"), "seq", "stateHash",
					     &answer->ancestor);
	json_read_u64(root, "aheadMs", UINT64_C(1) << 60, &answer->ahead_msec);
	json_read_u64(root, "newest", TS_MAX, &answer->newest);
	json_read_text(root, "detail", &detail);
	snprintf(answer->why, sizeof(answer->why), "%.*s: %.*s",
		 answer->code.size < 64 ? (int)answer->code.size : 64, answer->code.data,
		 detail.size < 240 ? (int)detail.size : 240, detail.data);
	if (arena == NULL || !text_equal(answer->code, TEXT("CONFLICT")))
		return true;
	return answer->has_head && read_actions(json_object_get(root, "missed"), arena, answer) &&
	       read_bool(root, "hasMore", &answer->has_more) &&
	       read_known(json_object_get(root, "duplicates"), arena, answer);
}

/* Reads what all answers have in common, and a problem as a whole. A success is left to the caller:
 * true then. */
static bool
read_common(const struct http_answer *http, struct arena *arena, struct answer *answer)
{
	static const char PROBLEM_TYPE[] = "application/problem+json";

	*answer = (struct answer){.retry_after_msec = http->retry_after_msec};
	if (!http->arrived) {
		snprintf(answer->why, sizeof(answer->why), "%s", http->problem);
		return false;
	}
	snprintf(answer->why, sizeof(answer->why), "HTTP status %ld, and not as the protocol says",
		 http->http);
	if (http->http == 502 || http->http == 504 || http->body.size == 0)
		return false;
	answer->root = json_loadb(http->body.data, http->body.size, JSON_FLAGS, NULL);
	if (!json_is_object(answer->root))
		return false;
	if (http->http == 200)
		answer->kind = ANSWER_SUCCESS;
	else if (strncmp(http->media_type, PROBLEM_TYPE, sizeof(PROBLEM_TYPE) - 1) == 0 &&
		 read_problem(arena, answer))
		answer->kind = ANSWER_PROBLEM;
	else
		return false;
	answer->has_time =
		json_read_u64(answer->root, "serverTimestamp", TS_MAX, &answer->server_msec);
	json_read_u64(answer->root, "retryAfterMs", UINT64_C(86400000), &answer->retry_after_msec);
	return answer->kind == ANSWER_SUCCESS;
}

static void
read_drift(const json_t *drift, struct answer *answer)
{
	answer->has_drift = json_read_u64(drift, "seq", SEQ_MAX, &answer->drift.seq) &&
			    json_read_u64(drift, "agree", UINT32_MAX, &answer->drift.agree) &&
			    json_read_u64(drift, "differ", UINT32_MAX, &answer->drift.differ);
}

static bool
read_sync(struct arena *arena, struct answer *answer)
{
	const json_t *root = answer->root;

	if (!read_position(root, "seq", "stateHash", &answer->head) ||
	    !json_read_u64(root, "applied", SIZE_MAX >> 1, &answer->applied) ||
	    !json_read_u64(root, "duplicates", SIZE_MAX >> 1, &answer->duplicates) ||
	    !json_read_u64(root, "refused", SIZE_MAX >> 1, &answer->refused) ||
	    !read_bool(root, "fastForward", &answer->fast_forward))
		return false;
	json_read_u64(root, "backoffMs", UINT64_C(86400000), &answer->backoff_msec);
	json_read_text(root, "receipt", &answer->receipt);
	read_drift(json_object_get(root, "drift"), answer);
	if (answer->fast_forward)
		return true;
	return read_results(json_object_get(root, "results"), arena, answer) &&
	       read_actions(json_object_get(root, "missed"), arena, answer) &&
	       read_bool(root, "hasMore", &answer->has_more);
}

void
answer_read_sync(const struct http_answer *http, struct arena *arena, struct answer *answer)
{
	if (read_common(http, arena, answer) && !read_sync(arena, answer))
		answer->kind = ANSWER_NONE;
}

void
answer_read_page(const struct http_answer *http, struct arena *arena, struct answer *answer)
{
	if (!read_common(http, arena, answer))
		return;
	if (!read_position(answer->root, "after", "prevHash", &answer->before) ||
	    !read_position(answer->root, "seq", "stateHash", &answer->head) ||
	    !read_actions(json_object_get(answer->root, "actions"), arena, answer) ||
	    !read_bool(answer->root, "hasMore", &answer->has_more))
		answer->kind = ANSWER_NONE;
}

void
answer_read_head(const struct http_answer *http, struct answer *answer)
{
	if (read_common(http, NULL, answer) &&
	    !read_position(answer->root, "seq", "stateHash", &answer->head))
		answer->kind = ANSWER_NONE;
}

void
answer_read_failure(const struct http_answer *http, struct answer *answer)
{
	if (read_common(http, NULL, answer))
		answer->kind = ANSWER_NONE;
}

void
answer_read_inline(json_t *problem, struct answer *answer)
{
	*answer = (struct answer){.root = json_incref(problem)};
	if (read_problem(NULL, answer))
		answer->kind = ANSWER_PROBLEM;
	else
		snprintf(answer->why, sizeof(answer->why), "the stream ended with an error");
	json_read_u64(problem, "retryAfterMs", UINT64_C(86400000), &answer->retry_after_msec);
}

/* A server that lists no features is taken to have them all: it says MALFORMED if not. */
static bool
has_feature(const json_t *features, const char *name)
{
	if (!json_is_array(features))
		return true;
	for (size_t i = 0; i < json_array_size(features); i++) {
		const char *feature = json_string_value(json_array_get(features, i));

		if (feature != NULL && strcmp(feature, name) == 0)
			return true;
	}
	return false;
}

bool
answer_read_limits(const struct http_answer *http, struct server_limits *limits)
{
	struct answer answer;
	bool read = read_common(http, NULL, &answer);

	if (read) {
		const json_t *bounds = json_object_get(answer.root, "limits");
		const json_t *policy = json_object_get(answer.root, "clock");
		const json_t *features = json_object_get(answer.root, "features");

		json_read_u64(bounds, "batchActions", UINT32_MAX, &limits->batch_actions);
		json_read_u64(bounds, "bodyBytes", UINT32_MAX, &limits->body_bytes);
		json_read_u64(policy, "maxSkewMs", TS_MAX, &limits->max_skew_msec);
		limits->locator = has_feature(features, "locator");
		limits->on_conflict = has_feature(features, "onConflict");
		limits->receipt = has_feature(features, "receipt");
		limits->state = has_feature(features, "state");
	}
	answer_release(&answer);
	return read;
}

void
answer_release(struct answer *answer)
{
	if (answer == NULL)
		return;
	json_decref(answer->root);
	answer->root = NULL;
}
