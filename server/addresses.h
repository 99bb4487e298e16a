/*
 * addresses: where the daemon listens, and whether it may.
 */
#ifndef ADDRESSES_H
#define ADDRESSES_H

#include <stdbool.h>

#include "config.h"

/*
 * Whether each address can be understood and is allowed: without authentication only what this machine
 * reaches, unless the configuration says otherwise, and only if no keys are named that would prove who
 * comes. False, after logging which option is wrong.
 * inherited_fd: a socket that was passed in, or -1.
 */
bool addresses_check(const struct config *, int inherited_fd);

/* The address that admin.listen or admin.metrics_listen means: a relative unix path is in the data
 * directory, where whoever is given that finds the daemon, and which nobody else may enter. False: too
 * long. */
bool addresses_of_admin(const struct config *, const char *listen, char address[CONFIG_TEXT_SIZE]);

#endif
