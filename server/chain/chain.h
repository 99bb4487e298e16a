/*
 * chain: the bytes of the protocol: digest, id, link, genesis (protocol, section 2), and the
 * grammar of names (section 3). Pure: no I/O, no threads, no JSON. Read this first.
 *
 *     genesis = link[0] = H("edgereplay/1/log\0" ‖ log name)
 *
 *     digest = H("edgereplay/1/action\0" ‖ u64 ts ‖ u16 |device| ‖ device
 *                                         ‖ u16 |type| ‖ type ‖ payload)
 *
 *     link[n] = H("edgereplay/1/link\0" ‖ link[n-1] ‖ digest[n])
 *
 * H is BLAKE2b with a 32-byte output. A digest commits to one action wherever it stands; a link
 * commits to everything up to one position of one log.
 *
 * sodium_init() has been called before: without it long actions have the same hashes, but slowly.
 */
#ifndef CHAIN_CHAIN_H
#define CHAIN_CHAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

#define HASH_SIZE 32
#define HASH_TEXT_SIZE 64 /* hex digits, no NUL */
#define ID_SIZE 16
#define ID_TEXT_SIZE 36 /* 8-4-4-4-12, no NUL */

#define LOG_NAME_SIZE_MAX 128
#define DEVICE_SIZE_MAX 64
#define TYPE_SIZE_MAX 128
#define STATE_DIGEST_SIZE_MAX 64 /* hex digits of an app's own digest */
#define TS_MAX ((UINT64_C(1) << 48) - 1)
#define SEQ_MAX ((UINT64_C(1) << 53) - 1) /* what every JSON reader can hold */

struct hash {
	uint8_t bytes[HASH_SIZE];
};

/* One deterministic mutation. The texts are borrowed. */
struct action {
	struct text device;
	uint64_t ts; /* milliseconds since the epoch, 1..TS_MAX */
	struct text type;
	struct text payload; /* opaque bytes, normally JSON text; may be empty, may hold NUL */
};

/* What it counts in its log's bytes: its texts, as they were sent; of one whose content is gone (it has no
 * type) what is left of them. */
static inline uint64_t
action_size(const struct action *action)
{
	return action->device.size +
	       (action->type.size == 0 ? 0 : action->type.size + action->payload.size);
}

/* A place in a log: a seq, and the link there, which names the state. Seq 0 has the genesis link.
 */
struct position {
	uint64_t seq;
	struct hash link;
};

/*
 * What is left of an action whose content is gone (protocol, section 4.2): its device and ts, no type,
 * which every other action has, and for its payload the digest's hex digits. So its digest is what it
 * says, and its link verifies.
 */
bool action_is_redacted(const struct action *);

/* Takes its content: the digest's digits, which go to the text, become its payload. */
void action_redact(struct action *, const struct hash *digest, char text[HASH_TEXT_SIZE]);

/* These two take what they are given, rotten rows included: whether it is within the grammar is not
 * looked at. The lengths of device and type are hashed modulo 2^16. */
void chain_genesis(struct text log, struct hash *genesis);
void chain_digest(const struct action *, struct hash *digest);

/* link may be the same object as previous. */
void chain_link(const struct hash *previous, const struct hash *digest, struct hash *link);

/*
 * The same for several actions at once, at a fraction of the cost (see lanes.h):
 *
 *     chain_preimage (each) ─▶ chain_digests ─▶ chain_verify
 */
#define PREIMAGE_SIZE_MAX 1024

/* Gathers the bytes whose hash the digest is; the action's texts then point into them. Returns
 * their size, or 0 when they are more than PREIMAGE_SIZE_MAX, or the action is redacted: it is left
 * alone, and chain_digest() is for it. */
size_t chain_preimage(struct action *, uint8_t bytes[PREIMAGE_SIZE_MAX]);
void chain_digests(const struct text preimages[], struct hash digests[], size_t count);

/* How many positions, from the first, are what they should be: links[i + 1] = H(links[i] ‖
 * digests[i]). links has one more than count; the first of them is trusted. */
size_t chain_verify(const struct hash links[], const struct hash digests[], size_t count);

/* The id of the action with this stamp and digest: a UUIDv8. Nothing may depend on ids being
 * unique. */
void chain_id(uint64_t ts, const struct hash *digest, uint8_t id[ID_SIZE]);

bool hash_equal(const struct hash *, const struct hash *);
void hash_to_text(const struct hash *, char text[HASH_TEXT_SIZE]);
bool hash_from_text(struct text, struct hash *); /* 64 lower-case hex digits, else false */
void id_to_text(const uint8_t id[ID_SIZE], char text[ID_TEXT_SIZE]);
bool id_from_text(struct text, uint8_t id[ID_SIZE]); /* of that form, lower case, else false */

/* Section 3: the grammar. */
bool log_name_is_valid(struct text);
bool device_is_valid(struct text);
bool app_is_valid(struct text);		 /* as a device */
bool state_digest_is_valid(struct text); /* 1..64 lower-case hex digits */
bool type_is_valid(struct text); /* 1..128 bytes of UTF-8, no C0, DEL or C1 control characters */

#endif
