/*
 * GET …/head (protocol, section 4.3): the head, its state hash as the entity tag, and waiting for
 * another one.
 */
#include "api/call.h"

#include "api/etag.h"
#include "api/pay.h"

#define ANSWER_SIZE 512
#define ETAG_SIZE (HASH_TEXT_SIZE + 2) /* quoted */

static void
answer(struct call *call, const struct position *head, const char etag[ETAG_SIZE], bool modified)
{
	struct buffer out;
	buffer_init(&out, ANSWER_SIZE);
	if (modified)
		write_head(&out, head);
	pay_answer(call, out.size);
	request_add_header(call->request, "ETag", (struct text){etag, ETAG_SIZE});
	request_add_header(call->request, "Cache-Control", TEXT("private, no-cache"));
	request_answer(call->request, modified ? 200 : 304, modified ? "application/json" : NULL,
		       &out);
	buffer_release(&out);
}

static void
look(void *cookie, struct request *request)
{
	(void)cookie;
	struct call *call = call_of(request);
	struct head head;
	char etag[ETAG_SIZE];
	if (!call_read_head(call, &head))
		return;
	etag[0] = '"';
	hash_to_text(&head.position.link, etag + 1);
	etag[ETAG_SIZE - 1] = '"';
	const struct text *known = call->work;
	bool same = etag_matches(*known, (struct text){etag, ETAG_SIZE});
	if (same && !call_wait_is_over(call))
		call_wait(call, &head.position, look);
	else
		answer(call, &head.position, etag, !same);
}

void
serve_head(struct call *call)
{
	struct arena *arena = request_arena(call->request);
	struct text *known = arena_alloc(arena, sizeof(*known));
	if (known) {
		*known = arena_copy(arena, request_header(call->request, "If-None-Match"));
		call->work = known;
	}
	if (known && known->data)
		look(call->api, call->request);
	else
		call_refuse(call, STATUS_INTERNAL, TEXT("memory is out"));
}
