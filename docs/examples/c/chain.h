/*
 * chain: the protocol's bytes (schema/protocol.md, section 2), with libsodium.
 *
 * An action is a JSON object with device, ts, type and payload; a redacted one has digest instead of
 * the last two.
 */
#ifndef EXAMPLE_CHAIN_H
#define EXAMPLE_CHAIN_H

#include <jansson.h>
#include <stdint.h>

#define HASH_SIZE 32
#define HEX_SIZE (2 * HASH_SIZE + 1)
#define ID_TEXT_SIZE 37

void chain_genesis(const char *log, uint8_t genesis[HASH_SIZE]);
void chain_digest(const json_t *action, uint8_t digest[HASH_SIZE]);

/* Link becomes the one after it. */
void chain_extend(uint8_t link[HASH_SIZE], const uint8_t digest[HASH_SIZE]);

void chain_id(const json_t *action, char text[ID_TEXT_SIZE]);

/* Lower-case hex digits and a NUL. */
void hash_to_hex(const uint8_t hash[HASH_SIZE], char hex[HEX_SIZE]);

#endif
