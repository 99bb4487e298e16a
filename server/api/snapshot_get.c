/*
 * GET …/snapshots/latest and …/snapshots/{seq} (protocol, section 4.6).
 *
 *     find: the newest that the log has the position of ─▶ 304, or
 *     verify ─▶ park ─▶ verify …   the whole of it, in bounded steps; what has rotted is set aside, and
 *                                  the next older one is looked at
 *     pull, pull, …                verified once more as it leaves: the last piece is held back until then
 */
#include <inttypes.h>
#include <string.h>

#include "api/call.h"
#include "api/etag.h"
#include "api/pay.h"
#include "api/snapshot.h"
#include "base/metrics.h"

#define VERIFY_BYTES ((size_t)1 << 20) /* before others have their turn */
#define PIECE_BYTES ((size_t)64 * 1024)

struct get {
	struct snapshot_list list;
	size_t next; /* of it */
	struct snapshot_source source;
};

static struct snapshots *
folder_of(const struct call *call)
{
	return snapshot_keeper_folder(call->api->snapshots);
}

static void
leave(struct call *call)
{
	struct get *get = call->work;
	snapshot_source_close(&get->source);
	snapshot_keeper_leave(call->api->snapshots);
}

static void
refuse(struct call *call, enum status status)
{
	call_refuse(call, status,
		    status == STATUS_NO_SNAPSHOT
			    ? TEXT("The log has no such snapshot: replay it from an older state.")
		    : status == STATUS_STORAGE_UNAVAILABLE
			    ? TEXT("Snapshots cannot be read now; ask again later.")
			    : TEXT(""));
}

static bool
is_head(const struct call *call)
{
	return text_equal(request_method(call->request), TEXT("HEAD"));
}

/* --- which one --- */

static bool
is_asked_for(const struct route *route, uint64_t seq)
{
	return route->snapshot > 0 ? seq == route->snapshot
				   : route->before == 0 || seq < route->before;
}

/* Opens the next older one that may be served. */
static enum status
open_next(struct call *call, struct get *get)
{
	const struct route *route = &call->route;
	struct head head;
	snapshot_source_close(&get->source);
	while (get->next < get->list.count) {
		const uint64_t seq = get->list.seqs[get->next++];
		if (!is_asked_for(route, seq))
			continue;
		enum status status =
			snapshots_read(folder_of(call), &route->genesis, seq, &get->source);
		if (status == STATUS_OK)
			status = store_has(call->api->store, route_log(route), &route->genesis,
					   &get->source.facts.position, &head);
		else if (status != STATUS_NO_SNAPSHOT)
			return status;
		if (status == STATUS_OK)
			return STATUS_OK;
		/* Of a history that the log has not, or not any more; or it cannot be told of this one. */
		snapshot_source_close(&get->source);
	}
	const enum status status =
		store_head(call->api->store, route_log(route), &route->genesis, &head);
	return status == STATUS_OK || status == STATUS_LOG_DAMAGED ? STATUS_NO_SNAPSHOT : status;
}

/* --- the answer --- */

static void
add_u64(struct call *call, const char *name, uint64_t value)
{
	char digits[U64_DIGITS_MAX];
	const char *end = u64_put(digits, value);
	request_add_header(call->request, name, (struct text){digits, (size_t)(end - digits)});
}

static struct text
text_in(const struct snapshot_text *text)
{
	return (struct text){text->data, text->size};
}

static void
add_headers(struct call *call, const struct snapshot_facts *facts, struct text etag)
{
	char link[HASH_TEXT_SIZE];
	hash_to_text(&facts->position.link, link);
	request_add_header(call->request, "ETag", etag);
	request_add_header(call->request, "Cache-Control", TEXT("private, no-cache"));
	add_u64(call, SNAPSHOT_SEQ, facts->position.seq);
	request_add_header(call->request, SNAPSHOT_STATE_HASH, (struct text){link, sizeof(link)});
	if (facts->app_version.size > 0)
		request_add_header(call->request, SNAPSHOT_APP_VERSION,
				   text_in(&facts->app_version));
	/* It is somebody's data, whatever it says it is. */
	request_add_header(call->request, "Content-Disposition", TEXT("attachment"));
}

static void
set_aside(struct call *call, struct get *get)
{
	snapshots_set_aside(folder_of(call), &call->route.genesis, get->source.facts.position.seq);
}

/* A buffer that failed cuts the connection. */
static bool
pull(void *cookie, struct request *request, struct buffer *out)
{
	(void)cookie;
	struct call *call = call_of(request);
	struct get *get = call->work;
	struct snapshot_source *source = &get->source;
	size_t got = 0;
	char *to = buffer_reserve(out, PIECE_BYTES);
	if (!to)
		return false;
	const enum status status = snapshot_source_read(source, to, PIECE_BYTES, &got);
	if (status != STATUS_OK) {
		out->failed = true;
		set_aside(call, get);
		return false;
	}
	out->size += got;
	return source->at < source->facts.size;
}

static void
answer(struct call *call, struct get *get)
{
	const struct snapshot_facts *facts = &get->source.facts;
	char etag[SNAPSHOT_ETAG_SIZE];
	const size_t etag_size = snapshot_etag(facts, etag);
	struct request *request = call->request;
	const struct text media_type =
		arena_copy(request_arena(request), text_in(&facts->media_type));
	if (!media_type.data) {
		refuse(call, STATUS_INTERNAL);
		return;
	}
	if (!is_head(call)) {
		counter_add(COUNTER_SNAPSHOTS_SENT, 1);
		pay_answer(call, facts->size);
	}
	add_headers(call, facts, (struct text){etag, etag_size});
	request_stream_sized(request, media_type.data, facts->size, pull);
}

static bool
answer_unchanged(struct call *call, struct get *get)
{
	char etag[SNAPSHOT_ETAG_SIZE];
	const struct text text = {etag, snapshot_etag(&get->source.facts, etag)};
	if (!etag_matches(request_header(call->request, "If-None-Match"), text))
		return false;
	add_headers(call, &get->source.facts, text);
	request_answer(call->request, 304, NULL, NULL);
	return true;
}

/* --- verifying --- */

static void verify(void *cookie, struct request *);

static void
look(struct call *call, struct get *get)
{
	const enum status status = open_next(call, get);
	if (status != STATUS_OK)
		refuse(call, status);
	else if (answer_unchanged(call, get))
		return;
	else if (is_head(call))
		answer(call, get); /* of the body nothing is sent, and so nothing is read */
	else
		verify(call->api, call->request);
}

static void
verify(void *cookie, struct request *request)
{
	(void)cookie;
	struct call *call = call_of(request);
	struct get *get = call->work;
	bool verified = false;
	const enum status status = snapshot_source_verify(&get->source, VERIFY_BYTES, &verified);
	if (status != STATUS_OK) {
		set_aside(call, get);
		look(call, get);
	} else if (verified) {
		answer(call, get);
	} else {
		request_park(request);
		request_resume(request, verify);
	}
}

void
serve_snapshot_get(struct call *call)
{
	struct get *get = arena_calloc(request_arena(call->request), 1, sizeof(*get));
	struct head head;
	if (!get) {
		refuse(call, STATUS_INTERNAL);
		return;
	}
	if (call_look(call, &head) == STATUS_OK && head.gone.erased_at > 0) {
		call_refuse_gone(call, &head);
		return;
	}
	get->source.fd = -1;
	if (!snapshot_keeper_enter(call->api->snapshots)) {
		call_refuse(call, STATUS_BACKPRESSURE,
			    TEXT("As many snapshots as may be are sent and received now; ask again "
				 "later."));
		return;
	}
	call->work = get;
	call->leave = leave;
	const enum status status =
		snapshots_list(folder_of(call), &call->route.genesis, &get->list);
	if (status != STATUS_OK)
		refuse(call, status);
	else
		look(call, get);
}
