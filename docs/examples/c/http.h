/*
 * http: one request and its answer, with libcurl.
 *
 * Ownership: the answer's document is the caller's, who gives it back with json_decref().
 */
#ifndef EXAMPLE_HTTP_H
#define EXAMPLE_HTTP_H

#include <jansson.h>
#include <stdint.h>

struct http;

struct answer {
	long status;	   /* 0: there was no answer, or none that is a server's own document */
	json_t *document;  /* an object that has serverTimestamp; NULL with status 0 */
	double after_sec;  /* Retry-After, else 0 */
	int64_t sent_msec; /* of the wall clock */
	double took_sec;   /* of a clock that nobody sets */
	char why[256];	   /* with status 0 */
};

/* url: without /v1; token: NULL for none. */
struct http *http_new(const char *url, const char *token);
void http_free(struct http *);

/* A GET, or with a body a POST, of what is below /v1/. */
void http_call(struct http *, const char *target, const json_t *body, struct answer *);

/* The log's name as it stands in a path; curl_free() it. */
char *http_escape(struct http *, const char *log);

#endif
