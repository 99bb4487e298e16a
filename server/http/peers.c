#include "http/peers.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/map.h"

#define KEY_SIZE 8 /* an IPv4 address has zeros behind it; 2000::/3 begins otherwise */

struct peer {
	unsigned char key[KEY_SIZE];
	unsigned count;
	UT_hash_handle hh;
};

/* False: its connections are not counted. */
static bool
key_of(const struct sockaddr *name, unsigned char key[KEY_SIZE])
{
	memset(key, 0, KEY_SIZE);
	if (name->sa_family == AF_INET) {
		const struct sockaddr_in *v4 = (const void *)name;
		memcpy(key + KEY_SIZE - sizeof(v4->sin_addr), &v4->sin_addr, sizeof(v4->sin_addr));
		return true;
	}
	if (name->sa_family != AF_INET6)
		return false;
	const struct sockaddr_in6 *v6 = (const void *)name;
	const unsigned char *bytes = v6->sin6_addr.s6_addr;
	if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
		memcpy(key + KEY_SIZE - 4, bytes + 12, 4);
	else
		memcpy(key, bytes, KEY_SIZE);
	return true;
}

enum status
peers_init(struct peers *peers, unsigned max)
{
	*peers = (struct peers){.max = max};
	return pthread_mutex_init(&peers->lock, NULL) == 0 ? STATUS_OK : STATUS_INTERNAL;
}

void
peers_release(struct peers *peers)
{
	CHECK(peers->table == NULL);
	(void)pthread_mutex_destroy(&peers->lock);
}

/* NULL when memory is out. */
static struct peer *
find_or_add_locked(struct peers *peers, const unsigned char key[KEY_SIZE])
{
	struct peer *peer = NULL;
	HASH_FIND(hh, peers->table, key, KEY_SIZE, peer);
	if (peer != NULL)
		return peer;
	peer = calloc(1, sizeof(*peer));
	if (peer == NULL)
		return NULL;
	memcpy(peer->key, key, KEY_SIZE);
	HASH_ADD(hh, peers->table, key, KEY_SIZE, peer);
	if (peer->hh.tbl != NULL)
		return peer;
	free(peer);
	return NULL;
}

bool
peers_enter(struct peers *peers, const struct sockaddr *name, struct peer **peer)
{
	unsigned char key[KEY_SIZE];
	*peer = NULL;
	if (peers->max == 0 || !key_of(name, key))
		return true;
	(void)pthread_mutex_lock(&peers->lock);
	struct peer *found = find_or_add_locked(peers, key);
	const bool enters = found != NULL && found->count < peers->max;
	if (enters) {
		found->count++;
		*peer = found;
	}
	(void)pthread_mutex_unlock(&peers->lock);
	return enters;
}

void
peers_leave(struct peers *peers, struct peer *peer)
{
	if (peer == NULL)
		return;
	(void)pthread_mutex_lock(&peers->lock);
	CHECK(peer->count > 0);
	peer->count--;
	if (peer->count == 0) {
		HASH_DELETE(hh, peers->table, peer);
		free(peer);
	}
	(void)pthread_mutex_unlock(&peers->lock);
}
