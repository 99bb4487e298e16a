/*
 * limits_http: the floor under a request. A client with so many connections, each with one request
 * under way, sends the same POST again and again to a server that does nothing with it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "loadtest/limits.h"
#include "loadtest/limits_action.h"
#include "loadtest/limits_server.h"

#define REQUEST_SIZE_MAX ((size_t)8 * 1024 * 1024)
#define HEAD_SIZE_MAX 256
#define ANSWER_ROOM 4096
#define EVENTS_MAX 256
#define SILENCE_MSEC 10000

struct connection {
	int fd;
	size_t sent;
	size_t received; /* of the answer, kept in answer[] */
	char answer[ANSWER_ROOM];
};

struct client {
	struct connection *connections;
	size_t count;
	int epoll;
	struct buffer request;
	size_t answer_size; /* the body's; all bodies are the same */
	uint64_t answered;
};

/* --- the request --- */

/* As the load sends it: quotes in the payload are escaped, the device is said once. */
static void
append_actions(struct buffer *body, const struct limits_plan *plan)
{
	static struct action_source source;
	action_source_init(&source, plan->payload);
	for (uint64_t i = 0; i < plan->actions; i++) {
		const struct action *action = action_source_next(&source);
		buffer_printf(body, "%s{\"ts\":%llu,\"type\":\"todo/add\",\"payload\":\"",
			      i == 0 ? "" : ",", (unsigned long long)action->ts);
		for (size_t k = 0; k < action->payload.size; k++) {
			if (action->payload.data[k] == '"')
				buffer_append_text(body, TEXT("\\"));
			buffer_append(body, action->payload.data + k, 1);
		}
		buffer_append_text(body, TEXT("\"}"));
	}
}

static bool
build_request(struct buffer *request, const struct limits_plan *plan)
{
	struct buffer body;
	struct hash link;
	char hex[HASH_TEXT_SIZE];
	chain_genesis(TEXT("user-0"), &link);
	hash_to_text(&link, hex);
	buffer_init(&body, REQUEST_SIZE_MAX);
	buffer_init(request, REQUEST_SIZE_MAX + HEAD_SIZE_MAX);
	buffer_printf(&body, "{\"device\":\"phone-00\",\"seq\":1000000,\"prevHash\":\"%.*s\",",
		      HASH_TEXT_SIZE, hex);
	buffer_append_text(&body, TEXT("\"actions\":["));
	append_actions(&body, plan);
	buffer_printf(&body, "],\"stateHash\":\"%.*s\"}", HASH_TEXT_SIZE, hex);
	buffer_printf(request,
		      "POST /v1/logs/user-0/sync HTTP/1.1\r\nHost: 127.0.0.1\r\n"
		      "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
		      body.size);
	if (!body.failed)
		buffer_append(request, body.data, body.size);
	bool done = !body.failed && !request->failed;
	buffer_release(&body);
	return done || limits_failed("request", "out of memory");
}

/* --- the connections --- */

static bool
connect_one(struct client *client, size_t index, uint16_t port)
{
	struct connection *connection = &client->connections[index];
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons(port),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = connection};
	int on = 1;
	connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connection->fd == -1)
		return limits_failed("socket", strerror(errno));
	client->count = index + 1;
	if (connect(connection->fd, (struct sockaddr *)&address, sizeof(address)) == -1 ||
	    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == -1 ||
	    epoll_ctl(client->epoll, EPOLL_CTL_ADD, connection->fd, &event) == -1)
		return limits_failed("connect", strerror(errno));
	return true;
}

static bool
connect_all(struct client *client, const struct limits_plan *plan, uint16_t port)
{
	client->epoll = epoll_create1(EPOLL_CLOEXEC);
	client->connections = calloc(plan->connections, sizeof(*client->connections));
	if (client->epoll == -1 || client->connections == NULL)
		return limits_failed("client", "memory or descriptors are out");
	for (size_t i = 0; i < plan->connections; i++) {
		if (!connect_one(client, i, port))
			return false;
	}
	return true;
}

static void
release(struct client *client)
{
	for (size_t i = 0; i < client->count; i++)
		(void)close(client->connections[i].fd);
	if (client->epoll != -1)
		(void)close(client->epoll);
	free(client->connections);
	buffer_release(&client->request);
}

/* What the socket takes of the request. */
static bool
send_on(const struct client *client, struct connection *connection)
{
	while (connection->sent < client->request.size) {
		ssize_t size =
			send(connection->fd, client->request.data + connection->sent,
			     client->request.size - connection->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (size == -1 && errno == EAGAIN)
			return true;
		if (size == -1)
			return limits_failed("send", strerror(errno));
		connection->sent += (size_t)size;
	}
	return true;
}

/* The answer, as far as it is there; when it is whole, the next request. */
static bool
receive_on(struct client *client, struct connection *connection)
{
	ssize_t size = recv(connection->fd, connection->answer + connection->received,
			    sizeof(connection->answer) - connection->received, MSG_DONTWAIT);
	if (size == -1 && errno == EAGAIN)
		return true;
	if (size <= 0)
		return limits_failed("receive", size == 0 ? "closed" : strerror(errno));
	connection->received += (size_t)size;
	const char *end = memmem(connection->answer, connection->received, "\r\n\r\n", 4);
	if (end == NULL)
		return true;
	size_t head = (size_t)(end - connection->answer) + 4;
	if (connection->received < head + client->answer_size)
		return true;
	if (memcmp(connection->answer, "HTTP/1.1 200", 12) != 0)
		return limits_failed("answer", "not a 200");
	client->answered++;
	connection->received = 0;
	connection->sent = 0;
	return send_on(client, connection);
}

/* Until so many seconds have passed. */
static bool
drive(struct client *client, double seconds)
{
	struct epoll_event events[EVENTS_MAX];
	double end = limits_clock_sec(CLOCK_MONOTONIC) + seconds;
	while (limits_clock_sec(CLOCK_MONOTONIC) < end) {
		int count = epoll_wait(client->epoll, events, EVENTS_MAX, SILENCE_MSEC);
		if (count == 0)
			return limits_failed("answer", "none for 10 seconds");
		for (int i = 0; i < count; i++) {
			struct connection *connection = events[i].data.ptr;
			if (!send_on(client, connection))
				return false;
			if ((events[i].events & EPOLLIN) != 0 && !receive_on(client, connection))
				return false;
		}
	}
	return true;
}

static bool
measure(struct client *client, const struct limits_plan *plan, const struct limits_server *server,
	struct figures *figures)
{
	clockid_t clock;
	if (clock_getcpuclockid(server->pid, &clock) != 0)
		return limits_failed("server", "has no CPU clock");
	if (!drive(client, (double)plan->warmup))
		return false;
	double begin = limits_clock_sec(CLOCK_MONOTONIC);
	double cpu = limits_clock_sec(clock);
	uint64_t answered = client->answered;
	if (!drive(client, (double)plan->duration))
		return false;
	double requests = (double)(client->answered - answered);
	double seconds = limits_clock_sec(CLOCK_MONOTONIC) - begin;
	figures_add(figures, "requests", requests);
	figures_add(figures, "requestBytes", (double)client->request.size);
	figures_add(figures, "requestsPerSecond", requests / seconds);
	figures_add(figures, "cpuPerRequestUs", (limits_clock_sec(clock) - cpu) * 1e6 / requests);
	return true;
}

bool
limits_http(const struct limits_plan *plan, struct figures *figures)
{
	struct limits_server server;
	struct client client = {.epoll = -1};
	if (!limits_server_start(&server, plan))
		return false;
	client.answer_size = server.answer_size;
	bool done = build_request(&client.request, plan) &&
		    connect_all(&client, plan, server.port) &&
		    measure(&client, plan, &server, figures);
	release(&client);
	return limits_server_stop(&server) && done;
}
