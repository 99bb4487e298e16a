#include "chain/chain.h"

#include <string.h>

#include <sodium.h>

#include "base/check.h"
#include "chain/lanes.h"

static const char tag_log[] =
	"edgereplay/1/log"; /* sizeof counts the NUL, which belongs to the tag */
static const char tag_action[] = "edgereplay/1/action";
static const char tag_link[] = "edgereplay/1/link";

/* What is longer than a preimage in one piece is streamed. */
static void
stream(crypto_generichash_state *state, const void *data, size_t size)
{
	/* An empty piece may have no data at all. */
	if (size > 0)
		CHECK(crypto_generichash_update(state, data, size) == 0);
}

static uint8_t *
put(uint8_t *to, const void *data, size_t size)
{
	if (size > 0)
		memcpy(to, data, size);
	return to + size;
}

static void
hash_bytes(const uint8_t bytes[], size_t size, struct hash *hash)
{
	lanes_hash_one((struct text){(const char *)bytes, size}, hash);
}

/* A name that is too long is rot, and streamed as it is. */
static void
genesis_long(struct text log, struct hash *genesis)
{
	crypto_generichash_state state;

	CHECK(crypto_generichash_init(&state, NULL, 0, HASH_SIZE) == 0);
	stream(&state, tag_log, sizeof(tag_log));
	stream(&state, log.data, log.size);
	CHECK(crypto_generichash_final(&state, genesis->bytes, HASH_SIZE) == 0);
}

void
chain_genesis(struct text log, struct hash *genesis)
{
	uint8_t bytes[sizeof(tag_log) + LOG_NAME_SIZE_MAX];

	if (log.size > LOG_NAME_SIZE_MAX) {
		genesis_long(log, genesis);
		return;
	}
	uint8_t *to = put(bytes, tag_log, sizeof(tag_log));
	to = put(to, log.data, log.size);
	hash_bytes(bytes, (size_t)(to - bytes), genesis);
}

static bool
says_digest(const struct action *action, struct hash *digest)
{
	return action->type.size == 0 && hash_from_text(action->payload, digest);
}

bool
action_is_redacted(const struct action *action)
{
	struct hash digest;

	return says_digest(action, &digest);
}

void
action_redact(struct action *action, const struct hash *digest, char text[HASH_TEXT_SIZE])
{
	hash_to_text(digest, text);
	action->type = TEXT("");
	action->payload = (struct text){text, HASH_TEXT_SIZE};
}

/* Copies the text and lets it be its copy. */
static uint8_t *
put_text(uint8_t *to, struct text *text)
{
	uint8_t *end = put(to, text->data, text->size);

	text->data = (const char *)to;
	return end;
}

static uint8_t *
put_u16(uint8_t *to, size_t value)
{
	to[0] = (uint8_t)(value >> 8);
	to[1] = (uint8_t)value;
	return to + 2;
}

static uint8_t *
put_u64(uint8_t *to, uint64_t value)
{
	for (unsigned i = 0; i < 8; i++)
		to[i] = (uint8_t)(value >> (8 * (7 - i)));
	return to + 8;
}

/* Tag, stamp and the two sizes. */
#define PREIMAGE_SIZE_FIXED (sizeof(tag_action) + 8 + 2 + 2)

size_t
chain_preimage(struct action *action, uint8_t bytes[PREIMAGE_SIZE_MAX])
{
	size_t room = PREIMAGE_SIZE_MAX - PREIMAGE_SIZE_FIXED;

	if (action_is_redacted(action))
		return 0;
	if (action->device.size > room || action->type.size > room - action->device.size ||
	    action->payload.size > room - action->device.size - action->type.size)
		return 0;
	uint8_t *to = put(bytes, tag_action, sizeof(tag_action));
	to = put_u64(to, action->ts);
	to = put_u16(to, action->device.size);
	to = put_text(to, &action->device);
	to = put_u16(to, action->type.size);
	to = put_text(to, &action->type);
	to = put_text(to, &action->payload);
	return (size_t)(to - bytes);
}

static void
digest_long(const struct action *action, struct hash *digest)
{
	crypto_generichash_state state;
	uint8_t bytes[8];

	CHECK(crypto_generichash_init(&state, NULL, 0, HASH_SIZE) == 0);
	stream(&state, tag_action, sizeof(tag_action));
	stream(&state, bytes, (size_t)(put_u64(bytes, action->ts) - bytes));
	stream(&state, bytes, (size_t)(put_u16(bytes, action->device.size) - bytes));
	stream(&state, action->device.data, action->device.size);
	stream(&state, bytes, (size_t)(put_u16(bytes, action->type.size) - bytes));
	stream(&state, action->type.data, action->type.size);
	stream(&state, action->payload.data, action->payload.size);
	CHECK(crypto_generichash_final(&state, digest->bytes, HASH_SIZE) == 0);
}

/* Hashing a short piece at once costs much less than handing it to the library bit by bit. */
void
chain_digest(const struct action *action, struct hash *digest)
{
	uint8_t bytes[PREIMAGE_SIZE_MAX];
	struct action copy = *action;
	size_t size = chain_preimage(&copy, bytes);

	if (says_digest(action, digest))
		return;
	if (size == 0)
		digest_long(action, digest);
	else
		hash_bytes(bytes, size, digest);
}

void
chain_digests(const struct text preimages[], struct hash digests[], size_t count)
{
	lanes_hash(preimages, digests, count);
}

#define LINK_PREIMAGE_SIZE (sizeof(tag_link) + 2 * (size_t)HASH_SIZE)

static void
put_link(uint8_t bytes[LINK_PREIMAGE_SIZE], const struct hash *previous, const struct hash *digest)
{
	uint8_t *to = put(bytes, tag_link, sizeof(tag_link));

	to = put(to, previous->bytes, HASH_SIZE);
	put(to, digest->bytes, HASH_SIZE);
}

void
chain_link(const struct hash *previous, const struct hash *digest, struct hash *link)
{
	uint8_t bytes[LINK_PREIMAGE_SIZE];

	put_link(bytes, previous, digest);
	hash_bytes(bytes, sizeof(bytes), link);
}

/* A link that is as it should be is as good as the computed one for the link after it, so that all
 * can be computed at once: the first bad one ends what is counted. */
size_t
chain_verify(const struct hash links[], const struct hash digests[], size_t count)
{
	uint8_t bytes[LANES][LINK_PREIMAGE_SIZE];
	struct text preimages[LANES];
	struct hash computed[LANES];

	for (size_t first = 0; first < count; first += LANES) {
		size_t part = count - first < LANES ? count - first : LANES;

		for (size_t i = 0; i < part; i++) {
			put_link(bytes[i], &links[first + i], &digests[first + i]);
			preimages[i] = (struct text){(const char *)bytes[i], sizeof(bytes[i])};
		}
		lanes_hash(preimages, computed, part);
		for (size_t i = 0; i < part; i++)
			if (!hash_equal(&computed[i], &links[first + i + 1]))
				return first + i;
	}
	return count;
}

void
chain_id(uint64_t ts, const struct hash *digest, uint8_t id[ID_SIZE])
{
	for (unsigned i = 0; i < 6; i++)
		id[i] = (uint8_t)(ts >> (8 * (5 - i)));
	id[6] = (uint8_t)(0x80 | (digest->bytes[0] & 0x0f)); /* version 8 */
	id[7] = digest->bytes[1];
	id[8] = (uint8_t)(0x80 | (digest->bytes[2] & 0x3f)); /* variant 10 */
	memcpy(id + 9, digest->bytes + 3, 7);
}

bool
hash_equal(const struct hash *a, const struct hash *b)
{
	return memcmp(a->bytes, b->bytes, HASH_SIZE) == 0;
}

void
hash_to_text(const struct hash *hash, char text[HASH_TEXT_SIZE])
{
	hex_encode(hash->bytes, HASH_SIZE, text);
}

bool
hash_from_text(struct text text, struct hash *hash)
{
	return text.size == HASH_TEXT_SIZE && hex_decode(text, hash->bytes, HASH_SIZE);
}

void
id_to_text(const uint8_t id[ID_SIZE], char text[ID_TEXT_SIZE])
{
	static const size_t group_sizes[] = {4, 2, 2, 2, 6};
	char *next = text;

	for (unsigned group = 0; group < 5; group++) {
		if (group > 0)
			*next++ = '-';
		hex_encode(id, group_sizes[group], next);
		id += group_sizes[group];
		next += 2 * group_sizes[group];
	}
}

bool
id_from_text(struct text text, uint8_t id[ID_SIZE])
{
	char digits[2 * ID_SIZE];
	size_t count = 0;

	if (text.size != ID_TEXT_SIZE)
		return false;
	for (size_t i = 0; i < ID_TEXT_SIZE; i++) {
		const bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (is_dash != (text.data[i] == '-'))
			return false;
		if (!is_dash)
			digits[count++] = text.data[i];
	}
	return hex_decode((struct text){digits, sizeof(digits)}, id, ID_SIZE);
}

/* Log names and devices are of one set. Looked at without the C library: no locale may widen it. */
static bool
is_of_name_set(struct text text)
{
	static const char marks[] = "._~-@:|+=";

	for (size_t i = 0; i < text.size; i++) {
		char c = text.data[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
		bool digit = c >= '0' && c <= '9';

		if (!letter && !digit && memchr(marks, c, sizeof(marks) - 1) == NULL)
			return false;
	}
	return true;
}

static bool
is_of_dots_only(struct text text)
{
	for (size_t i = 0; i < text.size; i++)
		if (text.data[i] != '.')
			return false;
	return true;
}

bool
log_name_is_valid(struct text log)
{
	/* "." and ".." would mean something else in a path. */
	return log.size >= 1 && log.size <= LOG_NAME_SIZE_MAX && is_of_name_set(log) &&
	       !is_of_dots_only(log);
}

bool
device_is_valid(struct text device)
{
	return device.size >= 1 && device.size <= DEVICE_SIZE_MAX && is_of_name_set(device);
}

bool
app_is_valid(struct text app)
{
	return device_is_valid(app);
}

bool
state_digest_is_valid(struct text digest)
{
	for (size_t i = 0; i < digest.size; i++) {
		const char c = digest.data[i];
		if ((c < '0' || c > '9') && (c < 'a' || c > 'f'))
			return false;
	}
	return digest.size >= 1 && digest.size <= STATE_DIGEST_SIZE_MAX;
}

/* Of well-formed UTF-8. C1 is U+0080..U+009F: the byte C2, which is never a second byte, and then
 * 80..9F. */
static bool
has_control_character(struct text text)
{
	for (size_t i = 0; i < text.size; i++) {
		uint8_t byte = (uint8_t)text.data[i];

		if (byte < 0x20 || byte == 0x7f)
			return true;
		if (byte == 0xc2 && (uint8_t)text.data[i + 1] < 0xa0)
			return true;
	}
	return false;
}

bool
type_is_valid(struct text type)
{
	return type.size >= 1 && type.size <= TYPE_SIZE_MAX && text_is_utf8(type) &&
	       !has_control_character(type);
}
