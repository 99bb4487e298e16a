#include "cli/transport.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "cli/report.h"

#define CONNECT_SEC 10
#define TRY_MSEC_MIN UINT64_C(5000)
#define URL_SIZE_MAX 4096
#define ORIGIN_SIZE_MAX 2048
#define TOKEN_SIZE_MAX 65536
#define PEM_LINE_SIZE 256

/* A stream on which nothing arrives for so long is cut. */
#define SILENCE_SEC 60

struct transport {
	CURL *curl;
	struct curl_slist *post_headers;
	struct curl_slist *page_headers;
	struct curl_slist *stream_headers;
	struct curl_slist *file_headers;
	char *origin;	      /* scheme and host, no slash at the end */
	char *socket;	      /* a unix socket's path, instead of the host; else NULL */
	bool has_authorities; /* of its own, not the system's */
	char error[CURL_ERROR_SIZE];
};

/* One transfer, as curl's callback sees it. */
struct transfer {
	CURL *curl;
	struct http_answer *answer;
	struct lines *lines;   /* of a stream, else NULL */
	transport_taker *take; /* of bytes, else NULL */
	void *cookie;
	const struct transport_file *file; /* that is sent */
	uint64_t sent;
	enum status status; /* what the lines' visitor said */
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
	if (transfer->take != NULL && http == 200)
		return transfer->take(transfer->cookie, (struct text){data, size})
			       ? size
			       : CURL_WRITEFUNC_ERROR;
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
	       append_header(&transport->stream_headers, "Accept: application/x-ndjson") &&
	       append_header(&transport->file_headers, "Expect:");
}

static bool
append_authorization(struct transport *transport, struct text token)
{
	char header[TOKEN_SIZE_MAX + sizeof("Authorization: Bearer ")];
	bool appended;

	snprintf(header, sizeof(header), "Authorization: Bearer %.*s", (int)token.size, token.data);
	appended = append_header(&transport->post_headers, header) &&
		   append_header(&transport->page_headers, header) &&
		   append_header(&transport->stream_headers, header) &&
		   append_header(&transport->file_headers, header);
	if (!appended)
		report_error("out of memory");
	return appended;
}

/* The token, without white space around it: the file's, else the environment's. False: reported. */
static bool
set_token(struct transport *transport, const char *path)
{
	const char *given = getenv("EDGEREPLAY_TOKEN");
	char content[TOKEN_SIZE_MAX];
	struct text token = text_of(given != NULL ? given : "");

	if (path != NULL) {
		FILE *file = fopen(path, "re");
		if (file == NULL) {
			report_error("--token-file=%s: %s", path, strerror(errno));
			return false;
		}
		token = (struct text){content, fread(content, 1, sizeof(content), file)};
		(void)fclose(file);
	}
	while (token.size > 0 && strchr(" \t\r\n", token.data[token.size - 1]) != NULL)
		token.size--;
	if (token.size == 0 && path == NULL)
		return true;
	if (token.size == 0 || token.size >= TOKEN_SIZE_MAX || text_has_control(token)) {
		report_error("%s: not a token", path != NULL ? path : "EDGEREPLAY_TOKEN");
		return false;
	}
	return append_authorization(transport, token);
}

static bool
set_origin(struct transport *transport, const char *url)
{
	size_t size = strlen(url);

	if (strncmp(url, "unix:/", 6) == 0) {
		transport->origin = strdup("http://localhost");
		transport->socket = strdup(url + 5);
		return transport->origin != NULL && transport->socket != NULL &&
		       curl_easy_setopt(transport->curl, CURLOPT_UNIX_SOCKET_PATH,
					transport->socket) == CURLE_OK;
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

/* NULL, or what is wrong. libcurl looks into the file only when it connects, and its failure would be one
 * of many that a repeat may mend. */
static const char *
look_for_certificate(const char *path)
{
	char line[PEM_LINE_SIZE];
	const char *problem =
		"no certificate in it: PEM is needed, with -----BEGIN CERTIFICATE-----";
	FILE *file = fopen(path, "re");

	if (file == NULL)
		return strerror(errno);
	while (fgets(line, sizeof(line), file) != NULL) {
		if (strncmp(line, "-----BEGIN ", 11) == 0 &&
		    strstr(line, "CERTIFICATE-----") != NULL)
			problem = NULL;
	}
	if (ferror(file))
		problem = strerror(errno);
	(void)fclose(file);
	return problem;
}

/* False: reported. */
static bool
set_authorities(struct transport *transport, const char *path)
{
	const char *problem = path != NULL ? look_for_certificate(path) : NULL;

	if (problem != NULL)
		report_error("--ca-file=%s: %s", path, problem);
	if (path == NULL || problem != NULL)
		return problem == NULL;
	transport->has_authorities = true;
	/* And not in the system's folder, where libcurl would look besides. */
	return curl_easy_setopt(transport->curl, CURLOPT_CAINFO, path) == CURLE_OK &&
	       curl_easy_setopt(transport->curl, CURLOPT_CAPATH, NULL) == CURLE_OK;
}

struct transport *
transport_new(const char *url, const struct cli_options *options)
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
		report_error("%s: http://…, https://… or unix:/path, a whole one, is needed", url);
		goto free_transport;
	}
	if (!set_token(transport, options->token_file) ||
	    !set_authorities(transport, options->ca_file))
		goto free_transport;
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
	curl_slist_free_all(transport->file_headers);
	curl_easy_cleanup(transport->curl);
	free(transport->origin);
	free(transport->socket);
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

/* OpenSSL's verdicts (X509_V_ERR_…) that say that nobody who is known has signed it. */
static bool
is_unknown_authority(long verdict)
{
	return verdict == 2 || (verdict >= 18 && verdict <= 21);
}

/* What to do about a certificate that does not verify; the reason itself is libcurl's to word. */
static const char *
advice(const struct transport *transport, CURLcode code)
{
	long verdict = 0;

	if (code != CURLE_PEER_FAILED_VERIFICATION)
		return "";
	curl_easy_getinfo(transport->curl, CURLINFO_SSL_VERIFYRESULT, &verdict);
	if (verdict <= 1) /* OpenSSL has nothing to say of it: what is wrong is the name */
		return "; --url must have a name that the certificate is for";
	if (!is_unknown_authority(verdict))
		return "";
	return transport->has_authorities
		       ? "; it is of no authority in --ca-file"
		       : "; if its authority is one of your own, name it with --ca-file=FILE";
}

/* libcurl speaks of a host and a port, also where it was given a socket. */
static void
say_why(const struct transport *transport, CURLcode code, struct http_answer *answer)
{
	long error = 0;

	curl_easy_getinfo(transport->curl, CURLINFO_OS_ERRNO, &error);
	if (transport->socket != NULL && code == CURLE_COULDNT_CONNECT)
		snprintf(answer->problem, sizeof(answer->problem), "no daemon answers at %s%s%s",
			 transport->socket, error != 0 ? ": " : "",
			 error != 0 ? strerror((int)error) : "");
	else
		snprintf(answer->problem, sizeof(answer->problem), "%.160s%s",
			 transport->error[0] != '\0' ? transport->error : curl_easy_strerror(code),
			 advice(transport, code));
}

static void
read_answer(struct transport *transport, CURLcode code, struct http_answer *answer)
{
	const char *media_type = NULL;
	curl_off_t retry_after = 0;

	answer->arrived = code == CURLE_OK;
	if (code != CURLE_OK)
		say_why(transport, code, answer);
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

	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS,
			 (long)(timeout_msec > TRY_MSEC_MIN ? timeout_msec : TRY_MSEC_MIN));
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

void
transport_delete(struct transport *transport, const char *path, uint64_t timeout_msec,
		 struct http_answer *answer)
{
	curl_easy_setopt(transport->curl, CURLOPT_CUSTOMREQUEST, "DELETE");
	transport_ask(transport, path, NULL, timeout_msec, answer);
	curl_easy_setopt(transport->curl, CURLOPT_CUSTOMREQUEST, NULL);
}

static void
limit_silence(struct transport *transport)
{
	curl_easy_setopt(transport->curl, CURLOPT_TIMEOUT_MS, 0L);
	curl_easy_setopt(transport->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(transport->curl, CURLOPT_LOW_SPEED_TIME, (long)SILENCE_SEC);
}

enum status
transport_stream(struct transport *transport, const char *path, struct lines *lines,
		 struct http_answer *answer)
{
	struct transfer transfer = {.curl = transport->curl, .answer = answer, .lines = lines};
	CURL *curl = transport->curl;

	limit_silence(transport);
	curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, transport->stream_headers);
	curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, "gzip");
	lines_reset(lines);
	transfer_run(transport, path, &transfer);
	return transfer.status;
}

static size_t
send_file(char *to, size_t one, size_t room, void *cookie)
{
	struct transfer *transfer = cookie;
	const ssize_t got = pread(transfer->file->fd, to, one * room, (off_t)transfer->sent);

	if (got == -1)
		return CURL_READFUNC_ABORT;
	transfer->sent += (uint64_t)got;
	return (size_t)got;
}

void
transport_put(struct transport *transport, const char *path, const struct transport_file *file,
	      struct http_answer *answer)
{
	struct transfer transfer = {.curl = transport->curl, .answer = answer, .file = file};
	struct curl_slist *headers = NULL;
	CURL *curl = transport->curl;
	bool appended = true;

	for (const struct curl_slist *one = transport->file_headers; one != NULL; one = one->next)
		appended = appended && append_header(&headers, one->data);
	for (size_t i = 0; file->headers[i] != NULL; i++)
		appended = appended && append_header(&headers, file->headers[i]);
	limit_silence(transport);
	curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)file->size);
	curl_easy_setopt(curl, CURLOPT_READFUNCTION, send_file);
	curl_easy_setopt(curl, CURLOPT_READDATA, &transfer);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, NULL);
	if (appended)
		transfer_run(transport, path, &transfer);
	else
		snprintf(answer->problem, sizeof(answer->problem), "out of memory");
	curl_easy_setopt(curl, CURLOPT_UPLOAD, 0L);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, NULL);
	curl_slist_free_all(headers);
}

void
transport_get(struct transport *transport, const char *path, transport_taker *take, void *cookie,
	      struct http_answer *answer)
{
	struct transfer transfer = {
		.curl = transport->curl, .answer = answer, .take = take, .cookie = cookie};

	limit_silence(transport);
	curl_easy_setopt(transport->curl, CURLOPT_HTTPGET, 1L);
	curl_easy_setopt(transport->curl, CURLOPT_HTTPHEADER, transport->file_headers);
	curl_easy_setopt(transport->curl, CURLOPT_ACCEPT_ENCODING, NULL);
	transfer_run(transport, path, &transfer);
}

struct text
transport_header(struct transport *transport, const char *name)
{
	struct curl_header *header = NULL;

	if (curl_easy_header(transport->curl, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
		return TEXT("");
	return text_of(header->value);
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
