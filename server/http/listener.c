#include "http/listener.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "http/callbacks.h"
#include "http/inside.h"

/* How long a connection without a request is given to bring one while draining, and how often that
 * is looked at. */
#define DRAIN_QUIET_MSEC 300
#define DRAIN_POLL_MSEC 2
#define PARKED_POLLS_MAX 5000

/* libmicrohttpd's own limit must never be reached (listener.h), also not if one thread happens to
 * accept every connection. */
#define CONNECTIONS_OUT_OF_REACH 64

#define MESSAGE_SIZE 256

/* libmicrohttpd complains about every client that leaves early; what an operator must see is what
 * it says about itself. */
__attribute__((format(printf, 2, 0))) static void
on_message(void *cookie, const char *format, va_list arguments)
{
	static const char *const serious[] = {"limit",	"memory", "Failed", "failed",
					      "accept", "thread", "FIRST"};
	enum log_level level = LOG_DEBUG;
	char message[MESSAGE_SIZE];
	(void)cookie;
	/* "Failed to send …": the client left before its answer was out. */
	const bool client_left = strstr(format, "Failed to send") != NULL;
	for (size_t i = 0; !client_left && i < sizeof(serious) / sizeof(serious[0]); i++) {
		if (strstr(format, serious[i]) != NULL)
			level = LOG_WARN;
	}
	if (!log_enabled(level))
		return;
	(void)vsnprintf(message, sizeof(message), format, arguments);
	message[strcspn(message, "\n")] = '\0';
	log_limited(level, "http", "libmicrohttpd", LOG_STR("message", message));
}

/* Threads that accept at the same moment may each let one in beyond the limit. */
static enum MHD_Result
on_accept(void *cookie, const struct sockaddr *name, socklen_t size)
{
	struct listener *listener = cookie;
	(void)name;
	(void)size;
	if (atomic_load(&listener->connections) < listener->connections_max)
		return MHD_YES;
	log_limited(LOG_WARN, "http", "connection refused, too many are open",
		    LOG_U64("connections", listener->connections_max));
	return MHD_NO;
}

static void
on_connection(void *cookie, struct MHD_Connection *connection, void **state,
	      enum MHD_ConnectionNotificationCode code)
{
	struct listener *listener = cookie;
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		const union MHD_ConnectionInfo *info =
			MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
		atomic_fetch_add(&listener->connections, 1);
		if (info != NULL)
			hangup_add(&listener->hangup, info->connect_fd, state);
	} else {
		hangup_remove(&listener->hangup, state);
		atomic_fetch_sub(&listener->connections, 1);
	}
}

static struct MHD_Daemon *
start_daemon(struct listener *listener, const struct listener_options *options)
{
	unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC |
			 MHD_USE_ERROR_LOG;
	unsigned limit = (options->connections + CONNECTIONS_OUT_OF_REACH) * options->threads;
	struct MHD_OptionItem pool[] = {{MHD_OPTION_THREAD_POOL_SIZE, options->threads, NULL},
					{MHD_OPTION_END, 0, NULL}};
	struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
	return MHD_start_daemon(
		flags, 0, on_accept, listener, on_access, listener, MHD_OPTION_EXTERNAL_LOGGER,
		on_message, NULL, MHD_OPTION_LISTEN_SOCKET, listener->address.fd,
		MHD_OPTION_CONNECTION_LIMIT, limit, MHD_OPTION_CONNECTION_TIMEOUT,
		options->idle_sec, MHD_OPTION_CONNECTION_MEMORY_LIMIT, 2 * options->header_bytes,
		MHD_OPTION_URI_LOG_CALLBACK, on_target, listener, MHD_OPTION_NOTIFY_COMPLETED,
		on_completed, listener, MHD_OPTION_NOTIFY_CONNECTION, on_connection, listener,
		MHD_OPTION_ARRAY, options->threads > 1 ? pool : none, MHD_OPTION_END);
}

static enum status
init(struct listener *listener, const struct listener_options *options, const struct app *app)
{
	listener->app = *app;
	listener->connections_max = options->connections;
	listener->header_bytes = options->header_bytes;
	listener->drain_bytes = options->drain_bytes;
	listener->arena_bytes = options->arena_bytes;
	/* No target is longer than a connection's memory. */
	listener->own_bytes = 2 * options->header_bytes;
	listener->body_budget.max = options->body_memory;
	ssize_t got = getrandom(listener->id_prefix, sizeof(listener->id_prefix), 0);
	if (got != (ssize_t)sizeof(listener->id_prefix))
		return STATUS_INTERNAL;
	return pthread_mutex_init(&listener->free_lock, NULL) == 0 ? STATUS_OK : STATUS_INTERNAL;
}

enum status
listener_start(const struct listener_options *options, const struct app *app,
	       struct listener **started, const char **problem)
{
	CHECK(options != NULL && app != NULL && started != NULL && problem != NULL);
	CHECK(options->threads > 0 && options->connections > 0 && options->header_bytes > 0);
	struct listener *listener = calloc(1, sizeof(*listener));
	*problem = "Memory is out.";
	if (listener == NULL)
		return STATUS_INTERNAL;
	enum status status = init(listener, options, app);
	if (status != STATUS_OK)
		goto free_listener;
	status = options->inherited_fd == -1
			 ? address_listen(&listener->address, options->address,
					  options->socket_mode, problem)
			 : address_inherit(&listener->address, options->inherited_fd, problem);
	if (status != STATUS_OK)
		goto destroy_lock;
	/* Each thread may let one connection in beyond the limit, see on_accept(). */
	status = hangup_start(&listener->hangup, (size_t)options->connections + options->threads);
	if (status != STATUS_OK) {
		*problem = "Memory or threads are out.";
		goto shut_address;
	}
	listener->daemon = start_daemon(listener, options);
	if (listener->daemon == NULL) {
		*problem = "libmicrohttpd does not start.";
		status = STATUS_INTERNAL;
		goto stop_hangup;
	}
	*problem = NULL;
	*started = listener;
	return STATUS_OK;

stop_hangup:
	hangup_stop(&listener->hangup);
shut_address:
	/* It is not closed: libmicrohttpd may have done that, and the number may be another's. */
	address_shut(&listener->address);
destroy_lock:
	(void)pthread_mutex_destroy(&listener->free_lock);
free_listener:
	free(listener);
	return status;
}

const char *
listener_address(const struct listener *listener)
{
	return listener->address.text;
}

/* Each thread has an epoll and an event descriptor, and may have accepted a connection that it is
 * about to refuse. */
unsigned
listener_descriptors(const struct listener_options *options)
{
	return options->connections + 3 * options->threads + 1;
}

void
listener_quiesce(struct listener *listener)
{
	if (listener->quiesced)
		return;
	listener->quiesced = true;
	atomic_store(&listener->begun_msec, clock_monotonic_msec());
	atomic_store(&listener->draining, true);
	(void)MHD_quiesce_daemon(listener->daemon);
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
	MHD_stop_daemon(listener->daemon);
	CHECK(atomic_load(&listener->under_way) == 0 && atomic_load(&listener->connections) == 0);
	hangup_stop(&listener->hangup);
	address_close(&listener->address);
	requests_release(listener);
	(void)pthread_mutex_destroy(&listener->free_lock);
	free(listener);
}
