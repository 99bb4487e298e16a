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
features(void)
{
	return json_pack("[s, s, s, s, s, s, s, s]", "gzip", "locator", "meta", "ndjson",
			 "onConflict", "pull", "until", "wait");
}

static json_t *
limits_of(const struct api_limits *limits)
{
	return json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "payloadBytes",
		(json_int_t)limits->payload_bytes, "batchActions",
		(json_int_t)limits->batch_actions, "bodyBytes", (json_int_t)limits->body_bytes,
		"pageActions", (json_int_t)limits->page_actions, "pageBytes",
		(json_int_t)limits->page_bytes, "waitSec", (json_int_t)limits->wait_sec, "devices",
		(json_int_t)BATCH_DEVICES_MAX, "locatorPairs", (json_int_t)LOCATOR_PAIRS_MAX,
		"deviceBytes", (json_int_t)DEVICE_SIZE_MAX, "typeBytes", (json_int_t)TYPE_SIZE_MAX);
}

/* The document's text, from malloc; NULL when memory is out. */
static char *
make_document(const struct api_limits *limits)
{
	json_t *document =
		json_pack("{s:i, s:o, s:o, s:{s:I, s:b}, s:[], s:s, s:I}", "protocol", 1,
			  "features", features(), "limits", limits_of(limits), "clock", "maxSkewMs",
			  (json_int_t)limits->clock.max_skew_msec, "monotonic",
			  (int)limits->clock.monotonic, "receiptKeys", "auth", limits->auth_mode,
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
