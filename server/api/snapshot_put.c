/*
 * PUT …/snapshots/{seq} (protocol, section 4.6).
 *
 *     begin_snapshot_put: headers, and whether the log has that position, before a byte of it is read
 *     take: each piece of the body goes into a file as it comes, and is paid for
 *     serve_snapshot_put: park ─▶ snapshot_keeper_submit
 *     done (the keeper) ─▶ resume ─▶ answer
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/admit.h"
#include "api/call.h"
#include "api/pay.h"
#include "api/snapshot.h"
#include "api/wire.h"
#include "base/check.h"
#include "base/clock.h"

#define ANSWER_SIZE 512
#define DETAIL_SIZE 256

/* Bytes between two looks at what they cost and whether there is room for more. */
#define LOOK_BYTES ((uint64_t)1 << 20)

struct put {
	struct snapshot_job job;
	bool entered;  /* counted as a transfer, and there is a draft */
	uint64_t paid; /* bytes of the body */
};

size_t
snapshot_etag(const struct snapshot_facts *facts, char etag[SNAPSHOT_ETAG_SIZE])
{
	char digits[HASH_TEXT_SIZE];
	hash_to_text(&facts->checksum, digits);
	return (size_t)snprintf(etag, SNAPSHOT_ETAG_SIZE, "\"%" PRIu64 "-%.32s\"",
				facts->position.seq, digits);
}

/* --- refusals --- */

static void
refuse_busy(struct call *call)
{
	call_refuse(call, STATUS_BACKPRESSURE,
		    TEXT("As many snapshots as may be are sent and received now. Nothing was "
			 "stored; send the same again later."));
}

static void
refuse_position(struct call *call, enum status status, const struct head *head)
{
	char detail[DETAIL_SIZE];
	const uint64_t seq = call->route.snapshot;
	switch (status) {
	case STATUS_SERVER_BEHIND:
		snprintf(detail, sizeof(detail),
			 "The snapshot is of seq %ju, and the log ends at %ju. Sync first.",
			 (uintmax_t)seq, (uintmax_t)head->position.seq);
		call_refuse_at(call, status, text_of(detail), &head->position, NULL);
		break;
	case STATUS_HASH_MISMATCH:
		snprintf(detail, sizeof(detail),
			 "The log has another link at seq %ju than " SNAPSHOT_STATE_HASH
			 ". Sync first: the state was made from another history.",
			 (uintmax_t)seq);
		call_refuse_at(call, status, text_of(detail), &head->position, NULL);
		break;
	case STATUS_LOG_DAMAGED:
		call_refuse_at(call, status,
			       TEXT("What is stored of this log does not verify after head."),
			       &head->position, NULL);
		break;
	case STATUS_ERASED:
	case STATUS_PRUNED:
		call_refuse_gone(call, head);
		break;
	case STATUS_STORAGE_UNAVAILABLE:
		call_refuse(call, status,
			    TEXT("The snapshot could not be stored. Send the same again later."));
		break;
	default:
		call_refuse(call, status, TEXT(""));
		break;
	}
}

/* --- the head --- */

static bool
is_word(struct text text)
{
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] < ' ' || text.data[i] > '~')
			return false;
	}
	return text.size <= SNAPSHOT_TEXT_MAX;
}

static bool
refuse_header(struct call *call, struct text detail)
{
	call_refuse(call, STATUS_MALFORMED, detail);
	return false;
}

/* False: the request was answered. */
static bool
read_headers(struct call *call, struct snapshot_facts *facts)
{
	unsigned hashes = 0, versions = 0;
	const struct text hash = request_header_once(call->request, SNAPSHOT_STATE_HASH, &hashes);
	const struct text version =
		request_header_once(call->request, SNAPSHOT_APP_VERSION, &versions);
	struct text media_type = request_content_type(call->request);
	if (call->status != STATUS_OK)
		return refuse_header(call, text_of(call->fault.detail));
	if (hashes != 1 || !hash_from_text(hash, &facts->position.link))
		return refuse_header(call, TEXT(SNAPSHOT_STATE_HASH
						": must be there once, with the link at this seq, "
						"64 lower-case hex digits."));
	if (versions > 1 || !is_word(version))
		return refuse_header(call, TEXT(SNAPSHOT_APP_VERSION
						": must be there once at most, with up to 128 "
						"printable characters of ASCII."));
	if (media_type.size == 0)
		media_type = TEXT(SNAPSHOT_MEDIA_TYPE);
	if (!is_word(media_type) || !memchr(media_type.data, '/', media_type.size))
		return refuse_header(call, TEXT("Content-Type: must be a media type of up to 128 "
						"printable characters of ASCII."));
	facts->position.seq = call->route.snapshot;
	facts->genesis = call->route.genesis;
	facts->received_at = clock_server_msec();
	(void)snapshot_text_set(&facts->log, route_log(&call->route));
	(void)snapshot_text_set(&facts->media_type, media_type);
	(void)snapshot_text_set(&facts->app_version, version);
	(void)snapshot_text_set(&facts->writer, identity_subject(call->identity));
	return true;
}

/* Then it is refused for that before all that its headers may have wrong. What is compressed is measured
 * as it comes. */
static bool
is_too_big(const struct call *call)
{
	if (request_header(call->request, "Content-Encoding").size > 0)
		return false;
	unsigned count = 0;
	uint64_t size = 0;
	const struct text length = request_header_once(call->request, "Content-Length", &count);
	return text_to_u64(length, UINT64_MAX, &size) && size > call->limits->snapshot_bytes;
}

/* --- the body --- */

static enum status
take(struct request *request, const char *data, size_t size)
{
	struct call *call = call_of(request);
	struct put *put = call->work;
	const uint64_t *received = &put->job.draft.facts.size;
	CHECK(put->entered);
	const enum status status = snapshot_draft_append(&put->job.draft, data, size);
	if (status != STATUS_OK || *received < put->paid + LOOK_BYTES)
		return status;
	pay_bytes(call, *received - put->paid);
	put->paid = *received;
	return store_has_room(call->api->store) ? STATUS_OK : STATUS_STORAGE_UNAVAILABLE;
}

static void
leave(struct call *call)
{
	struct put *put = call->work;
	if (!put->entered)
		return;
	snapshot_draft_discard(&put->job.draft, false);
	snapshot_keeper_leave(call->api->snapshots);
	put->entered = false;
}

static void
begin_draft(struct call *call, struct put *put)
{
	struct snapshot_keeper *keeper = call->api->snapshots;
	struct snapshot_draft *draft = &put->job.draft;
	struct head head;
	if (!read_headers(call, &draft->facts))
		return;
	enum status status = store_has(call->api->store, route_log(&call->route),
				       &call->route.genesis, &draft->facts.position, &head);
	if (status != STATUS_OK) {
		refuse_position(call, status, &head);
		return;
	}
	if (!admit_room(call))
		return;
	if (!snapshot_keeper_enter(keeper)) {
		refuse_busy(call);
		return;
	}
	put->entered = true;
	status = snapshots_begin(snapshot_keeper_folder(keeper), draft);
	if (status != STATUS_OK)
		refuse_position(call, status, &head);
}

void
begin_snapshot_put(struct call *call)
{
	struct put *put = arena_calloc(request_arena(call->request), 1, sizeof(*put));
	if (!put) {
		call_refuse(call, STATUS_INTERNAL, TEXT("memory is out"));
		return;
	}
	put->job.draft.fd = -1;
	call->work = put;
	call->leave = leave;
	if (call->route.log_size > 0 && !admit_snapshot(call))
		return;
	if (!is_too_big(call))
		begin_draft(call, put);
	if (!request_answered(call->request))
		request_pass_body(call->request, call->limits->snapshot_bytes, take);
}

/* --- the answer --- */

static void
answer_stored(struct call *call, const struct put *put)
{
	const struct snapshot_facts *facts = &put->job.draft.facts;
	char etag[SNAPSHOT_ETAG_SIZE];
	const size_t etag_size = snapshot_etag(facts, etag);
	struct buffer out;
	buffer_init(&out, ANSWER_SIZE);
	buffer_append_text(&out, TEXT("{\"seq\":"));
	buffer_append_u64(&out, facts->position.seq);
	buffer_append_text(&out, TEXT(",\"stateHash\":"));
	wire_write_hash(&out, &facts->position.link);
	buffer_append_text(&out, TEXT(",\"bytes\":"));
	buffer_append_u64(&out, facts->size);
	buffer_append_text(&out, put->job.kept ? TEXT(",\"kept\":true") : TEXT(",\"kept\":false"));
	write_server_timestamp(&out);
	buffer_append_text(&out, TEXT("}"));
	request_add_header(call->request, "ETag", (struct text){etag, etag_size});
	call_answer(call, &out);
}

static void
answer(void *cookie, struct request *request)
{
	(void)cookie;
	struct call *call = call_of(request);
	struct put *put = call->work;
	if (put->job.status == STATUS_OK)
		answer_stored(call, put);
	else if (put->job.status == STATUS_BACKPRESSURE)
		refuse_busy(call);
	else
		refuse_position(call, put->job.status, &put->job.head);
}

/* On the keeper's thread. */
static void
done(struct snapshot_job *job)
{
	request_resume(job->cookie, answer);
}

void
serve_snapshot_put(struct call *call)
{
	struct request *request = call->request;
	struct put *put = call->work;
	const uint64_t size = put->job.draft.facts.size;
	if (size == 0) {
		call_refuse(call, STATUS_MALFORMED, TEXT("The body is empty."));
		return;
	}
	pay_bytes(call, size - put->paid);
	put->paid = size;
	snapshot_draft_finish(&put->job.draft);
	put->job.log = route_log(&call->route);
	put->job.done = done;
	put->job.cookie = request;
	/* Parked before the keeper hears of it; when it took it, the request may be over by now. */
	request_park(request);
	if (snapshot_keeper_submit(call->api->snapshots, &put->job) == STATUS_OK)
		return;
	put->job.status = STATUS_BACKPRESSURE;
	request_resume(request, answer);
}
