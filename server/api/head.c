/*
 * GET …/head (protocol, section 4.3): the head, its state hash as the entity tag, and waiting for
 * another one.
 */
#include "api/call.h"

#include <string.h>

#include "api/wire.h"

#define ANSWER_SIZE 512
#define ETAG_SIZE (HASH_TEXT_SIZE + 2) /* quoted */

static bool
is_space(char c)
{
	return c == ' ' || c == '\t';
}

/* Whether If-None-Match (RFC 9110, section 13.1.2) names this tag, compared weakly. */
static bool
matches(struct text header, const char etag[ETAG_SIZE])
{
	const char *at = header.data, *end = header.data + header.size;
	while (header.size > 0 && at < end) {
		if (is_space(*at) || *at == ',') {
			at++;
			continue;
		}
		if (*at == '*')
			return true;
		if (end - at > 2 && at[0] == 'W' && at[1] == '/')
			at += 2;
		if (*at != '"')
			return false;
		const char *quote = memchr(at + 1, '"', (size_t)(end - at - 1));
		if (!quote)
			return false;
		if (quote - at + 1 == ETAG_SIZE && memcmp(at, etag, ETAG_SIZE) == 0)
			return true;
		at = quote + 1;
	}
	return false;
}

static void
answer(struct call *call, const struct position *head, const char etag[ETAG_SIZE], bool modified)
{
	struct buffer out;
	buffer_init(&out, ANSWER_SIZE);
	if (modified) {
		buffer_append_text(&out, TEXT("{\"seq\":"));
		buffer_append_u64(&out, head->seq);
		buffer_append_text(&out, TEXT(",\"stateHash\":"));
		wire_write_hash(&out, &head->link);
		write_server_timestamp(&out);
		buffer_append_text(&out, TEXT("}"));
	}
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
	enum status status =
		store_head(call->api->store, route_log(&call->route), &call->route.genesis, &head);
	if (status == STATUS_LOG_DAMAGED) {
		call_refuse_at(
			call, status,
			TEXT("What is stored of this log does not verify after head. Reads up "
			     "to it still work."),
			&head.position, NULL);
		return;
	}
	if (status != STATUS_OK) {
		call_refuse(call, status, TEXT("The log cannot be read now; ask again later."));
		return;
	}
	etag[0] = '"';
	hash_to_text(&head.position.link, etag + 1);
	etag[ETAG_SIZE - 1] = '"';
	bool same = matches(request_header(request, "If-None-Match"), etag);
	if (same && !call_wait_is_over(call))
		call_wait(call, &head.position, look);
	else
		answer(call, &head.position, etag, !same);
}

void
serve_head(struct call *call)
{
	look(call->api, call->request);
}
