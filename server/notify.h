/*
 * notify: what the service manager (systemd) gives and is told: sockets, states, and that the daemon is
 * still alive. Without one all of this does nothing.
 *
 * Threads: the main thread.
 */
#ifndef NOTIFY_H
#define NOTIFY_H

#include <stdint.h>

/* A listening socket that was passed in (LISTEN_FDS), or -1. */
int notify_socket(void);

void notify_ready(unsigned shards_down, uint64_t shards);
void notify_reloading(void);
void notify_reloaded(void);
void notify_stopping(void);

/* How often it wants to hear that the daemon is alive (a quarter of WatchdogSec=), in microseconds; 0: never. */
uint64_t notify_interval_usec(void);
void notify_alive(void);

#endif
