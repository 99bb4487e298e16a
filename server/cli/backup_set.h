/*
 * backup_set: what a backup consists of, in its backup.json: every file with its size and sum.
 *
 *     {"format":"edgereplay-backup","version":1,"program":"0.1.0","began":"…","ended":"…","live":true,
 *      "shards":4,"logs":…,"actions":…,"findings":0,
 *      "files":[{"name":"manifest","bytes":…,"blake2b":"…"}, …]}
 *
 * It is written last, so a folder with one is whole. findings: what did not verify in what was backed up.
 *
 * Threads: one. Failures are reported.
 */
#ifndef CLI_BACKUP_SET_H
#define CLI_BACKUP_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "store/file_copy.h"

#define BACKUP_SET_NAME "backup.json"

struct backup_file {
	char *name; /* below the folder */
	struct file_sum sum;
};

struct backup_set {
	struct backup_file *files;
	size_t count;
	uint64_t bytes; /* of them all */
	char began[CLOCK_TEXT_SIZE], ended[CLOCK_TEXT_SIZE];
	bool live; /* of a running daemon */
	uint64_t shards, logs, actions, findings;
};

void backup_set_release(struct backup_set *);

/* Every file of the folder, summed. progress as in file_copy. */
bool backup_set_collect(struct backup_set *, const char *folder,
			void (*progress)(void *cookie, uint64_t bytes), void *cookie);

bool backup_set_write(const struct backup_set *, const char *folder);
bool backup_set_read(struct backup_set *, const char *folder);

#endif
