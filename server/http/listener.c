#include "http/listener.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "http/inside.h"

/* How long a connection without a request is given to bring one while draining, and how often that
 * is looked at. */
#define DRAIN_QUIET_MSEC 300
#define DRAIN_POLL_MSEC 2
#define PARKED_POLLS_MAX 5000

static enum status
start_workers(struct listener *listener, const struct listener_options *options)
{
	listener->workers = calloc(options->threads, sizeof(*listener->workers));
	if (listener->workers == NULL)
		return STATUS_INTERNAL;
	for (; listener->worker_count < options->threads; listener->worker_count++) {
		enum status status =
			worker_start(&listener->workers[listener->worker_count], listener, options);
		if (status != STATUS_OK)
			return status;
	}
	for (unsigned i = 0; i < options->threads; i++)
		worker_open(&listener->workers[i]);
	return STATUS_OK;
}

static void
quiesce_workers(struct listener *listener)
{
	for (unsigned i = 0; i < listener->worker_count; i++)
		worker_quiesce(&listener->workers[i]);
	for (unsigned i = 0; i < listener->worker_count; i++)
		worker_wait_quiesced(&listener->workers[i]);
}

static void
stop_workers(struct listener *listener)
{
	for (unsigned i = 0; i < listener->worker_count; i++)
		worker_stop(&listener->workers[i]);
	free(listener->workers);
}

static enum status
init(struct listener *listener, const struct listener_options *options, const struct app *app)
{
	listener->app = *app;
	listener->connections_max = options->connections;
	listener->deadlines = options->deadlines;
	listener->header_bytes = options->header_bytes;
	listener->drain_bytes = options->drain_bytes;
	listener->arena_bytes = options->arena_bytes;
	/* No target is longer than a connection's memory. */
	listener->own_bytes = 2 * options->header_bytes;
	listener->body_budget.max = options->body_memory;
	listener->answer_budget.max = options->answer_memory;
	ssize_t got = getrandom(listener->id_prefix, sizeof(listener->id_prefix), 0);
	if (got != (ssize_t)sizeof(listener->id_prefix))
		return STATUS_INTERNAL;
	return peers_init(&listener->peers, options->address_connections);
}

static enum status
open_tls(struct listener *listener, const struct listener_options *options, const char **problem)
{
	listener->has_tls = options->tls_cert != NULL && options->tls_cert[0] != '\0';
	if (!listener->has_tls)
		return STATUS_OK;
	CHECK(options->tls_key != NULL);
	return tls_open(&listener->tls, options->tls_cert, options->tls_key, problem);
}

static void
close_tls(struct listener *listener)
{
	if (listener->has_tls)
		tls_close(&listener->tls);
}

enum status
listener_start(const struct listener_options *options, const struct app *app,
	       struct listener **started, const char **problem)
{
	CHECK(options != NULL && app != NULL && started != NULL && problem != NULL);
	const struct deadlines *deadlines = &options->deadlines;
	CHECK(options->threads > 0 && options->connections > 0 && options->header_bytes > 0);
	CHECK(deadlines->header_sec > 0 && deadlines->body_sec > 0 && deadlines->send_sec > 0 &&
	      deadlines->idle_sec > 0 && deadlines->least_rate > 0);
	struct listener *listener = calloc(1, sizeof(*listener));
	*problem = "Memory is out.";
	if (listener == NULL)
		return STATUS_INTERNAL;
	enum status status = init(listener, options, app);
	if (status != STATUS_OK) {
		free(listener);
		return status;
	}
	status = options->inherited_fd == -1
			 ? address_listen(&listener->address, options->address,
					  options->socket_mode, problem)
			 : address_inherit(&listener->address, options->inherited_fd, problem);
	if (status != STATUS_OK)
		goto release_peers;
	status = open_tls(listener, options, problem);
	if (status != STATUS_OK)
		goto shut_address;
	status = cors_open(&listener->cors, options->cors_origins, options->cors_max_age_sec,
			   problem);
	if (status != STATUS_OK)
		goto close_tls;
	status = start_workers(listener, options);
	if (status != STATUS_OK) {
		*problem =
			"Memory, descriptors or threads are out, or libmicrohttpd does not start.";
		goto stop_workers;
	}
	if (!headers_layout_is_known())
		log_warn("http", "request heads are checked less with this libmicrohttpd",
			 LOG_STR("version", MHD_get_version()));
	*problem = NULL;
	*started = listener;
	return STATUS_OK;

stop_workers:
	stop_workers(listener);
	cors_close(&listener->cors);
close_tls:
	close_tls(listener);
shut_address:
	address_shut(&listener->address);
	address_close(&listener->address);
release_peers:
	peers_release(&listener->peers);
	free(listener);
	return status;
}

const char *
listener_address(const struct listener *listener)
{
	return listener->address.text;
}

enum status
listener_reload(struct listener *listener, const char **problem)
{
	return listener->has_tls ? tls_reload(&listener->tls, problem) : STATUS_OK;
}

void
listener_measure(const struct listener *listener, struct listener_figures *figures)
{
	*figures = (struct listener_figures){
		.connections = atomic_load(&listener->connections),
		.connections_max = listener->connections_max,
		.refused_full = atomic_load(&listener->refused_full),
		.refused_address = atomic_load(&listener->refused_address),
	};
}

bool
listener_came_round(struct listener *listener)
{
	bool all = true;
	for (unsigned i = 0; i < listener->worker_count; i++)
		all &= worker_came_round(&listener->workers[i]);
	return all;
}

/* Each thread may have accepted a connection that it is about to refuse. */
unsigned
listener_descriptors(const struct listener_options *options)
{
	return options->connections + (1 + WORKER_DESCRIPTORS) * options->threads + 1;
}

void
listener_quiesce(struct listener *listener)
{
	if (listener->quiesced)
		return;
	listener->quiesced = true;
	atomic_store(&listener->begun_msec, clock_monotonic_msec());
	atomic_store(&listener->draining, true);
	quiesce_workers(listener);
	address_shut(&listener->address);
}

static bool
is_quiet(struct listener *listener)
{
	if (atomic_load(&listener->under_way) > 0)
		return false;
	return atomic_load(&listener->connections) == 0 ||
	       clock_monotonic_msec() - atomic_load(&listener->begun_msec) >= DRAIN_QUIET_MSEC;
}

static void
pause_msec(long msec)
{
	struct timespec time = {.tv_nsec = msec * 1000 * 1000};
	(void)nanosleep(&time, NULL);
}

bool
listener_drain(struct listener *listener, uint64_t timeout_msec)
{
	uint64_t begin = clock_monotonic_msec();
	listener_quiesce(listener);
	while (!is_quiet(listener) && clock_monotonic_msec() - begin < timeout_msec)
		pause_msec(DRAIN_POLL_MSEC);
	/* A request counts as under way before it looks at this, so none slips through between. */
	atomic_store(&listener->refusing, true);
	while (atomic_load(&listener->under_way) > 0) {
		if (clock_monotonic_msec() - begin >= timeout_msec)
			return false;
		pause_msec(DRAIN_POLL_MSEC);
	}
	return true;
}

void
listener_stop(struct listener *listener)
{
	if (listener == NULL)
		return;
	listener_quiesce(listener);
	/* Whoever might have resumed a request has ended; one that arrived since parks and is
	 * resumed in one call of its own thread. */
	for (unsigned i = 0; atomic_load(&listener->parked) > 0; i++) {
		CHECK(i < PARKED_POLLS_MAX);
		pause_msec(DRAIN_POLL_MSEC);
	}
	stop_workers(listener);
	CHECK(atomic_load(&listener->under_way) == 0 && atomic_load(&listener->connections) == 0);
	address_close(&listener->address);
	cors_close(&listener->cors);
	close_tls(listener);
	peers_release(&listener->peers);
	free(listener);
}
