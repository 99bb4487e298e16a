/*
 * directory: the data directory: its lock, its manifest, its files' names.
 *
 *     DIR/lock          held (flock) while the directory is open: one daemon or tool at a time
 *     DIR/manifest      how many shards there are, and a random id for each; text, never changed
 *     DIR/shard-00.db   one a shard; keeps its number, the count and its id, which must equal the
 * manifest's; beside it its WAL, journal files and anchor
 *
 * A directory is made in an order that a crash cannot confuse with a lost file: manifest.new, the
 * shard files, then manifest.new becomes manifest. Nothing is served before that. So a manifest.new
 * alone is an interrupted making (it is made anew), and shard files without either are a lost
 * manifest (refused).
 *
 * Threads: one owner. Errors: STATUS_STORAGE_UNAVAILABLE with *problem (base/problem).
 */
#ifndef STORE_DIRECTORY_H
#define STORE_DIRECTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "store/sqlite/sqlite_engine.h"

#define SHARDS_MAX 256

struct directory {
	char *path;
	int lock;
	bool is_new; /* until directory_commit */
	unsigned shards;
	uint8_t ids[SHARDS_MAX][SHARD_ID_SIZE];
};

/* Locks the directory and reads its manifest, or makes both. shards must be a power of two, and the
 * manifest's count where there is a manifest. */
MUST_CHECK enum status directory_open(struct directory *, const char *path, unsigned shards,
				      const char **problem);

/* The same for tools: whatever the manifest says; makes nothing. */
MUST_CHECK enum status directory_open_existing(struct directory *, const char *path,
					       const char **problem);

/* A new directory's shard files are all there: makes it one. */
MUST_CHECK enum status directory_commit(struct directory *, const char **problem);

/* The path of a shard's file; from malloc, NULL when memory is out. */
char *directory_shard_path(const struct directory *, unsigned shard);

/* Gives up the lock. */
void directory_close(struct directory *);

#endif
