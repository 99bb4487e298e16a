#include "api/forwarded.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

#define ADDRESS_SIZE_MAX 64

const char *
forwarded_name(enum forwarded_header header)
{
	switch (header) {
	case FORWARDED_FOR:
		return "X-Forwarded-For";
	case FORWARDED_RFC7239:
		return "Forwarded";
	case FORWARDED_NONE:
		break;
	}
	return NULL;
}

/* --- one address --- */

static bool
is_port(struct text text)
{
	uint64_t port;
	return text_to_u64(text, UINT16_MAX, &port);
}

/* Cuts off a port and the brackets: 1.2.3.4, 1.2.3.4:80, [::1], [::1]:80, ::1. */
static bool
cut_port(struct text *text)
{
	const char *end = text->data + text->size;
	if (text->size > 0 && text->data[0] == '[') {
		const char *close = memchr(text->data, ']', text->size);
		if (close == NULL)
			return false;
		const struct text rest = {close + 1, (size_t)(end - close - 1)};
		*text = (struct text){text->data + 1, (size_t)(close - text->data - 1)};
		return rest.size == 0 || (rest.data[0] == ':' &&
					  is_port((struct text){rest.data + 1, rest.size - 1}));
	}
	const char *colon = text->size > 0 ? memchr(text->data, ':', text->size) : NULL;
	if (colon == NULL || memchr(colon + 1, ':', (size_t)(end - colon - 1)) != NULL)
		return true;
	text->size = (size_t)(colon - text->data);
	return is_port((struct text){colon + 1, (size_t)(end - colon - 1)});
}

static bool
read_address(struct text text, struct sockaddr_storage *address)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
	char terminated[ADDRESS_SIZE_MAX + 1];
	memset(address, 0, sizeof(*address));
	if (!cut_port(&text) || text.size > ADDRESS_SIZE_MAX)
		return false;
	memcpy(terminated, text.data, text.size);
	terminated[text.size] = '\0';
	if (strlen(terminated) != text.size)
		return false;
	if (inet_pton(AF_INET, terminated, &v4->sin_addr) == 1) {
		address->ss_family = AF_INET;
		return true;
	}
	address->ss_family = AF_INET6;
	return inet_pton(AF_INET6, terminated, &v6->sin6_addr) == 1;
}

/* --- one hop of Forwarded (RFC 7239, section 4) --- */

static bool
is_token_character(char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static struct text
take_token(struct text *rest)
{
	struct text token = {rest->data, 0};
	while (token.size < rest->size && is_token_character(rest->data[token.size]))
		token.size++;
	rest->data += token.size;
	rest->size -= token.size;
	return token;
}

static bool
take_character(struct text *rest, char c)
{
	if (rest->size == 0 || rest->data[0] != c)
		return false;
	rest->data++;
	rest->size--;
	return true;
}

/* What is within quotes, with its backslashes: no address has any. */
static bool
take_quoted(struct text *rest, struct text *value)
{
	if (!take_character(rest, '"'))
		return false;
	value->data = rest->data;
	while (rest->size > 0 && rest->data[0] != '"') {
		const size_t taken = rest->data[0] == '\\' && rest->size > 1 ? 2 : 1;
		rest->data += taken;
		rest->size -= taken;
	}
	value->size = (size_t)(rest->data - value->data);
	return take_character(rest, '"');
}

/* The whole hop must be well-formed: one that was cut out of a quoted string, which may hold commas
 * and words of the client's, has an odd quote. */
static bool
find_for(struct text hop, struct text *found)
{
	unsigned count = 0;
	do {
		const struct text name = take_token(&hop);
		struct text value = {NULL, 0};
		if (name.size == 0 || !take_character(&hop, '='))
			return false;
		if (!take_quoted(&hop, &value)) {
			if (value.data != NULL)
				return false;
			value = take_token(&hop);
		}
		if (name.size == 3 && strncasecmp(name.data, "for", 3) == 0) {
			*found = value;
			count++;
		}
	} while (take_character(&hop, ';'));
	return hop.size == 0 && count == 1;
}

/* --- the list --- */

/* Takes the last hop off the list. */
static bool
pop_hop(enum forwarded_header header, struct text *list, struct sockaddr_storage *address)
{
	if (header == FORWARDED_NONE || list->size == 0)
		return false;
	const char *comma = memrchr(list->data, ',', list->size);
	struct text hop = *list;
	list->size = 0;
	if (comma != NULL) {
		list->size = (size_t)(comma - list->data);
		hop = (struct text){comma + 1, hop.size - list->size - 1};
	}
	hop = text_trim(hop);
	if (header == FORWARDED_RFC7239 && !find_for(hop, &hop))
		return false;
	return read_address(hop, address);
}

/* False: it is of an unknown kind. */
static bool
name_address(const struct sockaddr *address, struct address_name *name)
{
	memset(name, 0, sizeof(*name));
	if (address->sa_family == AF_INET) {
		const struct sockaddr_in *v4 = (const void *)address;
		memcpy(name->bytes, &v4->sin_addr, sizeof(v4->sin_addr));
		return true;
	}
	if (address->sa_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const void *)address;
		if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
			memcpy(name->bytes, v6->sin6_addr.s6_addr + 12, 4);
		else
			memcpy(name->bytes, v6->sin6_addr.s6_addr, sizeof(name->bytes));
		return true;
	}
	/* No network has ffff:ffff:ffff:ffff::/64. */
	memset(name->bytes, 0xff, sizeof(name->bytes));
	return address->sa_family == AF_UNIX;
}

/* The peer, or a hop that is kept in believed. */
static const struct sockaddr *
find_client(enum forwarded_header header, const struct sockaddr *peer, struct text list,
	    const struct forwarded_trust *trust, struct sockaddr_storage *believed)
{
	struct sockaddr_storage hop;
	const struct sockaddr *client = peer;
	while (trust->is_trusted(trust->cookie, client) && pop_hop(header, &list, &hop)) {
		*believed = hop;
		client = (const struct sockaddr *)believed;
	}
	return client;
}

bool
forwarded_client(enum forwarded_header header, const struct sockaddr *peer, struct text list,
		 const struct forwarded_trust *trust, struct address_name *name)
{
	struct sockaddr_storage believed;
	const struct sockaddr *client = find_client(header, peer, list, trust, &believed);
	return name_address(client, name) && !trust->is_trusted(trust->cookie, client);
}

struct text
forwarded_text(enum forwarded_header header, const struct sockaddr *peer, struct text list,
	       const struct forwarded_trust *trust, char written[INET6_ADDRSTRLEN])
{
	struct sockaddr_storage believed;
	const struct text none = {NULL, 0};
	const struct sockaddr *client = find_client(header, peer, list, trust, &believed);
	const void *bytes = NULL;
	int family = AF_INET;
	if (client->sa_family == AF_UNIX)
		return TEXT("unix");
	if (client->sa_family == AF_INET)
		bytes = &((const struct sockaddr_in *)(const void *)client)->sin_addr;
	if (client->sa_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const void *)client;
		const bool is_mapped = IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr);
		family = is_mapped ? AF_INET : AF_INET6;
		bytes = v6->sin6_addr.s6_addr + (is_mapped ? 12 : 0);
	}
	return bytes && inet_ntop(family, bytes, written, INET6_ADDRSTRLEN) ? text_of(written)
									    : none;
}
