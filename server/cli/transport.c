#include "cli/transport.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "cli/report.h"

#define CONNECT_SEC 10
#define URL_SIZE_MAX 4096
#define ORIGIN_SIZE_MAX 2048

/* A stream on which nothing arrives for so long is cut. */
#define SILENCE_SEC 60

struct transport {
	CURL *curl;
	struct curl_slist *post_headers;
	struct curl_slist *page_headers;
	struct curl_slist *stream_headers;
	char *origin; /* scheme and host, no slash at the end */
	char error[CURL_ERROR_SIZE];
};

/* One transfer, as curl's callback sees it. */
struct transfer {
	CURL *curl;
	struct http_answer *answer;
	struct lines *lines; /* of a stream, else NULL */
	enum status status;  /* what the lines' visitor said */
};

static size_t
receive(char *data, size_t one, size_t size, void *cookie)
{
	struct transfer *transfer = cookie;
	long http = 0;

	CHECK(one == 1);
	curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &http);
	if (transfer->lines != NULL && http == 200) {
		transfer->status = lines_feed(transfer->lines, data, size);
		return transfer->status == STATUS_OK ? size : CURL_WRITEFUNC_ERROR;
	}
	buffer_append(&transfer->answer->body, data, size);
	return transfer->answer->body.failed ? CURL_WRITEFUNC_ERROR : size;
}

static bool
append_header(struct curl_slist **list, const char *header)
{
	struct curl_slist *longer = curl_slist_append(*list, header);

	if (longer == NULL)
		return false;
	*list = longer;
	return true;
}

/* "Expect:" empty keeps curl from asking before it sends a large body: that costs a round trip. */
static bool
make_headers(struct transport *transport)
{
	return append_header(&transport->post_headers, "Content-Type: application/json") &&
	       append_header(&transport->post_headers, "Accept: application/json") &&
	       append_header(&transport->post_headers, "Expect:") &&
	       append_header(&transport->page_headers, "Accept: application/json") &&
	       append_header(&transport->stream_headers, "Accept: application/x-ndjson");
}

static bool
set_origin(struct transport *transport, const char *url)
{
	size_t size = strlen(url);

	if (strncmp(url, "unix:/", 6) == 0) {
		transport->origin = strdup("http://localhost");
		return transport->origin != NULL &&
		       curl_easy_setopt(transport->curl, CURLOPT_UNIX_SOCKET_PATH, url + 5) ==
			       CURLE_OK;
	}
	if ((strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) ||
	    size > ORIGIN_SIZE_MAX)
		return false;
	while (url[size - 1] == '/')
		size--;
	if (url[size - 1] == ':')
		return false;
	transport->origin = strndup(url, size);
	return transport->origin != NULL;
}

struct transport *
transport_new(const char *url)
{
	struct transport *transport;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return NULL;
	transport = calloc(1, sizeof(*transport));
	if (transport == NULL)
		return NULL;
	transport->curl = curl_easy_init();
	if (transport->curl == NULL || !make_headers(transport)) {
		report_error("out of memory");
		goto free_transport;
	}
	if (!set_origin(transport, url)) {
		report_error("--url=%s: http://…, https://… or unix:/path is needed", url);
		goto free_transport;
	}
	curl_easy_setopt(transport->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(transport->curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(transport->curl, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(transport->curl, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(transport->curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SEC);
	curl_easy_setopt(transport->curl, CURLOPT_ERRORBUFFER, transport->error);
	curl_easy_setopt(transport->curl, CURLOPT_WRITEFUNCTION, receive);
	curl_easy_setopt(transport->curl, CURLOPT_USERAGENT, "edgereplay/" EDGEREPLAY_VERSION);
	return transport;

free_transport:
	transport_free(transport);
	return NULL;
}

void
transport_free(struct transport *transport)
{
	if (transport == NULL)
		return;
	curl_slist_free_all(transport->post_headers);
	curl_slist_free_all(transport->page_headers);
	curl_slist_free_all(transport->stream_headers);
	curl_easy_cleanup(transport->curl);
	free(transport->origin);
	free(transport);
	curl_global_cleanup();
}

void
http_answer_init(struct http_answer *answer)
{
	*answer = (struct http_answer){0};
	buffer_init(&answer->body, ANSWER_SIZE_MAX);
}

void
http_answer_release(struct http_answer *answer)
{
	if (answer != NULL)
		buffer_release(&answer->body);
}

static void
read_answer(struct transport *transport, CURLcode code, struct http_answer *answer)
{
	const char *media_type = NULL;
	curl_off_t retry_after = 0;

	answer->arrived = code == CURLE_OK;
	if (code != CURLE_OK) {
		snprintf(answer->problem, sizeof(answer->problem), "%s",
			 transport->error[0] != '\0' ? transport->error : curl_easy_strerror(code));
	}
	curl_easy_getinfo(transport->curl, CURLINFO_RESPONSE_CODE, &answer->http);
	curl_easy_getinfo(transport->curl, CURLINFO_CONTENT_TYPE, &media_type);
	curl_easy_getinfo(transport->curl, CURLINFO_RETRY_AFTER, &retry_after);
	snprintf(answer->media_type, sizeof(answer->media_type), "%s",
		 media_type != NULL ? media_type : "");
	answer->retry_after_msec = retry_after > 0 ? (uint64_t)retry_after * 1000 : 0;
}

static void
transfer_run(struct transport *transport, const char *path, struct transfer *transfer)
{
	struct http_answer *answer = transfer->answer;
	char url[URL_SIZE_MAX];
	CURLcode code;

	CHECK((size_t)snprintf(url, sizeof(url), "%s%s", transport->origin, path) < sizeof(url));
	transport->error[0] = '\0';
	curl_easy_setopt(transport->curl, CURLOPT_URL, url);
	curl_easy_setopt(transport->curl, CURLOPT_WRITEDATA, transfer);
	answer->body.size = 0;
	answer->sample.wall_sent = clock_wall_msec();
	answer->sample.monotonic_sent = clock_monotonic_msec();
	code = curl_easy_perform(transport->curl);
	answer->sample.wall_received = clock_wall_msec();
	answer->sample.monotonic_received = clock_monotonic_msec();
	read_answer(transport, code, answer);
}

void
transport_ask(struct transport *transport, const char *path, const struct text *body,
	      uint64_t timeout_msec, struct http_answer *answer)
{
	struct transfer transfer = {.curl = transport->curl, .answer = answer};
	CURL *curl = transport->curl;

	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)(timeout_msec > 0 ? timeout_msec : 1));
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 0L);
	if (body != NULL) {
		curl_easy_setopt(curl, CURLOPT_POST, 1L);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->size);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body->data);
		curl_easy_setopt(curl, CURLOPT_HTTPHEADER, transport->post_headers);
		curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, NULL);
	} else {
		curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
		curl_easy_setopt(curl, CURLOPT_HTTPHEADER, transport->page_headers);
		curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, "gzip");
	}
	transfer_run(transport, path, &transfer);
}

enum status
transport_stream(struct transport *transport, const char *path, struct lines *lines,
		 struct http_answer *answer)
{
	struct transfer transfer = {.curl = transport->curl, .answer = answer, .lines = lines};
	CURL *curl = transport->curl;

	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 0L);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)SILENCE_SEC);
	curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, transport->stream_headers);
	curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, "gzip");
	lines_reset(lines);
	transfer_run(transport, path, &transfer);
	return transfer.status;
}

void
transport_log_path(struct buffer *path, struct text log, const char *tail)
{
	buffer_append_text(path, TEXT("/v1/logs/"));
	for (size_t i = 0; i < log.size; i++) {
		unsigned char byte = (unsigned char)log.data[i];
		bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
			     (byte >= '0' && byte <= '9') || strchr("-._~", byte) != NULL;

		if (plain)
			buffer_append(path, &log.data[i], 1);
		else
			buffer_printf(path, "%%%02X", byte);
	}
	buffer_append(path, tail, strlen(tail) + 1);
	path->size -= path->failed ? 0 : 1;
}
