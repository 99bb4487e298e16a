/*
 * transport: HTTP to one server, over one kept connection. The only file that knows libcurl.
 *
 * It judges nothing: an answer is a status, a media type and bytes; everything else is "no answer",
 * whatever the reason, because the request may or may not have arrived.
 *
 * Threads: one.
 */
#ifndef CLI_TRANSPORT_H
#define CLI_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/status.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/lines.h"
#include "cli/phone_clock.h"

struct transport;

/* Bodies longer than this are cut off: no answer. */
#define ANSWER_SIZE_MAX ((size_t)256 << 20)

struct http_answer {
	bool arrived; /* a whole answer; else the rest, but for problem, means nothing */
	long http;    /* its status */
	char media_type[64];
	uint64_t retry_after_msec; /* the header's; 0 if none */
	struct buffer body;
	struct clock_sample sample;
	char problem[256]; /* why nothing arrived, for a human */
};

/*
 * url: http://…, https://… or unix:/path. Of the options: token_file, with the token to
 * send, else the environment's EDGEREPLAY_TOKEN, and none: no token; ca_file, with the authorities of which
 * a server's certificate must be, else the system's. Reports what is wrong with any of them; NULL then.
 */
struct transport *transport_new(const char *url, const struct cli_options *);
void transport_free(struct transport *);

void http_answer_init(struct http_answer *);
void http_answer_release(struct http_answer *);

/*
 * path begins with "/". POST of a JSON body, or GET when it is NULL; waits at most timeout_msec, but
 * five seconds at least: the last try, or the only one, is a try.
 */
void transport_ask(struct transport *, const char *path, const struct text *body,
		   uint64_t timeout_msec, struct http_answer *);

/* DELETE, likewise. */
void transport_delete(struct transport *, const char *path, uint64_t timeout_msec,
		      struct http_answer *);

/*
 * GET of an NDJSON stream: each whole line of a 200 goes to lines, as it arrives. Anything but a
 * 200 fills answer->body instead. Returns what ended the feeding; STATUS_OK otherwise, and then
 * answer->arrived tells whether the stream came to its end.
 */
MUST_CHECK enum status transport_stream(struct transport *, const char *path, struct lines *,
					struct http_answer *);

/* What is sent: size bytes of a file from its start, with headers "Name: value" that a NULL ends. */
struct transport_file {
	int fd;
	uint64_t size;
	const char *const *headers;
};

/* PUT of a file. */
void transport_put(struct transport *, const char *path, const struct transport_file *,
		   struct http_answer *);

/* GET of bytes: those of a 200 go to take as they arrive. Anything but a 200 fills answer->body instead.
 * When take returns false no answer has arrived. */
typedef bool transport_taker(void *cookie, struct text);
void transport_get(struct transport *, const char *path, transport_taker *take, void *cookie,
		   struct http_answer *);

/* A header of the last answer; empty when it had none. Until the next request. */
struct text transport_header(struct transport *, const char *name);

/* Appends "/v1/logs/<name, percent-encoded>" and the tail, with a NUL behind it that does not
 * count. */
void transport_log_path(struct buffer *, struct text log, const char *tail);

#endif
