#include "http/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/problem.h"
#include "base/text.h"
#include "http/listener.h"

#define UNIX_PREFIX "unix:"
#define UNSENT_SIZE (128 * 1024)

static const char *
unix_path(const char *text)
{
	size_t size = sizeof(UNIX_PREFIX) - 1;
	return strncmp(text, UNIX_PREFIX, size) == 0 ? text + size : NULL;
}

/* Splits "host:port" or "[v6]:port". host is empty for every address. */
static bool
split_host_port(const char *text, char host[ADDRESS_TEXT_SIZE], const char **port)
{
	const char *begin = text;
	const char *end = strrchr(text, ':');
	uint64_t number; /* getaddrinfo() takes 99999 for 34463 */
	if (end == NULL || !text_to_u64(text_of(end + 1), UINT16_MAX, &number))
		return false;
	*port = end + 1;
	if (*begin == '[') {
		begin++;
		end--;
		if (end < begin || *end != ']')
			return false;
	} else if (memchr(begin, ':', (size_t)(end - begin)) != NULL) {
		return false; /* a v6 address needs its brackets */
	}
	size_t size = (size_t)(end - begin);
	if (size >= ADDRESS_TEXT_SIZE)
		return false;
	memcpy(host, begin, size);
	host[size] = '\0';
	return true;
}

static int
resolve(const char *host, const char *port, struct addrinfo **found)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC,
				 .ai_socktype = SOCK_STREAM,
				 .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	return getaddrinfo(host[0] == '\0' ? NULL : host, port, &hints, found);
}

/* What of an answer lies in the kernel and is not sent yet: without this a client that reads nothing
 * has some megabytes there. Connections take it over. A unix socket has no such thing. */
static void
bound_unsent(int fd)
{
	const int size = UNSENT_SIZE;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &size, sizeof(size));
}

static void
name_socket(struct address *address)
{
	struct sockaddr_storage name;
	socklen_t size = sizeof(name);
	char host[INET6_ADDRSTRLEN] = "";
	memset(&name, 0, sizeof(name));
	if (getsockname(address->fd, (struct sockaddr *)&name, &size) == -1)
		name.ss_family = AF_UNSPEC;
	if (name.ss_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)&name;
		(void)inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
		(void)snprintf(address->text, sizeof(address->text), "%s:%u", host,
			       ntohs(v4->sin_port));
	} else if (name.ss_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&name;
		(void)inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
		(void)snprintf(address->text, sizeof(address->text), "[%s]:%u", host,
			       ntohs(v6->sin6_port));
	} else if (name.ss_family == AF_UNIX) {
		const struct sockaddr_un *local = (const struct sockaddr_un *)&name;
		(void)snprintf(address->text, sizeof(address->text), UNIX_PREFIX "%.*s",
			       (int)sizeof(local->sun_path), local->sun_path);
	} else {
		(void)snprintf(address->text, sizeof(address->text), "unknown");
	}
}

/* Binds fd to the first address that takes it. */
static int
bind_first(const struct addrinfo *found)
{
	int fd = -1;
	for (const struct addrinfo *at = found; at != NULL && fd == -1; at = at->ai_next) {
		const int on = 1;
		fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (fd == -1)
			continue;
		if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1 ||
		    bind(fd, at->ai_addr, at->ai_addrlen) == -1 || listen(fd, SOMAXCONN) == -1) {
			int saved = errno;
			(void)close(fd);
			errno = saved;
			fd = -1;
		}
	}
	return fd;
}

static enum status
find_inet(const char *text, struct addrinfo **found, const char **problem)
{
	char host[ADDRESS_TEXT_SIZE];
	const char *port;
	*found = NULL;
	if (!split_host_port(text, host, &port))
		return problem_set(problem, STATUS_INTERNAL,
				   "\"%s\" is no address to listen on: host:port, [v6]:port or "
				   "unix:/path.",
				   text);
	int error = resolve(host, port, found);
	if (error != 0)
		return problem_set(problem, STATUS_INTERNAL, "Cannot resolve \"%s\": %s.", text,
				   gai_strerror(error));
	return STATUS_OK;
}

static enum status
listen_inet(struct address *address, const char *text, const char **problem)
{
	struct addrinfo *found;
	enum status status = find_inet(text, &found, problem);
	if (status != STATUS_OK)
		return status;
	address->fd = bind_first(found);
	freeaddrinfo(found);
	if (address->fd == -1)
		return problem_set(problem, STATUS_INTERNAL, "Cannot listen on %s: %s.", text,
				   strerror(errno));
	return STATUS_OK;
}

/* A socket file that nobody listens on any more (its daemon was killed) is in the way. */
static enum status
remove_stale(const struct sockaddr_un *name, const char **problem)
{
	struct stat file;
	if (lstat(name->sun_path, &file) == -1) {
		if (errno == ENOENT)
			return STATUS_OK;
		return problem_set(problem, STATUS_INTERNAL, "Cannot look at %s: %s.",
				   name->sun_path, strerror(errno));
	}
	if (!S_ISSOCK(file.st_mode))
		return problem_set(problem, STATUS_INTERNAL, "%s exists and is no socket.",
				   name->sun_path);
	int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (probe == -1)
		return problem_set(problem, STATUS_INTERNAL, "Cannot make a socket: %s.",
				   strerror(errno));
	int result = connect(probe, (const struct sockaddr *)name, sizeof(*name));
	int error = errno;
	(void)close(probe);
	if (result == -1 && error == ECONNREFUSED) {
		if (unlink(name->sun_path) == -1 && errno != ENOENT)
			return problem_set(problem, STATUS_INTERNAL,
					   "Cannot remove the stale socket %s: %s.", name->sun_path,
					   strerror(errno));
		return STATUS_OK;
	}
	return problem_set(problem, STATUS_INTERNAL, "Somebody listens on %s.", name->sun_path);
}

static enum status
name_unix(const char *path, struct sockaddr_un *name, const char **problem)
{
	const size_t size = strlen(path);
	*name = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (size == 0 || size >= sizeof(name->sun_path))
		return problem_set(problem, STATUS_INTERNAL,
				   "The path of a unix socket has 1 to %zu bytes, and not %zu: %s",
				   sizeof(name->sun_path) - 1, size, path);
	memcpy(name->sun_path, path, size + 1);
	return STATUS_OK;
}

static enum status
listen_unix(struct address *address, const char *path, unsigned mode, const char **problem)
{
	struct sockaddr_un name;
	struct stat file;
	enum status status = name_unix(path, &name, problem);
	if (status == STATUS_OK)
		status = remove_stale(&name, problem);
	if (status != STATUS_OK)
		return status;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return problem_set(problem, STATUS_INTERNAL, "Cannot make a socket: %s.",
				   strerror(errno));
	/* The file gets the socket's mode less the umask when it is made, so there is no moment in
	 * which it is open to more people than asked for. chmod() then gives what the umask took.
	 */
	if (fchmod(fd, (mode_t)mode) == -1 ||
	    bind(fd, (const struct sockaddr *)&name, sizeof(name)) == -1) {
		status = problem_set(problem, STATUS_INTERNAL, "Cannot bind %s: %s.", path,
				     strerror(errno));
		goto close_socket;
	}
	if (chmod(path, (mode_t)mode) == -1 || lstat(path, &file) == -1 ||
	    listen(fd, SOMAXCONN) == -1) {
		status = problem_set(problem, STATUS_INTERNAL, "Cannot listen on %s: %s.", path,
				     strerror(errno));
		goto unlink_file;
	}
	address->fd = fd;
	address->device = file.st_dev;
	address->inode = file.st_ino;
	memcpy(address->path, path, strlen(path) + 1);
	return STATUS_OK;

unlink_file:
	(void)unlink(path);
close_socket:
	(void)close(fd);
	return status;
}

enum status
address_listen(struct address *address, const char *text, unsigned socket_mode,
	       const char **problem)
{
	*address = (struct address){.fd = -1, .ours = true};
	const char *path = unix_path(text);
	enum status status = path == NULL ? listen_inet(address, text, problem)
					  : listen_unix(address, path, socket_mode, problem);
	if (status == STATUS_OK) {
		name_socket(address);
		bound_unsent(address->fd);
	}
	return status;
}

enum status
address_inherit(struct address *address, int fd, const char **problem)
{
	int listening = 0;
	socklen_t size = sizeof(listening);
	*address = (struct address){.fd = fd, .ours = false};
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == -1)
		return problem_set(problem, STATUS_INTERNAL, "Descriptor %d is no socket: %s.", fd,
				   strerror(errno));
	if (!listening)
		return problem_set(problem, STATUS_INTERNAL,
				   "Descriptor %d is no listening socket.", fd);
	int flags = fcntl(fd, F_GETFL);
	if (flags == -1 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == -1)
		return problem_set(problem, STATUS_INTERNAL, "Descriptor %d cannot be set up: %s.",
				   fd, strerror(errno));
	name_socket(address);
	bound_unsent(fd);
	return STATUS_OK;
}

void
address_shut(struct address *address)
{
	struct stat file;
	if (!address->ours)
		return;
	(void)shutdown(address->fd, SHUT_RDWR);
	/* Somebody else may have put a socket of his own there. */
	if (address->path[0] != '\0' && lstat(address->path, &file) == 0 &&
	    file.st_dev == address->device && file.st_ino == address->inode)
		(void)unlink(address->path);
}

void
address_close(struct address *address)
{
	if (address->ours && address->fd != -1)
		(void)close(address->fd);
	address->fd = -1;
}

bool
address_is_local(const struct sockaddr *name)
{
	static const uint8_t mapped[13] = {[10] = 0xff, [11] = 0xff, [12] = 127};
	if (name->sa_family == AF_INET) {
		const struct sockaddr_in *v4 = (const void *)name;
		return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
	}
	if (name->sa_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const void *)name;
		return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) ||
		       memcmp(&v6->sin6_addr, mapped, sizeof(mapped)) == 0;
	}
	return name->sa_family == AF_UNIX;
}

bool
listener_socket_is_local(int fd)
{
	struct sockaddr_storage name;
	socklen_t size = sizeof(name);
	memset(&name, 0, sizeof(name));
	if (getsockname(fd, (struct sockaddr *)&name, &size) == -1)
		return false;
	return address_is_local((const struct sockaddr *)&name);
}

bool
listener_address_is_valid(const char *text, const char **problem)
{
	struct addrinfo *found;
	struct sockaddr_un name;
	if (unix_path(text) != NULL)
		return name_unix(unix_path(text), &name, problem) == STATUS_OK;
	if (find_inet(text, &found, problem) != STATUS_OK)
		return false;
	freeaddrinfo(found);
	return true;
}

bool
listener_address_is_local(const char *text)
{
	const char *problem;
	struct addrinfo *found;
	CHECK(text != NULL);
	if (unix_path(text) != NULL)
		return true;
	if (find_inet(text, &found, &problem) != STATUS_OK)
		return false;
	bool local = true;
	for (const struct addrinfo *at = found; at != NULL; at = at->ai_next)
		local = local && address_is_local(at->ai_addr);
	freeaddrinfo(found);
	return local;
}
