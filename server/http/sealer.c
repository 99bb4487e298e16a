#include "http/sealer.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#define PLAIN_MAX ((size_t)16 * 1024)
#define HEADER_SIZE 5
#define NUMBER_SIZE 8
#define NONCE_SIZE 12
#define SALT_SIZE (NONCE_SIZE - NUMBER_SIZE)
#define TAG_SIZE 16
#define AROUND_MAX (HEADER_SIZE + NUMBER_SIZE + TAG_SIZE + 1)

/* RFC 8446, 5.5: AES-GCM is good for 2^24.5 records. */
#define RECORDS_MAX ((uint64_t)1 << 24)

enum record_type { RECORD_ALERT = 21, RECORD_DATA = 23 };

struct sealer {
	gnutls_aead_cipher_hd_t cipher;
	uint64_t number; /* of the next record */
	bool is_1_3;
	bool salted; /* the nonce is a salt and the number, and the record shows the latter */
	unsigned char iv[NONCE_SIZE];
};

/* Whether it can be gone on with from here. */
static bool
is_usable(gnutls_session_t session)
{
	const gnutls_protocol_t version = gnutls_protocol_get_version(session);
	const gnutls_cipher_algorithm_t cipher = gnutls_cipher_get(session);
	return (version == GNUTLS_TLS1_2 || version == GNUTLS_TLS1_3) &&
	       (cipher == GNUTLS_CIPHER_AES_128_GCM || cipher == GNUTLS_CIPHER_AES_256_GCM ||
		cipher == GNUTLS_CIPHER_CHACHA20_POLY1305) &&
	       gnutls_record_check_corked(session) == 0 &&
	       gnutls_record_get_max_size(session) >= PLAIN_MAX;
}

static uint64_t
number_read(const unsigned char bytes[static NUMBER_SIZE])
{
	uint64_t number = 0;
	for (unsigned i = 0; i < NUMBER_SIZE; i++)
		number = number << 8 | bytes[i];
	return number;
}

static void
number_write(uint64_t number, unsigned char bytes[static NUMBER_SIZE])
{
	for (unsigned i = 0; i < NUMBER_SIZE; i++)
		bytes[i] = (unsigned char)(number >> (8 * (NUMBER_SIZE - 1 - i)));
}

struct sealer *
sealer_new(gnutls_session_t session)
{
	gnutls_datum_t iv, key;
	unsigned char number[NUMBER_SIZE];
	if (!is_usable(session) || gnutls_record_get_state(session, 0, NULL, &iv, &key, number) < 0)
		return NULL;
	struct sealer *sealer = calloc(1, sizeof(*sealer));
	if (sealer == NULL)
		return NULL;
	const gnutls_cipher_algorithm_t cipher = gnutls_cipher_get(session);
	sealer->number = number_read(number);
	sealer->is_1_3 = gnutls_protocol_get_version(session) == GNUTLS_TLS1_3;
	sealer->salted = !sealer->is_1_3 && cipher != GNUTLS_CIPHER_CHACHA20_POLY1305;
	if (iv.size != (sealer->salted ? SALT_SIZE : NONCE_SIZE) ||
	    sealer->number > RECORDS_MAX / 2 ||
	    gnutls_aead_cipher_init(&sealer->cipher, cipher, &key) < 0) {
		free(sealer);
		return NULL;
	}
	memcpy(sealer->iv, iv.data, iv.size);
	return sealer;
}

void
sealer_free(struct sealer *sealer)
{
	if (sealer == NULL)
		return;
	gnutls_aead_cipher_deinit(sealer->cipher);
	free(sealer);
}

static void
nonce_write(const struct sealer *sealer, unsigned char nonce[static NONCE_SIZE])
{
	unsigned char number[NUMBER_SIZE];
	number_write(sealer->number, number);
	memcpy(nonce, sealer->iv, NONCE_SIZE);
	for (unsigned i = 0; i < NUMBER_SIZE; i++)
		nonce[SALT_SIZE + i] ^= number[i]; /* behind a salt there are zeros */
}

static void
header_write(enum record_type type, size_t size, unsigned char header[static HEADER_SIZE])
{
	header[0] = (unsigned char)type;
	header[1] = 3; /* 1.3 says 1.2, too */
	header[2] = 3;
	header[3] = (unsigned char)(size >> 8);
	header[4] = (unsigned char)size;
}

/* What is authenticated beside the text; its size. */
static size_t
also_write(const struct sealer *sealer, enum record_type type, size_t size,
	   unsigned char also[static NUMBER_SIZE + HEADER_SIZE])
{
	if (sealer->is_1_3) {
		header_write(RECORD_DATA, size + 1 + TAG_SIZE, also);
		return HEADER_SIZE;
	}
	number_write(sealer->number, also);
	header_write(type, size, also + NUMBER_SIZE);
	return NUMBER_SIZE + HEADER_SIZE;
}

static void
append_record(struct sealer *sealer, struct buffer *out, enum record_type type, struct text text)
{
	unsigned char *record = (unsigned char *)buffer_reserve(out, text.size + AROUND_MAX);
	unsigned char nonce[NONCE_SIZE], also[NUMBER_SIZE + HEADER_SIZE];
	unsigned char inner_type = (unsigned char)type;
	const giovec_t plain[] = {{(void *)text.data, text.size}, {&inner_type, 1}};
	if (record == NULL)
		return;
	const size_t start = HEADER_SIZE + (sealer->salted ? NUMBER_SIZE : 0);
	size_t size = text.size + 1 + TAG_SIZE;
	const giovec_t beside = {also, also_write(sealer, type, text.size, also)};
	nonce_write(sealer, nonce);
	if (sealer->number >= RECORDS_MAX ||
	    gnutls_aead_cipher_encryptv(sealer->cipher, nonce, sizeof(nonce), &beside, 1, TAG_SIZE,
					plain, sealer->is_1_3 ? 2 : 1, record + start, &size) < 0) {
		out->failed = true;
		return;
	}
	header_write(sealer->is_1_3 ? RECORD_DATA : type, start - HEADER_SIZE + size, record);
	if (sealer->salted)
		number_write(sealer->number, record + HEADER_SIZE);
	out->size += start + size;
	sealer->number++;
}

void
sealer_seal(struct sealer *sealer, struct buffer *buffer, bool last)
{
	static const char close_notify[] = {1, 0};
	struct buffer out;
	const size_t records = buffer->size / PLAIN_MAX + 2;
	buffer_init(&out, buffer->size + records * AROUND_MAX + sizeof(close_notify));
	out.failed = buffer->failed;
	for (size_t at = 0; at < buffer->size && !out.failed; at += PLAIN_MAX) {
		const size_t left = buffer->size - at;
		const struct text part = {buffer->data + at, left < PLAIN_MAX ? left : PLAIN_MAX};
		append_record(sealer, &out, RECORD_DATA, part);
	}
	if (last && !out.failed)
		append_record(sealer, &out, RECORD_ALERT,
			      (struct text){close_notify, sizeof(close_notify)});
	buffer_release(buffer);
	*buffer = out;
}
