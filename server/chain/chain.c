#include "chain/chain.h"

#include <string.h>

#include <sodium.h>

#include "base/check.h"

static const char tag_log[] =
	"edgereplay/1/log"; /* sizeof counts the NUL, which belongs to the tag */
static const char tag_action[] = "edgereplay/1/action";
static const char tag_link[] = "edgereplay/1/link";

/*
 * The bytes to hash, gathered in one place: hashing a short piece at once costs much less than
 * handing it to the library bit by bit. Nearly every action fits; what does not is streamed.
 */
#define PREIMAGE_SIZE 1024

struct preimage {
	uint8_t bytes[PREIMAGE_SIZE];
	size_t size;
	bool streamed; /* bytes before these are in the stream already */
	crypto_generichash_state stream;
};

static void
preimage_init(struct preimage *preimage)
{
	preimage->size = 0;
	preimage->streamed = false;
}

static void
preimage_stream(struct preimage *preimage, const void *data, size_t size)
{
	if (!preimage->streamed)
		CHECK(crypto_generichash_init(&preimage->stream, NULL, 0, HASH_SIZE) == 0);
	preimage->streamed = true;
	CHECK(crypto_generichash_update(&preimage->stream, data, size) == 0);
}

/* An empty piece may have no data at all. */
static void
preimage_add(struct preimage *preimage, const void *data, size_t size)
{
	if (size == 0)
		return;
	if (size > PREIMAGE_SIZE - preimage->size) {
		preimage_stream(preimage, preimage->bytes, preimage->size);
		preimage->size = 0;
		if (size > PREIMAGE_SIZE) {
			preimage_stream(preimage, data, size);
			return;
		}
	}
	memcpy(preimage->bytes + preimage->size, data, size);
	preimage->size += size;
}

static void
preimage_add_u64(struct preimage *preimage, uint64_t value)
{
	uint8_t bytes[8];

	for (unsigned i = 0; i < 8; i++)
		bytes[i] = (uint8_t)(value >> (8 * (7 - i)));
	preimage_add(preimage, bytes, sizeof(bytes));
}

static void
preimage_add_with_size(struct preimage *preimage, struct text text)
{
	const uint8_t size[2] = {(uint8_t)(text.size >> 8), (uint8_t)text.size};

	preimage_add(preimage, size, sizeof(size));
	preimage_add(preimage, text.data, text.size);
}

static void
preimage_hash(struct preimage *preimage, struct hash *hash)
{
	if (!preimage->streamed) {
		CHECK(crypto_generichash(hash->bytes, HASH_SIZE, preimage->bytes, preimage->size,
					 NULL, 0) == 0);
		return;
	}
	preimage_stream(preimage, preimage->bytes, preimage->size);
	CHECK(crypto_generichash_final(&preimage->stream, hash->bytes, HASH_SIZE) == 0);
}

void
chain_genesis(struct text log, struct hash *genesis)
{
	struct preimage preimage;

	preimage_init(&preimage);
	preimage_add(&preimage, tag_log, sizeof(tag_log));
	preimage_add(&preimage, log.data, log.size);
	preimage_hash(&preimage, genesis);
}

void
chain_digest(const struct action *action, struct hash *digest)
{
	struct preimage preimage;

	preimage_init(&preimage);
	preimage_add(&preimage, tag_action, sizeof(tag_action));
	preimage_add_u64(&preimage, action->ts);
	preimage_add_with_size(&preimage, action->device);
	preimage_add_with_size(&preimage, action->type);
	preimage_add(&preimage, action->payload.data, action->payload.size);
	preimage_hash(&preimage, digest);
}

void
chain_link(const struct hash *previous, const struct hash *digest, struct hash *link)
{
	struct preimage preimage;

	preimage_init(&preimage);
	preimage_add(&preimage, tag_link, sizeof(tag_link));
	preimage_add(&preimage, previous->bytes, HASH_SIZE);
	preimage_add(&preimage, digest->bytes, HASH_SIZE);
	preimage_hash(&preimage, link);
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
