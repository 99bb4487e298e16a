#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "store/salvage_work.h"
#include "store/sqlite/alone.h"
#include "store/sqlite/journal.h"
#include "store/sqlite/journal_file.h"
#include "store/sqlite/journal_read.h"

/* --- what the journal files hold --- */

struct copying {
	struct statement *insert;
	uint64_t before; /* ids */
};

static enum status
copy_record(void *cookie, const struct journal_entry *entry)
{
	struct copying *copying = cookie;
	struct record record;
	if (entry->id >= copying->before || entry->rotten ||
	    !journal_decode(entry->bytes, entry->size, &record))
		return STATUS_OK;
	statement_bind_u64(copying->insert, 1, entry->id);
	statement_bind_blob(copying->insert, 2, (const char *)entry->bytes, entry->size);
	return repair_run(copying->insert);
}

/* A start reads two files only if one follows the other. Where a reader of the shard file was in the way
 * of the start before, the older one still has what was in place then. */
static enum status
keep_older(struct salvage *salvage, struct journal_file files[2], const struct journal_file *newer)
{
	struct copying copying = {.before = newer->first_id};
	enum status status = db_prepare(
		salvage->to, "INSERT OR IGNORE INTO journal VALUES (?1, ?2)", &copying.insert);
	if (status == STATUS_OK)
		status = journal_files_read(files, 0, copy_record, &copying);
	if (salvage->in_place[1] + 1 < newer->first_id)
		salvage->in_place[1] = newer->first_id - 1;
	return status;
}

/* What has been emptied is in place. */
static bool
has_records(const struct journal_file *file)
{
	struct stat info;
	return fstat(file->fd, &info) == -1 || (size_t)info.st_size > JOURNAL_HEAD_SIZE;
}

/* Whatever the file says is in place: the next start puts in place all that the journal files hold, which
 * changes nothing where it is there. A file that is older than they are stays so, and a start says it. */
static enum status
set_generation(struct salvage *salvage, struct journal_file files[2])
{
	const unsigned last = files[0].generation <= files[1].generation ? 1 : 0;
	const struct journal_file *newer = &files[last], *older = &files[1 - last];
	const bool follow = newer->generation == older->generation + 1;
	const struct journal_file *first = follow && has_records(older) ? older : newer;
	const uint64_t before = first->generation > 0 ? first->generation - 1 : 0;
	if (!salvage->has_in_place || salvage->in_place[0] > before)
		salvage->in_place[0] = before;
	return follow ? STATUS_OK : keep_older(salvage, files, newer);
}

static enum status
look_at_journal(struct salvage *salvage, const char **problem)
{
	const struct repair_target *target = &salvage->order->target;
	struct journal_file files[2] = {{.fd = -1}, {.fd = -1}};
	enum status status = STATUS_OK;
	for (unsigned i = 0; i < 2 && status == STATUS_OK; i++) {
		char *path = journal_file_path(target->path, i);
		status = path == NULL
				 ? STATUS_STORAGE_UNAVAILABLE
				 : journal_file_open(&files[i], path, target->id, false, problem);
		free(path);
	}
	if (status == STATUS_OK)
		status = set_generation(salvage, files);
	journal_file_close(&files[0]);
	journal_file_close(&files[1]);
	return status;
}

/* --- what is known to be missing --- */

/* As a start finds it, which the new file does not let it find any more. */
static enum status
count_missing(struct salvage *salvage, const struct anchor *anchor)
{
	struct alone alone;
	const enum status status = alone_look(salvage->order->target.path, &alone);
	const uint64_t commits = salvage->in_place[2];
	uint64_t pages = anchor->size / PAGE_SIZE;
	if (salvage->pages.said > pages)
		pages = salvage->pages.said;
	if (pages > salvage->pages.count)
		salvage->done->unreadable += pages - salvage->pages.count;
	const bool is_wal_short =
		alone.is_readable && (alone.commits < anchor->filed ||
				      (salvage->has_in_place && commits < alone.commits) ||
				      (alone.commits > anchor->filed && !alone.wal_has_commit));
	salvage->done->unreadable += is_wal_short || salvage->pages.is_wal_rotten ? 1 : 0;
	return status;
}

static enum status
update(struct salvage *salvage)
{
	struct statement *update;
	const enum status status = db_prepare(
		salvage->to, "UPDATE in_place SET generation = ?1, last_id = ?2, commits = ?3",
		&update);
	for (int i = 0; i < 3 && status == STATUS_OK; i++)
		statement_bind_u64(update, i + 1, salvage->in_place[i]);
	return status == STATUS_OK ? repair_run(update) : status;
}

enum status
salvage_write_in_place(struct salvage *salvage, const char **problem)
{
	char *path = anchor_path(salvage->order->target.path);
	struct anchor anchor = {.fd = -1};
	enum status status = path == NULL ? STATUS_STORAGE_UNAVAILABLE
					  : anchor_open(&anchor, path, salvage->order->target.id,
							false, problem);
	free(path);
	if (status == STATUS_OK)
		status = count_missing(salvage, &anchor);
	if (status == STATUS_OK && !salvage->has_in_place)
		salvage->in_place[1] = anchor.last;
	if (status == STATUS_OK)
		status = look_at_journal(salvage, problem);
	/* What the write-ahead log had is in the new file, too; the anchor counts the file's alone. */
	salvage->in_place[2] = anchor.filed;
	anchor_close(&anchor);
	return status == STATUS_OK ? update(salvage) : status;
}
