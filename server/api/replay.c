/*
 * GET …/actions (protocol, section 4.2).
 *
 *     look ─┬─▶ call_wait ─▶ look                      nothing is after `after` yet
 *           ├─▶ find_until ─▶ seek_link ─▶ sought     where until is; a link alone is searched for
 *           └─▶ begin_answer ─┬─▶ answer_page          JSON
 *                             └─▶ pull, pull, …        NDJSON, one bounded read each
 *
 * What is asked for is fixed when the answer begins: up to `until`, else up to the head at that
 * time. A damaged log is served up to its last good row, and then says so.
 */
#include "api/call.h"

#include <stdio.h>

#include "api/page.h"
#include "api/pay.h"
#include "api/problem.h"
#include "api/seek.h"
#include "api/wire.h"
#include "base/clock.h"
#include "base/log.h"

#define STREAM_STEP_ROWS 500	      /* rows and … */
#define STREAM_STEP_BYTES (64 * 1024) /* … bytes of one piece of a stream */
#define ANSWER_SIZE 1024	      /* a page without its actions */
#define DETAIL_SIZE 256

struct replay {
	struct head head; /* when the answer began; of a damaged log the last good position */
	bool damaged;
	bool has_until; /* and it was found: the answer is whole when it is reached */
	uint64_t upto;	/* last seq of the answer */

	/* NDJSON. */
	bool begun;
	struct position at; /* of the last row sent */
	uint64_t left;	    /* rows still wanted */
	uint64_t count;	    /* rows sent */
	uint64_t step_rows; /* rows of this piece */
};

#define DAMAGE                                                                                     \
	"What is stored of this log does not verify after head. Nothing after it can be read "     \
	"until "                                                                                   \
	"the operator has repaired it."

static void
refuse_damaged(struct call *call, const struct position *last_good)
{
	call_refuse_at(call, STATUS_LOG_DAMAGED, TEXT(DAMAGE), last_good, NULL);
}

/* A read failed before anything was answered. */
static void
refuse_read(struct call *call, enum status status, const struct position *last_good)
{
	if (status == STATUS_LOG_DAMAGED)
		refuse_damaged(call, last_good);
	else
		call_refuse(call, status,
			    status == STATUS_STORAGE_UNAVAILABLE
				    ? TEXT("The log cannot be read now; ask again later.")
				    : TEXT(""));
}

/* --- JSON --- */

static void
write_page_end(struct buffer *out, const struct replay *replay, const struct position *end,
	       bool has_more)
{
	buffer_append_text(out, TEXT(",\"seq\":"));
	buffer_append_u64(out, end->seq);
	buffer_append_text(out, TEXT(",\"stateHash\":"));
	wire_write_hash(out, &end->link);
	buffer_append_text(out, TEXT(",\"head\":"));
	wire_write_position(out, &replay->head.position);
	buffer_append_text(out, has_more ? TEXT(",\"hasMore\":true") : TEXT(",\"hasMore\":false"));
	write_server_timestamp(out);
	buffer_append_text(out, TEXT("}"));
}

static void
answer_page(struct call *call)
{
	const struct replay *replay = call->work;
	const struct route *route = &call->route;
	const struct api_limits *limits = call->limits;
	struct buffer out, rows;
	buffer_init(&out, ANSWER_SIZE + page_size_max(limits));
	buffer_init(&rows, page_size_max(limits));
	struct page page = {.out = &rows,
			    .rows_max = limits->page_actions,
			    .bytes_max = limits->page_bytes,
			    .meta = route->meta};
	if (route->limit > 0 && route->limit < page.rows_max)
		page.rows_max = route->limit;
	enum status status = page_read(call, route->after, replay->upto, &page);
	if (status != STATUS_OK && (status != STATUS_LOG_DAMAGED || page.rows == 0)) {
		refuse_read(call, status, &page.end);
		goto release;
	}
	bool has_more = page.end.seq < replay->upto || (replay->damaged && !replay->has_until);
	buffer_append_text(&out, TEXT("{\"after\":"));
	buffer_append_u64(&out, route->after);
	buffer_append_text(&out, TEXT(",\"prevHash\":"));
	wire_write_hash(&out, &page.start.link);
	buffer_append_text(&out, TEXT(",\"actions\":"));
	buffer_append(&out, rows.data, rows.size);
	write_page_end(&out, replay, &page.end, has_more);
	out.failed = out.failed || rows.failed;
	call_answer(call, &out);
release:
	buffer_release(&rows);
	buffer_release(&out);
}

/* --- NDJSON --- */

static void
write_header(struct buffer *out, const struct call *call)
{
	const struct replay *replay = call->work;
	buffer_append_text(out, TEXT("{\"after\":"));
	buffer_append_u64(out, call->route.after);
	buffer_append_text(out, TEXT(",\"prevHash\":"));
	wire_write_hash(out, &replay->at.link);
	buffer_append_text(out, TEXT("}\n"));
}

static void
write_trailer(struct buffer *out, const struct replay *replay)
{
	buffer_append_text(out, TEXT("{\"count\":"));
	buffer_append_u64(out, replay->count);
	buffer_append_text(out, TEXT(",\"seq\":"));
	buffer_append_u64(out, replay->at.seq);
	buffer_append_text(out, TEXT(",\"stateHash\":"));
	wire_write_hash(out, &replay->at.link);
	write_server_timestamp(out);
	buffer_append_text(out, TEXT("}\n"));
}

static void
write_error(struct buffer *out, const struct call *call, enum status status, uint64_t wait_msec)
{
	const struct replay *replay = call->work;
	struct problem problem = {.status = status, .retry_after_msec = wait_msec};
	struct buffer members;
	log_limited(LOG_WARN, "api", "replay broken off",
		    LOG_STR("code", status_info(status)->code),
		    LOG_TEXT("log", route_log(&call->route)), LOG_U64("seq", replay->at.seq),
		    LOG_REQUEST(call->request));
	buffer_init(&members, ANSWER_SIZE);
	if (status == STATUS_LOG_DAMAGED) {
		problem.detail = TEXT(DAMAGE);
		buffer_append_text(&members, TEXT("\"head\":"));
		wire_write_position(&members, &replay->at);
		if (!members.failed)
			problem.members = (struct text){members.data, members.size};
	}
	buffer_append_text(out, TEXT("{\"error\":"));
	problem_write(out, &problem, request_id(call->request));
	buffer_append_text(out, TEXT("}\n"));
	buffer_release(&members);
}

struct piece {
	struct replay *replay;
	struct buffer *out;
	bool meta;
};

static bool
visit(void *cookie, const struct row *row)
{
	struct piece *piece = cookie;
	if (piece->replay->step_rows > 0 && piece->out->size >= STREAM_STEP_BYTES)
		return false;
	wire_write_row(piece->out, row, piece->meta);
	buffer_append_text(piece->out, TEXT("\n"));
	piece->replay->step_rows++;
	return true;
}

static enum status
stream_step(struct call *call, struct buffer *out)
{
	struct replay *replay = call->work;
	struct piece piece = {.replay = replay, .out = out, .meta = call->route.meta};
	const struct range range = {.after = replay->at.seq,
				    .upto = replay->upto,
				    .rows_max = replay->left < STREAM_STEP_ROWS ? replay->left
										: STREAM_STEP_ROWS};
	struct position start, end;
	replay->step_rows = 0;
	enum status status = store_read(call->api->store, route_log(&call->route),
					&call->route.genesis, &range, visit, &piece, &start, &end);
	if (status == STATUS_OK && replay->step_rows == 0)
		status = STATUS_INTERNAL; /* neither a row nor a reason: do not go round for ever */
	if (replay->step_rows > 0 && (status == STATUS_OK || status == STATUS_LOG_DAMAGED)) {
		replay->at = end;
		replay->count += replay->step_rows;
		replay->left -= replay->step_rows;
	}
	return status;
}

static bool
has_more(const struct replay *replay)
{
	return replay->left > 0 && replay->at.seq < replay->upto;
}

static bool
pull(void *cookie, struct request *request, struct buffer *out)
{
	(void)cookie;
	struct call *call = call_of(request);
	struct replay *replay = call->work;
	uint64_t wait_msec = 0;
	if (!replay->begun) {
		write_header(out, call);
		replay->begun = true;
	}
	if (has_more(replay)) {
		enum status status = stream_step(call, out);
		const bool paid = pay_piece(call, out->size, &wait_msec);
		if (status == STATUS_OK && !paid && has_more(replay))
			status = STATUS_RATE_LIMITED;
		if (status == STATUS_OK)
			return true;
		write_error(out, call, status, wait_msec);
		return false;
	}
	bool whole = replay->left == 0 || !replay->damaged || replay->has_until;
	if (whole)
		write_trailer(out, replay);
	else
		write_error(out, call, STATUS_LOG_DAMAGED, 0);
	(void)pay_piece(call, out->size, &wait_msec);
	return false;
}

static bool
visit_none(void *cookie, const struct row *row)
{
	(void)cookie;
	(void)row;
	return false;
}

/* The position at a seq that is not beyond the head. */
static enum status
read_position(const struct call *call, uint64_t seq, struct position *position)
{
	const struct range none = {.after = seq, .upto = seq, .rows_max = 1};
	struct position end;
	enum status status =
		store_read(call->api->store, route_log(&call->route), &call->route.genesis, &none,
			   visit_none, NULL, position, &end);
	if (status == STATUS_LOG_DAMAGED)
		*position = end;
	return status;
}

/* The status line says that it will work, so the first position is read before it leaves. */
static void
begin_stream(struct call *call)
{
	struct replay *replay = call->work;
	enum status status = read_position(call, call->route.after, &replay->at);
	if (status != STATUS_OK) {
		refuse_read(call, status, &replay->at);
		return;
	}
	replay->left = call->route.limit > 0 ? call->route.limit : UINT64_MAX;
	request_add_header(call->request, "Cache-Control", TEXT("no-store"));
	request_stream(call->request, 200, "application/x-ndjson", pull);
}

static void
begin_answer(struct call *call)
{
	if (call->route.media == MEDIA_NDJSON)
		begin_stream(call);
	else
		answer_page(call);
}

static void
refuse_beyond(struct call *call)
{
	const struct replay *replay = call->work;
	const struct position *head = &replay->head.position;
	char detail[DETAIL_SIZE];
	if (replay->damaged) {
		refuse_damaged(call, head);
		return;
	}
	snprintf(detail, sizeof(detail),
		 "after is seq %ju, and the log ends at %ju: the server may have lost what was "
		 "after it. "
		 "Go back to a state that both have, and send what the server lacks.",
		 (uintmax_t)call->route.after, (uintmax_t)head->seq);
	call_refuse_at(call, STATUS_SERVER_BEHIND, text_of(detail), head, NULL);
}

/* --- until --- */

static void
refuse_until(struct call *call)
{
	const struct replay *replay = call->work;
	if (replay->damaged)
		refuse_damaged(call,
			       &replay->head.position); /* it may be in the part that is lost */
	else
		call_refuse(call, STATUS_UNKNOWN_STATE,
			    TEXT("until: the log has no such position, or another link there."));
}

static void
begin_until(struct call *call, uint64_t seq)
{
	struct replay *replay = call->work;
	replay->upto = seq;
	replay->has_until = true;
	if (seq < call->route.after)
		call_refuse(call, STATUS_MALFORMED,
			    TEXT("until: this state is before after; ask for an older after."));
	else
		begin_answer(call);
}

static void
sought(struct call *call, enum status status, bool found, uint64_t seq)
{
	const struct replay *replay = call->work;
	if (status != STATUS_OK)
		refuse_read(call, status, &replay->head.position);
	else if (found)
		begin_until(call, seq);
	else
		refuse_until(call);
}

/* Where the link is that until names alone: at after, or behind it. */
static void
find_link(struct call *call)
{
	const struct replay *replay = call->work;
	const struct hash *link = &call->route.until.position.link;
	const struct position *head = &replay->head.position;
	struct position start;
	if (hash_equal(link, &call->route.genesis)) {
		begin_until(call, 0);
		return;
	}
	if (call->route.after > head->seq) {
		refuse_beyond(call);
		return;
	}
	enum status status = read_position(call, call->route.after, &start);
	if (status != STATUS_OK) {
		refuse_read(call, status, &start);
	} else if (hash_equal(link, &start.link)) {
		begin_until(call, start.seq);
	} else if (head->seq == start.seq) {
		refuse_until(call);
	} else {
		seek_link(call, head->seq, sought);
	}
}

static void
find_until(struct call *call)
{
	struct replay *replay = call->work;
	const struct until *until = &call->route.until;
	const struct position *head = &replay->head.position;
	struct position stored;
	if (!until->has_seq) {
		find_link(call);
		return;
	}
	if (until->position.seq > head->seq) {
		refuse_until(call);
		return;
	}
	if (until->has_link) {
		enum status status = read_position(call, until->position.seq, &stored);
		if (status != STATUS_OK) {
			refuse_read(call, status, &stored);
			return;
		}
		if (!hash_equal(&stored.link, &until->position.link)) {
			refuse_until(call);
			return;
		}
	}
	begin_until(call, until->position.seq);
}

static void
look(void *cookie, struct request *request)
{
	(void)cookie;
	struct call *call = call_of(request);
	struct replay *replay = call->work;
	const struct route *route = &call->route;
	const struct position *head = &replay->head.position;
	enum status status = call_look(call, &replay->head);
	replay->damaged = status == STATUS_LOG_DAMAGED;
	if (status != STATUS_OK && !replay->damaged) {
		refuse_read(call, status, head);
		return;
	}
	if (replay->head.gone.erased_at > 0 || route->after < replay->head.gone.pruned) {
		call_refuse_gone(call, &replay->head);
		return;
	}
	if (route->until.has_seq || route->until.has_link) {
		find_until(call);
		return;
	}
	if (route->after > head->seq || (replay->damaged && route->after == head->seq)) {
		refuse_beyond(call);
		return;
	}
	if (route->after == head->seq && !call_wait_is_over(call)) {
		call_wait(call, head, look);
		return;
	}
	replay->upto = head->seq;
	begin_answer(call);
}

void
serve_actions(struct call *call)
{
	call->work = arena_calloc(request_arena(call->request), 1, sizeof(struct replay));
	if (!call->work) {
		call_refuse(call, STATUS_INTERNAL, TEXT("memory is out"));
		return;
	}
	look(call->api, call->request);
}
