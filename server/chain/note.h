/*
 * note: signed notes and their keys, in the form of C2SP's signed-note: a text that people can read,
 * and under it a line for each key that signed it. Pure.
 *
 *     text             lines, each ended by a newline
 *                      an empty line
 *     signature lines  — <name> <base64 of: 4-byte key id ‖ Ed25519 signature of the text>
 *
 *     verifying key    <name>+<key id in hex>+<base64 of: 0x01 ‖ public key>
 *     signing key      PRIVATE+KEY+<name>+<key id in hex>+<base64 of: 0x01 ‖ seed>
 *
 *     key id           the first 4 bytes of SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key)
 *
 * Base64 is RFC 4648's, section 4, in its only form: padded, and with nothing in the bits that the
 * padding leaves over. So a note has one spelling, and no byte of it can be changed unseen.
 */
#ifndef CHAIN_NOTE_H
#define CHAIN_NOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/text.h"

#define NOTE_NAME_SIZE_MAX 128
#define NOTE_KEY_TEXT_MAX 256 /* of either key's text; no NUL */
#define NOTE_SEED_SIZE 32
#define NOTE_SIZE_MAX ((size_t)64 * 1024)

/* A signature line of the longest name. */
#define NOTE_LINE_SIZE_MAX (NOTE_NAME_SIZE_MAX + 100)

struct note_key {
	char name[NOTE_NAME_SIZE_MAX];
	size_t name_size;
	uint8_t id[4];
	uint8_t public_key[32];
};

struct note_signer {
	struct note_key key;
	uint8_t secret[64]; /* seed ‖ public key */
};

/* 1 to NOTE_NAME_SIZE_MAX bytes of UTF-8, without spaces of any kind, control characters and plus. A
 * URL without its scheme is the custom: "sync.example.com". */
bool note_name_is_valid(struct text);
struct text note_key_name(const struct note_key *);

/* False when the text is none, or its id is not that of its name and key. */
bool note_key_read(struct text, struct note_key *);
size_t note_key_write(const struct note_key *, char text[NOTE_KEY_TEXT_MAX]);

/* The seed is random, and the secret. The name is valid. */
void note_signer_make(struct text name, const uint8_t seed[NOTE_SEED_SIZE], struct note_signer *);
bool note_signer_read(struct text, struct note_signer *);
size_t note_signer_write(const struct note_signer *, char text[NOTE_KEY_TEXT_MAX]);

/* Appends the signer's line. What was appended before it are the text, which is signed, the empty
 * line and the lines of other signers. */
void note_sign(const struct note_signer *, struct text signed_text, struct buffer *note);

/* In the order in which one hides another where there are several keys. */
enum note_verdict {
	NOTE_UNKNOWN_KEY, /* no line is of this key */
	NOTE_VERIFIED,
	NOTE_FORGED,	/* a line is of this key, and it has not signed this text */
	NOTE_MALFORMED, /* no signed note, or longer than NOTE_SIZE_MAX */
};

/* Judges a note by one key. Lines of others are not looked at, but for their form. The text it signs
 * is set unless the note is malformed; it is not to be believed unless it verified. */
enum note_verdict note_open(struct text note, const struct note_key *, struct text *signed_text);

#endif
