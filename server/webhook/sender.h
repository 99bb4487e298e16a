/*
 * sender: POSTs to one URL, some at once. The only user of libcurl here.
 *
 * Redirects are not followed; what the receiver answers is not looked at but for its status. That counts
 * as soon as the answer's body begins, however it goes on; no more than its first 64 KiB are read.
 * Threads: sender_wake() from any thread, the others from the one that runs it.
 */
#ifndef WEBHOOK_SENDER_H
#define WEBHOOK_SENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"

struct sender;

struct sender_options {
	const char *url; /* these two must stay */
	const char *ca_file;
	unsigned connections;
	unsigned timeout_sec;
};

struct message {
	struct text id;
	uint64_t timestamp_sec;
	const char *signatures;
	struct text body;
	struct text trace; /* size 0: none */
};

struct post_outcome {
	void *cookie;
	unsigned status; /* HTTP's; 0: no answer */
	uint64_t retry_after_sec;
	const char *error; /* why there was none; until the next sender_send() */
};

/* Whether the URL can be used; else *problem says what is wrong (base/problem). */
bool sender_url_is_valid(const char *url, const char **problem);

/* NULL: memory is out. */
struct sender *sender_new(const struct sender_options *);
void sender_free(struct sender *);

/* How many more could be under way. */
size_t sender_room(const struct sender *);
size_t sender_under_way(const struct sender *);

/* Begins one; the message is copied. False: no room, or memory is out. */
bool sender_send(struct sender *, const struct message *, void *cookie);

/* Works, and sleeps until something comes or the time is over. */
void sender_poll(struct sender *, uint64_t timeout_msec);

/* One that is over; false: none is. */
bool sender_take(struct sender *, struct post_outcome *);

/* Ends the sleep. */
void sender_wake(struct sender *);

#endif
