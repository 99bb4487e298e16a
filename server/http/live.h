/*
 * live: a connection that was taken from libmicrohttpd for the rest of its life, since it will wait for
 * long: for news of a live stream, or for the app to answer.
 *
 *     request_stream_live ─▶ live_take, live_begin ─▶ head ─▶ pull ─▶ piece, sent ─▶ pull ─▶ parked ─╮
 *                                                              ▲                                     │
 *     request_park_long ─▶ live_take ─▶ parked                 │                                     │
 *                                         ╰─▶ ready ─▶ lives_run ─▶ next ─▶ answer, sent ─▶ closed   │
 *                                               ▲──────── live_resume, any thread ───────────────────╯
 *
 * Why: libmicrohttpd 0.9.75 walks over all suspended connections whenever one is resumed, so with
 * thousands of them each event, and each answer of a sync, would cost 20 to 100 µs; and it keeps 16 KiB
 * of working memory for each, and of TLS 20 more. Here one that waits costs its request and a descriptor.
 *
 * How: its descriptor is copied, and the number that libmicrohttpd knows is given to a socket that
 * leads nowhere, which it closes. This is done while it has the connection suspended: then it watches
 * no descriptor of it. What the client had sent behind its request is lost: the answer says
 * Connection: close. With TLS what is sent is encrypted here from then on (sealer.h). Where a
 * connection cannot be taken (no descriptor left) it stays inside libmicrohttpd, and so do the first
 * requests that are parked for long: their connections can be used again.
 *
 * Private to this room. Threads: live_resume() from any thread, the others on the worker's.
 */
#ifndef HTTP_LIVE_H
#define HTTP_LIVE_H

#include <stdbool.h>
#include <stdint.h>

struct client;
struct request;
struct worker;

/* Takes the connection of a request that is not answered yet. libmicrohttpd's own state for this
 * connection must then no longer name the request. False: nothing was changed. */
bool live_take(struct request *);

/* Begins the live stream that such a request is answered with. */
void live_begin(struct request *);

/* Puts a parked request of such a connection among those that are ready. */
void live_resume(struct request *);

/* Goes on with those that are ready. */
void lives_run(struct worker *);

/* Its socket may take more, or its client left. It may be freed by this. */
void live_event(struct client *);

/* Ends those that are left; nobody may be parked. */
void lives_end(struct worker *);

#endif
