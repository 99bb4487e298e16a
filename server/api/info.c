/*
 * GET /v1/info (protocol, section 4.5).
 */
#include "api/call.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "api/route.h"
#include "base/clock.h"

#define ANSWER_SIZE 4096

/* What of the protocol's optional parts this server has. */
static json_t *
features(const struct api_limits *limits)
{
	json_t *names = json_pack("[s, s, s, s, s, s, s, s]", "gzip", "locator", "meta", "ndjson",
				  "onConflict", "pull", "snapshots", "until");
	const bool waits = limits_let_wait(limits);
	bool added = names != NULL;
	if (added && waits)
		added = json_array_append_new(names, json_string("events")) == 0;
	if (added && waits && limits->wait_sec > 0)
		added = json_array_append_new(names, json_string("wait")) == 0;
	if (added && limits->signers->count > 0)
		added = json_array_append_new(names, json_string("receipt")) == 0;
	if (added && limits->states)
		added = json_array_append_new(names, json_string("state")) == 0;
	if (added)
		return names;
	json_decref(names);
	return NULL;
}

static json_t *
limits_of(const struct api_limits *limits)
{
	return json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
		"payloadBytes", (json_int_t)limits->payload_bytes, "batchActions",
		(json_int_t)limits->batch_actions, "bodyBytes", (json_int_t)limits->body_bytes,
		"pageActions", (json_int_t)limits->page_actions, "pageBytes",
		(json_int_t)limits->page_bytes, "waitSec",
		limits_let_wait(limits) ? (json_int_t)limits->wait_sec : 0, "devices",
		(json_int_t)BATCH_DEVICES_MAX, "locatorPairs", (json_int_t)LOCATOR_PAIRS_MAX,
		"deviceBytes", (json_int_t)DEVICE_SIZE_MAX, "typeBytes", (json_int_t)TYPE_SIZE_MAX,
		"logActions", (json_int_t)limits->quota.log_actions, "logBytes",
		(json_int_t)limits->quota.log_bytes, "subjectLogs",
		(json_int_t)limits->quota.subject_logs, "snapshotBytes",
		(json_int_t)limits->snapshot_bytes);
}

/* Whoever trusts them has them from elsewhere, too: a server that lies about a log can lie here. */
static json_t *
receipt_keys(const struct receipt_signers *signers)
{
	json_t *keys = json_array();
	for (size_t i = 0; keys != NULL && i < signers->count; i++) {
		char text[NOTE_KEY_TEXT_MAX];
		const size_t size = note_key_write(&signers->signers[i].key, text);
		if (json_array_append_new(keys, json_stringn(text, size)) == -1) {
			json_decref(keys);
			return NULL;
		}
	}
	return keys;
}

/* The document's text, from malloc; NULL when memory is out. */
static char *
make_document(const struct api_limits *limits)
{
	json_t *document = json_pack("{s:i, s:o, s:o, s:{s:I, s:b}, s:o, s:s, s:I}", "protocol", 1,
				     "features", features(limits), "limits", limits_of(limits),
				     "clock", "maxSkewMs", (json_int_t)limits->clock.max_skew_msec,
				     "monotonic", (int)limits->clock.monotonic, "receiptKeys",
				     receipt_keys(limits->signers), "auth", limits->auth_mode,
				     "serverTimestamp", (json_int_t)clock_server_msec());
	char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
	json_decref(document);
	return text;
}

void
serve_info(struct call *call)
{
	struct buffer out;
	char *text = make_document(call->limits);
	if (!text) {
		call_refuse(call, STATUS_INTERNAL, TEXT("memory is out"));
		return;
	}
	buffer_init(&out, ANSWER_SIZE);
	buffer_append_text(&out, text_of(text));
	call_answer(call, &out);
	free(text);
}
