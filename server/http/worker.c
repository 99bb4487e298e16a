#include "http/worker.h"

#include <errno.h>
#include <limits.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "http/callbacks.h"
#include "http/inside.h"

/* libmicrohttpd's own limit must never be reached (listener.h), also not if one thread happens to
 * accept every connection. */
#define CONNECTIONS_OUT_OF_REACH 64

#define MESSAGE_SIZE 256
#define QUIESCE_POLL_NSEC (1000L * 1000)
#define UNREAD_PAUSE_NSEC (500L * 1000)
#define ACCEPT_PAUSE_MSEC 100
#define ACCEPTS_AT_ONCE 10
#define EVENTS_AT_ONCE 64
#define IDLE_ROUNDS_MAX 4
#define SPIN_PAUSE_MSEC 10

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
	/* The client left before its answer was out; its request's head was too large; a unix socket has
	 * no options of TCP. */
	const bool clients_doing = strstr(format, "Failed to send") != NULL ||
				   strstr(format, "memory in pool") != NULL ||
				   strstr(format, "Setting %s option") != NULL ||
				   strstr(format, "push the data") != NULL;
	for (size_t i = 0; !clients_doing && i < sizeof(serious) / sizeof(serious[0]); i++) {
		if (strstr(format, serious[i]) != NULL)
			level = LOG_WARN;
	}
	if (!log_enabled(level))
		return;
	(void)vsnprintf(message, sizeof(message), format, arguments);
	message[strcspn(message, "\n")] = '\0';
	log_limited(level, "http", "libmicrohttpd", LOG_STR("message", message));
}

static bool
is_taken(const struct client *client)
{
	return client != NULL && client->live != NULL;
}

static void
on_connection(void *cookie, struct MHD_Connection *connection, void **state,
	      enum MHD_ConnectionNotificationCode code)
{
	struct worker *worker = cookie;
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		const union MHD_ConnectionInfo *info =
			MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
		CHECK(info != NULL && worker->arriving);
		worker->arriving = false;
		*state = client_new(worker, connection, info->connect_fd, worker->peer);
		if (*state == NULL)
			(void)shutdown(info->connect_fd, SHUT_RDWR);
	} else if (is_taken(*state)) {
		client_closed(*state);
	} else {
		client_free(*state);
		atomic_fetch_sub(&worker->listener->connections, 1);
	}
}

/* Without a thread of its own libmicrohttpd needs no wake-up for a resumed connection, only to be
 * run. */
static struct MHD_Daemon *
start_daemon(struct worker *worker, const struct listener_options *options)
{
	struct MHD_OptionItem tls[] = {
		{MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)tls_priorities},
		{MHD_OPTION_HTTPS_CERT_CALLBACK, 0, tls_certificate_callback()},
		{MHD_OPTION_END, 0, NULL}};
	struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
	const bool has_tls = worker->listener->has_tls;
	const unsigned flags = (has_tls ? MHD_USE_TLS : 0) | MHD_USE_EPOLL |
			       MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME |
			       MHD_USE_ERROR_LOG;
	return MHD_start_daemon(
		flags, 0, NULL, NULL, on_access, worker, MHD_OPTION_EXTERNAL_LOGGER, on_message,
		NULL, MHD_OPTION_CONNECTION_LIMIT, options->connections + CONNECTIONS_OUT_OF_REACH,
		MHD_OPTION_CONNECTION_TIMEOUT, options->deadlines.idle_sec,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, 2 * options->header_bytes,
		MHD_OPTION_URI_LOG_CALLBACK, on_target, worker, MHD_OPTION_NOTIFY_COMPLETED,
		on_completed, worker, MHD_OPTION_NOTIFY_CONNECTION, on_connection, worker,
		MHD_OPTION_ARRAY, has_tls ? tls : none, MHD_OPTION_END);
}

/* --- accepting --- */

static void
set_accepting(struct worker *worker, bool wanted)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = worker->listener};
	const int fd = worker->listener->address.fd;
	if (worker->accepting == wanted)
		return;
	if (epoll_ctl(worker->events_fd, wanted ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, fd, &event) == 0)
		worker->accepting = wanted;
}

/* Whether there may be more to accept. */
static bool
accept_failed(struct worker *worker, int error)
{
	switch (error) {
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		log_limited(LOG_WARN, "http", "cannot accept connections",
			    LOG_STR("problem", strerror(error)));
		set_accepting(worker, false);
		worker->accept_msec = worker->now_msec + ACCEPT_PAUSE_MSEC;
		return false;
	case ECONNABORTED:
	case EINTR:
	case EPERM:
	case EPROTO:
		return true; /* that one has gone */
	default:
		return false;
	}
}

static bool
is_full(struct listener *listener)
{
	if (atomic_fetch_add(&listener->connections, 1) < listener->connections_max)
		return false;
	atomic_fetch_sub(&listener->connections, 1);
	atomic_fetch_add(&listener->refused_full, 1);
	log_limited(LOG_WARN, "http", "connection refused, too many are open",
		    LOG_U64("connections", listener->connections_max));
	return true;
}

/* Counts a connection, or says no. */
static bool
let_in(struct worker *worker, const struct sockaddr *name)
{
	struct listener *listener = worker->listener;
	if (is_full(listener))
		return false;
	if (peers_enter(&listener->peers, name, &worker->peer))
		return true;
	atomic_fetch_sub(&listener->connections, 1);
	atomic_fetch_add(&listener->refused_address, 1);
	log_limited(LOG_INFO, "http", "connection refused, its address has too many open",
		    LOG_U64("connections", listener->peers.max));
	return false;
}

/* Whether there may be more. */
static bool
accept_one(struct worker *worker)
{
	struct listener *listener = worker->listener;
	struct sockaddr_storage name = {0};
	socklen_t size = sizeof(name);
	int fd = accept4(listener->address.fd, (struct sockaddr *)&name, &size,
			 SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd == -1)
		return accept_failed(worker, errno);
	if (!let_in(worker, (struct sockaddr *)&name)) {
		(void)close(fd);
		return true;
	}
	worker->arriving = true;
	/* Whatever becomes of it, the socket is libmicrohttpd's to close. */
	(void)MHD_add_connection(worker->daemon, fd, (struct sockaddr *)&name, size);
	if (worker->arriving) {
		peers_leave(&listener->peers, worker->peer);
		atomic_fetch_sub(&listener->connections, 1);
	}
	worker->arriving = false;
	return true;
}

static void
accept_some(struct worker *worker)
{
	for (unsigned i = 0; i < ACCEPTS_AT_ONCE && accept_one(worker); i++)
		;
}

/* --- the loop --- */

static int
until_msec(const struct worker *worker, uint64_t when)
{
	return when <= worker->now_msec ? 0 : (int)(when - worker->now_msec);
}

/* How long it may sleep; -1: for ever. */
static int
timeout_msec(struct worker *worker)
{
	MHD_UNSIGNED_LONG_LONG wanted;
	int timeout = INT_MAX;
	if (MHD_get_timeout(worker->daemon, &wanted) == MHD_YES && wanted < INT_MAX)
		timeout = (int)wanted;
	if (worker->watched != NULL && until_msec(worker, worker->look_msec) < timeout)
		timeout = until_msec(worker, worker->look_msec);
	if (worker->accept_msec > 0 && until_msec(worker, worker->accept_msec) < timeout)
		timeout = until_msec(worker, worker->accept_msec);
	return timeout == INT_MAX ? -1 : timeout;
}

static void
take_events(struct worker *worker, const struct epoll_event *events, int count)
{
	for (int i = 0; i < count; i++) {
		void *source = events[i].data.ptr;
		if (source == worker) {
			uint64_t times;
			(void)!read(worker->wake_fd, &times, sizeof(times));
		} else if (source == worker->listener) {
			accept_some(worker);
		} else if (source != worker->daemon) {
			client_event(source, events[i].events);
		}
	}
}

/* How long to sleep although libmicrohttpd wants to be run again at once (worker.h). An answer may go
 * out in many rounds in which nothing of ours is called. */
static int
spin_pause_msec(struct worker *worker)
{
	worker->idle_rounds = worker->moved ? 0 : worker->idle_rounds + 1;
	worker->moved = false;
	if (worker->greeting == 0 || worker->idle_rounds < IDLE_ROUNDS_MAX)
		return 0;
	return worker->answering > 0 ? 1 : SPIN_PAUSE_MSEC;
}

/*
 * Sleeps until there is something to do. asleep is set before woken is looked at, and a waker sets
 * woken before it looks at asleep: one of the two sees the other. Where there is something to do
 * already, new events are still looked at each millisecond.
 */
static void
sleep_until_needed(struct worker *worker)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	int timeout = timeout_msec(worker);
	if (timeout == 0)
		timeout = spin_pause_msec(worker);
	if (timeout == 0 && worker->events_msec == worker->now_msec)
		return;
	worker->events_msec = worker->now_msec;
	atomic_store(&worker->asleep, true);
	if (atomic_load(&worker->woken))
		timeout = 0;
	const int count = epoll_wait(worker->events_fd, events, EVENTS_AT_ONCE, timeout);
	atomic_store(&worker->asleep, false);
	worker->now_msec = clock_monotonic_msec();
	worker->moved |= count > 0;
	take_events(worker, events, count);
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

static void
keep_accepting(struct worker *worker)
{
	if (atomic_load(&worker->quiescing)) {
		set_accepting(worker, false);
		worker->accept_msec = 0;
		atomic_store(&worker->quiesced, true);
	} else if (worker->now_msec >= worker->accept_msec) {
		set_accepting(worker, true);
		worker->accept_msec = 0;
	}
}

static void *
worker_main(void *cookie)
{
	struct worker *worker = cookie;
	wait_until_open(worker);
	while (!atomic_load(&worker->stopping)) {
		/* What was resumed before this is seen by the run. */
		(void)atomic_exchange(&worker->woken, false);
		atomic_store(&worker->called, false);
		worker->now_msec = clock_monotonic_msec();
		keep_accepting(worker);
		(void)MHD_run(worker->daemon);
		lives_run(worker);
		if (worker->now_msec >= worker->look_msec) {
			worker->look_msec = worker->now_msec + CLIENT_LOOK_MSEC;
			clients_look(worker);
		}
		pause_if_unread(worker);
		sleep_until_needed(worker);
	}
	return NULL;
}

static bool
watch(struct worker *worker, int fd, void *source)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = source};
	return epoll_ctl(worker->events_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static void
close_descriptors(struct worker *worker)
{
	if (worker->wake_fd != -1)
		(void)close(worker->wake_fd);
	if (worker->events_fd != -1)
		(void)close(worker->events_fd);
}

enum status
worker_start(struct worker *worker, struct listener *listener,
	     const struct listener_options *options)
{
	*worker = (struct worker){.listener = listener};
	worker->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	worker->events_fd = epoll_create1(EPOLL_CLOEXEC);
	if (worker->wake_fd == -1 || worker->events_fd == -1)
		goto close_descriptors;
	worker->daemon = start_daemon(worker, options);
	if (worker->daemon == NULL)
		goto close_descriptors;
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(worker->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	CHECK(info != NULL);
	if (watch(worker, worker->wake_fd, worker) &&
	    watch(worker, info->epoll_fd, worker->daemon) &&
	    pthread_create(&worker->thread, NULL, worker_main, worker) == 0)
		return STATUS_OK;
	MHD_stop_daemon(worker->daemon);

close_descriptors:
	close_descriptors(worker);
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

bool
worker_came_round(struct worker *worker)
{
	if (atomic_exchange(&worker->called, true))
		return false;
	worker_mark(worker);
	worker_rouse(worker);
	return true;
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
	MHD_stop_daemon(worker->daemon);
	lives_end(worker);
	requests_release(worker);
	close_descriptors(worker);
}
