#include "http.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define URL_SIZE 2048
#define ANSWER_SIZE_MAX ((size_t)64 << 20)

struct http {
	CURL *easy;
	struct curl_slist *headers;
	char url[URL_SIZE];
	char *text;
	size_t size;
};

static size_t
take(const char *data, size_t one, size_t count, void *cookie)
{
	struct http *http = cookie;
	const size_t size = one * count;
	char *longer = http->size + size <= ANSWER_SIZE_MAX
			       ? realloc(http->text, http->size + size + 1)
			       : NULL;
	if (!longer)
		return 0;
	memcpy(longer + http->size, data, size);
	http->text = longer;
	http->size += size;
	return size;
}

struct http *
http_new(const char *url, const char *token)
{
	struct http *http = calloc(1, sizeof(*http));
	if (!http)
		return NULL;
	char bearer[URL_SIZE];
	http->easy = curl_easy_init();
	snprintf(http->url, sizeof(http->url), "%s", url);
	http->headers = curl_slist_append(NULL, "Content-Type: application/json");
	http->headers = curl_slist_append(http->headers, "Expect:");
	if (token) {
		snprintf(bearer, sizeof(bearer), "Authorization: Bearer %s", token);
		http->headers = curl_slist_append(http->headers, bearer);
	}
	curl_easy_setopt(http->easy, CURLOPT_HTTPHEADER, http->headers);
	curl_easy_setopt(http->easy, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(http->easy, CURLOPT_WRITEDATA, http);
	curl_easy_setopt(http->easy, CURLOPT_TIMEOUT, 60L);
	curl_easy_setopt(http->easy, CURLOPT_ACCEPT_ENCODING, "gzip");
	return http;
}

void
http_free(struct http *http)
{
	if (!http)
		return;
	curl_easy_cleanup(http->easy);
	curl_slist_free_all(http->headers);
	free(http->text);
	free(http);
}

static double
seconds_of(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Whatever is no document of the server's own is no answer: a proxy's page, half of one. */
static void
read_answer(struct http *http, struct answer *answer)
{
	curl_off_t after = 0;
	curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, &answer->status);
	curl_easy_getinfo(http->easy, CURLINFO_RETRY_AFTER, &after);
	answer->after_sec = (double)after;
	answer->document =
		http->text ? json_loadb(http->text, http->size, JSON_ALLOW_NUL, NULL) : NULL;
	if (json_is_integer(json_object_get(answer->document, "serverTimestamp")) &&
	    (answer->status == 200 || json_is_string(json_object_get(answer->document, "retry"))))
		return;
	snprintf(answer->why, sizeof(answer->why), "no document of the server's: %ld",
		 answer->status);
	json_decref(answer->document);
	answer->document = NULL;
	answer->status = 0;
}

void
http_call(struct http *http, const char *target, const json_t *body, struct answer *answer)
{
	char url[2 * URL_SIZE];
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	*answer = (struct answer){.status = 0};
	snprintf(url, sizeof(url), "%s/v1/%s", http->url, target);
	http->size = 0;
	curl_easy_setopt(http->easy, CURLOPT_URL, url);
	if (text) {
		curl_easy_setopt(http->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(text));
		curl_easy_setopt(http->easy, CURLOPT_POSTFIELDS, text);
	} else {
		curl_easy_setopt(http->easy, CURLOPT_HTTPGET, 1L);
	}
	answer->sent_msec = (int64_t)(1000 * seconds_of(CLOCK_REALTIME));
	const double began = seconds_of(CLOCK_MONOTONIC);
	const CURLcode code = curl_easy_perform(http->easy);
	answer->took_sec = seconds_of(CLOCK_MONOTONIC) - began;
	if (code == CURLE_OK)
		read_answer(http, answer);
	else
		snprintf(answer->why, sizeof(answer->why), "no answer: %s",
			 curl_easy_strerror(code));
	free(text);
}

char *
http_escape(struct http *http, const char *log)
{
	return curl_easy_escape(http->easy, log, 0);
}
