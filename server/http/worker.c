#include "http/worker.h"

#include <limits.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "http/callbacks.h"
#include "http/inside.h"

/* libmicrohttpd's own limit must never be reached (listener.h), also not if one thread happens to
 * accept every connection. */
#define CONNECTIONS_OUT_OF_REACH 64

#define MESSAGE_SIZE 256
#define QUIESCE_POLL_NSEC (1000L * 1000)
#define UNREAD_PAUSE_NSEC (500L * 1000)

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
	struct listener *listener = ((struct worker *)cookie)->listener;
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
	struct listener *listener = ((struct worker *)cookie)->listener;
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

/* Without a thread of its own libmicrohttpd needs no wake-up for a resumed connection, only to be
 * run. */
static struct MHD_Daemon *
start_daemon(struct worker *worker, const struct listener_options *options)
{
	const unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
	return MHD_start_daemon(
		flags, 0, on_accept, worker, on_access, worker, MHD_OPTION_EXTERNAL_LOGGER,
		on_message, NULL, MHD_OPTION_LISTEN_SOCKET, worker->listener->address.fd,
		MHD_OPTION_CONNECTION_LIMIT, options->connections + CONNECTIONS_OUT_OF_REACH,
		MHD_OPTION_CONNECTION_TIMEOUT, options->idle_sec,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, 2 * options->header_bytes,
		MHD_OPTION_URI_LOG_CALLBACK, on_target, worker, MHD_OPTION_NOTIFY_COMPLETED,
		on_completed, worker, MHD_OPTION_NOTIFY_CONNECTION, on_connection, worker,
		MHD_OPTION_END);
}

/* How long poll() may wait; -1: for ever. */
static int
timeout_msec(struct worker *worker)
{
	MHD_UNSIGNED_LONG_LONG timeout;
	if (MHD_get_timeout(worker->daemon, &timeout) != MHD_YES)
		return -1;
	return timeout > INT_MAX ? INT_MAX : (int)timeout;
}

/*
 * Sleeps until there is something to do. asleep is set before woken is looked at, and a waker sets
 * woken before it looks at asleep: one of the two sees the other.
 */
static void
sleep_until_needed(struct worker *worker)
{
	const int timeout = timeout_msec(worker);
	if (timeout == 0)
		return;
	struct pollfd wakers[] = {{.fd = worker->sockets_fd, .events = POLLIN},
				  {.fd = worker->wake_fd, .events = POLLIN}};
	atomic_store(&worker->asleep, true);
	if (!atomic_load(&worker->woken))
		(void)poll(wakers, 2, timeout);
	atomic_store(&worker->asleep, false);
	if ((wakers[1].revents & POLLIN) != 0) {
		uint64_t count;
		(void)!read(worker->wake_fd, &count, sizeof(count));
	}
}

static void
pause_if_unread(struct worker *worker)
{
	const struct timespec pause = {.tv_nsec = UNREAD_PAUSE_NSEC};
	if (worker->left_unread)
		(void)nanosleep(&pause, NULL);
	worker->left_unread = false;
}

/* Who is resumed by another thread must find every worker there is. */
static void
wait_until_open(struct worker *worker)
{
	struct pollfd waker = {.fd = worker->wake_fd, .events = POLLIN};
	while (!atomic_load(&worker->open) && !atomic_load(&worker->stopping))
		(void)poll(&waker, 1, -1);
}

static void *
worker_main(void *cookie)
{
	struct worker *worker = cookie;
	wait_until_open(worker);
	while (!atomic_load(&worker->stopping)) {
		/* What was resumed before this is seen by the run. */
		(void)atomic_exchange(&worker->woken, false);
		if (atomic_load(&worker->quiescing) && !atomic_load(&worker->quiesced)) {
			(void)MHD_quiesce_daemon(worker->daemon);
			atomic_store(&worker->quiesced, true);
		}
		(void)MHD_run(worker->daemon);
		pause_if_unread(worker);
		sleep_until_needed(worker);
	}
	return NULL;
}

enum status
worker_start(struct worker *worker, struct listener *listener,
	     const struct listener_options *options)
{
	*worker = (struct worker){.listener = listener};
	worker->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (worker->wake_fd == -1)
		return STATUS_INTERNAL;
	worker->daemon = start_daemon(worker, options);
	if (worker->daemon == NULL)
		goto close_wake;
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(worker->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	CHECK(info != NULL);
	worker->sockets_fd = info->epoll_fd;
	if (pthread_create(&worker->thread, NULL, worker_main, worker) == 0)
		return STATUS_OK;
	(void)MHD_quiesce_daemon(worker->daemon);
	MHD_stop_daemon(worker->daemon);

close_wake:
	(void)close(worker->wake_fd);
	return STATUS_INTERNAL;
}

void
worker_mark(struct worker *worker)
{
	atomic_store(&worker->woken, true);
}

static void
wake(struct worker *worker)
{
	const uint64_t one = 1;
	CHECK(write(worker->wake_fd, &one, sizeof(one)) == (ssize_t)sizeof(one));
}

void
worker_rouse(struct worker *worker)
{
	if (atomic_load(&worker->woken) && atomic_exchange(&worker->asleep, false))
		wake(worker);
}

void
worker_open(struct worker *worker)
{
	atomic_store(&worker->open, true);
	wake(worker);
}

void
worker_quiesce(struct worker *worker)
{
	atomic_store(&worker->quiescing, true);
	wake(worker);
}

void
worker_wait_quiesced(struct worker *worker)
{
	const struct timespec pause = {.tv_nsec = QUIESCE_POLL_NSEC};
	while (!atomic_load(&worker->quiesced))
		(void)nanosleep(&pause, NULL);
}

void
worker_stop(struct worker *worker)
{
	atomic_store(&worker->stopping, true);
	wake(worker);
	CHECK(pthread_join(worker->thread, NULL) == 0);
	/* The socket is the listener's, so libmicrohttpd must not close it. */
	if (!atomic_load(&worker->quiesced))
		(void)MHD_quiesce_daemon(worker->daemon);
	MHD_stop_daemon(worker->daemon);
	requests_release(worker);
	(void)close(worker->wake_fd);
}
