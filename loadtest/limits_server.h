/*
 * limits_server: libmicrohttpd with the settings of the daemon's listener, and a handler that does
 * nothing: it reads the body and answers a constant, at once or after another thread resumed it.
 *
 * It runs in a process of its own, so that its CPU is its own.
 */
#ifndef LOADTEST_LIMITS_SERVER_H
#define LOADTEST_LIMITS_SERVER_H

#include "loadtest/limits.h"

struct limits_server {
	int pid;
	int life; /* a pipe: the server ends when this end of it closes */
	uint16_t port;
	size_t answer_size; /* of the constant */
};

/* Listens on a free port of 127.0.0.1 and forks the server. False after saying why. */
bool limits_server_start(struct limits_server *, const struct limits_plan *);

/* Ends it and waits for it. False when it had failed. */
bool limits_server_stop(struct limits_server *);

#endif
