#include "store/accept.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/problem.h"
#include "store/audit.h"
#include "store/reshard.h"
#include "store/sqlite/beside.h"
#include "store/sqlite/loss.h"
#include "store/sqlite/shard_file.h"

#define STRETCH 65536
#define SENTENCE_SIZE 8192

/* STATUS_OK or STATUS_LOG_DAMAGED: whether each can be used. */
struct work {
	struct acceptance *acceptance;
	enum status file, journals[2], anchor;
	struct loss loss;
	char *wal, *index, *journal_paths[2], *anchor_path;
};

__attribute__((format(printf, 2, 3))) static void
say(const struct work *work, const char *format, ...)
{
	char sentence[SENTENCE_SIZE];
	va_list arguments;
	va_start(arguments, format);
	(void)vsnprintf(sentence, sizeof(sentence), format, arguments);
	va_end(arguments);
	work->acceptance->say(work->acceptance->cookie, sentence);
}

static struct shard_identity
identity_of(const struct acceptance *acceptance)
{
	struct shard_identity identity = {.number = acceptance->shard,
					  .shards = acceptance->shards};
	memcpy(identity.id, acceptance->id, SHARD_ID_SIZE);
	return identity;
}

/* --- look --- */

/* What is damaged is part of the loss; what cannot be read may be whole. */
static enum status
note(struct work *work, enum status *state, enum status status, const char *problem)
{
	*state = status;
	if (status != STATUS_LOG_DAMAGED)
		return status;
	say(work, "%s", problem);
	work->acceptance->lost = true;
	return STATUS_OK;
}

static enum status
look_at_rows(struct work *work, struct db *db, struct journal_file files[2],
	     const struct anchor *anchor, const char **problem)
{
	struct acceptance *acceptance = work->acceptance;
	enum status status = loss_look(db, files, anchor, &work->loss);
	if (status == STATUS_OK)
		status = db_query_u64(db, "SELECT count(*) FROM logs", &acceptance->logs);
	if (status == STATUS_STORAGE_UNAVAILABLE && db_is_malformed(db))
		status = STATUS_LOG_DAMAGED;
	*problem = problem_format("%s cannot be read: the log has the reason", acceptance->path);
	if (status != STATUS_OK)
		return note(work, &work->file, status, *problem);
	if (work->loss.kind != LOSS_NONE)
		say(work, "%s", loss_sentence(&work->loss, acceptance->path));
	if (work->loss.rotten > 0)
		say(work, "%" PRIu64 " records in its journal files do not verify",
		    work->loss.rotten);
	acceptance->lost |= work->loss.kind != LOSS_NONE || work->loss.rotten > 0;
	return STATUS_OK;
}

static enum status
look_at_file(struct work *work, struct journal_file files[2], const struct anchor *anchor,
	     const char **problem)
{
	const struct acceptance *acceptance = work->acceptance;
	const struct shard_identity identity = identity_of(acceptance);
	struct db *db = NULL;
	enum status status = shard_file_open_read(acceptance->path, &identity, &db, problem);
	status = note(work, &work->file, status, *problem);
	if (status == STATUS_OK && db != NULL)
		status = look_at_rows(work, db, files, anchor, problem);
	db_close(db);
	return status;
}

static enum status
look(struct work *work, const char **problem)
{
	const uint8_t *id = work->acceptance->id;
	struct anchor anchor = {.fd = -1};
	struct journal_file files[2] = {{.fd = -1}, {.fd = -1}};
	enum status status = anchor_open(&anchor, work->anchor_path, id, false, problem);
	status = note(work, &work->anchor, status, *problem);
	for (unsigned i = 0; i < 2 && status == STATUS_OK; i++) {
		status = journal_file_open(&files[i], work->journal_paths[i], id, false, problem);
		status = note(work, &work->journals[i], status, *problem);
	}
	if (status == STATUS_OK)
		status = look_at_file(work, files, &anchor, problem);
	if (status == STATUS_OK && work->file != STATUS_OK && anchor.turn > 0)
		say(work, "of %" PRIu64 " commits those are lost that the journal has not",
		    anchor.last);
	anchor_close(&anchor);
	journal_file_close(&files[0]);
	journal_file_close(&files[1]);
	return status;
}

/* --- put aside --- */

static char *
aside_path(const struct work *work, const char *path)
{
	char *aside;
	return asprintf(&aside, "%s.lost-%s", path, work->acceptance->stamp) == -1 ? NULL : aside;
}

static bool
is_there(const char *path)
{
	return access(path, F_OK) == 0;
}

static enum status
move_aside(const struct work *work, const char *path, const char **problem)
{
	if (!is_there(path))
		return STATUS_OK;
	char *aside = aside_path(work, path);
	if (aside == NULL)
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "out of memory");
	enum status status = STATUS_OK;
	const bool dry_run = work->acceptance->dry_run;
	if (!dry_run && renameat2(AT_FDCWD, path, AT_FDCWD, aside, RENAME_NOREPLACE) == -1)
		status = problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
				     "%s cannot be renamed to %s: %s", path, aside,
				     strerrordesc_np(errno));
	else
		say(work, "%s %s to %s", path, dry_run ? "would be moved" : "moved", aside);
	free(aside);
	return status;
}

static bool
copy_bytes(int from, int to)
{
	static _Thread_local uint8_t bytes[STRETCH];
	ssize_t got = read(from, bytes, sizeof(bytes));
	while (got > 0 && write(to, bytes, (size_t)got) == got)
		got = read(from, bytes, sizeof(bytes));
	return got == 0 && fsync(to) == 0;
}

static enum status
copy(const char *path, const char *aside, const char **problem)
{
	const int from = open(path, O_RDONLY | O_CLOEXEC);
	const int to = from == -1 ? -1 : beside_make(aside);
	enum status status = STATUS_OK;
	if (to == -1 || !copy_bytes(from, to))
		status = problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
				     "%s cannot be copied to %s: %s", path, aside,
				     strerrordesc_np(errno));
	if (to != -1)
		(void)close(to);
	if (from != -1)
		(void)close(from);
	return status;
}

/* Of a file that has more than so many bytes; recovery goes over it. */
static enum status
copy_aside(const struct work *work, const char *path, off_t size_min, const char **problem)
{
	struct stat info;
	if (stat(path, &info) == -1 || info.st_size <= size_min)
		return STATUS_OK;
	char *aside = aside_path(work, path);
	if (aside == NULL)
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "out of memory");
	const bool dry_run = work->acceptance->dry_run;
	const enum status status = dry_run ? STATUS_OK : copy(path, aside, problem);
	if (status == STATUS_OK)
		say(work, "%s %s to %s", path, dry_run ? "would be copied" : "copied", aside);
	free(aside);
	return status;
}

/* Its index of the WAL goes with it, which has nothing of its own. */
static enum status
move_wal_aside(const struct work *work, const char **problem)
{
	if (!work->acceptance->dry_run && unlink(work->index) == -1 && errno != ENOENT)
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "%s cannot be removed: %s",
				   work->index, strerrordesc_np(errno));
	return move_aside(work, work->wal, problem);
}

/* --- make what is missing --- */

static enum status
make_journal(const struct work *work, unsigned which, const char **problem)
{
	const char *path = work->journal_paths[which];
	if (work->journals[which] == STATUS_OK)
		return copy_aside(work, path, (off_t)JOURNAL_HEAD_SIZE, problem);
	const enum status status = move_aside(work, path, problem);
	if (status != STATUS_OK || work->acceptance->dry_run)
		return status;
	return journal_file_create(path, work->acceptance->id, problem);
}

static enum status
make_anchor(const struct work *work, const char **problem)
{
	if (work->anchor == STATUS_OK)
		return STATUS_OK;
	const enum status status = move_aside(work, work->anchor_path, problem);
	if (status != STATUS_OK || work->acceptance->dry_run)
		return status;
	return anchor_create(work->anchor_path, work->acceptance->id, 0, problem);
}

static void
ignore_finding(void *cookie, const struct audit_finding *finding)
{
	(void)cookie;
	(void)finding;
}

static bool
rows_fit(const struct acceptance *acceptance)
{
	const struct audit_target target = {.path = acceptance->path,
					    .shard = acceptance->shard,
					    .shards = acceptance->shards,
					    .id = acceptance->id,
					    .rows_only = true};
	const struct audit_observer observer = {.finding = ignore_finding};
	struct audit_totals totals = {0};
	return audit_shard(&target, &observer, &totals) == STATUS_OK && totals.findings == 0;
}

static enum status
begin_anew(const struct work *work, const char **problem)
{
	const struct acceptance *acceptance = work->acceptance;
	const struct shard_identity identity = identity_of(acceptance);
	struct db *db = NULL;
	enum status status = move_wal_aside(work, problem);
	if (status == STATUS_OK)
		status = move_aside(work, acceptance->path, problem);
	say(work, "the shard %s anew, without a log but for what the journal has",
	    acceptance->dry_run ? "would begin" : "begins");
	if (status != STATUS_OK || acceptance->dry_run)
		return status;
	status = shard_file_open(acceptance->path, true, &identity, &db, problem);
	db_close(db);
	return status == STATUS_OK ? beside_sync_folder(acceptance->path) : status;
}

/* A file and a WAL of different times may fit all the same. */
static enum status
make_file(const struct work *work, const char **problem)
{
	const struct acceptance *acceptance = work->acceptance;
	const enum loss_kind kind = work->loss.kind;
	enum status status = STATUS_OK;
	if (work->file != STATUS_OK)
		return begin_anew(work, problem);
	if ((kind != LOSS_OF_FILE && kind != LOSS_OF_WAL) || rows_fit(acceptance))
		return copy_aside(work, work->wal, 0, problem);
	say(work, "the rows of the file and those of its WAL do not fit each other%s",
	    acceptance->dry_run ? "; if those of the file alone do not either:" : "");
	if (is_there(work->wal))
		status = move_wal_aside(work, problem);
	if (status == STATUS_OK && !acceptance->dry_run && rows_fit(acceptance))
		return STATUS_OK;
	return status == STATUS_OK ? begin_anew(work, problem) : status;
}

static enum status
recover_rest(const struct acceptance *acceptance, const char **problem)
{
	struct sqlite_options options = sqlite_options_of_tool(acceptance->path, acceptance->shard,
							       acceptance->shards, acceptance->id);
	options.accept_loss = true;
	return sqlite_engine_settle(&options, problem);
}

static enum status
count_logs(struct acceptance *acceptance, const char **problem)
{
	const struct shard_identity identity = identity_of(acceptance);
	struct db *db = NULL;
	enum status status = shard_file_open_read(acceptance->path, &identity, &db, problem);
	if (status == STATUS_OK)
		status = db_query_u64(db, "SELECT count(*) FROM logs", &acceptance->logs);
	db_close(db);
	return status;
}

static enum status
act(const struct work *work, const char **problem)
{
	struct acceptance *acceptance = work->acceptance;
	/* The anchor last: until then a start is refused. */
	enum status status = make_file(work, problem);
	for (unsigned i = 0; i < 2 && status == STATUS_OK; i++)
		status = make_journal(work, i, problem);
	if (status == STATUS_OK)
		status = make_anchor(work, problem);
	if (status != STATUS_OK || acceptance->dry_run)
		return status;
	status = beside_sync_folder(acceptance->path);
	if (status == STATUS_OK)
		status = recover_rest(acceptance, problem);
	return status == STATUS_OK ? count_logs(acceptance, problem) : status;
}

enum status
accept_loss(struct acceptance *acceptance, const char **problem)
{
	struct work work = {.acceptance = acceptance};
	enum status status = STATUS_STORAGE_UNAVAILABLE;
	*problem = "out of memory";
	acceptance->lost = false;
	acceptance->logs = 0;
	work.anchor_path = anchor_path(acceptance->path);
	work.journal_paths[0] = journal_file_path(acceptance->path, 0);
	work.journal_paths[1] = journal_file_path(acceptance->path, 1);
	work.wal = beside_path(acceptance->path, "db-wal");
	work.index = beside_path(acceptance->path, "db-shm");
	if (work.anchor_path != NULL && work.journal_paths[0] != NULL &&
	    work.journal_paths[1] != NULL && work.wal != NULL && work.index != NULL)
		status = look(&work, problem);
	/* Of a file that is not there nothing can be put aside that would tell of the loss. */
	if (status == STATUS_OK && acceptance->lost && !acceptance->dry_run &&
	    acceptance->directory != NULL)
		status = reshard_keep(acceptance->directory, problem);
	if (status == STATUS_OK && acceptance->lost)
		status = act(&work, problem);
	free(work.anchor_path);
	free(work.journal_paths[0]);
	free(work.journal_paths[1]);
	free(work.wal);
	free(work.index);
	return status == STATUS_OK ? STATUS_OK : STATUS_STORAGE_UNAVAILABLE;
}
