#include "store/sqlite/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "store/sqlite/in_place.h"

/* A quarter of a MiB: less than a millisecond. */
#define STEP_PAGES 32
#define PAGE_SIZE 8192
#define STEP_SIZE ((uint64_t)STEP_PAGES * PAGE_SIZE)
#define SYNC_SIZE (8 * STEP_SIZE)

/* How long the last step waits for the end of a generation, if that does not tell it. */
#define HOLD_USEC 10000

/* What was missed of the rate for other work is made up for, but no more than this. */
#define BEHIND_USEC 100000

enum status
backup_begin(struct backup *backup, const struct backup_order *order, uint64_t wanted)
{
	if (backup->figures.state == BACKUP_RUNNING)
		return STATUS_BACKPRESSURE;
	char *path = strdup(order->path);
	if (path == NULL)
		return STATUS_STORAGE_UNAVAILABLE;
	*backup = (struct backup){.figures.state = BACKUP_RUNNING,
				  .path = path,
				  .rate = order->rate,
				  .wanted = wanted,
				  .fd = -1,
				  .looked_at = clock_monotonic_msec(),
				  .due_at = clock_monotonic_usec()};
	log_info("store", "backup begins", LOG_STR("to", path));
	return STATUS_OK;
}

void
backup_look(struct backup *backup, struct backup_figures *figures)
{
	backup->looked_at = clock_monotonic_msec();
	*figures = backup->figures;
}

void
backup_end(struct backup *backup)
{
	if (backup->figures.state == BACKUP_RUNNING)
		backup->is_unwanted = true;
	else
		backup->figures = (struct backup_figures){.state = BACKUP_NONE};
}

bool
backup_runs(const struct backup *backup, uint64_t *due_at)
{
	const uint64_t over_at = (backup->looked_at + BACKUP_PATIENCE_MSEC + 1) * 1000;
	*due_at = backup->due_at > backup->held_until ? backup->due_at : backup->held_until;
	if (*due_at > over_at)
		*due_at = over_at;
	if (backup->is_unwanted)
		*due_at = 0;
	return backup->figures.state == BACKUP_RUNNING;
}

void
backup_let_end(struct backup *backup)
{
	backup->held_until = 0;
}

const char *
backup_is_over(const struct backup *backup)
{
	if (backup->is_unwanted)
		return "it is not wanted any more";
	if (clock_monotonic_msec() > backup->looked_at + BACKUP_PATIENCE_MSEC)
		return "nobody has asked for it any more";
	return NULL;
}

/* --- its end --- */

static void
close_copy(struct backup *backup)
{
	(void)sqlite3_backup_finish(backup->pages);
	CHECK(sqlite3_close(backup->to) == SQLITE_OK);
	if (backup->fd != -1)
		(void)close(backup->fd);
	backup->pages = NULL;
	backup->to = NULL;
	backup->fd = -1;
	free(backup->path);
	backup->path = NULL;
}

void
backup_give_up(struct backup *backup, const char *why, struct backup_figures *figures)
{
	figures->state = BACKUP_FAILED;
	(void)snprintf(figures->problem, sizeof(figures->problem), "%s: %s", backup->path, why);
	log_warn("store", "backup given up", LOG_STR("to", backup->path), LOG_STR("why", why));
	if (backup->fd != -1)
		(void)unlink(backup->path);
	close_copy(backup);
}

static void
complete(struct backup *backup, const struct in_place *in_place, struct backup_figures *figures)
{
	/* The handle is of no use any more, and the file is whole only when it is gone. */
	const int finished = sqlite3_backup_finish(backup->pages);
	backup->pages = NULL;
	if (finished != SQLITE_OK) {
		backup_give_up(backup, sqlite3_errmsg(backup->to), figures);
		return;
	}
	if (fsync(backup->fd) == -1) {
		backup_give_up(backup, strerrordesc_np(errno), figures);
		return;
	}
	figures->state = BACKUP_DONE;
	figures->bytes = figures->bytes_total;
	figures->commits = in_place->last_id;
	log_info("store", "backup done", LOG_STR("to", backup->path),
		 LOG_U64("bytes", figures->bytes), LOG_U64("commits", figures->commits));
	close_copy(backup);
}

/* --- its steps --- */

/* NULL, or what is wrong. Nothing but this process knows the file, so SQLite's own means against a crash
 * in the middle are left out. */
static const char *
open_copy(struct backup *backup, struct db *db)
{
	static const char pragmas[] = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
				      " PRAGMA cache_size = -2048;";
	const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
	backup->fd = open(backup->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (backup->fd == -1)
		return strerrordesc_np(errno);
	if (sqlite3_open_v2(backup->path, &backup->to, flags, NULL) != SQLITE_OK ||
	    sqlite3_exec(backup->to, pragmas, NULL, NULL, NULL) != SQLITE_OK)
		return sqlite3_errmsg(backup->to);
	backup->pages = sqlite3_backup_init(backup->to, "main", db_handle(db), "main");
	return backup->pages == NULL ? sqlite3_errmsg(backup->to) : NULL;
}

/* A little at a time: one sync of all of it would hold up the journal's. */
static const char *
sync_copy(struct backup *backup)
{
	backup->unsynced += STEP_SIZE;
	if (backup->unsynced < SYNC_SIZE)
		return NULL;
	backup->unsynced = 0;
	return fdatasync(backup->fd) == -1 ? strerrordesc_np(errno) : NULL;
}

static void
set_due(struct backup *backup)
{
	const uint64_t now = clock_monotonic_usec();
	if (backup->rate > 0)
		backup->due_at += STEP_SIZE * 1000000 / backup->rate;
	if (backup->due_at + BEHIND_USEC < now)
		backup->due_at = now - BEHIND_USEC;
}

/* Whether the next step may be the last one, by what the file is now: it has grown since the last step. */
static enum status
look_ahead(const struct backup *backup, struct db *db, bool *is_near_end)
{
	const int copied =
		sqlite3_backup_pagecount(backup->pages) - sqlite3_backup_remaining(backup->pages);
	uint64_t pages;
	const enum status status = db_query_u64(db, "PRAGMA page_count", &pages);
	*is_near_end = status == STATUS_OK && pages <= (uint64_t)copied + STEP_PAGES;
	return status;
}

void
backup_step(struct backup *backup, struct db *db, bool may_end, struct backup_figures *figures)
{
	struct in_place in_place;
	bool is_near_end = false;
	const char *wrong = backup->to == NULL ? open_copy(backup, db) : NULL;
	if (wrong == NULL && (in_place_read(db, &in_place) != STATUS_OK ||
			      look_ahead(backup, db, &is_near_end) != STATUS_OK))
		wrong = "the shard cannot be read: the log has the reason";
	if (wrong != NULL) {
		backup_give_up(backup, wrong, figures);
		return;
	}
	if (is_near_end && (!may_end || in_place.last_id < backup->wanted)) {
		backup->held_until = clock_monotonic_usec() + HOLD_USEC;
		return;
	}
	const int result = sqlite3_backup_step(backup->pages, STEP_PAGES);
	const uint64_t pages = (uint64_t)sqlite3_backup_pagecount(backup->pages);
	const uint64_t left = (uint64_t)sqlite3_backup_remaining(backup->pages);
	figures->bytes_total = pages * PAGE_SIZE;
	figures->bytes = (pages - left) * PAGE_SIZE;
	if (result == SQLITE_DONE) {
		complete(backup, &in_place, figures);
		return;
	}
	if (result != SQLITE_OK)
		wrong = sqlite3_errmsg(backup->to);
	else
		wrong = sync_copy(backup);
	if (wrong != NULL)
		backup_give_up(backup, wrong, figures);
	else
		set_due(backup);
}
