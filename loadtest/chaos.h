/*
 * chaos: a TCP proxy on loopback that harms what goes through it, reproducibly.
 *
 *     client ──▶ [ request ─▶ delay, slice, cut, reset                   ] ──▶ daemon
 *            ◀── [             delay, slice, truncate, reset, swallow ◀─ ] ◀──
 *
 * An exchange begins with the first byte from the client after one from the server. About one in
 * twenty meets a fault; which one, and where, is drawn from the seed and the connection's number
 * (from 0, as they are accepted), so that a connection meets the same faults in every run with the
 * same exchanges. What arrives is right; it may arrive late, in single bytes, in part or not at all.
 *
 * Threads: it has one of its own. The functions are called by one thread at a time.
 */
#ifndef LOADTEST_CHAOS_H
#define LOADTEST_CHAOS_H

#include <stdint.h>
#include <sys/socket.h>

#include "loadtest/result.h"

struct chaos;

/* Listens on a free port of 127.0.0.1 and hands through to the address. NULL, with errno set, when
 * the system refuses. */
struct chaos *chaos_open(const struct sockaddr *to, socklen_t to_size, uint64_t seed);

/* Where it listens, in the host's byte order. */
uint16_t chaos_port(const struct chaos *);

/* Ends the connections that are left and the thread. *counts, unless NULL, is what was done. */
void chaos_close(struct chaos *, struct chaos_counts *counts);

#endif
