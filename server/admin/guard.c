#include "admin/guard.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "admin/inside.h"

#define ADDRESS_SIZE 64

/* "name:80", "127.0.0.1:80", "[::1]:80", each with or without the port: without it, and without brackets. */
static struct text
without_port(struct text host)
{
	struct text rest = host;
	if (host.size > 0 && host.data[0] == '[') {
		rest = (struct text){host.data + 1, host.size - 1};
		return text_cut(&rest, ']');
	}
	return text_cut(&rest, ':');
}

static bool
is_address(struct text host)
{
	char text[ADDRESS_SIZE];
	unsigned char address[sizeof(struct in6_addr)];
	if (host.size >= sizeof(text))
		return false;
	memcpy(text, host.data, host.size);
	text[host.size] = '\0';
	return inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1;
}

static bool
is_name(struct text host, struct text name)
{
	return host.size > 0 && host.size == name.size &&
	       strncasecmp(host.data, name.data, name.size) == 0;
}

static bool
is_ours(const struct endpoint *endpoint, struct text host)
{
	struct text hosts = text_of(endpoint->admin->hosts);
	if (is_address(host) || is_name(host, TEXT("localhost")) ||
	    is_name(host, without_port(text_of(endpoint->listen))))
		return true;
	while (hosts.size > 0) {
		if (is_name(host, text_cut(&hosts, ',')))
			return true;
	}
	return false;
}

const char *
guard_look(const struct endpoint *endpoint, struct request *request)
{
	const struct text method = request_method(request);
	const struct text host = request_header(request, "Host");
	if (strncmp(endpoint->listen, "unix:", strlen("unix:")) == 0)
		return NULL;
	if (request_header(request, "Origin").data != NULL)
		return "No web page may ask here.";
	if (host.data != NULL && !is_ours(endpoint, without_port(host)))
		return "The Host is neither an address nor localhost, nor a name of admin.hosts.";
	if (endpoint->metrics_only || endpoint->admin->allow_changes ||
	    text_equal(method, TEXT("GET")) || text_equal(method, TEXT("HEAD")))
		return NULL;
	return "Over TCP nothing is changed, unless admin.allow_changes is set: let admin.listen "
	       "be a unix socket, and admin.metrics_listen what Prometheus asks.";
}
