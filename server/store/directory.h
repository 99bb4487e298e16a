/*
 * directory: the data directory: its lock, its manifest, its files' names.
 *
 *     DIR/lock          held (flock) while the directory is open: one daemon or tool at a time
 *     DIR/manifest      how many shards there are, and a random id for each; text (manifest.h), replaced by
 *                       a reshard and by nothing else
 *     DIR/shard-00.db   one a shard; keeps its number, the count and its id, which must equal the
 *                       manifest's; beside it its WAL, journal files and anchor
 *     DIR/shards-8/     where the shard files are after a reshard to 8: the manifest says so, and so
 *                       takes its place in one step
 *
 * A directory is made in an order that a crash cannot confuse with a lost file: manifest.new, the
 * shard files, then manifest.new becomes manifest. Nothing is served before that. So a manifest.new
 * alone is an interrupted making (it is made anew), and shard files without either are a lost
 * manifest (refused). A restore puts manifest.restore first, which becomes manifest when all files are
 * there: until then nothing but another restore opens the directory.
 *
 * Threads: one owner. Errors: STATUS_STORAGE_UNAVAILABLE with *problem (base/problem).
 */
#ifndef STORE_DIRECTORY_H
#define STORE_DIRECTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "chain/chain.h"
#include "store/sqlite/sqlite_engine.h"

#define SHARDS_MAX 256

struct directory {
	char *path;
	int lock;
	bool is_new;	 /* until directory_commit */
	bool is_restore; /* of the new one */
	bool in_folder;	 /* the shard files are in shards-N */
	unsigned shards;
	uint8_t ids[SHARDS_MAX][SHARD_ID_SIZE];
};

/* Which of so many shards a log lives in, from 0: the first bits of its genesis link say it, so that names
 * cannot skew it. */
static inline unsigned
directory_shard_of(const struct hash *genesis, unsigned shards)
{
	return genesis->bytes[0] * shards / SHARDS_MAX;
}

/* Locks the directory and reads its manifest, or makes both. shards must be a power of two, and the
 * manifest's count where there is a manifest. */
MUST_CHECK enum status directory_open(struct directory *, const char *path, unsigned shards,
				      const char **problem);

/* The same for tools: whatever the manifest says; makes nothing. */
MUST_CHECK enum status directory_open_existing(struct directory *, const char *path,
					       const char **problem);

/* What the manifest says of a directory that somebody else has locked. Nothing is locked, and there is
 * nothing but directory_close() for it. */
MUST_CHECK enum status directory_read(struct directory *, const char *path, const char **problem);

/* Makes a directory that is to become what `from` is, or takes one without data or with an interrupted
 * restore, which is swept away. Until directory_commit() it is none, and directory_abandon() takes out again
 * what there is of it. */
MUST_CHECK enum status directory_open_restore(struct directory *, const char *path,
					      const struct directory *from, const char **problem);
void directory_abandon(struct directory *);

/* Becomes a directory of other shard files, which are all there, in the folder of their count. The caller
 * has locked it as another struct, which from then on is of no use but to be closed. */
MUST_CHECK enum status directory_replace(struct directory *, const char **problem);

/* A new directory's shard files are all there: makes it one. */
MUST_CHECK enum status directory_commit(struct directory *, const char **problem);

/* The path of a shard's file; from malloc, NULL when memory is out. */
char *directory_shard_path(const struct directory *, unsigned shard);

/* The folder of a resharded directory; from malloc, NULL when memory is out. */
char *directory_folder_path(const struct directory *, unsigned shards);

/* Syncs a folder. */
MUST_CHECK enum status directory_sync(const char *path, const char **problem);

/* Whether the name is that of a file of a shard: the shard file's, that of one of its companions (-wal,
 * -shm), of its journals or its anchor; or that of the folder that has them. */
bool directory_is_of_shard(const char *name);

/* Whether it is exactly that of such a file: what repair and accept-loss have put aside has more of a name. */
bool directory_is_shards_own(const char *name);

/* Writes the manifest of such a directory as a file in a folder, and syncs it. */
MUST_CHECK enum status directory_write_manifest(const struct directory *, const char *folder,
						const char *name, const char **problem);

/* Gives up the lock. */
void directory_close(struct directory *);

#endif
