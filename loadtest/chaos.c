#include "loadtest/chaos.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "loadtest/chaos_link.h"

#define EVENTS_MAX 64

LIST_HEAD(link_list, link);
SLIST_HEAD(dead_links, link);

struct chaos {
	struct sockaddr_storage to;
	socklen_t to_size;
	uint64_t seed;
	uint16_t port;
	int listener, epoll, stop;
	pthread_t thread;
	uint64_t now_msec;
	struct link_list links;
	struct link_list waiting;
	struct dead_links dead; /* events of this turn may still name them */
	struct chaos_counts counts;
};

/* --- links --- */

static void
link_set_waiting(struct chaos *chaos, struct link *link, bool waits)
{
	if (waits && !link->waits)
		LIST_INSERT_HEAD(&chaos->waiting, link, waiting);
	else if (!waits && link->waits)
		LIST_REMOVE(link, waiting);
	link->waits = waits;
}

static void
link_end(struct chaos *chaos, struct link *link)
{
	link_close(link);
	link_set_waiting(chaos, link, false);
	LIST_REMOVE(link, all);
	link->dead = true;
	SLIST_INSERT_HEAD(&chaos->dead, link, dying);
}

static void
link_turn(struct chaos *chaos, struct link *link)
{
	if (link_pump(link, chaos->now_msec))
		link_set_waiting(chaos, link, link_holds(link));
	else
		link_end(chaos, link);
}

static bool
watch(struct chaos *chaos, int fd, void *cookie, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = cookie};
	return epoll_ctl(chaos->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* Without delay on both sides, lest single bytes be gathered again. */
static bool
link_connect(struct chaos *chaos, struct link *link)
{
	const int one = 1;
	const uint32_t events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

	(void)setsockopt(link->client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	(void)setsockopt(link->daemon, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(link->daemon, (struct sockaddr *)&chaos->to, chaos->to_size) == -1 &&
	    errno != EINPROGRESS)
		return false;
	return watch(chaos, link->client, link, events) && watch(chaos, link->daemon, link, events);
}

/* Both sockets belong to the link, or are closed. */
static void
link_open(struct chaos *chaos, int client, int daemon)
{
	struct link *link = calloc(1, sizeof(*link));
	if (link == NULL) {
		close(client);
		close(daemon);
		return;
	}
	link_init(link, client, daemon, chaos->seed, chaos->counts.connections++);
	link->counts = &chaos->counts;
	LIST_INSERT_HEAD(&chaos->links, link, all);
	if (!link_connect(chaos, link))
		link_end(chaos, link);
}

static void
accept_one(struct chaos *chaos)
{
	int client = accept4(chaos->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (client == -1)
		return;
	int daemon = socket(chaos->to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (daemon == -1) {
		close(client);
		return;
	}
	link_open(chaos, client, daemon);
}

/* --- the thread --- */

/* False when it is time to stop. */
static bool
on_event(struct chaos *chaos, void *cookie)
{
	struct link *link = cookie;
	if (cookie == &chaos->stop)
		return false;
	if (cookie == &chaos->listener)
		accept_one(chaos);
	else if (!link->dead)
		link_turn(chaos, link);
	return true;
}

static void
pump_waiting(struct chaos *chaos)
{
	struct link *next;
	for (struct link *link = LIST_FIRST(&chaos->waiting); link != NULL; link = next) {
		next = LIST_NEXT(link, waiting);
		link_turn(chaos, link);
	}
}

static void
bury(struct chaos *chaos)
{
	while (!SLIST_EMPTY(&chaos->dead)) {
		struct link *link = SLIST_FIRST(&chaos->dead);
		SLIST_REMOVE_HEAD(&chaos->dead, dying);
		free(link);
	}
}

static void *
run(void *cookie)
{
	struct chaos *chaos = cookie;
	struct epoll_event events[EVENTS_MAX];
	bool goes_on = true;

	while (goes_on) {
		int timeout_msec = LIST_EMPTY(&chaos->waiting) ? -1 : 1;
		int count = epoll_wait(chaos->epoll, events, EVENTS_MAX, timeout_msec);
		chaos->now_msec = clock_monotonic_msec();
		for (int i = 0; i < count; i++)
			goes_on = on_event(chaos, events[i].data.ptr) && goes_on;
		pump_waiting(chaos);
		bury(chaos);
	}
	while (!LIST_EMPTY(&chaos->links))
		link_end(chaos, LIST_FIRST(&chaos->links));
	bury(chaos);
	return NULL;
}

/* --- the outside --- */

static bool
listen_on_loopback(struct chaos *chaos)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t size = sizeof(address);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	chaos->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (chaos->listener == -1 ||
	    bind(chaos->listener, (struct sockaddr *)&address, sizeof(address)) == -1 ||
	    listen(chaos->listener, SOMAXCONN) == -1 ||
	    getsockname(chaos->listener, (struct sockaddr *)&address, &size) == -1)
		return false;
	chaos->port = ntohs(address.sin_port);
	return true;
}

/* The process's signals are for its main thread. */
static bool
start_thread(struct chaos *chaos)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(&chaos->thread, NULL, run, chaos);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = error;
	return error == 0;
}

static void
chaos_free(struct chaos *chaos)
{
	if (chaos->listener != -1)
		close(chaos->listener);
	if (chaos->epoll != -1)
		close(chaos->epoll);
	if (chaos->stop != -1)
		close(chaos->stop);
	free(chaos);
}

struct chaos *
chaos_open(const struct sockaddr *to, socklen_t to_size, uint64_t seed)
{
	struct chaos *chaos = calloc(1, sizeof(*chaos));
	if (chaos == NULL)
		return NULL;
	CHECK(to_size <= sizeof(chaos->to));
	memcpy(&chaos->to, to, to_size);
	chaos->to_size = to_size;
	chaos->seed = seed;
	chaos->listener = -1;
	chaos->epoll = epoll_create1(EPOLL_CLOEXEC);
	chaos->stop = eventfd(0, EFD_CLOEXEC);
	if (chaos->epoll != -1 && chaos->stop != -1 && listen_on_loopback(chaos) &&
	    watch(chaos, chaos->listener, &chaos->listener, EPOLLIN) &&
	    watch(chaos, chaos->stop, &chaos->stop, EPOLLIN) && start_thread(chaos))
		return chaos;

	int error = errno;
	chaos_free(chaos);
	errno = error;
	return NULL;
}

uint16_t
chaos_port(const struct chaos *chaos)
{
	return chaos->port;
}

void
chaos_close(struct chaos *chaos, struct chaos_counts *counts)
{
	const uint64_t one = 1;
	if (chaos == NULL)
		return;
	ssize_t written = write(chaos->stop, &one, sizeof(one));
	CHECK(written == (ssize_t)sizeof(one));
	CHECK(pthread_join(chaos->thread, NULL) == 0);
	if (counts != NULL)
		*counts = chaos->counts;
	chaos_free(chaos);
}
