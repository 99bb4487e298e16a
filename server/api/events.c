/*
 * GET …/events (protocol, section 4.4): the head as a server-sent event, now and after each commit.
 *
 *     serve_events ─▶ pull ─▶ head event, sent ─▶ pull ─▶ parked ─┬─▶ (commit) ─▶ pull: head event
 *                                                                 ├─▶ (15 s)   ─▶ pull: comment
 *                                                                 └─▶ (drain, the token expired, its
 *                                                                     key is gone, the log was erased,
 *                                                                     or the subject read too much)
 *                                                                                ─▶ pull: reconnect
 *
 * Who comes again to a log that was erased is told that (410).
 *
 * What is sent is the head at the time of sending, so a burst of commits is few events, or one.
 */
#include "api/call.h"

#include <sodium.h>
#include <string.h>

#include "api/pay.h"
#include "base/clock.h"
#include "base/metrics.h"

#define COMMENT_MSEC 15000 /* protocol, section 4.4 */

/* Clients that came together must not get their comments, nor come back, all at once. */
#define FIRST_COMMENT_MSEC_MIN 5000
#define RECONNECT_MSEC_MIN 500
#define RECONNECT_MSEC_MAX 10000

#define ID_LINK_DIGITS 16
#define ID_SIZE_MAX (U64_DIGITS_MAX + 1 + ID_LINK_DIGITS)

struct events {
	struct position sent;  /* the head that the client knows … */
	bool any;	       /* … if it knows one */
	bool said;	       /* something, when it was last asked */
	uint64_t comment_msec; /* when the next one is due */
	uint64_t expires_msec; /* the token does, by the wall clock; UINT64_MAX: it has none */
};

/* Writes <seq>-<first 16 hex digits of the link>; returns its size. */
static size_t
write_id(const struct position *head, char id[ID_SIZE_MAX])
{
	char link[HASH_TEXT_SIZE];
	char *end = u64_put(id, head->seq);
	*end++ = '-';
	hash_to_text(&head->link, link);
	memcpy(end, link, ID_LINK_DIGITS);
	return (size_t)(end - id) + ID_LINK_DIGITS;
}

static void
write_head_event(struct buffer *out, const struct position *head)
{
	char id[ID_SIZE_MAX];
	const struct text text = {id, write_id(head, id)};
	buffer_append_text(out, TEXT("event: head\nid: "));
	buffer_append_text(out, text);
	buffer_append_text(out, TEXT("\ndata: "));
	write_head(out, head);
	buffer_append_text(out, TEXT("\n\n"));
	counter_add(COUNTER_EVENTS, 1);
}

/* An event without data is none (HTML Living Standard, section 9.2.6). */
static void
write_reconnect(struct buffer *out, uint64_t wait_msec)
{
	const uint32_t spread = RECONNECT_MSEC_MAX - RECONNECT_MSEC_MIN;
	buffer_append_text(out, TEXT("event: reconnect\nretry: "));
	buffer_append_u64(out, wait_msec + RECONNECT_MSEC_MIN + randombytes_uniform(spread + 1));
	buffer_append_text(out, TEXT("\ndata: {}\n\n"));
}

static bool
is_news(const struct events *events, const struct position *head)
{
	return !events->any || events->sent.seq != head->seq ||
	       !hash_equal(&events->sent.link, &head->link);
}

static uint64_t
next_comment(const struct events *events, uint64_t now)
{
	const uint32_t spread = COMMENT_MSEC - FIRST_COMMENT_MSEC_MIN;
	if (events->comment_msec > 0)
		return now + COMMENT_MSEC;
	return now + FIRST_COMMENT_MSEC_MIN + randombytes_uniform(spread + 1);
}

/* The last of it: what there is to know, and when to come back. A log that cannot be read any more says
 * why to who asks again. */
static bool
end(struct buffer *out, const struct call *call, const struct position *head)
{
	if (head && is_news(call->work, head))
		write_head_event(out, head);
	write_reconnect(out, 0);
	return false;
}

/* Milliseconds until what the token allows ends, with the token or with the key that vouched for it. The
 * wall clock is asked each time: it may have been set, or the machine slept. */
static uint64_t
left_of_token(const struct call *call)
{
	const struct events *events = call->work;
	if (!call->identity)
		return UINT64_MAX;
	const uint64_t wall = clock_server_msec();
	return wall < events->expires_msec && auth_vouches(call->api->auth, call->identity)
		       ? events->expires_msec - wall
		       : 0;
}

/* Each commit wakes, so the head is not asked for before a comment; and not before parking, where
 * call_park() does it. */
static bool
say(struct call *call, struct buffer *out)
{
	struct events *events = call->work;
	const uint64_t now = clock_monotonic_msec();
	const bool ends = call->wait_over || !request_may_wait(call->request);
	struct head head;
	const uint64_t left = left_of_token(call);
	if (left == 0)
		return end(out, call, NULL);
	if (!ends && !events->said && now >= events->comment_msec && events->any) {
		buffer_append_text(out, TEXT(":\n\n"));
	} else if (ends || !events->said) {
		enum status status = call_look(call, &head);
		if (head.gone.erased_at > 0 && status == STATUS_OK)
			return end(out, call, NULL);
		if (ends || status != STATUS_OK)
			return end(out, call, status == STATUS_OK ? &head.position : NULL);
		if (is_news(events, &head.position))
			write_head_event(out, &head.position);
		events->sent = head.position;
		events->any = true;
	}
	events->said = out->size > 0;
	if (events->said)
		events->comment_msec = next_comment(events, now);
	else
		call_park(call, &events->sent,
			  left < UINT64_MAX - now && now + left < events->comment_msec
				  ? now + left
				  : events->comment_msec,
			  NULL);
	return true;
}

static bool
pull(void *cookie, struct request *request, struct buffer *out)
{
	(void)cookie;
	struct call *call = call_of(request);
	uint64_t wait_msec = 0;
	const bool more = say(call, out);
	if (out->size == 0 || pay_piece(call, out->size, &wait_msec) || !more)
		return more;
	write_reconnect(out, wait_msec);
	return false;
}

static bool
is_known(struct text last_id, const struct position *head)
{
	char id[ID_SIZE_MAX];
	const size_t size = write_id(head, id);
	return text_equal(text_trim(last_id), (struct text){id, size});
}

/* What a token allows must end with it, and a stream has no end of its own. */
static uint64_t
expiry_of(const struct call *call)
{
	const uint64_t sec = call->identity ? identity_expires_sec(call->identity) : UINT64_MAX;
	return sec > UINT64_MAX / 1000 ? UINT64_MAX : 1000 * sec;
}

/* Where the client knows the head the stream begins with a comment: proxies wait for a first byte. */
void
serve_events(struct call *call)
{
	struct head head;
	if (!limits_let_wait(call->limits)) {
		call_refuse(call, STATUS_NOT_FOUND, TEXT("This server has no event streams."));
		return;
	}
	struct events *events = arena_calloc(request_arena(call->request), 1, sizeof(*events));
	if (!events) {
		call_refuse(call, STATUS_INTERNAL, TEXT("memory is out"));
		return;
	}
	if (!call_read_head(call, &head) || !call_enter(call))
		return;
	events->expires_msec = expiry_of(call);
	events->sent = head.position;
	events->any = is_known(request_header(call->request, "Last-Event-ID"), &head.position);
	call->work = events;
	request_add_header(call->request, "Cache-Control", TEXT("no-store"));
	request_add_header(call->request, "X-Accel-Buffering", TEXT("no"));
	request_stream_live(call->request, 200, "text/event-stream", pull);
}
