#include "chain/note.h"

#include <assert.h>
#include <sodium.h>

#include "base/check.h"

#define ID_SIZE_OF_KEY sizeof(((struct note_key *)NULL)->id)
#define SIGNATURE_SIZE ((size_t)crypto_sign_BYTES)
#define LINES_MAX 100

/* Signatures of other kinds can be as long. */
#define FOREIGN_SIZE_MAX ((size_t)8192)

static const char ALGORITHM = 0x01; /* Ed25519 */
static const char SIGNER_PREFIX[] = "PRIVATE+KEY+";
static const char LINE_PREFIX[] = "\xe2\x80\x94 "; /* an em dash and a space */

static_assert(NOTE_SEED_SIZE == crypto_sign_SEEDBYTES, "Ed25519's seed");
static_assert(sizeof(((struct note_key *)NULL)->public_key) == crypto_sign_PUBLICKEYBYTES,
	      "Ed25519's public key");
static_assert(sizeof(((struct note_signer *)NULL)->secret) == crypto_sign_SECRETKEYBYTES,
	      "libsodium's secret key");
static_assert(sizeof(SIGNER_PREFIX) + NOTE_NAME_SIZE_MAX + 1 + 8 + 1 + 44 <= NOTE_KEY_TEXT_MAX,
	      "a key's text fits");
static_assert(sizeof(LINE_PREFIX) + NOTE_NAME_SIZE_MAX + 1 + 92 + 1 <= NOTE_LINE_SIZE_MAX,
	      "a signature line fits");

/* --- names --- */

/* The character at the start of well-formed UTF-8, which has so many bytes. */
static uint32_t
character_of(struct text text, size_t size)
{
	static const uint8_t masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	uint32_t character = (uint8_t)text.data[0] & masks[size];
	for (size_t i = 1; i < size; i++)
		character = character << 6 | ((uint8_t)text.data[i] & 0x3f);
	return character;
}

/* Unicode's White_Space; but for those that are control characters, and the space. */
static bool
is_space(uint32_t character)
{
	return character == 0xa0 || character == 0x1680 ||
	       (character >= 0x2000 && character <= 0x200a) || character == 0x2028 ||
	       character == 0x2029 || character == 0x202f || character == 0x205f ||
	       character == 0x3000;
}

bool
note_name_is_valid(struct text name)
{
	if (name.size == 0 || name.size > NOTE_NAME_SIZE_MAX)
		return false;
	while (name.size > 0) {
		const size_t size = text_utf8_size(name);
		if (size == 0)
			return false;
		const uint32_t character = character_of(name, size);
		if (character <= 0x20 || (character >= 0x7f && character <= 0x9f) ||
		    character == '+' || is_space(character))
			return false;
		name = (struct text){name.data + size, name.size - size};
	}
	return true;
}

struct text
note_key_name(const struct note_key *key)
{
	return (struct text){key->name, key->name_size};
}

/* --- base64 --- */

/* False, too, when the bytes are more than size_max. */
static bool
base64_read(struct text text, uint8_t *bytes, size_t size_max, size_t *size)
{
	const char *end = NULL;
	return sodium_base642bin(bytes, size_max, text.data, text.size, NULL, size, &end,
				 sodium_base64_VARIANT_ORIGINAL) == 0 &&
	       end == text.data + text.size;
}

/* Returns how many characters there are; there is no NUL behind them. */
static size_t
base64_write(const uint8_t *bytes, size_t size, char *to)
{
	char text[sodium_base64_ENCODED_LEN(4 + crypto_sign_BYTES, sodium_base64_VARIANT_ORIGINAL)];
	const size_t room = sodium_base64_ENCODED_LEN(size, sodium_base64_VARIANT_ORIGINAL);
	CHECK(room <= sizeof(text));
	sodium_bin2base64(text, sizeof(text), bytes, size, sodium_base64_VARIANT_ORIGINAL);
	memcpy(to, text, room - 1);
	sodium_memzero(text, sizeof(text));
	return room - 1;
}

/* --- keys --- */

static void
key_set(struct note_key *key, struct text name, const uint8_t *public_key)
{
	uint8_t hash[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_state state;
	*key = (struct note_key){.name_size = name.size};
	memcpy(key->name, name.data, name.size);
	memcpy(key->public_key, public_key, sizeof(key->public_key));
	crypto_hash_sha256_init(&state);
	crypto_hash_sha256_update(&state, (const uint8_t *)name.data, name.size);
	crypto_hash_sha256_update(&state, (const uint8_t[]){'\n', (uint8_t)ALGORITHM}, 2);
	crypto_hash_sha256_update(&state, public_key, sizeof(key->public_key));
	crypto_hash_sha256_final(&state, hash);
	memcpy(key->id, hash, sizeof(key->id));
}

/* <name>+<key id>+<base64 of: 0x01 ‖ 32 bytes> */
static bool
read_parts(struct text text, struct text *name, uint8_t id[4], uint8_t bytes[32])
{
	uint8_t coded[33];
	size_t size;
	const char *plus = text.size > 0 ? memchr(text.data, '+', text.size) : NULL;
	if (plus == NULL)
		return false;
	*name = (struct text){text.data, (size_t)(plus - text.data)};
	const struct text rest = {plus + 1, text.size - name->size - 1};
	if (!note_name_is_valid(*name) || rest.size < 9 || rest.data[8] != '+' ||
	    !hex_decode((struct text){rest.data, 8}, id, 4) ||
	    !base64_read((struct text){rest.data + 9, rest.size - 9}, coded, sizeof(coded),
			 &size) ||
	    size != sizeof(coded) || coded[0] != (uint8_t)ALGORITHM)
		return false;
	memcpy(bytes, coded + 1, 32);
	sodium_memzero(coded, sizeof(coded));
	return true;
}

static size_t
write_parts(const struct note_key *key, const uint8_t bytes[32], char *to)
{
	uint8_t coded[33] = {(uint8_t)ALGORITHM};
	size_t size = key->name_size;
	memcpy(to, key->name, size);
	to[size++] = '+';
	hex_encode(key->id, sizeof(key->id), to + size);
	size += 2 * sizeof(key->id);
	to[size++] = '+';
	memcpy(coded + 1, bytes, 32);
	size += base64_write(coded, sizeof(coded), to + size);
	sodium_memzero(coded, sizeof(coded));
	return size;
}

bool
note_key_read(struct text text, struct note_key *key)
{
	struct text name;
	uint8_t id[ID_SIZE_OF_KEY], public_key[32];
	if (!read_parts(text, &name, id, public_key))
		return false;
	key_set(key, name, public_key);
	return memcmp(key->id, id, sizeof(id)) == 0;
}

size_t
note_key_write(const struct note_key *key, char text[NOTE_KEY_TEXT_MAX])
{
	return write_parts(key, key->public_key, text);
}

void
note_signer_make(struct text name, const uint8_t seed[NOTE_SEED_SIZE], struct note_signer *signer)
{
	uint8_t public_key[crypto_sign_PUBLICKEYBYTES];
	CHECK(note_name_is_valid(name));
	CHECK(crypto_sign_seed_keypair(public_key, signer->secret, seed) == 0);
	key_set(&signer->key, name, public_key);
}

bool
note_signer_read(struct text text, struct note_signer *signer)
{
	const size_t prefix = strlen(SIGNER_PREFIX);
	struct text name;
	uint8_t id[ID_SIZE_OF_KEY], seed[NOTE_SEED_SIZE];
	if (text.size < prefix || memcmp(text.data, SIGNER_PREFIX, prefix) != 0 ||
	    !read_parts((struct text){text.data + prefix, text.size - prefix}, &name, id, seed))
		return false;
	note_signer_make(name, seed, signer);
	sodium_memzero(seed, sizeof(seed));
	return memcmp(signer->key.id, id, sizeof(id)) == 0;
}

size_t
note_signer_write(const struct note_signer *signer, char text[NOTE_KEY_TEXT_MAX])
{
	const size_t prefix = strlen(SIGNER_PREFIX);
	memcpy(text, SIGNER_PREFIX, prefix);
	return prefix + write_parts(&signer->key, signer->secret, text + prefix);
}

/* --- notes --- */

void
note_sign(const struct note_signer *signer, struct text signed_text, struct buffer *note)
{
	uint8_t signature[ID_SIZE_OF_KEY + SIGNATURE_SIZE];
	char coded[128];
	memcpy(signature, signer->key.id, ID_SIZE_OF_KEY);
	CHECK(crypto_sign_detached(signature + ID_SIZE_OF_KEY, NULL,
				   (const uint8_t *)signed_text.data, signed_text.size,
				   signer->secret) == 0);
	const size_t size = base64_write(signature, sizeof(signature), coded);
	buffer_append(note, LINE_PREFIX, strlen(LINE_PREFIX));
	buffer_append_text(note, note_key_name(&signer->key));
	buffer_append(note, " ", 1);
	buffer_append(note, coded, size);
	buffer_append(note, "\n", 1);
}

static bool
is_text(struct text note)
{
	for (size_t i = 0; i < note.size; i++) {
		if ((uint8_t)note.data[i] < 0x20 && note.data[i] != '\n')
			return false;
	}
	return text_is_utf8(note);
}

/* The text with its last newline, and the signature lines: the last empty line parts them. */
static bool
split(struct text note, struct text *signed_text, struct text *lines)
{
	if (note.size < 2 || note.size > NOTE_SIZE_MAX || note.data[note.size - 1] != '\n' ||
	    !is_text(note))
		return false;
	size_t at = note.size - 1;
	while (at > 0 && !(note.data[at - 1] == '\n' && note.data[at] == '\n'))
		at--;
	*signed_text = (struct text){note.data, at};
	*lines = (struct text){note.data + at + 1, note.size - at - 1};
	return at > 0 && lines->size > 0;
}

/* One line without its newline. */
static enum note_verdict
judge_line(struct text line, const struct note_key *key, struct text signed_text)
{
	const size_t prefix = strlen(LINE_PREFIX);
	uint8_t signature[FOREIGN_SIZE_MAX];
	size_t size;
	if (line.size < prefix || memcmp(line.data, LINE_PREFIX, prefix) != 0)
		return NOTE_MALFORMED;
	const struct text rest = {line.data + prefix, line.size - prefix};
	const char *space = memchr(rest.data, ' ', rest.size);
	const struct text name = {rest.data, space == NULL ? 0 : (size_t)(space - rest.data)};
	if (!note_name_is_valid(name) ||
	    !base64_read((struct text){space + 1, rest.size - name.size - 1}, signature,
			 sizeof(signature), &size) ||
	    size <= ID_SIZE_OF_KEY)
		return NOTE_MALFORMED;
	if (!text_equal(name, note_key_name(key)) ||
	    memcmp(signature, key->id, ID_SIZE_OF_KEY) != 0)
		return NOTE_UNKNOWN_KEY;
	if (size != ID_SIZE_OF_KEY + SIGNATURE_SIZE ||
	    crypto_sign_verify_detached(signature + ID_SIZE_OF_KEY,
					(const uint8_t *)signed_text.data, signed_text.size,
					key->public_key) != 0)
		return NOTE_FORGED;
	return NOTE_VERIFIED;
}

enum note_verdict
note_open(struct text note, const struct note_key *key, struct text *signed_text)
{
	enum note_verdict worst = NOTE_UNKNOWN_KEY;
	struct text lines;
	if (!split(note, signed_text, &lines))
		return NOTE_MALFORMED;
	for (size_t count = 0; lines.size > 0; count++) {
		const char *end = memchr(lines.data, '\n', lines.size);
		const struct text line = {lines.data, (size_t)(end - lines.data)};
		const enum note_verdict verdict =
			count < LINES_MAX ? judge_line(line, key, *signed_text) : NOTE_MALFORMED;
		if (verdict > worst)
			worst = verdict;
		lines = (struct text){end + 1, lines.size - line.size - 1};
	}
	return worst;
}
