#include "admin/admin.h"

#include <stdlib.h>
#include <string.h>

#include "admin/backups.h"
#include "admin/figures.h"
#include "admin/guard.h"
#include "admin/inside.h"
#include "admin/ready.h"
#include "admin/remove.h"
#include "admin/snapshots.h"
#include "api/problem.h"
#include "base/log.h"
#include "base/mem.h"

#define LEVEL_SIZE_MAX 64
#define READY_SIZE_MAX ((size_t)256 * 1024)
#define METRICS_SIZE_MAX ((size_t)8 * 1024 * 1024)
#define OPEN_METRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"
#define PLAIN_METRICS "text/plain; version=0.0.4; charset=utf-8"
#define PLAIN_TEXT "text/plain; charset=utf-8"

/* --- answers --- */

static void
refuse(void *cookie, struct request *request, enum status status, struct text detail)
{
	(void)cookie;
	const struct problem problem = {.status = status, .detail = detail};
	problem_answer(request, &problem);
}

static void
answer(struct request *request, unsigned status, const char *type, struct buffer *body)
{
	request_add_header(request, "Cache-Control", TEXT("no-store"));
	request_answer(request, status, type, body);
	buffer_release(body);
}

static void
answer_word(struct request *request, const char *word)
{
	struct buffer body;
	buffer_init(&body, LEVEL_SIZE_MAX);
	buffer_append_text(&body, text_of(word));
	buffer_append_text(&body, TEXT("\n"));
	answer(request, 200, PLAIN_TEXT, &body);
}

static void
serve_alive(struct admin *admin, struct request *request)
{
	(void)admin;
	answer_word(request, "alive");
}

static void
serve_ready(struct admin *admin, struct request *request)
{
	struct buffer body;
	bool ready;
	buffer_init(&body, READY_SIZE_MAX);
	if (ready_look(admin, request_query(request), &body, &ready))
		answer(request, ready ? 200 : 503, "application/json", &body);
	else
		refuse(admin, request, STATUS_MALFORMED,
		       TEXT("The only query parameter here is exclude: reasons, with commas "
			    "between them, of STARTING, DRAINING, SHARD_DOWN, SHARD_REFUSED."));
	buffer_release(&body);
}

/* Whoever names only the older format gets that; else it is OpenMetrics. */
static bool
wants_plain(struct request *request)
{
	struct text accept = request_accept(request);
	bool plain = false;
	while (accept.size > 0) {
		struct text item = text_cut(&accept, ',');
		const struct text type = text_cut(&item, ';');
		if (text_equal(type, TEXT("application/openmetrics-text")))
			return false;
		plain |= text_equal(type, TEXT("text/plain"));
	}
	return plain;
}

static void
serve_metrics(struct admin *admin, struct request *request)
{
	struct buffer body;
	const bool plain = wants_plain(request);
	buffer_init(&body, METRICS_SIZE_MAX);
	figures_write(admin, &body, !plain);
	answer(request, 200, plain ? PLAIN_METRICS : OPEN_METRICS, &body);
}

static void
serve_level(struct admin *admin, struct request *request)
{
	size_t size;
	enum log_level level;
	if (!text_equal(request_method(request), TEXT("PUT"))) {
		answer_word(request, log_level_word());
		return;
	}
	char *body = request_body(request, &size);
	while (size > 0 && (body[size - 1] == '\n' || body[size - 1] == '\r'))
		size--;
	if (!log_level_find((struct text){body, size}, &level)) {
		refuse(admin, request, STATUS_MALFORMED,
		       TEXT("The body must be one word of debug, info, warn, error."));
		return;
	}
	/* At whichever level, before or after, it shows. */
	log_set_level(LOG_INFO);
	log_info("admin", "log level set", LOG_TEXT("level", ((struct text){body, size})),
		 LOG_REQUEST(request));
	log_set_level(level);
	answer_word(request, log_level_word());
}

static void
serve_backup(struct admin *admin, struct request *request)
{
	struct buffer body;
	const char *detail = "";
	buffer_init(&body, READY_SIZE_MAX);
	const enum status status = backups_serve(admin, request, &body, &detail);
	if (status != STATUS_OK)
		refuse(admin, request, status, text_of(detail));
	else
		answer(request, text_equal(request_method(request), TEXT("POST")) ? 202 : 200,
		       "application/json", &body);
	buffer_release(&body);
}

static void
serve_snapshots(struct admin *admin, struct request *request)
{
	struct buffer body;
	const char *detail = "";
	buffer_init(&body, READY_SIZE_MAX);
	const enum status status = snapshots_serve(admin, request, &body, &detail);
	if (status != STATUS_OK)
		refuse(admin, request, status, text_of(detail));
	else
		answer(request, 200, "application/json", &body);
	buffer_release(&body);
}

/* --- routes --- */

struct admin_route {
	const char *path;
	const char *allow;
	void (*serve)(struct admin *, struct request *);
	size_t body_max; /* of what is no GET */
	bool only_looks; /* and so is also where only metrics are */
};

static const struct admin_route *
find_route(const struct endpoint *endpoint, const struct request *request)
{
	static const struct admin_route routes[] = {
		{"/livez", "GET, HEAD", serve_alive, 0, true},
		{"/readyz", "GET, HEAD", serve_ready, 0, true},
		{"/metrics", "GET, HEAD", serve_metrics, 0, true},
		{"/log-level", "GET, HEAD, PUT", serve_level, LEVEL_SIZE_MAX, false},
		{"/backup", "GET, HEAD, POST, DELETE", serve_backup, BACKUP_BODY_MAX, false},
		{"/snapshots", "GET, HEAD", serve_snapshots, 0, false},
		{"/redact", "POST", remove_redact, REMOVE_BODY_SIZE_MAX, false},
		{"/prune", "POST", remove_prune, REMOVE_BODY_SIZE_MAX, false},
		{"/erase", "POST", remove_erase, REMOVE_BODY_SIZE_MAX, false},
		{"/reopen", "POST", remove_reopen, REMOVE_BODY_SIZE_MAX, false},
		{"/overwrite", "POST", remove_overwrite, REMOVE_BODY_SIZE_MAX, false},
	};
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		if (text_equal(request_path(request), text_of(routes[i].path)))
			return routes[i].only_looks || !endpoint->metrics_only ? &routes[i] : NULL;
	}
	return NULL;
}

static bool
is_allowed(const struct admin_route *route, struct text method)
{
	struct text allow = text_of(route->allow);
	while (allow.size > 0) {
		if (text_equal(text_cut(&allow, ','), method))
			return true;
	}
	return false;
}

static void
begin(void *cookie, struct request *request)
{
	const struct endpoint *endpoint = cookie;
	const struct admin_route *route = find_route(endpoint, request);
	const char *why = guard_look(endpoint, request);
	if (why != NULL) {
		refuse(cookie, request, STATUS_FORBIDDEN, text_of(why));
	} else if (route == NULL) {
		refuse(cookie, request, STATUS_NOT_FOUND,
		       endpoint->metrics_only
			       ? TEXT("The paths are /livez, /readyz and /metrics; others are "
				      "where "
				      "admin.listen says.")
			       : TEXT("The paths are /livez, /readyz, /metrics, /log-level, "
				      "/backup, /snapshots, /redact, /prune, /erase, /reopen and "
				      "/overwrite."));
	} else if (!is_allowed(route, request_method(request))) {
		const struct problem problem = {.status = STATUS_METHOD_NOT_ALLOWED,
						.allow = route->allow};
		problem_answer(request, &problem);
	} else if (route->body_max > 0) {
		request_expect_body(request, route->body_max);
	}
}

static void
serve(void *cookie, struct request *request)
{
	const struct endpoint *endpoint = cookie;
	find_route(endpoint, request)->serve(endpoint->admin, request);
}

static void
end(void *cookie, struct request *request)
{
	(void)cookie;
	(void)request;
}

/* --- life --- */

/* Few clients, small requests, and nobody who is slow on purpose is waited for. */
static struct listener_options
listener_options_of(unsigned connections)
{
	return (struct listener_options){
		.inherited_fd = -1,
		.threads = 1,
		.connections = connections,
		.deadlines = {.header_sec = 5,
			      .body_sec = 5,
			      .send_sec = 10,
			      .idle_sec = 120,
			      .least_rate = 1024},
		.header_bytes = (size_t)8 * 1024,
		.body_memory = (size_t)512 * 1024,
		.answer_memory = 4 * METRICS_SIZE_MAX,
		.drain_bytes = (size_t)64 * 1024,
		.arena_bytes = (size_t)64 * 1024,
	};
}

struct admin *
admin_new(const struct admin_options *options)
{
	struct admin *admin = calloc(1, sizeof(*admin));
	if (admin == NULL)
		return NULL;
	admin->hosts = strdup(options->hosts);
	if (admin->hosts == NULL) {
		free(admin);
		return NULL;
	}
	admin->api = options->api;
	admin->store = options->store;
	admin->webhook = options->webhook;
	admin->allow_changes = options->allow_changes;
	admin->socket_mode = options->socket_mode;
	admin->connections = options->connections;
	atomic_init(&admin->state, ADMIN_STARTING);
	atomic_init(&admin->phones, NULL);
	return admin;
}

enum status
admin_listen(struct admin *admin, enum admin_endpoint which, const char *address,
	     const char **problem)
{
	struct endpoint *endpoint = &admin->endpoints[which];
	const struct app app = {
		.cookie = endpoint, .begin = begin, .serve = serve, .refuse = refuse, .end = end};
	struct listener_options options = listener_options_of(admin->connections);
	*problem = "out of memory";
	endpoint->admin = admin;
	endpoint->metrics_only = which == ADMIN_METRICS;
	endpoint->listen = strdup(address);
	if (endpoint->listen == NULL)
		return STATUS_INTERNAL;
	options.address = endpoint->listen;
	options.socket_mode = admin->socket_mode;
	return listener_start(&options, &app, &endpoint->listener, problem);
}

const char *
admin_address(const struct admin *admin, enum admin_endpoint which)
{
	return listener_address(admin->endpoints[which].listener);
}

void
admin_serving(struct admin *admin, const struct listener *phones, struct snapshots *snapshots)
{
	admin->snapshots = snapshots;
	atomic_store(&admin->phones, phones);
	atomic_store(&admin->state, ADMIN_SERVING);
}

void
admin_draining(struct admin *admin)
{
	atomic_store(&admin->state, ADMIN_DRAINING);
}

void
admin_stop(struct admin *admin)
{
	if (admin == NULL)
		return;
	for (int i = 0; i < ADMIN_ENDPOINTS; i++) {
		listener_stop(admin->endpoints[i].listener);
		free(admin->endpoints[i].listen);
	}
	free(admin->hosts);
	free(admin);
}

unsigned
admin_descriptors(unsigned connections)
{
	const struct listener_options listener = listener_options_of(connections);
	return ADMIN_ENDPOINTS * listener_descriptors(&listener);
}
