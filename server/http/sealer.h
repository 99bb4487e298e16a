/*
 * sealer: the TLS records of a connection that was taken from libmicrohttpd (live.h).
 *
 * Why: the session is libmicrohttpd's, which ends it when it closes what it believes to be the
 * connection; and one that waits would go on costing the 20 KiB that a session has. What remains to be
 * done is little: send, then say that this was all. So a sealer asks the session for its key and its
 * count of records, as it is asked where the kernel is to encrypt, and goes on counting there.
 *
 * The ciphers are GnuTLS's own; here is what is around them: RFC 8446, 5.2 and 5.3, and for TLS 1.2
 * RFC 5288, 3 (AES-GCM) and RFC 7905, 2 (ChaCha20-Poly1305). A nonce is never used twice: each has the
 * record's number, and the session's own records no longer reach anybody. Nothing is read any more,
 * so a client that asks for new keys is not heard. Before a key has been used for more records than
 * it is good for the connection fails.
 *
 * Private to this room. Threads: a sealer is its worker's.
 */
#ifndef HTTP_SEALER_H
#define HTTP_SEALER_H

#include <stdbool.h>

#include "base/mem.h"

struct gnutls_session_int;
struct sealer;

/* Of a session whose handshake is done, and which sends nothing to the client from now on. NULL:
 * memory is out, or the session must be used further (it has something left to send, or limits its
 * records). */
struct sealer *sealer_new(struct gnutls_session_int *);

/* NULL is allowed. */
void sealer_free(struct sealer *);

/* Replaces what is in the buffer by the records that say it, and, if it is the last, that nothing
 * follows. What fails makes the buffer failed. */
void sealer_seal(struct sealer *, struct buffer *, bool last);

#endif
