#include "base/map.h"

#include <pthread.h>
#include <sodium.h>
#include <string.h>

#include "base/check.h"

static pthread_once_t map_once = PTHREAD_ONCE_INIT;
static unsigned char map_key[crypto_shorthash_KEYBYTES];

static void
map_draw_key(void)
{
	CHECK(sodium_init() != -1); /* does nothing when main() has called it */
	randombytes_buf(map_key, sizeof(map_key));
}

unsigned
map_hash(const void *key, size_t size)
{
	unsigned char hash[crypto_shorthash_BYTES];
	unsigned word;
	CHECK(pthread_once(&map_once, map_draw_key) == 0);
	/* libsodium's prototype promises a non-null input, uthash may hash nothing at all. */
	crypto_shorthash(hash, size == 0 ? (const unsigned char *)"" : key, size, map_key);
	memcpy(&word, hash, sizeof(word));
	return word;
}
