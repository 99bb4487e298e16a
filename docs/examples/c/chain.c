#include "chain.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define HASH(state, bytes, size) crypto_generichash_update(state, (const uint8_t *)(bytes), size)

/* With the tag's own NUL, which the protocol wants. */
#define BEGIN(state, tag)                                                                          \
	(crypto_generichash_init(state, NULL, 0, HASH_SIZE), HASH(state, tag, sizeof(tag)))

void
chain_genesis(const char *log, uint8_t genesis[HASH_SIZE])
{
	crypto_generichash_state state;
	BEGIN(&state, "edgereplay/1/log");
	HASH(&state, log, strlen(log));
	crypto_generichash_final(&state, genesis, HASH_SIZE);
}

static void
hash_integer(crypto_generichash_state *state, uint64_t value, size_t size)
{
	uint8_t bytes[8];
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(value >> 8 * (size - 1 - i));
	HASH(state, bytes, size);
}

static void
hash_text(crypto_generichash_state *state, const json_t *text)
{
	HASH(state, json_string_value(text), json_string_length(text));
}

void
chain_digest(const json_t *action, uint8_t digest[HASH_SIZE])
{
	const json_t *given = json_object_get(action, "digest");
	if (json_is_true(json_object_get(action, "redacted")) && given) {
		/* Its content is gone; the server still says what it was. */
		sodium_hex2bin(digest, HASH_SIZE, json_string_value(given),
			       json_string_length(given), NULL, NULL, NULL);
		return;
	}
	const json_t *device = json_object_get(action, "device");
	const json_t *type = json_object_get(action, "type");
	const json_int_t ts = json_integer_value(json_object_get(action, "ts"));
	crypto_generichash_state state;
	BEGIN(&state, "edgereplay/1/action");
	hash_integer(&state, (uint64_t)ts, 8);
	hash_integer(&state, json_string_length(device), 2);
	hash_text(&state, device);
	hash_integer(&state, json_string_length(type), 2);
	hash_text(&state, type);
	hash_text(&state, json_object_get(action, "payload"));
	crypto_generichash_final(&state, digest, HASH_SIZE);
}

void
chain_extend(uint8_t link[HASH_SIZE], const uint8_t digest[HASH_SIZE])
{
	crypto_generichash_state state;
	BEGIN(&state, "edgereplay/1/link");
	HASH(&state, link, HASH_SIZE);
	HASH(&state, digest, HASH_SIZE);
	crypto_generichash_final(&state, link, HASH_SIZE);
}

void
chain_id(const json_t *action, char text[ID_TEXT_SIZE])
{
	const uint64_t ts = (uint64_t)json_integer_value(json_object_get(action, "ts"));
	uint8_t digest[HASH_SIZE];
	char hex[HEX_SIZE];
	chain_digest(action, digest);
	digest[0] = 0x80 | (digest[0] & 0x0f);
	digest[2] = 0x80 | (digest[2] & 0x3f);
	hash_to_hex(digest, hex);
	snprintf(text, ID_TEXT_SIZE, "%08x-%04x-%.4s-%.4s-%.12s", (uint32_t)(ts >> 16),
		 (uint16_t)ts, hex, hex + 4, hex + 8);
}

void
hash_to_hex(const uint8_t hash[HASH_SIZE], char hex[HEX_SIZE])
{
	sodium_bin2hex(hex, HEX_SIZE, hash, HASH_SIZE);
}
