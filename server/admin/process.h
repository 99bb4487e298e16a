/*
 * process: what the kernel says of this process.
 *
 * Private to this room. Threads: any.
 */
#ifndef ADMIN_PROCESS_H
#define ADMIN_PROCESS_H

#include <stdint.h>

struct process_figures {
	uint64_t cpu_usec;
	uint64_t resident_bytes;
	uint64_t virtual_bytes;
	uint64_t descriptors;
	uint64_t descriptors_max;
	uint64_t threads;
	uint64_t started_msec; /* since the Unix epoch */
};

/* What cannot be told is 0. */
void process_measure(struct process_figures *);

#endif
