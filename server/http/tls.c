#include "http/tls.h"

#include <assert.h>
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/problem.h"

const char tls_priorities[] =
	"SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA:"
	"-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:-MAC-ALL:+AEAD:%SERVER_"
	"PRECEDENCE";

/* NOLINTBEGIN(readability-non-const-parameter): gnutls's prototype */
static int
on_certificate(gnutls_session_t session, const gnutls_datum_t *authorities, int authority_count,
	       const gnutls_pk_algorithm_t *algorithms, int algorithm_count,
	       gnutls_pcert_st **certificates, unsigned *certificate_count, gnutls_privkey_t *key)
/* NOLINTEND(readability-non-const-parameter) */
{
	(void)session;
	(void)authorities;
	(void)authority_count;
	(void)algorithms;
	(void)algorithm_count;
	(void)certificates;
	(void)certificate_count;
	(void)key;
	return -1;
}

void *
tls_certificate_callback(void)
{
	gnutls_certificate_retrieve_function2 *function = on_certificate;
	void *callback = NULL;
	static_assert(sizeof(function) == sizeof(callback), "POSIX: dlsym() needs it, too");
	memcpy(&callback, &function, sizeof(callback));
	return callback;
}

struct certificate {
	gnutls_certificate_credentials_t credentials;
	unsigned users; /* connections, and one for being the newest; guarded by the tls' lock */
};

static void
certificate_free(struct certificate *certificate)
{
	if (certificate->credentials != NULL)
		gnutls_certificate_free_credentials(certificate->credentials);
	free(certificate);
}

/* Of the server's own certificate, in milliseconds since the epoch; 0: not known. */
static uint64_t
expires_msec(const struct certificate *certificate)
{
	gnutls_datum_t raw;
	gnutls_x509_crt_t parsed;
	uint64_t msec = 0;
	if (gnutls_certificate_get_crt_raw(certificate->credentials, 0, 0, &raw) < 0 ||
	    gnutls_x509_crt_init(&parsed) < 0)
		return 0;
	if (gnutls_x509_crt_import(parsed, &raw, GNUTLS_X509_FMT_DER) >= 0)
		msec = 1000 * (uint64_t)gnutls_x509_crt_get_expiration_time(parsed);
	gnutls_x509_crt_deinit(parsed);
	return msec;
}

static void
log_loaded(const struct tls *tls, const struct certificate *certificate)
{
	char expires[CLOCK_TEXT_SIZE];
	const uint64_t msec = expires_msec(certificate);
	clock_format(msec, expires);
	if (msec > clock_server_msec())
		log_info("http", "certificate loaded", LOG_STR("file", tls->cert_path),
			 LOG_STR("expires", expires));
	else
		log_warn("http", "the certificate has expired", LOG_STR("file", tls->cert_path),
			 LOG_STR("expires", expires));
}

/* GnuTLS 3.7 loses memory when credentials get a chain that it cannot parse; this does not. */
static int
try_chain(const char *path)
{
	gnutls_datum_t text;
	gnutls_x509_crt_t *chain = NULL;
	unsigned count = 0;
	int error = gnutls_load_file(path, &text);
	if (error < 0)
		return error;
	error = gnutls_x509_crt_list_import2(&chain, &count, &text, GNUTLS_X509_FMT_PEM, 0);
	gnutls_free(text.data);
	if (error < 0)
		return error;
	for (unsigned i = 0; i < count; i++)
		gnutls_x509_crt_deinit(chain[i]);
	gnutls_free(chain);
	return 0;
}

/* As other secrets' files: its group may read it, as where several programs share a certificate. What
 * cannot be looked at, GnuTLS will say. */
static bool
is_private(const char *path)
{
	struct stat about;
	return stat(path, &about) == -1 || (about.st_mode & (S_IWGRP | S_IRWXO)) == 0;
}

static enum status
load(const struct tls *tls, struct certificate **loaded, const char **problem)
{
	if (!is_private(tls->key_path))
		return problem_set(
			problem, STATUS_INTERNAL,
			"The key %s is a secret, and others can read it or its group can "
			"write it: chmod 600",
			tls->key_path);
	struct certificate *certificate = calloc(1, sizeof(*certificate));
	if (certificate == NULL)
		return problem_set(problem, STATUS_INTERNAL, "Memory is out.");
	if (gnutls_certificate_allocate_credentials(&certificate->credentials) < 0) {
		free(certificate);
		return problem_set(problem, STATUS_INTERNAL, "Memory is out.");
	}
	int error = try_chain(tls->cert_path);
	if (error >= 0)
		error = gnutls_certificate_set_x509_key_file2(certificate->credentials,
							      tls->cert_path, tls->key_path,
							      GNUTLS_X509_FMT_PEM, NULL, 0);
	if (error >= 0) {
		*loaded = certificate;
		return STATUS_OK;
	}
	certificate_free(certificate);
	return problem_set(problem, STATUS_INTERNAL,
			   "Cannot use the certificate %s with the key %s: %s", tls->cert_path,
			   tls->key_path, gnutls_strerror(error));
}

static void
drop_locked(struct certificate *certificate)
{
	CHECK(certificate->users > 0);
	certificate->users--;
	if (certificate->users == 0)
		certificate_free(certificate);
}

enum status
tls_open(struct tls *tls, const char *cert_path, const char *key_path, const char **problem)
{
	*tls = (struct tls){.cert_path = cert_path, .key_path = key_path};
	if (pthread_mutex_init(&tls->lock, NULL) != 0)
		return problem_set(problem, STATUS_INTERNAL, "Memory is out.");
	const enum status status = tls_reload(tls, problem);
	if (status != STATUS_OK)
		(void)pthread_mutex_destroy(&tls->lock);
	return status;
}

enum status
tls_reload(struct tls *tls, const char **problem)
{
	struct certificate *loaded = NULL;
	const enum status status = load(tls, &loaded, problem);
	if (status != STATUS_OK)
		return status;
	CHECK(loaded != NULL);
	log_loaded(tls, loaded);
	loaded->users = 1;
	(void)pthread_mutex_lock(&tls->lock);
	if (tls->newest != NULL)
		drop_locked(tls->newest);
	tls->newest = loaded;
	(void)pthread_mutex_unlock(&tls->lock);
	return STATUS_OK;
}

void
tls_close(struct tls *tls)
{
	CHECK(tls->newest->users == 1);
	drop_locked(tls->newest);
	(void)pthread_mutex_destroy(&tls->lock);
}

/* --- a connection --- */

struct certificate *
tls_begin(struct tls *tls, struct gnutls_session_int *session)
{
	static const unsigned char http[] = "http/1.1";
	const gnutls_datum_t protocol = {(unsigned char *)http, sizeof(http) - 1};
	(void)pthread_mutex_lock(&tls->lock);
	struct certificate *certificate = tls->newest;
	certificate->users++;
	(void)pthread_mutex_unlock(&tls->lock);
	/* In the place of what libmicrohttpd has set. */
	if (gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, certificate->credentials) >=
		    0 &&
	    gnutls_alpn_set_protocols(session, &protocol, 1, 0) >= 0)
		return certificate;
	tls_end(tls, certificate);
	return NULL;
}

void
tls_end(struct tls *tls, struct certificate *certificate)
{
	(void)pthread_mutex_lock(&tls->lock);
	drop_locked(certificate);
	(void)pthread_mutex_unlock(&tls->lock);
}

ssize_t
tls_send(struct gnutls_session_int *session, const void *data, size_t size)
{
	const char *at = data;
	size_t sent = 0;
	while (sent < size) {
		const ssize_t part = gnutls_record_send(session, at + sent, size - sent);
		if (part <= 0)
			return -1;
		sent += (size_t)part;
	}
	return (ssize_t)sent;
}

void
tls_end_sending(struct gnutls_session_int *session)
{
	(void)gnutls_bye(session, GNUTLS_SHUT_WR);
}
