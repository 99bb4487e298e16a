#include "http/client.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "base/check.h"
#include "base/log.h"
#include "http/inside.h"

static const struct deadlines *
deadlines_of(const struct client *client)
{
	return &client->worker->listener->deadlines;
}

/* While the app is at work there is nothing to look at but a client that has left. */
static void
list(struct client *client)
{
	struct worker *worker = client->worker;
	const bool at_work = client->step == CLIENT_SERVED || client->paused;
	const bool wanted = !at_work || client->finished || client->expired;
	if (wanted == client->listed)
		return;
	if (wanted)
		DL_APPEND(worker->watched, client);
	else
		DL_DELETE(worker->watched, client);
	client->listed = wanted;
}

static void
set_greeting(struct client *client, bool greeting)
{
	client->worker->greeting -= client->greeting;
	client->worker->greeting += greeting;
	client->greeting = greeting;
}

/* False: the session cannot be used. */
static bool
begin_tls(struct client *client)
{
	struct listener *listener = client->worker->listener;
	const union MHD_ConnectionInfo *info;
	if (!listener->has_tls)
		return true;
	info = MHD_get_connection_info(client->connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	CHECK(info != NULL && info->tls_session != NULL);
	client->session = info->tls_session;
	client->certificate = tls_begin(&listener->tls, client->session);
	return client->certificate != NULL;
}

struct client *
client_new(struct worker *worker, struct MHD_Connection *connection, int fd, struct peer *peer)
{
	struct client *client = calloc(1, sizeof(*client));
	struct epoll_event event = {.events = EPOLLRDHUP | EPOLLET, .data.ptr = client};
	if (client == NULL)
		goto leave_peer;
	client->worker = worker;
	client->connection = connection;
	client->fd = fd;
	client->peer = peer;
	client->until_msec = worker->now_msec + 1000 * (uint64_t)deadlines_of(client)->header_sec;
	if (!begin_tls(client))
		goto free_client;
	if (epoll_ctl(worker->events_fd, EPOLL_CTL_ADD, fd, &event) == -1)
		goto end_tls;
	set_greeting(client, client->session != NULL);
	list(client);
	return client;

end_tls:
	if (client->certificate != NULL)
		tls_end(&worker->listener->tls, client->certificate);
free_client:
	free(client);
leave_peer:
	peers_leave(&worker->listener->peers, peer);
	return NULL;
}

/* Its TLS session has ended before this is called. */
static void
release(struct client *client)
{
	if (client->certificate != NULL)
		tls_end(&client->worker->listener->tls, client->certificate);
	free(client);
}

void
client_free(struct client *client)
{
	if (client == NULL)
		return;
	struct listener *listener = client->worker->listener;
	if (client->listed)
		DL_DELETE(client->worker->watched, client);
	set_greeting(client, false);
	client->worker->answering -= client->step == CLIENT_ANSWER;
	(void)epoll_ctl(client->worker->events_fd, EPOLL_CTL_DEL, client->fd, NULL);
	if (client->live != NULL)
		(void)close(client->fd);
	peers_leave(&listener->peers, client->peer);
	client->over = true;
	if (client->live == NULL || client->closed)
		release(client);
}

bool
client_take(struct client *client, struct live *live)
{
	const int events_fd = client->worker->events_fd;
	const int on = 1;
	const int off = 0;
	struct epoll_event event = {.events = EPOLLRDHUP | EPOLLOUT | EPOLLET, .data.ptr = client};
	const int nowhere = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const int copy = fcntl(client->fd, F_DUPFD_CLOEXEC, 0);
	if (nowhere == -1 || copy == -1 || epoll_ctl(events_fd, EPOLL_CTL_ADD, copy, &event) == -1)
		goto close_both;
	(void)epoll_ctl(events_fd, EPOLL_CTL_DEL, client->fd, NULL);
	CHECK(dup3(nowhere, client->fd, O_CLOEXEC) != -1);
	(void)close(nowhere);
	(void)setsockopt(copy, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(copy, IPPROTO_TCP, TCP_CORK, &off, sizeof(off));
	client->connection = NULL;
	client->session = NULL;
	client->live = live;
	client->fd = copy;
	return true;

close_both:
	if (nowhere != -1)
		(void)close(nowhere);
	if (copy != -1)
		(void)close(copy);
	return false;
}

void
client_closed(struct client *client)
{
	client->closed = true;
	if (client->over)
		release(client);
}

/* --- steps --- */

static void
enter(struct client *client, enum client_step step)
{
	client->worker->answering -= client->step == CLIENT_ANSWER;
	client->worker->answering += step == CLIENT_ANSWER;
	client->step = step;
	client->paused = false;
	client->since_msec = client->worker->now_msec;
	list(client);
}

void
client_head(struct client *client, struct request *request)
{
	const uint64_t until =
		client->worker->now_msec + 1000 * (uint64_t)deadlines_of(client)->header_sec;
	client->request = request;
	set_greeting(client, false);
	if (until < client->until_msec)
		client->until_msec = until;
}

void
client_body(struct client *client)
{
	client->received = 0;
	enter(client, CLIENT_BODY);
}

void
client_served(struct client *client)
{
	enter(client, CLIENT_SERVED);
}

void
client_answer(struct client *client)
{
	client->measured = false;
	enter(client, CLIENT_ANSWER);
}

void
client_next(struct client *client)
{
	const struct deadlines *deadlines = deadlines_of(client);
	client->request = NULL;
	enter(client, CLIENT_HEAD);
	client->until_msec =
		client->since_msec + 1000 * ((uint64_t)deadlines->idle_sec + deadlines->header_sec);
}

uint64_t
client_msec(const struct client *client)
{
	return client->worker->now_msec - client->since_msec;
}

void
client_event(struct client *client, uint32_t events)
{
	if ((events & ~(uint32_t)EPOLLOUT) != 0 && !client->finished) {
		client->finished = true;
		list(client);
		access_left(client);
	}
	if (client->live != NULL)
		live_event(client);
}

/* --- what is known of the socket --- */

static bool
tcp_counts(const struct client *client, struct tcp_info *info)
{
	socklen_t size = sizeof(*info);
	memset(info, 0, sizeof(*info));
	return getsockopt(client->fd, IPPROTO_TCP, TCP_INFO, info, &size) == 0 &&
	       size >= offsetof(struct tcp_info, tcpi_bytes_received) + sizeof(uint64_t);
}

static bool
sent_anything(const struct client *client)
{
	struct tcp_info info;
	return !tcp_counts(client, &info) || info.tcpi_bytes_received > 0;
}

/* Bytes in the socket. */
static int
not_taken(const struct client *client)
{
	int waiting;
	return ioctl(client->fd, SIOCOUTQ, &waiting) == -1 ? 0 : waiting;
}

/* Whether the client took as many bytes of what is there to take, since this was last asked. */
static bool
takes(struct client *client, uint64_t least)
{
	const uint64_t before = client->taken;
	const int waiting = not_taken(client);
	struct tcp_info info;
	const bool is_tcp = tcp_counts(client, &info);
	client->taken = is_tcp ? (uint64_t)info.tcpi_bytes_acked : (uint64_t)waiting;
	if (waiting == 0 || !client->measured)
		return true;
	if (!is_tcp)
		return client->taken != before;
	return client->taken - before >= least;
}

/* --- sending around libmicrohttpd --- */

ssize_t
client_send(struct client *client, const void *data, size_t size)
{
	return client->session == NULL ? send(client->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT)
				       : tls_send(client->session, data, size);
}

void
client_end_sending(struct client *client)
{
	if (client->session != NULL)
		tls_end_sending(client->session);
	(void)shutdown(client->fd, SHUT_WR);
}

/* --- deadlines --- */

/* Nobody waits for what is still in the socket: with a reset the kernel forgets it. */
static void
cut(struct client *client)
{
	const struct linger at_once = {.l_onoff = 1};
	client->expired = true;
	if (client->request != NULL)
		log_limited(LOG_INFO, "http", "slow reader cut", LOG_REQUEST(client->request));
	(void)setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	(void)shutdown(client->fd, SHUT_RDWR);
}

static void
measured(struct client *client)
{
	client->measured = true;
	client->since_msec = client->worker->now_msec;
}

static void
look_at_answer(struct client *client)
{
	const struct deadlines *deadlines = deadlines_of(client);
	if (client->measured &&
	    client->worker->now_msec - client->since_msec < 1000 * (uint64_t)deadlines->send_sec)
		return;
	if (takes(client, (uint64_t)deadlines->send_sec * deadlines->least_rate))
		measured(client);
	else
		cut(client);
}

void
client_pause(struct client *client)
{
	client->paused = true;
	list(client);
}

void
client_go_on(struct client *client)
{
	client->paused = false;
	list(client);
	if (not_taken(client) == 0)
		client->measured = false;
	else if (takes(client, 1))
		measured(client);
	else if (client->worker->now_msec - client->since_msec >=
		 1000 * (uint64_t)deadlines_of(client)->send_sec)
		cut(client);
}

static bool
is_over(const struct client *client)
{
	const struct deadlines *deadlines = deadlines_of(client);
	const uint64_t now = client->worker->now_msec;
	if (client->step == CLIENT_HEAD)
		return now >= client->until_msec;
	return now - client->since_msec >=
	       1000 * (deadlines->body_sec + client->received / deadlines->least_rate);
}

static void
look(struct client *client)
{
	if (client->expired || client->finished)
		(void)shutdown(client->fd, SHUT_RD);
	if (client->expired || client->step == CLIENT_SERVED)
		return;
	if (client->step == CLIENT_ANSWER) {
		look_at_answer(client);
		return;
	}
	if (!is_over(client))
		return;
	client->expired = true;
	if (client->step == CLIENT_BODY || sent_anything(client))
		access_expired(client);
	else
		(void)shutdown(client->fd, SHUT_RDWR);
}

void
clients_look(struct worker *worker)
{
	struct client *next;
	for (struct client *client = worker->watched; client != NULL; client = next) {
		next = client->next; /* it may leave the list */
		look(client);
	}
}
