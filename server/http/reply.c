#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "http/inside.h"

#define SERVER_NAME "edgereplay"
#define GZIP_SIZE_MIN ((size_t)1024)
#define RAW_HEAD_SIZE ((size_t)8 * 1024)

/* Answers up to this size are not counted: each connection has as much in any case. A stream is its
 * pieces, what gzip keeps and libmicrohttpd's buffer. */
#define ANSWER_SMALL_SIZE ((size_t)16 * 1024)
#define STREAM_MEMORY ((size_t)256 * 1024)

void
request_add_header(struct request *request, const char *name, struct text value)
{
	struct reply *reply = &request->reply;
	CHECK(!reply->ready && reply->header_count < REPLY_HEADERS_MAX);
	struct text copy = arena_copy(&request->arena, value);
	/* An answer without a header that it needs (Allow, Retry-After, ETag) is the lesser evil.
	 */
	if (copy.data == NULL)
		return;
	reply->headers[reply->header_count].name = name;
	reply->headers[reply->header_count].value = copy.data;
	reply->header_count++;
	if (strcmp(name, "Cache-Control") == 0 && text_equal(value, TEXT("no-store")))
		reply->no_store = true;
}

/* There is no memory for this answer. For a refusal, which is short, there may be; else the client gets
 * an empty one. */
static void
answer_without_memory(struct request *request)
{
	struct reply *reply = &request->reply;
	const struct app *app = &request->listener->app;
	reply->header_count = 0;
	reply->no_store = false;
	if (!reply->failed) {
		reply->failed = true;
		reply->ready = false;
		app->refuse(app->cookie, request, STATUS_INTERNAL, TEXT("memory is out"));
		return;
	}
	reply->status = MHD_HTTP_INTERNAL_SERVER_ERROR;
	reply->content_type = NULL;
}

void
request_set_header(struct request *request, const char *name, struct text value)
{
	struct reply *reply = &request->reply;
	CHECK(!reply->ready);
	for (size_t i = 0; i < reply->header_count; i++) {
		if (strcmp(reply->headers[i].name, name) != 0)
			continue;
		struct text copy = arena_copy(&request->arena, value);
		if (copy.data != NULL)
			reply->headers[i].value = copy.data;
		return;
	}
	request_add_header(request, name, value);
}

void
request_answer(struct request *request, unsigned http_status, const char *content_type,
	       struct buffer *body)
{
	struct reply *reply = &request->reply;
	CHECK(!reply->ready);
	reply->ready = true;
	request->answered_usec = clock_monotonic_usec();
	reply->status = http_status;
	reply->content_type = content_type;
	if (body == NULL)
		return;
	if (body->failed) {
		buffer_release(body);
		answer_without_memory(request);
		return;
	}
	reply->body = *body;
	buffer_init(body, body->size_max);
}

static void
begin_stream(struct request *request, const char *content_type, request_pull *pull, bool gzip)
{
	struct reply *reply = &request->reply;
	CHECK(!reply->ready && pull != NULL);
	reply->ready = true;
	request->answered_usec = clock_monotonic_usec();
	reply->content_type = content_type;
	reply->stream = stream_new(request, pull, gzip);
	if (reply->stream == NULL)
		answer_without_memory(request);
}

void
request_stream(struct request *request, unsigned http_status, const char *content_type,
	       request_pull *pull)
{
	request->reply.status = http_status;
	request->reply.stream_size = STREAM_SIZE_UNKNOWN;
	begin_stream(request, content_type, pull,
		     reply_is_compressible(content_type) &&
			     headers_accept_gzip(request->headers.accept_encoding));
}

void
request_stream_sized(struct request *request, const char *content_type, uint64_t size,
		     request_pull *pull)
{
	request->reply.status = MHD_HTTP_OK;
	request->reply.stream_size = size;
	begin_stream(request, content_type, pull, false);
}

void
request_stream_live(struct request *request, unsigned http_status, const char *content_type,
		    request_pull *pull)
{
	CHECK(!reply_is_compressible(content_type));
	request_stream(request, http_status, content_type, pull);
	stream_make_live(request->reply.stream);
}

bool
reply_is_compressible(const char *content_type)
{
	static const char *const types[] = {"application/json", "application/problem+json",
					    "application/x-ndjson"};
	for (size_t i = 0; content_type != NULL && i < sizeof(types) / sizeof(types[0]); i++) {
		size_t size = strlen(types[i]);
		if (strncmp(content_type, types[i], size) == 0 &&
		    (content_type[size] == '\0' || content_type[size] == ';'))
			return true;
	}
	return false;
}

/* The body gzipped into new memory of *size bytes, or NULL when that is impossible or no shorter.
 */
static char *
gzip(const struct buffer *body, size_t *size)
{
	z_stream deflater;
	memset(&deflater, 0, sizeof(deflater));
	if (body->size > UINT32_MAX ||
	    deflateInit2(&deflater, REPLY_GZIP_LEVEL, Z_DEFLATED, REPLY_GZIP_WINDOW_BITS,
			 REPLY_GZIP_MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
		return NULL;
	char *data = malloc(body->size);
	if (data == NULL)
		goto end_deflate;
	deflater.next_in = (z_const Bytef *)body->data;
	deflater.avail_in = (uInt)body->size;
	deflater.next_out = (Bytef *)data;
	deflater.avail_out = (uInt)body->size;
	if (deflate(&deflater, Z_FINISH) == Z_STREAM_END) {
		*size = body->size - deflater.avail_out;
		char *shorter = realloc(data, *size);
		data = shorter == NULL ? data : shorter;
	} else {
		free(data);
		data = NULL;
	}

end_deflate:
	(void)deflateEnd(&deflater);
	return data;
}

/* What gzip saved others can have. */
static void
shrink_reserved(struct request *request, size_t size)
{
	struct reply *reply = &request->reply;
	if (size >= reply->reserved)
		return;
	budget_give(&request->listener->answer_budget, reply->reserved - size);
	reply->reserved = size;
}

/* The response takes the body's memory over. */
static struct MHD_Response *
whole_response(struct request *request, bool *gzipped)
{
	struct buffer *body = &request->reply.body;
	if (*gzipped) {
		size_t size;
		char *data = gzip(body, &size);
		*gzipped = data != NULL;
		if (data != NULL) {
			free(body->data);
			*body = (struct buffer){.data = data, .size = size, .size_max = size};
			shrink_reserved(request, size);
		}
	}
	if (body->size == 0) {
		static char nothing[] = "";
		return MHD_create_response_from_buffer(0, nothing, MHD_RESPMEM_PERSISTENT);
	}
	struct MHD_Response *response =
		MHD_create_response_from_buffer(body->size, body->data, MHD_RESPMEM_MUST_FREE);
	if (response != NULL)
		buffer_init(body, body->size_max);
	return response;
}

/* Whether a cache must know that Accept-Encoding was looked at (RFC 9110, 12.5.5). What is not to be
 * stored and that everybody can read needs no Vary, and each header costs a request more than one
 * would think: libmicrohttpd takes three pieces of memory for it. */
static bool
varies(const struct reply *reply, bool gzipped)
{
	return gzipped || (!reply->no_store && reply_is_compressible(reply->content_type));
}

/* Headers on their way into an answer, of either kind. */
struct header_list {
	struct MHD_Response *response;
	struct buffer *raw;
	bool failed;
};

static void
put(struct header_list *list, const char *name, const char *value)
{
	if (list->response != NULL) {
		list->failed |= MHD_add_response_header(list->response, name, value) != MHD_YES;
	} else {
		buffer_append_text(list->raw, text_of(name));
		buffer_append_text(list->raw, TEXT(": "));
		buffer_append_text(list->raw, text_of(value));
		buffer_append_text(list->raw, TEXT("\r\n"));
	}
}

/* For browsers: that what they got is data, is nothing to show in a frame, and which pages may read
 * it. A phone is spared what only browsers understand. Where that depends on the page a cache must know (Fetch standard, "CORS protocol and HTTP
 * caches"). */
static void
put_for_browsers(struct header_list *list, struct request *request)
{
	const struct cors *cors = &request->listener->cors;
	const struct text origin = request->headers.origin;
	put(list, "X-Content-Type-Options", "nosniff");
	if (request->headers.by_browser) {
		put(list, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
		put(list, "Cross-Origin-Resource-Policy", "same-origin");
	}
	if (cors->count == 0)
		return;
	put(list, "Vary", "Origin");
	if (!cors_allows(cors, origin))
		return;
	struct text copy = arena_copy(&request->arena, origin);
	if (copy.data == NULL)
		return;
	put(list, "Access-Control-Allow-Origin", copy.data);
	put(list, "Access-Control-Expose-Headers", CORS_EXPOSED);
}

static void
put_all(struct header_list *list, struct request *request, bool gzipped)
{
	const struct reply *reply = &request->reply;
	char id[REQUEST_ID_SIZE_MAX + 1];
	memcpy(id, request->id.data, request->id.size);
	id[request->id.size] = '\0';
	put(list, "Server", SERVER_NAME);
	put(list, "X-Request-Id", id);
	put_for_browsers(list, request);
	if (reply->content_type != NULL)
		put(list, "Content-Type", reply->content_type);
	if (varies(reply, gzipped))
		put(list, "Vary", "Accept-Encoding");
	if (gzipped)
		put(list, "Content-Encoding", "gzip");
	if (reply->close || request_is_draining(request))
		put(list, "Connection", "close");
	for (size_t i = 0; i < reply->header_count; i++)
		put(list, reply->headers[i].name, reply->headers[i].value);
}

/* Gives back the room that the body did not grow into. Returns what it holds. */
static size_t
trim(struct buffer *body)
{
	if (body->capacity > ANSWER_SMALL_SIZE && body->size < body->capacity) {
		char *shorter = realloc(body->data, body->size + 1);
		if (shorter != NULL) {
			body->data = shorter;
			body->capacity = body->size;
		}
	}
	return body->capacity;
}

/* An action that was stored under a higher limit may be more than all answers may hold now. */
bool
reply_reserve(struct request *request)
{
	struct reply *reply = &request->reply;
	size_t size = reply->stream != NULL ? STREAM_MEMORY : trim(&reply->body);
	if (size <= ANSWER_SMALL_SIZE || stream_is_live(reply->stream))
		return true;
	if (budget_take_lone(&request->listener->answer_budget, size)) {
		reply->reserved = size;
		return true;
	}
	const bool close = reply->close;
	reply_release(request);
	reply->close = close;
	return false;
}

bool
reply_queue(struct request *request)
{
	struct reply *reply = &request->reply;
	struct MHD_Response *response;
	bool gzipped;
	CHECK(reply->ready);
	if (reply->stream != NULL) {
		gzipped = stream_is_gzip(reply->stream);
		response = stream_response(reply->stream, reply->stream_size);
	} else {
		gzipped = reply->body.size >= GZIP_SIZE_MIN &&
			  reply_is_compressible(reply->content_type) &&
			  headers_accept_gzip(request->headers.accept_encoding);
		response = whole_response(request, &gzipped);
	}
	if (response == NULL)
		return false;
	/* libmicrohttpd ends the chunks of a HEAD answer that has none, and the client takes that
	 * for its next answer. */
	if (reply->stream != NULL && reply->stream_size == STREAM_SIZE_UNKNOWN &&
	    text_equal(request->method, TEXT("HEAD")))
		(void)MHD_set_response_options(response, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT,
					       MHD_RO_END);
	struct header_list list = {.response = response};
	put_all(&list, request, gzipped);
	bool queued = !list.failed &&
		      MHD_queue_response(request->connection, reply->status, response) == MHD_YES;
	MHD_destroy_response(response);
	return queued;
}

static void
put_date(struct header_list *list)
{
	char date[64];
	struct tm utc;
	time_t now = time(NULL);
	if (gmtime_r(&now, &utc) == NULL ||
	    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &utc) == 0)
		return;
	put(list, "Date", date);
}

void
reply_write_head(struct request *request, const char *framing, struct buffer *out)
{
	struct header_list list = {.raw = out};
	const unsigned status = request->reply.status;
	buffer_printf(out, "HTTP/1.1 %u %s\r\n", status, MHD_get_reason_phrase_for(status));
	put_date(&list);
	buffer_append_text(out, text_of(framing));
	put_all(&list, request, false);
	buffer_append_text(out, TEXT("\r\n"));
}

void
reply_send_raw(struct request *request)
{
	struct reply *reply = &request->reply;
	struct buffer out;
	char length[48];
	CHECK(reply->ready && reply->stream == NULL);
	buffer_init(&out, RAW_HEAD_SIZE + reply->body.size);
	(void)snprintf(length, sizeof(length), "Content-Length: %zu\r\n", reply->body.size);
	reply->close = true;
	reply_write_head(request, length, &out);
	if (!text_equal(request->method, TEXT("HEAD")))
		buffer_append(&out, reply->body.data, reply->body.size);
	if (!out.failed) {
		if (client_send(request->client, out.data, out.size) != (ssize_t)out.size)
			log_limited(LOG_INFO, "http", "an early answer could not be sent",
				    LOG_REQUEST(request));
		client_end_sending(request->client);
	}
	buffer_release(&out);
}

void
reply_release(struct request *request)
{
	struct reply *reply = &request->reply;
	budget_give(&request->listener->answer_budget, reply->reserved);
	reply->reserved = 0;
	stream_free(reply->stream);
	buffer_release(&reply->body);
	reply->stream = NULL;
	reply->ready = false;
	reply->close = false;
	reply->no_store = false;
	reply->failed = false;
	reply->status = 0;
	reply->content_type = NULL;
	reply->header_count = 0;
}
