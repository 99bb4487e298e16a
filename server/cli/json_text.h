/*
 * json_text: the few JSON texts that the tool writes itself, byte for byte. Reading is jansson's.
 */
#ifndef CLI_JSON_TEXT_H
#define CLI_JSON_TEXT_H

#include "base/mem.h"
#include "base/text.h"
#include "chain/chain.h"

/* A quoted string; only what RFC 8259 demands is escaped. The text must be UTF-8. */
void json_write_string(struct buffer *, struct text);

/* The same of what may be any bytes, as a path: of what is no UTF-8 each byte beyond ASCII becomes U+FFFD. */
void json_write_any(struct buffer *, struct text);

/* Bytes of any kind, quoted, in base64 (RFC 4648, section 4). */
void json_write_base64(struct buffer *, struct text);

/* 64 quoted hex digits. */
void json_write_hash(struct buffer *, const struct hash *);

#endif
