/*
 * tls: the certificate that handshakes use, loaded from files and again when they have changed; and
 * what is sent around libmicrohttpd. The only user of GnuTLS beside sealer.h.
 *
 * A connection keeps the certificate that it began with, and that certificate is freed with the last
 * connection that has it. TLS 1.2 and 1.3 with forward secrecy and authenticated ciphers only; ALPN
 * names http/1.1. Nothing is resumed.
 *
 * Private to this room. Threads: tls_begin() and tls_end() from any thread, the others from the
 * owner's; what takes a session, on its connection's thread.
 */
#ifndef HTTP_TLS_H
#define HTTP_TLS_H

#include <pthread.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/status.h"

struct certificate;
struct gnutls_session_int; /* what libmicrohttpd calls the session */

struct tls {
	pthread_mutex_t lock;
	struct certificate *newest; /* guarded by lock */
	const char *cert_path;
	const char *key_path;
};

/* For MHD_OPTION_HTTPS_PRIORITIES. */
extern const char tls_priorities[];

/* For MHD_OPTION_HTTPS_CERT_CALLBACK, without which there is no TLS. It gives none: each connection gets
 * its own from tls_begin(). */
void *tls_certificate_callback(void);

/* Loads the first certificate: PEM files of a chain, its own certificate first, and of its key,
 * which others must not be able to read. The paths must stay. On failure (INTERNAL) *problem says why (base/problem). */
MUST_CHECK enum status tls_open(struct tls *, const char *cert_path, const char *key_path,
				const char **problem);

/* Loads again, for connections from now on. On failure the old one stays. */
MUST_CHECK enum status tls_reload(struct tls *, const char **problem);

/* After the last tls_end(). */
void tls_close(struct tls *);

/* A connection was accepted and its handshake has not begun. The certificate is given back with
 * tls_end(), after the session has ended. NULL: the session cannot be used. */
struct certificate *tls_begin(struct tls *, struct gnutls_session_int *);
void tls_end(struct tls *, struct certificate *);

/* As send(); -1 also before the handshake is done. */
ssize_t tls_send(struct gnutls_session_int *, const void *data, size_t size);

/* Says that nothing more will be sent. */
void tls_end_sending(struct gnutls_session_int *);

#endif
