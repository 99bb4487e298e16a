/*
 * companions: what SQLite makes beside a shard file that is only read: its WAL and its index.
 *
 * They would belong to whoever read, and keep the daemon's user from its own file: what was not there
 * before is taken away again.
 */
#ifndef STORE_COMPANIONS_H
#define STORE_COMPANIONS_H

#include <stdbool.h>

#define COMPANION_COUNT 2

struct companions {
	struct {
		char path[4096];
		bool was_there;
	} each[COMPANION_COUNT];
};

/* Before the file is opened. False: its path is too long. */
bool companions_note(struct companions *, const char *path);

/* After it was closed. */
void companions_restore(const struct companions *);

#endif
