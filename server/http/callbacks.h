/*
 * callbacks: what access.c gives to libmicrohttpd. Private to this room; includes microhttpd.h.
 *
 *     on_target ─▶ on_access (headers) ─▶ on_access (body) … ─▶ on_access (end) … ─▶ on_completed
 */
#ifndef HTTP_CALLBACKS_H
#define HTTP_CALLBACKS_H

#include <microhttpd.h>
#include <stddef.h>

/* MHD_OPTION_URI_LOG_CALLBACK; cookie is the worker. */
void *on_target(void *cookie, const char *target, struct MHD_Connection *);

/* The access handler. */
enum MHD_Result on_access(void *cookie, struct MHD_Connection *, const char *url,
			  const char *method, const char *version, const char *data, size_t *size,
			  void **state);

/* MHD_OPTION_NOTIFY_COMPLETED; cookie is the worker. */
void on_completed(void *cookie, struct MHD_Connection *, void **state,
		  enum MHD_RequestTerminationCode);

#endif
