#include "auth/fetch.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/problem.h"

#define CONNECT_SEC 5L
#define WHOLE_SEC 10L

struct fetch {
	CURL *curl;
	char error[CURL_ERROR_SIZE];
};

static size_t
receive(char *data, size_t one, size_t size, void *cookie)
{
	struct buffer *out = cookie;
	buffer_append(out, data, one * size);
	return out->failed ? CURL_WRITEFUNC_ERROR : size;
}

/* libcurl calls it at least once a second. */
static int
look_whether_to_stop(void *cookie, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	const atomic_bool *stop = cookie;
	(void)a;
	(void)b;
	(void)c;
	(void)d;
	return atomic_load(stop) ? 1 : 0;
}

static bool
is_this_machine(const char *host)
{
	return strcmp(host, "localhost") == 0 || strcmp(host, "127.0.0.1") == 0 ||
	       strcmp(host, "[::1]") == 0;
}

/* Whether keys may come from there; *local: from this machine. */
static bool
is_allowed(const char *url, bool *local)
{
	char *scheme = NULL, *host = NULL;
	bool allowed = false;
	CURLU *parts = curl_url();
	if (parts && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
	    curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
	    curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK) {
		*local = is_this_machine(host);
		allowed = strcmp(scheme, "https") == 0 || (strcmp(scheme, "http") == 0 && *local);
	}
	curl_free(scheme);
	curl_free(host);
	curl_url_cleanup(parts);
	return allowed;
}

static void
set_options(CURL *curl, const char *url, const char *ca_file, bool local, char *error)
{
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SEC);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, WHOLE_SEC);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, look_whether_to_stop);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "edgereplayd/" EDGEREPLAY_VERSION);
	if (ca_file[0] != '\0')
		curl_easy_setopt(curl, CURLOPT_CAINFO, ca_file);
	if (local)
		curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
}

enum status
fetch_new(const char *url, const char *ca_file, struct fetch **made, const char **problem)
{
	bool local = false;
	if (!is_allowed(url, &local))
		return problem_set(problem, STATUS_MALFORMED,
				   "%s: an https:// address is needed, or http:// on this machine "
				   "(localhost, 127.0.0.1, [::1])",
				   url);
	if (ca_file[0] != '\0' && access(ca_file, R_OK) != 0)
		return problem_set(problem, STATUS_MALFORMED,
				   "auth.jwks_ca_file %s cannot be read: %s", ca_file,
				   strerror(errno));
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return problem_set(problem, STATUS_INTERNAL, "libcurl cannot start");
	struct fetch *fetch = calloc(1, sizeof(*fetch));
	CURL *curl = curl_easy_init();
	if (!fetch || !curl) {
		free(fetch);
		curl_easy_cleanup(curl);
		curl_global_cleanup();
		return problem_set(problem, STATUS_INTERNAL, "memory is out");
	}
	fetch->curl = curl;
	set_options(curl, url, ca_file, local, fetch->error);
	*made = fetch;
	return STATUS_OK;
}

void
fetch_free(struct fetch *fetch)
{
	if (!fetch)
		return;
	curl_easy_cleanup(fetch->curl);
	free(fetch);
	curl_global_cleanup();
}

enum status
fetch_run(struct fetch *fetch, const atomic_bool *stop, struct buffer *out, const char **problem)
{
	long http = 0;
	fetch->error[0] = '\0';
	curl_easy_setopt(fetch->curl, CURLOPT_WRITEDATA, out);
	curl_easy_setopt(fetch->curl, CURLOPT_XFERINFODATA, (void *)stop);
	const CURLcode code = curl_easy_perform(fetch->curl);
	if (out->failed)
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
				   "the answer has more than %zu bytes", out->size_max);
	if (code != CURLE_OK)
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "%s",
				   fetch->error[0] ? fetch->error : curl_easy_strerror(code));
	curl_easy_getinfo(fetch->curl, CURLINFO_RESPONSE_CODE, &http);
	if (http != 200)
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "the answer was %ld", http);
	return STATUS_OK;
}
