#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <zlib.h>

#include "base/check.h"
#include "base/log.h"
#include "http/inside.h"

#define SERVER_NAME "edgereplay"
#define GZIP_SIZE_MIN ((size_t)1024)
#define RAW_HEAD_SIZE ((size_t)8 * 1024)

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

void
request_answer(struct request *request, unsigned http_status, const char *content_type,
	       struct buffer *body)
{
	struct reply *reply = &request->reply;
	CHECK(!reply->ready);
	reply->ready = true;
	reply->status = http_status;
	reply->content_type = content_type;
	if (body == NULL)
		return;
	if (body->failed) {
		reply->status = MHD_HTTP_INTERNAL_SERVER_ERROR;
		reply->content_type = NULL;
		buffer_release(body);
		return;
	}
	reply->body = *body;
	buffer_init(body, body->size_max);
}

void
request_stream(struct request *request, unsigned http_status, const char *content_type,
	       request_pull *pull)
{
	struct reply *reply = &request->reply;
	CHECK(!reply->ready && pull != NULL);
	reply->ready = true;
	reply->status = http_status;
	reply->content_type = content_type;
	bool gzip = reply_is_compressible(content_type) &&
		    headers_accept_gzip(request->headers.accept_encoding);
	reply->stream = stream_new(request, pull, gzip);
	if (reply->stream == NULL) {
		reply->status = MHD_HTTP_INTERNAL_SERVER_ERROR;
		reply->content_type = NULL;
	}
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
	} else {
		free(data);
		data = NULL;
	}

end_deflate:
	(void)deflateEnd(&deflater);
	return data;
}

/* The response takes the body's memory over. */
static struct MHD_Response *
whole_response(struct reply *reply, bool *gzipped)
{
	struct buffer *body = &reply->body;
	if (*gzipped) {
		size_t size;
		char *data = gzip(body, &size);
		*gzipped = data != NULL;
		if (data != NULL) {
			free(body->data);
			*body = (struct buffer){.data = data, .size = size, .size_max = size};
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

static bool
add_headers(struct MHD_Response *response, const struct request *request, bool gzipped)
{
	const struct reply *reply = &request->reply;
	char id[REQUEST_ID_SIZE_MAX + 1];
	memcpy(id, request->id.data, request->id.size);
	id[request->id.size] = '\0';
	bool ok = MHD_add_response_header(response, "Server", SERVER_NAME) == MHD_YES &&
		  MHD_add_response_header(response, "X-Request-Id", id) == MHD_YES &&
		  MHD_add_response_header(response, "X-Content-Type-Options", "nosniff") == MHD_YES;
	if (reply->content_type != NULL)
		ok = ok && MHD_add_response_header(response, "Content-Type", reply->content_type) ==
				   MHD_YES;
	if (varies(reply, gzipped))
		ok = ok && MHD_add_response_header(response, "Vary", "Accept-Encoding") == MHD_YES;
	if (gzipped)
		ok = ok && MHD_add_response_header(response, "Content-Encoding", "gzip") == MHD_YES;
	if (reply->close || request_is_draining(request))
		ok = ok && MHD_add_response_header(response, "Connection", "close") == MHD_YES;
	for (size_t i = 0; i < reply->header_count; i++)
		ok = ok && MHD_add_response_header(response, reply->headers[i].name,
						   reply->headers[i].value) == MHD_YES;
	return ok;
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
		response = stream_response(reply->stream);
	} else {
		gzipped = reply->body.size >= GZIP_SIZE_MIN &&
			  reply_is_compressible(reply->content_type) &&
			  headers_accept_gzip(request->headers.accept_encoding);
		response = whole_response(reply, &gzipped);
	}
	if (response == NULL)
		return false;
	/* libmicrohttpd ends the chunks of a HEAD answer that has none, and the client takes that
	 * for its next answer. */
	if (reply->stream != NULL && text_equal(request->method, TEXT("HEAD")))
		(void)MHD_set_response_options(response, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT,
					       MHD_RO_END);
	bool queued = add_headers(response, request, gzipped) &&
		      MHD_queue_response(request->connection, reply->status, response) == MHD_YES;
	MHD_destroy_response(response);
	return queued;
}

static void
append_header(struct buffer *head, const char *name, const char *value)
{
	buffer_append_text(head, text_of(name));
	buffer_append_text(head, TEXT(": "));
	buffer_append_text(head, text_of(value));
	buffer_append_text(head, TEXT("\r\n"));
}

static void
append_date(struct buffer *head)
{
	char date[64];
	struct tm utc;
	time_t now = time(NULL);
	if (gmtime_r(&now, &utc) == NULL ||
	    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &utc) == 0)
		return;
	append_header(head, "Date", date);
}

void
reply_send_raw(struct request *request)
{
	struct reply *reply = &request->reply;
	struct buffer out;
	CHECK(reply->ready && reply->stream == NULL);
	buffer_init(&out, RAW_HEAD_SIZE + reply->body.size);
	buffer_printf(&out, "HTTP/1.1 %u %s\r\n", reply->status,
		      MHD_get_reason_phrase_for(reply->status));
	append_date(&out);
	buffer_printf(&out, "Content-Length: %zu\r\nX-Request-Id: %.*s\r\n", reply->body.size,
		      (int)request->id.size, request->id.data);
	append_header(&out, "Server", SERVER_NAME);
	append_header(&out, "X-Content-Type-Options", "nosniff");
	append_header(&out, "Connection", "close");
	if (reply->content_type != NULL)
		append_header(&out, "Content-Type", reply->content_type);
	for (size_t i = 0; i < reply->header_count; i++)
		append_header(&out, reply->headers[i].name, reply->headers[i].value);
	buffer_append_text(&out, TEXT("\r\n"));
	if (!text_equal(request->method, TEXT("HEAD")))
		buffer_append(&out, reply->body.data, reply->body.size);
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	if (info != NULL && !out.failed) {
		ssize_t sent =
			send(info->connect_fd, out.data, out.size, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent != (ssize_t)out.size)
			log_limited(LOG_INFO, "http", "an early answer could not be sent",
				    LOG_TEXT("request", request->id));
		(void)shutdown(info->connect_fd, SHUT_WR);
	}
	buffer_release(&out);
}

void
reply_release(struct request *request)
{
	struct reply *reply = &request->reply;
	stream_free(reply->stream);
	buffer_release(&reply->body);
	reply->stream = NULL;
	reply->ready = false;
	reply->close = false;
	reply->no_store = false;
	reply->status = 0;
	reply->content_type = NULL;
	reply->header_count = 0;
}
