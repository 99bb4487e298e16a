#include "store/snapshots.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/metrics.h"
#include "store/snapshot_names.h"
#include "store/sqlite/beside.h"

#define VERIFY_STEP ((size_t)16 << 20)

bool
snapshots_open(struct snapshots *snapshots, const char *dir)
{
	*snapshots = (struct snapshots){.drafts = 0};
	CHECK(pthread_mutex_init(&snapshots->lock, NULL) == 0);
	if (asprintf(&snapshots->path, "%s/" SNAPSHOT_FOLDER, dir) == -1)
		snapshots->path = NULL;
	return snapshots->path != NULL;
}

void
snapshots_close(struct snapshots *snapshots)
{
	free(snapshots->path);
	snapshots->path = NULL;
	CHECK(pthread_mutex_destroy(&snapshots->lock) == 0);
}

/* --- names --- */

static char *
folder_path(const struct snapshots *snapshots, const struct snapshot_place *place)
{
	char *path;
	return asprintf(&path, "%s/%s", snapshots->path, place->folder) == -1 ? NULL : path;
}

static char *
file_path(const struct snapshots *snapshots, const struct hash *genesis, uint64_t seq,
	  const char *suffix)
{
	const struct snapshot_place place = snapshot_place_of(genesis);
	char *path;
	const int size = asprintf(&path, "%s/%s/%s%0*ju%s", snapshots->path, place.folder,
				  place.prefix, SNAPSHOT_SEQ_DIGITS, (uintmax_t)seq, suffix);
	return size == -1 ? NULL : path;
}

/* --- walks --- */

static enum status
walk_log(const struct snapshots *snapshots, const struct snapshot_place *place,
	 snapshot_name_visitor *visit, void *cookie)
{
	char *path = folder_path(snapshots, place);
	const enum status status = snapshot_names_walk(path, visit, cookie);
	free(path);
	return status;
}

static enum status
remove_file(int folder, const char *name)
{
	return unlinkat(folder, name, 0) == -1 && errno != ENOENT ? beside_failed(name, "remove")
								  : STATUS_OK;
}

static enum status
remove_new(int folder, const char *name, void *cookie)
{
	(void)cookie;
	return snapshot_name_ends(name, SNAPSHOT_NEW) ? remove_file(folder, name) : STATUS_OK;
}

static enum status
clean_folder(int folder, const char *name, void *cookie)
{
	const struct snapshots *snapshots = cookie;
	struct snapshot_place place = {{0}, {0}};
	(void)folder;
	if (strlen(name) != 2)
		return STATUS_OK;
	memcpy(place.folder, name, 2);
	return walk_log(snapshots, &place, remove_new, NULL);
}

enum status
snapshots_clean(struct snapshots *snapshots)
{
	return snapshot_names_walk(snapshots->path, clean_folder, snapshots);
}

/* --- lists --- */

struct listing {
	struct snapshot_place place;
	struct snapshot_list *list;
};

static enum status
list_file(int folder, const char *name, void *cookie)
{
	const struct listing *listing = cookie;
	struct snapshot_list *list = listing->list;
	uint64_t seq;
	(void)folder;
	if (!snapshot_name_is_of(name, &listing->place) || !snapshot_name_seq(name, &seq))
		return STATUS_OK;
	size_t at = 0;
	while (at < list->count && list->seqs[at] > seq)
		at++;
	if (at == SNAPSHOTS_LISTED_MAX)
		return STATUS_OK;
	if (list->count < SNAPSHOTS_LISTED_MAX)
		list->count++;
	memmove(list->seqs + at + 1, list->seqs + at,
		(list->count - at - 1) * sizeof(list->seqs[0]));
	list->seqs[at] = seq;
	return STATUS_OK;
}

enum status
snapshots_list(const struct snapshots *snapshots, const struct hash *genesis,
	       struct snapshot_list *list)
{
	struct listing listing = {.place = snapshot_place_of(genesis), .list = list};
	list->count = 0;
	return walk_log(snapshots, &listing.place, list_file, &listing);
}

/* --- reading --- */

void
snapshots_set_aside(struct snapshots *snapshots, const struct hash *genesis, uint64_t seq)
{
	char *from = file_path(snapshots, genesis, seq, "");
	char *to = file_path(snapshots, genesis, seq, SNAPSHOT_ROTTEN);
	counter_add(COUNTER_SNAPSHOTS_ROTTEN, 1);
	counter_add(COUNTER_SNAPSHOT_HASHES, 1);
	log_error("store", "a snapshot has rotted and is not served", LOG_STR("file", from),
		  LOG_U64("seq", seq));
	if (from == NULL || to == NULL || (rename(from, to) == -1 && errno != ENOENT))
		(void)beside_failed(SNAPSHOT_FOLDER, "set aside");
	free(from);
	free(to);
}

enum status
snapshots_read(struct snapshots *snapshots, const struct hash *genesis, uint64_t seq,
	       struct snapshot_source *source)
{
	char *path = file_path(snapshots, genesis, seq, "");
	source->fd = -1;
	if (path == NULL)
		return beside_failed(SNAPSHOT_FOLDER, "strdup");
	enum status status = snapshot_source_open(source, path);
	free(path);
	/* One of another log, or another seq, is none of this one's. */
	if (status == STATUS_OK &&
	    (source->facts.position.seq != seq || !hash_equal(&source->facts.genesis, genesis))) {
		snapshot_source_close(source);
		status = STATUS_LOG_DAMAGED;
	}
	if (status != STATUS_LOG_DAMAGED)
		return status;
	snapshots_set_aside(snapshots, genesis, seq);
	return STATUS_NO_SNAPSHOT;
}

enum status
snapshots_verify(struct snapshots *snapshots, const struct hash *genesis, uint64_t seq)
{
	struct snapshot_source source;
	bool verified = false;
	enum status status = snapshots_read(snapshots, genesis, seq, &source);
	if (status != STATUS_OK)
		return status;
	while (status == STATUS_OK && !verified)
		status = snapshot_source_verify(&source, VERIFY_STEP, &verified);
	snapshot_source_close(&source);
	if (status != STATUS_LOG_DAMAGED)
		return status;
	snapshots_set_aside(snapshots, genesis, seq);
	return STATUS_NO_SNAPSHOT;
}

/* --- writing --- */

/* The folder, and the one that it is in. */
static enum status
make_folder(struct snapshots *snapshots, const struct hash *genesis)
{
	const struct snapshot_place place = snapshot_place_of(genesis);
	if (atomic_load(&snapshots->known[genesis->bytes[0]]))
		return STATUS_OK;
	char *path = folder_path(snapshots, &place);
	const bool made = path != NULL && (mkdir(snapshots->path, 0700) == 0 || errno == EEXIST) &&
			  (mkdir(path, 0700) == 0 || errno == EEXIST);
	const enum status status =
		made ? STATUS_OK : beside_failed(SNAPSHOT_FOLDER, "make the folder");
	free(path);
	return status;
}

/* The folder's name is on the disk, and that of the one that it is in. */
static enum status
sync_folder_name(struct snapshots *snapshots, const struct hash *genesis)
{
	const struct snapshot_place place = snapshot_place_of(genesis);
	atomic_bool *known = &snapshots->known[genesis->bytes[0]];
	if (atomic_load(known))
		return STATUS_OK;
	char *path = folder_path(snapshots, &place);
	enum status status =
		path == NULL ? beside_failed(SNAPSHOT_FOLDER, "strdup") : beside_sync_folder(path);
	free(path);
	if (status == STATUS_OK)
		status = beside_sync_folder(snapshots->path);
	if (status == STATUS_OK)
		atomic_store(known, true);
	return status;
}

enum status
snapshots_begin(struct snapshots *snapshots, struct snapshot_draft *draft)
{
	const struct snapshot_place place = snapshot_place_of(&draft->facts.genesis);
	const enum status status = make_folder(snapshots, &draft->facts.genesis);
	const uint64_t number = atomic_fetch_add(&snapshots->drafts, 1);
	char *path = NULL;
	draft->fd = -1;
	draft->path = NULL;
	if (status != STATUS_OK)
		return status;
	if (asprintf(&path, "%s/%s/%s%016jx" SNAPSHOT_NEW, snapshots->path, place.folder,
		     place.prefix, (uintmax_t)number) == -1)
		path = NULL;
	return snapshot_draft_create(draft, path);
}

enum status
snapshots_place(struct snapshots *snapshots, struct snapshot_draft *draft, snapshot_asker *has,
		void *cookie)
{
	char *path = file_path(snapshots, &draft->facts.genesis, draft->facts.position.seq, "");
	if (path == NULL)
		return beside_failed(SNAPSHOT_FOLDER, "strdup");
	CHECK(pthread_mutex_lock(&snapshots->lock) == 0);
	enum status status = has(cookie);
	if (status == STATUS_OK && rename(draft->path, path) == -1)
		status = errno == ENOENT ? STATUS_NO_SNAPSHOT : beside_failed(path, "rename");
	CHECK(pthread_mutex_unlock(&snapshots->lock) == 0);
	if (status == STATUS_OK) {
		free(draft->path);
		draft->path = NULL;
		status = beside_sync_folder(path);
	}
	if (status == STATUS_OK)
		status = sync_folder_name(snapshots, &draft->facts.genesis);
	free(path);
	return status;
}

enum status
snapshots_remove(struct snapshots *snapshots, const struct hash *genesis, uint64_t seq)
{
	char *path = file_path(snapshots, genesis, seq, "");
	const enum status status = path == NULL ? beside_failed(SNAPSHOT_FOLDER, "strdup")
						: remove_file(AT_FDCWD, path);
	free(path);
	return status;
}

static enum status
remove_rotten(int folder, const char *name, void *cookie)
{
	return snapshot_name_is_of(name, cookie) && snapshot_name_ends(name, SNAPSHOT_ROTTEN)
		       ? remove_file(folder, name)
		       : STATUS_OK;
}

enum status
snapshots_sweep(struct snapshots *snapshots, const struct hash *genesis)
{
	struct snapshot_place place = snapshot_place_of(genesis);
	return walk_log(snapshots, &place, remove_rotten, &place);
}

/* --- erasing --- */

struct erasing {
	struct snapshot_place place;
	uint64_t from, upto;
};

static bool
is_to_go(const struct erasing *erasing, const char *name)
{
	uint64_t seq;
	if (!snapshot_name_is_of(name, &erasing->place))
		return false;
	if (snapshot_name_seq(name, &seq))
		return seq >= erasing->from && seq <= erasing->upto;
	/* Of what is being received only its file says of which seq: it is not whole yet. */
	return snapshot_name_ends(name, SNAPSHOT_ROTTEN) || erasing->upto == SEQ_MAX;
}

static enum status
overwrite(int folder, const char *name)
{
	const int fd = openat(folder, name, O_WRONLY | O_CLOEXEC);
	if (fd == -1)
		return errno == ENOENT ? STATUS_OK : beside_failed(name, "open");
	const enum status status = snapshot_file_overwrite(fd, name);
	(void)close(fd);
	return status;
}

/* Set aside first: one that a crash leaves overwritten, is no snapshot any more. */
static enum status
erase_file(int folder, const char *name, void *cookie)
{
	char aside[NAME_MAX + 1];
	if (!is_to_go(cookie, name))
		return STATUS_OK;
	const bool is_aside = snapshot_name_ends(name, SNAPSHOT_ROTTEN);
	(void)snprintf(aside, sizeof(aside), "%s%s", name, is_aside ? "" : SNAPSHOT_ROTTEN);
	if (!is_aside && renameat(folder, name, folder, aside) == -1 && errno != ENOENT)
		return beside_failed(name, "set aside");
	const enum status status = overwrite(folder, aside);
	FAIL_POINT(REMOVE_SNAPSHOT);
	if (status == STATUS_OK && unlinkat(folder, aside, 0) == -1 && errno != ENOENT)
		return beside_failed(aside, "remove");
	return status == STATUS_OK && fsync(folder) == -1 ? beside_failed(aside, "sync the folder")
							  : status;
}

enum status
snapshots_erase(struct snapshots *snapshots, const struct hash *genesis, uint64_t from,
		uint64_t upto)
{
	struct erasing erasing = {.place = snapshot_place_of(genesis), .from = from, .upto = upto};
	CHECK(pthread_mutex_lock(&snapshots->lock) == 0);
	const enum status status = walk_log(snapshots, &erasing.place, erase_file, &erasing);
	CHECK(pthread_mutex_unlock(&snapshots->lock) == 0);
	return status;
}
