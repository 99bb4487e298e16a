#include "cli/backup_snapshots.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/report.h"
#include "cli/tree.h"
#include "store/file_copy.h"
#include "store/offline_gone.h"
#include "store/snapshot_names.h"
#include "store/snapshot_walk.h"

/* What is being received is nobody's yet, and what has rotted is never served. */
static bool
is_left_out(const char *name)
{
	static const char *const ENDINGS[] = {SNAPSHOT_NEW, SNAPSHOT_ROTTEN};
	const size_t size = strlen(name);

	for (size_t i = 0; i < sizeof(ENDINGS) / sizeof(ENDINGS[0]); i++) {
		const size_t ending = strlen(ENDINGS[i]);

		if (size > ending && strcmp(name + size - ending, ENDINGS[i]) == 0)
			return true;
	}
	return false;
}

/* One that goes while this copies it was not needed any more. */
static bool
copy_unless_gone(const struct backup_snapshots *order, const char *from, const char *to)
{
	const int fd = open(from, O_RDONLY | O_CLOEXEC);
	const char *problem = "out of memory";
	char opened[64];
	struct file_sum sum;

	if (fd == -1 && errno == ENOENT)
		return true;
	(void)snprintf(opened, sizeof(opened), "/proc/self/fd/%d", fd);
	const struct file_copy copy = {.from = fd == -1 ? from : opened,
				       .to = to,
				       .rate = order->rate,
				       .progress = order->progress,
				       .cookie = order->cookie};
	const bool done = file_copy(&copy, &sum, &problem) == STATUS_OK;
	if (!done)
		report_error("%s: %s", from, problem);
	if (fd != -1)
		(void)close(fd);
	return done;
}

static bool
copy_snapshot(void *cookie, const char *name)
{
	const struct backup_snapshots *order = cookie;
	char *folder = tree_path(order->from, SNAPSHOT_FOLDER);
	char *to_folder = tree_path(order->to, SNAPSHOT_FOLDER);
	char *from = folder == NULL ? NULL : tree_path(folder, name);
	char *to = to_folder == NULL ? NULL : tree_path(to_folder, name);
	char *parent = to == NULL ? NULL : tree_parent(to);
	bool done = from != NULL && parent != NULL;

	if (done && access(to, F_OK) != 0 && !is_left_out(name)) {
		(void)mkdir(to_folder, 0700);
		(void)mkdir(parent, 0700);
		done = copy_unless_gone(order, from, to);
	}
	free(parent);
	free(to);
	free(from);
	free(to_folder);
	free(folder);
	return done;
}

bool
backup_snapshots_copy(const struct backup_snapshots *order)
{
	char *folder = tree_path(order->from, SNAPSHOT_FOLDER);
	const bool done = folder != NULL && (access(folder, F_OK) != 0 ||
					     tree_walk(folder, copy_snapshot, (void *)order));

	free(folder);
	return done;
}

/* --- what must not be in it --- */

struct checking {
	const struct backup_snapshots *order;
	const struct directory *into;
	struct snapshots snapshots; /* the copy's */
	enum status status;
	const char *problem;
};

static bool
find_target(const struct checking *checking, unsigned shard, struct audit_target *target)
{
	const struct directory *into = checking->into;

	*target = (struct audit_target){.path = directory_shard_path(into, shard),
					.shard = shard,
					.shards = into->shards,
					.id = into->ids[shard]};
	return target->path != NULL;
}

/* What cannot be read the audit names, and the copy has as the source has it. */
static enum status
unless_damaged(enum status status)
{
	return status == STATUS_LOG_DAMAGED || status == STATUS_MALFORMED ? STATUS_OK : status;
}

static enum status
drop_all(void *cookie, struct text log, bool is_cleared)
{
	struct checking *checking = cookie;
	struct hash genesis;

	(void)is_cleared;
	chain_genesis(log, &genesis);
	return snapshots_erase(&checking->snapshots, &genesis, 0, SEQ_MAX);
}

static void
drop_erased(struct checking *checking)
{
	struct audit_target target;

	for (unsigned shard = 0; shard < checking->into->shards && checking->status == STATUS_OK;
	     shard++) {
		checking->status = STATUS_STORAGE_UNAVAILABLE;
		if (find_target(checking, shard, &target))
			checking->status = unless_damaged(
				offline_erased(&target, drop_all, checking, &checking->problem));
		free((char *)target.path);
	}
}

/* Another one may have taken its name. */
static bool
is_at_source(const struct checking *checking, const char *path, const struct snapshot_facts *facts)
{
	struct snapshot_source source = {.fd = -1};
	char *from = tree_path(checking->order->from, path + strlen(checking->order->to) + 1);
	const bool is_there = from != NULL && snapshot_source_open(&source, from) == STATUS_OK &&
			      hash_equal(&source.facts.checksum, &facts->checksum);

	snapshot_source_close(&source);
	free(from);
	return is_there;
}

/* What was only pushed out by newer ones may be what stands for a log that is pruned: it stays. */
static void
drop_redacted(struct checking *checking, const struct snapshot_facts *facts)
{
	const struct text log = {facts->log.data, facts->log.size};
	const unsigned shard = directory_shard_of(&facts->genesis, checking->into->shards);
	struct audit_target target;
	bool redacted = false;

	checking->status = STATUS_STORAGE_UNAVAILABLE;
	if (find_target(checking, shard, &target))
		checking->status = unless_damaged(offline_redacted(
			&target, log, facts->position.seq, &redacted, &checking->problem));
	free((char *)target.path);
	if (checking->status == STATUS_OK && redacted)
		checking->status = snapshots_erase(&checking->snapshots, &facts->genesis,
						   facts->position.seq, facts->position.seq);
}

static void
check_one(void *cookie, const char *path, const struct snapshot_facts *facts)
{
	struct checking *checking = cookie;

	if (facts == NULL)
		(void)unlink(path);
	else if (checking->status == STATUS_OK && !is_at_source(checking, path, facts))
		drop_redacted(checking, facts);
}

bool
backup_snapshots_check(const struct backup_snapshots *order, const struct directory *into)
{
	struct checking checking = {
		.order = order, .into = into, .status = STATUS_STORAGE_UNAVAILABLE};

	if (snapshots_open(&checking.snapshots, order->to))
		checking.status = STATUS_OK;
	drop_erased(&checking);
	if (checking.status == STATUS_OK) {
		const enum status status =
			snapshots_audit(&checking.snapshots, check_one, &checking);

		checking.status = checking.status == STATUS_OK ? status : checking.status;
	}
	snapshots_close(&checking.snapshots);
	if (checking.status != STATUS_OK)
		report_error("%s: its snapshots cannot be checked%s%s", order->to,
			     checking.problem != NULL ? ": " : "",
			     checking.problem != NULL ? checking.problem : "");
	return checking.status == STATUS_OK;
}
