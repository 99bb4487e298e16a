#include "webhook/sender.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/problem.h"
#include "webhook/signature.h"

#define BODY_SIZE_MAX 512
#define ANSWER_SIZE_MAX 65536
#define HEADER_SIZE_MAX (SIGNATURES_SIZE_MAX + 64)

struct post {
	CURL *easy; /* NULL: free */
	struct curl_slist *headers;
	char body[BODY_SIZE_MAX];
	char error[CURL_ERROR_SIZE];
	size_t answer_size; /* of the body, as far as it was read */
	void *cookie;
};

struct sender {
	struct sender_options options;
	CURLM *multi;
	size_t under_way;
	struct post posts[];
};

bool
sender_url_is_valid(const char *url, const char **problem)
{
	CURLU *parts = curl_url();
	char *scheme = NULL;
	bool good = parts != NULL && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
		    curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
		    (strcmp(scheme, "https") == 0 || strcmp(scheme, "http") == 0);
	curl_free(scheme);
	curl_url_cleanup(parts);
	if (!good)
		*problem = "webhook.url is no https:// or http:// URL"; /* it may have a password */
	return good;
}

struct sender *
sender_new(const struct sender_options *options)
{
	struct sender *sender;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return NULL;
	sender = calloc(1, sizeof(*sender) + options->connections * sizeof(sender->posts[0]));
	if (sender == NULL)
		goto clean_up;
	sender->options = *options;
	sender->multi = curl_multi_init();
	if (sender->multi == NULL)
		goto free_sender;
	return sender;

free_sender:
	free(sender);
clean_up:
	curl_global_cleanup();
	return NULL;
}

static void
end_post(struct sender *sender, struct post *post)
{
	if (post->easy == NULL)
		return;
	(void)curl_multi_remove_handle(sender->multi, post->easy);
	curl_easy_cleanup(post->easy);
	curl_slist_free_all(post->headers);
	post->easy = NULL;
	post->headers = NULL;
	sender->under_way--;
}

void
sender_free(struct sender *sender)
{
	if (sender == NULL)
		return;
	for (unsigned i = 0; i < sender->options.connections; i++)
		end_post(sender, &sender->posts[i]);
	(void)curl_multi_cleanup(sender->multi);
	free(sender);
	curl_global_cleanup();
}

size_t
sender_room(const struct sender *sender)
{
	return sender->options.connections - sender->under_way;
}

size_t
sender_under_way(const struct sender *sender)
{
	return sender->under_way;
}

/* What is short is read to its end, so that the connection serves again; what is not ends here. */
static size_t
pass_over(const char *data, size_t size, size_t count, void *cookie)
{
	struct post *post = cookie;
	(void)data;
	post->answer_size += size * count;
	return post->answer_size <= ANSWER_SIZE_MAX ? size * count : 0;
}

__attribute__((format(printf, 2, 3))) static bool
add_header(struct post *post, const char *format, ...)
{
	char line[HEADER_SIZE_MAX];
	va_list arguments;
	va_start(arguments, format);
	(void)vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	struct curl_slist *longer = curl_slist_append(post->headers, line);
	if (longer != NULL)
		post->headers = longer;
	return longer != NULL;
}

static bool
add_headers(struct post *post, const struct message *message)
{
	return add_header(post, "Content-Type: application/json") && add_header(post, "Expect:") &&
	       add_header(post, "Webhook-Id: %.*s", (int)message->id.size, message->id.data) &&
	       add_header(post, "Webhook-Timestamp: %ju", (uintmax_t)message->timestamp_sec) &&
	       add_header(post, "Webhook-Signature: %s", message->signatures) &&
	       (message->trace.size == 0 ||
		add_header(post, "traceparent: %.*s", (int)message->trace.size,
			   message->trace.data));
}

static bool
set_options(const struct sender *sender, struct post *post, size_t body_size)
{
	CURL *easy = post->easy;
	return curl_easy_setopt(easy, CURLOPT_URL, sender->options.url) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	       /* A stop does not wait for a name that nobody resolves. */
	       curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_TIMEOUT, (long)sender->options.timeout_sec) ==
		       CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, pass_over) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_WRITEDATA, post) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_USERAGENT, "edgereplay/" EDGEREPLAY_VERSION) ==
		       CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, post->error) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_HTTPHEADER, post->headers) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_POSTFIELDS, post->body) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)body_size) == CURLE_OK &&
	       (sender->options.ca_file[0] == '\0' ||
		curl_easy_setopt(easy, CURLOPT_CAINFO, sender->options.ca_file) == CURLE_OK) &&
	       curl_easy_setopt(easy, CURLOPT_PRIVATE, post) == CURLE_OK;
}

bool
sender_send(struct sender *sender, const struct message *message, void *cookie)
{
	struct post *post = sender->posts;
	if (sender_room(sender) == 0)
		return false;
	while (post->easy != NULL)
		post++;
	CHECK(message->body.size <= sizeof(post->body));
	post->easy = curl_easy_init();
	if (post->easy == NULL)
		return false;
	sender->under_way++;
	post->error[0] = '\0';
	post->answer_size = 0;
	post->cookie = cookie;
	memcpy(post->body, message->body.data, message->body.size);
	if (add_headers(post, message) && set_options(sender, post, message->body.size) &&
	    curl_multi_add_handle(sender->multi, post->easy) == CURLM_OK)
		return true;
	end_post(sender, post);
	return false;
}

void
sender_poll(struct sender *sender, uint64_t timeout_msec)
{
	int running;
	(void)curl_multi_perform(sender->multi, &running);
	if ((size_t)running == sender->under_way)
		(void)curl_multi_poll(sender->multi, NULL, 0, (int)timeout_msec, NULL);
	(void)curl_multi_perform(sender->multi, &running);
}

bool
sender_take(struct sender *sender, struct post_outcome *outcome)
{
	int left;
	const CURLMsg *said;
	do
		said = curl_multi_info_read(sender->multi, &left);
	while (said != NULL && said->msg != CURLMSG_DONE);
	if (said == NULL)
		return false;
	struct post *post = NULL;
	long status = 0;
	curl_off_t after = 0;
	const CURLcode code = said->data.result;
	CHECK(curl_easy_getinfo(said->easy_handle, CURLINFO_PRIVATE, &post) == CURLE_OK);
	(void)curl_easy_getinfo(said->easy_handle, CURLINFO_RESPONSE_CODE, &status);
	(void)curl_easy_getinfo(said->easy_handle, CURLINFO_RETRY_AFTER, &after);
	const bool answered = code == CURLE_OK || post->answer_size > 0;
	if (post->error[0] == '\0')
		(void)snprintf(post->error, sizeof(post->error), "%s", curl_easy_strerror(code));
	*outcome = (struct post_outcome){.cookie = post->cookie,
					 .status = answered ? (unsigned)status : 0,
					 .retry_after_sec = after > 0 ? (uint64_t)after : 0,
					 .error = post->error};
	end_post(sender, post);
	return true;
}

void
sender_wake(struct sender *sender)
{
	(void)curl_multi_wakeup(sender->multi);
}
