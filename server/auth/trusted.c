#include "auth/trusted.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#define ADDRESS_TEXT_MAX INET6_ADDRSTRLEN

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

static void
map(const struct in_addr *v4, uint8_t address[16])
{
	memcpy(address, mapped, sizeof(mapped));
	memcpy(address + sizeof(mapped), v4, sizeof(*v4));
}

/* An address as 16 bytes, and how many bits of them are a prefix that is not written. */
static bool
parse_address(struct text text, uint8_t address[16], unsigned *bits_before)
{
	char terminated[ADDRESS_TEXT_MAX];
	struct in_addr v4;
	if (text.size >= sizeof(terminated) || memchr(text.data, '\0', text.size))
		return false;
	memcpy(terminated, text.data, text.size);
	terminated[text.size] = '\0';
	*bits_before = 0;
	if (inet_pton(AF_INET6, terminated, address) == 1)
		return true;
	if (inet_pton(AF_INET, terminated, &v4) != 1)
		return false;
	map(&v4, address);
	*bits_before = 96;
	return true;
}

/* Whether the first bits are the same. */
static bool
shares(const uint8_t a[16], const uint8_t b[16], unsigned bits)
{
	const unsigned whole = bits / 8, rest = bits % 8;
	return memcmp(a, b, whole) == 0 &&
	       (rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0);
}

/* A host's bits behind the prefix are a mistake that must not be guessed at. */
static bool
is_network(const uint8_t address[16], unsigned bits)
{
	for (unsigned i = bits; i < 128; i++) {
		if ((address[i / 8] >> (7 - i % 8) & 1) != 0)
			return false;
	}
	return true;
}

static bool
add_network(struct trusted *trusted, struct text text)
{
	unsigned before;
	uint64_t bits = 0;
	struct text network = text, size = {NULL, 0};
	const char *slash = text.size > 0 ? memchr(text.data, '/', text.size) : NULL;
	if (slash) {
		network.size = (size_t)(slash - text.data);
		size = (struct text){slash + 1, text.size - network.size - 1};
	}
	if (trusted->count == TRUSTED_MAX ||
	    !parse_address(network, trusted->networks[trusted->count].address, &before))
		return false;
	if (!size.data)
		bits = 128 - before;
	else if (!text_to_u64(size, 128 - before, &bits))
		return false;
	trusted->networks[trusted->count].bits = before + (unsigned)bits;
	if (!is_network(trusted->networks[trusted->count].address, before + (unsigned)bits))
		return false;
	trusted->count++;
	return true;
}

bool
trusted_parse(struct trusted *trusted, struct text list, struct text *bad)
{
	memset(trusted, 0, sizeof(*trusted));
	while (list.size > 0) {
		*bad = text_cut(&list, ',');
		if (text_equal(*bad, TEXT("unix")))
			trusted->unix_socket = true;
		else if (!add_network(trusted, *bad))
			return false;
	}
	return true;
}

bool
trusted_contain(const struct trusted *trusted, const struct sockaddr *peer)
{
	uint8_t address[16];
	if (!peer)
		return false;
	if (peer->sa_family == AF_UNIX)
		return trusted->unix_socket;
	if (peer->sa_family == AF_INET)
		map(&((const struct sockaddr_in *)(const void *)peer)->sin_addr, address);
	else if (peer->sa_family == AF_INET6)
		memcpy(address, &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr,
		       sizeof(address));
	else
		return false;
	for (size_t i = 0; i < trusted->count; i++) {
		if (shares(address, trusted->networks[i].address, trusted->networks[i].bits))
			return true;
	}
	return false;
}
