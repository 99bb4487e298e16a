#include "loadtest/connection.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/check.h"

#define IN_CAPACITY_MIN ((size_t)2 * 1024)
#define IN_CAPACITY_EASY ((size_t)256 * 1024) /* grown to while reads fill it */
#define IN_CAPACITY_MAX ((size_t)256 * 1024 * 1024)

void
connection_init(struct connection *connection)
{
	*connection = (struct connection){.fd = -1};
}

void
connection_close(struct connection *connection)
{
	if (connection->fd != -1)
		(void)close(connection->fd);
	connection->fd = -1;
}

void
connection_release(struct connection *connection)
{
	connection_close(connection);
	free(connection->out);
	free(connection->in);
	connection_init(connection);
}

enum status
connection_open(struct connection *connection, const struct sockaddr *address, socklen_t size,
		int epoll, void *cookie)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
				    .data.ptr = cookie};
	const int one = 1;
	CHECK(connection->fd == -1);
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return STATUS_INTERNAL;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if ((connect(fd, address, size) == -1 && errno != EINPROGRESS) ||
	    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == -1) {
		int error = errno;
		(void)close(fd);
		errno = error;
		return STATUS_INTERNAL;
	}
	connection->fd = fd;
	connection->broken = false;
	return STATUS_OK;
}

char *
connection_body(struct connection *connection, size_t head_size, size_t size_max)
{
	size_t needed = head_size + size_max;
	if (needed > connection->out_capacity) {
		free(connection->out);
		connection->out = malloc(needed);
		connection->out_capacity = connection->out == NULL ? 0 : needed;
	}
	connection->out_begin = head_size;
	connection->out_end = head_size;
	return connection->out == NULL ? NULL : connection->out + head_size;
}

/* The head's size is only known when the body's is: it is written backwards, up to the body. */
static void
put_before(struct connection *connection, struct text text)
{
	CHECK(text.size <= connection->out_begin);
	connection->out_begin -= text.size;
	memcpy(connection->out + connection->out_begin, text.data, text.size);
}

static void
put_number_before(struct connection *connection, uint64_t number)
{
	do {
		connection->out[--connection->out_begin] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
}

void
connection_begin(struct connection *connection, const struct connection_head *head,
		 size_t body_size)
{
	connection->out_end = connection->out_begin + body_size;
	put_before(connection, TEXT("\r\n"));
	if (body_size > 0) {
		put_before(connection, TEXT("\r\nContent-Type: application/json\r\n"));
		put_number_before(connection, body_size);
		put_before(connection, TEXT("Content-Length: "));
	}
	put_before(connection, head->fields);
	put_before(connection, head->line);
	connection_again(connection);
}

void
connection_again(struct connection *connection)
{
	connection->out_at = connection->out_begin;
	connection->in_size = 0;
	reply_begin(&connection->reply);
}

static void
break_off(struct connection *connection, int error)
{
	connection->broken = true;
	connection->error = error;
}

void
connection_send(struct connection *connection)
{
	while (connection->out_at < connection->out_end && !connection->broken) {
		ssize_t sent = send(connection->fd, connection->out + connection->out_at,
				    connection->out_end - connection->out_at, MSG_NOSIGNAL);
		if (sent == -1 && errno == EINTR)
			continue;
		if (sent == -1 && (errno == EAGAIN || errno == ENOTCONN))
			return;
		if (sent == -1) {
			break_off(connection, errno);
			return;
		}
		connection->out_at += (size_t)sent;
		connection->bytes_out += (uint64_t)sent;
	}
}

static bool
make_room(struct connection *connection)
{
	bool full = connection->in_size == connection->in_capacity;
	bool easy = !connection->drained && connection->in_capacity < IN_CAPACITY_EASY;
	if (!full && !easy)
		return true;
	size_t capacity =
		connection->in_capacity == 0 ? IN_CAPACITY_MIN : 2 * connection->in_capacity;
	char *in = capacity > IN_CAPACITY_MAX ? NULL : realloc(connection->in, capacity);
	if (in == NULL)
		return !full;
	connection->in = in;
	connection->in_capacity = capacity;
	return true;
}

enum reply_state
connection_receive(struct connection *connection)
{
	if (!make_room(connection)) {
		break_off(connection, ENOMEM);
		return REPLY_BAD;
	}
	size_t room = connection->in_capacity - connection->in_size;
	ssize_t received = recv(connection->fd, connection->in + connection->in_size, room, 0);
	connection->drained = received < (ssize_t)room;
	connection->blocked =
		received == -1 && (errno == EAGAIN || errno == EINTR || errno == ENOTCONN);
	if (connection->blocked)
		return connection->broken ? REPLY_BAD : connection->reply.state;
	if (received <= 0) {
		/* When sending failed, that is why. */
		if (!connection->broken)
			break_off(connection, received == -1 ? errno : 0);
		return REPLY_BAD;
	}
	connection->in_size += (size_t)received;
	connection->bytes_in += (uint64_t)received;
	return reply_read(&connection->reply, connection->in, &connection->in_size);
}

char *
connection_reply(const struct connection *connection, size_t *size)
{
	*size = connection->reply.body_size;
	return connection->in + connection->reply.body;
}
