#include "store/snapshot_walk.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/snapshot_names.h"
#include "store/sqlite/beside.h"

#define VERIFY_STEP ((size_t)16 << 20)

/* --- each snapshot --- */

struct audit {
	const struct snapshots *snapshots;
	const char *folder; /* the one that is walked */
	snapshot_finder *find;
	void *cookie;
};

/* Whether it is what its name says. */
static bool
is_named(const struct snapshot_facts *facts, const char *folder, const char *name)
{
	struct hash genesis;
	uint64_t seq = 0;
	chain_genesis((struct text){facts->log.data, facts->log.size}, &genesis);
	const struct snapshot_place place = snapshot_place_of(&genesis);
	return hash_equal(&genesis, &facts->genesis) && snapshot_name_is_of(name, &place) &&
	       strcmp(folder, place.folder) == 0 && snapshot_name_seq(name, &seq) &&
	       seq == facts->position.seq;
}

/* Whether a file is what it says, and that is what its name says. */
static bool
is_whole(const char *path, const char *folder, const char *name, struct snapshot_facts *facts)
{
	struct snapshot_source source;
	bool verified = false;
	enum status status = snapshot_source_open(&source, path);
	if (status != STATUS_OK)
		return false;
	while (status == STATUS_OK && !verified)
		status = snapshot_source_verify(&source, VERIFY_STEP, &verified);
	snapshot_source_close(&source);
	*facts = source.facts;
	return verified && is_named(facts, folder, name);
}

static enum status
audit_file(int folder, const char *name, void *cookie)
{
	const struct audit *audit = cookie;
	struct snapshot_facts facts;
	uint64_t seq;
	char *path;
	(void)folder;
	if (!snapshot_name_seq(name, &seq))
		return STATUS_OK;
	if (asprintf(&path, "%s/%s/%s", audit->snapshots->path, audit->folder, name) == -1)
		return beside_failed(SNAPSHOT_FOLDER, "strdup");
	audit->find(audit->cookie, path,
		    is_whole(path, audit->folder, name, &facts) ? &facts : NULL);
	free(path);
	return STATUS_OK;
}

static enum status
audit_folder(int folder, const char *name, void *cookie)
{
	struct audit audit = *(const struct audit *)cookie;
	char *path;
	(void)folder;
	if (strlen(name) != 2)
		return STATUS_OK;
	if (asprintf(&path, "%s/%s", audit.snapshots->path, name) == -1)
		path = NULL;
	audit.folder = name;
	const enum status status = snapshot_names_walk(path, audit_file, &audit);
	free(path);
	return status;
}

enum status
snapshots_audit(const struct snapshots *snapshots, snapshot_finder *find, void *cookie)
{
	struct audit audit = {.snapshots = snapshots, .find = find, .cookie = cookie};
	return snapshot_names_walk(snapshots->path, audit_folder, &audit);
}

/* --- each log --- */

struct log_walk {
	const struct snapshots *snapshots;
	const struct snapshot_place *after; /* NULL: from the first on */
	snapshot_log_visitor *visit;
	void *cookie;
	bool ended;
};

static int
is_snapshot(const struct dirent *entry)
{
	uint64_t seq;
	return snapshot_name_seq(entry->d_name, &seq);
}

/* False: what its head says cannot be told, or is not what its name says. Whoever wants to read it, sees. */
static bool
read_facts(const struct log_walk *walk, const char *folder, const char *name,
	   struct snapshot_facts *facts)
{
	struct snapshot_source source;
	char *path;
	if (asprintf(&path, "%s/%s/%s", walk->snapshots->path, folder, name) == -1)
		return false;
	const enum status status = snapshot_source_open(&source, path);
	free(path);
	if (status != STATUS_OK)
		return false;
	*facts = source.facts;
	snapshot_source_close(&source);
	return is_named(facts, folder, name);
}

/* Names in their order: the first of a log's is its oldest. */
static void
visit_logs(struct log_walk *walk, const char *folder, struct dirent *const *entries, int count)
{
	char visited[SNAPSHOT_PREFIX_SIZE + 1] = "";
	const bool is_first = walk->after != NULL && strcmp(folder, walk->after->folder) == 0;
	struct snapshot_facts facts;
	if (is_first)
		memcpy(visited, walk->after->prefix, sizeof(visited));
	for (int i = 0; i < count && !walk->ended; i++) {
		const char *name = entries[i]->d_name;
		if (strncmp(name, visited, SNAPSHOT_PREFIX_SIZE) <= 0 ||
		    !read_facts(walk, folder, name, &facts))
			continue;
		memcpy(visited, name, SNAPSHOT_PREFIX_SIZE);
		walk->ended = !walk->visit(walk->cookie, &facts);
	}
}

static enum status
walk_folder(struct log_walk *walk, const char *folder)
{
	struct dirent **entries = NULL;
	char *path;
	if (asprintf(&path, "%s/%s", walk->snapshots->path, folder) == -1)
		return beside_failed(SNAPSHOT_FOLDER, "strdup");
	const int count = scandir(path, &entries, is_snapshot, alphasort);
	const enum status status =
		count >= 0 || errno == ENOENT ? STATUS_OK : beside_failed(path, "read the folder");
	free(path);
	visit_logs(walk, folder, entries, count);
	for (int i = 0; i < count; i++)
		free(entries[i]);
	free(entries);
	return status;
}

enum status
snapshots_logs(const struct snapshots *snapshots, const struct hash *after,
	       snapshot_log_visitor *visit, void *cookie)
{
	struct snapshot_place place;
	struct log_walk walk = {.snapshots = snapshots, .visit = visit, .cookie = cookie};
	enum status status = STATUS_OK;
	if (after != NULL) {
		place = snapshot_place_of(after);
		walk.after = &place;
	}
	for (unsigned first = after == NULL ? 0 : after->bytes[0];
	     first < 256 && status == STATUS_OK && !walk.ended; first++) {
		char folder[3];
		(void)snprintf(folder, sizeof(folder), "%02x", first);
		status = walk_folder(&walk, folder);
	}
	return status;
}
