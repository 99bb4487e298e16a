/*
 * http_harness: a small app behind a real listener, and a way to connect to it.
 *
 *     GET  /hello               "hello"                   GET  /big?N       N bytes of JSON lines
 *     POST /echo                the body                  GET  /stream?N    the same as a stream
 *     POST /park?N              parked N times by a thread of its own, then the body
 *     GET  /target              path LF query             GET  /none        204
 *     GET  /early  POST /early  404 from begin            GET  /unchanged   304 with an ETag
 *     POST /hold                parked until harness_let_go()
 *     GET  /line?N              a stream of one line of N bytes
 *     GET  /live?N              a live stream of N lines, parked before each by a thread of its own
 *     GET  /watch               a live stream of a line, parked until harness_say() or its client
 *                               leaves, and so on
 *     GET  /long?N              parked for long until harness_end_long(), then "late", or a stream of
 *                               N bytes
 *     GET  /sized?N             a stream of N bytes, whose size is said
 *     PUT  /pieces              the sum of the body's bytes, which are not kept; a byte 0xff is refused
 *     GET  /room?N              expects N bytes of memory and takes them
 *     GET  /accept              the header Accept
 *
 * What the room refuses is answered with the code's name as the body.
 */
#ifndef TESTS_HTTP_HARNESS_H
#define TESTS_HTTP_HARNESS_H

#include <check.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/queue.h"
#include "http/listener.h"
#include "http/request.h"
#include "support/http_client.h"
#include "support/runner.h"

#define BODY_LIMIT ((size_t)64 * 1024)
#define ECHO_LIMIT_SMALL ((size_t)1000)
#define PIECES_LIMIT ((size_t)20 << 20) /* more than there is memory for bodies */

static struct {
	struct listener *listener;
	struct queue *parked;
	pthread_t resumer;
	struct queue *held;
	atomic_uint begun; /* begin or refuse was called first */
	atomic_uint ended;
	atomic_uint traced; /* of these, with a trace to the end */
	atomic_uint held_count;
	atomic_uint left;    /* clients of parked requests */
	atomic_bool stalled; /* /stall keeps its thread while this is set */
	atomic_bool stalling;
	atomic_size_t stream_largest; /* capacity of a piece */
	atomic_uint_fast64_t pulled;
} harness;

/* --- the app --- */

struct visit {
	uint64_t left; /* parks, or bytes of a stream */
	uint64_t line;
	uint64_t rounds;
};

static inline bool
path_is(const struct request *request, const char *path)
{
	return text_equal(request_path(request), text_of(path));
}

static inline void
answer_text(struct request *request, unsigned status, const char *type, struct text text)
{
	struct buffer body;
	buffer_init(&body, text.size + 1);
	buffer_append_text(&body, text);
	request_answer(request, status, type, &body);
}

/* Lines like a log's: 32 bytes each. */
static inline void
append_line(struct buffer *out, uint64_t line)
{
	buffer_printf(out, "{\"seq\":%09llu,\"type\":\"todo\"}\n", (unsigned long long)line);
}

static inline uint64_t
query_number(struct request *request)
{
	uint64_t number = 0;
	(void)text_to_u64(request_query(request), UINT64_MAX, &number);
	return number;
}

static inline struct visit *
visit_of(struct request *request)
{
	struct visit *visit = request_state(request);
	if (visit == NULL) {
		visit = arena_calloc(request_arena(request), 1, sizeof(*visit));
		ck_assert_ptr_nonnull(visit);
		visit->left = query_number(request);
		request_set_state(request, visit);
	}
	return visit;
}

static inline bool
app_pull(void *cookie, struct request *request, struct buffer *out)
{
	struct visit *visit = visit_of(request);
	(void)cookie;
	while (out->size < 64 * 1024 - 32 && visit->left > 0) {
		append_line(out, visit->line++);
		visit->left = visit->left > 32 ? visit->left - 32 : 0;
	}
	atomic_fetch_add(&harness.pulled, out->size);
	if (out->capacity > atomic_load(&harness.stream_largest))
		atomic_store(&harness.stream_largest, out->capacity);
	return visit->left > 0;
}

static inline bool
app_pull_line(void *cookie, struct request *request, struct buffer *out)
{
	size_t size = (size_t)query_number(request);
	char *place = buffer_reserve(out, size);
	(void)cookie;
	if (place != NULL) {
		memset(place, 'x', size);
		out->size += size;
	}
	return false;
}

static inline bool
app_pull_live(void *cookie, struct request *request, struct buffer *out)
{
	struct visit *visit = visit_of(request);
	(void)cookie;
	if (visit->rounds++ % 2 == 0) {
		request_park(request);
		ck_assert(queue_push(harness.parked, request));
		return true;
	}
	append_line(out, visit->line++);
	return visit->line < visit->left;
}

/* The size of a line is what is asked for: one that a socket does not take at once, if need be. */
static inline bool
app_pull_watch(void *cookie, struct request *request, struct buffer *out)
{
	struct visit *visit = visit_of(request);
	(void)cookie;
	if (!request_may_wait(request))
		return false;
	if (visit->rounds++ % 2 == 0) {
		for (uint64_t size = 0; size <= visit->left; size += 32)
			append_line(out, visit->line);
		visit->line++;
		return true;
	}
	request_park(request);
	ck_assert(queue_push(harness.held, request));
	atomic_fetch_add(&harness.held_count, 1);
	return true;
}

static inline void
app_take_room(struct request *request)
{
	bool taken = arena_alloc(request_arena(request), (size_t)query_number(request)) != NULL;
	answer_text(request, taken ? 200 : 500, "text/plain", taken ? TEXT("room") : TEXT("none"));
}

static inline void
app_echo(struct request *request)
{
	size_t size;
	char *data = request_body(request, &size);
	ck_assert_int_eq(data[size], '\0');
	answer_text(request, 200, "application/octet-stream", (struct text){data, size});
}

static inline enum status
app_take(struct request *request, const char *data, size_t size)
{
	struct visit *visit = visit_of(request);
	if (memchr(data, 0xff, size) != NULL)
		return STATUS_STORAGE_UNAVAILABLE;
	for (size_t i = 0; i < size; i++)
		visit->line += (uint8_t)data[i];
	visit->rounds++;
	return STATUS_OK;
}

static inline void
app_sum(struct request *request)
{
	struct buffer body;
	size_t kept = 1;
	(void)request_body(request, &kept);
	ck_assert_uint_eq(kept, 0);
	buffer_init(&body, 64);
	buffer_append_u64(&body, visit_of(request)->line);
	request_answer(request, 200, "text/plain", &body);
}

static inline void app_park(void *cookie, struct request *request);

static inline void
app_after_park(void *cookie, struct request *request)
{
	struct visit *visit = visit_of(request);
	if (--visit->left > 0)
		app_park(cookie, request);
	else
		app_echo(request);
}

static inline void
app_park(void *cookie, struct request *request)
{
	(void)cookie;
	(void)visit_of(request);
	request_park(request);
	ck_assert(queue_push(harness.parked, request));
}

static inline void
app_after_hold(void *cookie, struct request *request)
{
	(void)cookie;
	app_echo(request);
}

static inline void
app_after_long(void *cookie, struct request *request)
{
	(void)cookie;
	request_add_header(request, "Cache-Control", TEXT("no-store"));
	if (query_number(request) > 0)
		request_stream(request, 200, "application/x-ndjson", app_pull);
	else
		answer_text(request, 200, "text/plain", TEXT("late"));
}

static inline void
app_begin(void *cookie, struct request *request)
{
	(void)cookie;
	atomic_fetch_add(&harness.begun, 1);
	if (path_is(request, "/early"))
		answer_text(request, 404, NULL, TEXT("early"));
	else if (path_is(request, "/room"))
		request_expect_memory(request, (size_t)query_number(request));
	else if (path_is(request, "/pieces"))
		request_pass_body(request, PIECES_LIMIT, app_take);
	else if (path_is(request, "/small"))
		request_expect_body(request, ECHO_LIMIT_SMALL);
	else if (path_is(request, "/echo") || path_is(request, "/park") ||
		 path_is(request, "/hold"))
		request_expect_body(request, BODY_LIMIT);
}

static inline void
app_big(struct request *request)
{
	struct buffer body;
	buffer_init(&body, (size_t)1 << 30);
	uint64_t size = query_number(request);
	for (uint64_t line = 0; line * 32 < size; line++)
		append_line(&body, line);
	request_answer(request, 200, "application/json", &body);
}

static inline void
app_serve(void *cookie, struct request *request)
{
	if (path_is(request, "/hello")) {
		answer_text(request, 200, "text/plain", TEXT("hello"));
	} else if (path_is(request, "/echo") || path_is(request, "/small")) {
		app_echo(request);
	} else if (path_is(request, "/park")) {
		app_park(cookie, request);
	} else if (path_is(request, "/hold")) {
		request_park(request);
		ck_assert(queue_push(harness.held, request));
		atomic_fetch_add(&harness.held_count, 1);
	} else if (path_is(request, "/stall")) {
		atomic_store(&harness.stalling, true);
		wait_until(!atomic_load(&harness.stalled));
		answer_text(request, 200, "text/plain", TEXT("done"));
	} else if (path_is(request, "/big")) {
		app_big(request);
	} else if (path_is(request, "/stream")) {
		request_stream(request, 200, "application/x-ndjson", app_pull);
	} else if (path_is(request, "/line")) {
		request_stream(request, 200, "application/x-ndjson", app_pull_line);
	} else if (path_is(request, "/live")) {
		request_stream_live(request, 200, "text/event-stream", app_pull_live);
	} else if (path_is(request, "/watch")) {
		request_stream_live(request, 200, "text/event-stream", app_pull_watch);
	} else if (path_is(request, "/long")) {
		request_park_long(request);
		ck_assert(queue_push(harness.held, request));
		atomic_fetch_add(&harness.held_count, 1);
	} else if (path_is(request, "/sized")) {
		request_stream_sized(request, "application/json", query_number(request), app_pull);
	} else if (path_is(request, "/pieces")) {
		app_sum(request);
	} else if (path_is(request, "/room")) {
		app_take_room(request);
	} else if (path_is(request, "/accept")) {
		answer_text(request, 200, "text/plain", request_header(request, "Accept"));
	} else if (path_is(request, "/media")) {
		answer_text(request, 200, "text/plain", request_accept(request));
	} else if (path_is(request, "/type")) {
		answer_text(request, 200, "text/plain", request_content_type(request));
	} else if (path_is(request, "/unstored")) {
		request_add_header(request, "Cache-Control", TEXT("no-store"));
		app_big(request);
	} else if (path_is(request, "/none")) {
		request_answer(request, 204, NULL, NULL);
	} else if (path_is(request, "/unchanged")) {
		request_add_header(request, "ETag", TEXT("\"abc\""));
		request_answer(request, 304, NULL, NULL);
	} else {
		struct buffer body;
		buffer_init(&body, 65536);
		buffer_append_text(&body, request_path(request));
		buffer_append_text(&body, TEXT("\n"));
		buffer_append_text(&body, request_query(request));
		request_answer(request, 200, "text/plain", &body);
	}
}

static inline void
app_refuse(void *cookie, struct request *request, enum status status, struct text detail)
{
	const struct status_info *info = status_info(status);
	(void)cookie;
	ck_assert_uint_gt(detail.size, 0);
	request_add_header(request, "X-Refused", detail);
	answer_text(request, info->http, "application/problem+json", text_of(info->code));
}

static inline void
app_end(void *cookie, struct request *request)
{
	(void)cookie;
	atomic_fetch_add(&harness.traced, request_trace(request).size > 0);
	atomic_fetch_add(&harness.ended, 1);
}

static inline void
app_leave(void *cookie, struct request *request)
{
	(void)cookie;
	(void)request;
	atomic_fetch_add(&harness.left, 1);
}

static inline void *
resumer_main(void *cookie)
{
	void *items[16];
	size_t count;
	(void)cookie;
	for (;;) {
		count = queue_take(harness.parked, items, 16, 1000);
		for (size_t i = 0; i < count; i++)
			request_resume(items[i],
				       path_is(items[i], "/live") ? NULL : app_after_park);
		if (count == 0 && queue_is_closed(harness.parked))
			return NULL;
	}
}

/* --- start and stop --- */

static inline struct listener_options
harness_options(void)
{
	return (struct listener_options){.address = "127.0.0.1:0",
					 .socket_mode = 0600,
					 .inherited_fd = -1,
					 .threads = 2,
					 .connections = 200,
					 .deadlines = {.header_sec = 60,
						       .body_sec = 60,
						       .send_sec = 60,
						       .idle_sec = 60,
						       .least_rate = 1024},
					 .header_bytes = 8192,
					 .body_memory = (size_t)4 << 20,
					 .answer_memory = (size_t)1 << 30,
					 .drain_bytes = (size_t)256 << 10,
					 .arena_bytes = (size_t)1 << 20};
}

static inline void
harness_start(const struct listener_options *options)
{
	struct app app = {NULL, app_begin, app_serve, app_refuse, app_leave, app_end};
	const char *problem = NULL;
	log_configure(LOG_ERROR, LOG_LOGFMT);
	harness.parked = queue_new(4096);
	harness.held = queue_new(4096);
	ck_assert_ptr_nonnull(harness.parked);
	ck_assert_ptr_nonnull(harness.held);
	ck_assert_int_eq(pthread_create(&harness.resumer, NULL, resumer_main, NULL), 0);
	enum status status = listener_start(options, &app, &harness.listener, &problem);
	ck_assert_msg(status == STATUS_OK, "%s", problem);
}

static inline void
harness_let_go(void)
{
	void *item;
	while (queue_take(harness.held, &item, 1, 0) == 1)
		request_resume(item, app_after_hold);
}

/* To all that /watch. */
static inline void
harness_say(void)
{
	void *items[64];
	size_t count = queue_take(harness.held, items, 64, 0);
	for (size_t i = 0; i < count; i++)
		request_resume(items[i], NULL);
}

static inline void
harness_end_long(void)
{
	void *item;
	while (queue_take(harness.held, &item, 1, 0) == 1)
		request_resume(item, app_after_long);
}

static inline void
harness_stop(void)
{
	listener_stop(harness.listener);
	queue_close(harness.parked);
	ck_assert_int_eq(pthread_join(harness.resumer, NULL), 0);
	queue_free(harness.parked);
	queue_free(harness.held);
}

static inline void
harness_start_default(void)
{
	struct listener_options options = harness_options();
	harness_start(&options);
}

static inline unsigned
harness_port(void)
{
	const char *colon = strrchr(listener_address(harness.listener), ':');
	return (unsigned)strtoul(colon + 1, NULL, 10);
}

static inline int
dial(void)
{
	struct sockaddr_in name = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ne(fd, -1);
	name.sin_port = htons((uint16_t)harness_port());
	name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	set_timeouts(fd);
	ck_assert_msg(connect(fd, (struct sockaddr *)&name, sizeof(name)) == 0, "%s",
		      strerror(errno));
	return fd;
}

/* --- Check --- */

static inline int
run_suite(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}

#endif
