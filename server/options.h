/*
 * options: what each room is told of the configuration. Texts are borrowed from it.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "api/api.h"
#include "auth/auth.h"
#include "config.h"
#include "http/listener.h"
#include "store/store.h"
#include "webhook/webhook.h"

struct api_limits api_limits_of(const struct config *); /* without signers */

struct store_options store_options_of(const struct config *); /* without who hears of commits */

struct auth_options auth_options_of(const struct config *);

/* inherited_fd: a socket that was passed in, or -1. */
struct listener_options listener_options_of(const struct config *, int inherited_fd);

struct webhook_options webhook_options_of(const struct config *);

#endif
