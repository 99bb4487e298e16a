/* backup: a folder from which edgereplay restore makes the directory again; of a running daemon or a stopped one's
 * directory. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/audit_all.h"
#include "cli/backup_live.h"
#include "cli/backup_set.h"
#include "cli/backup_snapshots.h"
#include "cli/cli.h"
#include "cli/interrupt.h"
#include "cli/json_text.h"
#include "cli/report.h"
#include "cli/stamp.h"
#include "cli/tree.h"
#include "store/complete.h"
#include "store/directory.h"
#include "store/file_copy.h"

/* What must be free beside the files' own size. */
#define ROOM_BYTES ((uint64_t)64 << 20)

#define JSON_SIZE_MAX ((size_t)64 << 10)

/* Files of a stopped shard, by what takes the place of ".db" in their names; all but the first may be missing:
 * what that means is the same in the copy, also with an empty log in the place of one that is missing. */
static const char *const SUFFIXES[] = {".db", ".db-wal", ".journal-0", ".journal-1", ".anchor"};
#define SUFFIX_COUNT (sizeof(SUFFIXES) / sizeof(SUFFIXES[0]))

struct making {
	const struct cli_options *options;
	struct directory directory; /* whence; of a running daemon it is not locked */
	bool is_open;
	struct backup_live live;
	char *to;      /* where it will be */
	char *partial; /* where it is until it is whole; NULL: nowhere yet */
	struct backup_set set;
	const char *what;
	uint64_t done, total; /* bytes */
};

static void
clean_up(void *cookie)
{
	struct making *making = cookie;

	backup_live_give_up(&making->live);
	if (making->partial != NULL)
		tree_remove(making->partial);
}

/* --- progress --- */

static void
add_progress(void *cookie, uint64_t bytes)
{
	struct making *making = cookie;

	making->done += bytes;
	report_progress(making->what, making->done, making->total);
	interrupt_look();
}

static void
show_live(void *cookie, uint64_t bytes, uint64_t bytes_total)
{
	const struct making *making = cookie;
	const uint64_t total = making->total > bytes_total ? making->total : bytes_total;

	report_progress(making->what, making->done + bytes, total);
	interrupt_look();
}

/* --- where from --- */

/* A socket that nobody answers on is left over: then the lock says who uses the directory. */
static bool
is_live(struct making *making)
{
	const struct cli_options *options = making->options;
	char *path = realpath(options->argument, NULL), *address = NULL;
	struct stat info;
	bool answers = false;

	if (path != NULL && asprintf(&address, "unix:%s/admin.sock", path) == -1)
		address = NULL;
	if (address != NULL && stat(address + strlen("unix:"), &info) == 0 &&
	    backup_live_open(&making->live, address, options))
		answers = backup_live_answers(&making->live);
	if (!answers)
		backup_live_close(&making->live);
	free(address);
	free(path);
	return answers;
}

static enum exit_code
open_from(struct making *making)
{
	const struct cli_options *options = making->options;
	const char *problem = NULL;
	enum status status;

	if (options->admin != NULL) {
		if (!backup_live_open(&making->live, options->admin, options))
			return EXIT_USAGE;
		if (!backup_live_answers(&making->live)) {
			report_error("--admin=%s: nobody answers", options->admin);
			return EXIT_UNREACHABLE;
		}
		if (backup_live_is_of_another(&making->live, options->argument))
			return EXIT_USAGE;
		making->set.live = true;
	} else {
		making->set.live = is_live(making);
	}
	if (making->set.live)
		status = directory_read(&making->directory, options->argument, &problem);
	else
		status = directory_open_existing(&making->directory, options->argument, &problem);
	if (status == STATUS_OK) {
		making->is_open = true;
		return EXIT_FINE;
	}
	report_error("%s%s", problem,
		     making->set.live ? "" : " (or name a running daemon with --admin)");
	return EXIT_LOCAL;
}

/* --- where to --- */

static bool
name_to(struct making *making)
{
	const struct cli_options *options = making->options;
	char stamp[CLOCK_TEXT_SIZE], *parent, *real = NULL, *path = NULL;

	stamp_now(stamp);
	if (options->to != NULL)
		path = strdup(options->to);
	else if (asprintf(&path, "%s.backup-%s", making->directory.path, stamp) == -1)
		path = NULL;
	for (size_t size = path == NULL ? 0 : strlen(path); size > 1 && path[size - 1] == '/';
	     size--)
		path[size - 1] = '\0';
	parent = path == NULL ? NULL : tree_parent(path);
	if (parent != NULL)
		real = realpath(parent, NULL);
	if (real != NULL)
		making->to =
			tree_path(real, strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path);
	else
		report_error("%s: %s", parent == NULL ? "memory" : parent, strerror(errno));
	free(real);
	free(parent);
	free(path);
	if (making->to == NULL || access(making->to, F_OK) != 0)
		return making->to != NULL;
	report_error("%s is there already", making->to);
	return false;
}

static uint64_t
size_of(const char *path)
{
	struct stat info;

	return stat(path, &info) == 0 ? (uint64_t)info.st_size : 0;
}

static char *
file_of(const struct directory *directory, unsigned shard, const char *suffix)
{
	char *path = directory_shard_path(directory, shard), *file = NULL;

	if (path == NULL ||
	    asprintf(&file, "%.*s%s", (int)(strlen(path) - strlen(".db")), path, suffix) == -1) {
		report_error("out of memory");
		file = NULL;
	}
	free(path);
	return file;
}

/* The disk that is full is often the daemon's. */
static bool
has_room(struct making *making)
{
	struct statvfs disk;
	uint64_t left, needed;

	for (unsigned shard = 0; shard < making->directory.shards; shard++) {
		for (size_t i = 0; i < SUFFIX_COUNT; i++) {
			char *path = file_of(&making->directory, shard, SUFFIXES[i]);

			making->total += path == NULL ? 0 : size_of(path);
			free(path);
		}
	}
	if (statvfs(making->partial, &disk) == -1) {
		report_error("%s: %s", making->partial, strerror(errno));
		return false;
	}
	left = (uint64_t)disk.f_bavail * disk.f_frsize;
	needed = making->total + making->total / 16 + ROOM_BYTES;
	if (left >= needed)
		return true;
	report_error("%s: %" PRIu64 " bytes are free there, and %" PRIu64
		     " must be: what it takes, and some that it leaves",
		     making->to, left, needed);
	return false;
}

static bool
make_folder(struct making *making)
{
	if (!name_to(making))
		return false;
	if (asprintf(&making->partial, "%s.partial-XXXXXX", making->to) == -1) {
		making->partial = NULL;
		report_error("out of memory");
		return false;
	}
	if (mkdtemp(making->partial) == NULL) {
		report_error("%s: %s", making->partial, strerror(errno));
		free(making->partial);
		making->partial = NULL;
		return false;
	}
	/* The daemon writes there. */
	return tree_give(making->partial, making->directory.path) && has_room(making);
}

/* --- copying --- */

static bool
copy_file(struct making *making, const char *from, const char *to)
{
	const struct file_copy copy = {.from = from,
				       .to = to,
				       .rate = making->options->rate,
				       .progress = add_progress,
				       .cookie = making};
	const char *problem = NULL;
	struct file_sum sum;

	if (file_copy(&copy, &sum, &problem) == STATUS_OK)
		return true;
	report_error("%s", problem);
	return false;
}

/* An empty write-ahead log is none, and each shard has one: who copies a lost shard's files over what is left of
 * it must not leave a newer log beside them, which would be written into the older file. */
static bool
have_wal(const struct directory *into, unsigned shard)
{
	char *path = file_of(into, shard, ".db-wal");
	int fd = -1;
	bool done = false;

	if (path != NULL)
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd != -1) {
		done = fsync(fd) == 0;
		done = close(fd) == 0 && done;
	}
	if (!done && path != NULL)
		report_error("%s: %s", path, strerror(errno));
	free(path);
	return done;
}

static enum exit_code
copy_stopped(struct making *making, const struct directory *into, unsigned shard)
{
	enum exit_code code = EXIT_FINE;

	for (size_t i = 0; i < SUFFIX_COUNT && code == EXIT_FINE; i++) {
		char *from = file_of(&making->directory, shard, SUFFIXES[i]);
		char *to = file_of(into, shard, SUFFIXES[i]);

		if (from == NULL || to == NULL ||
		    ((i == 0 || access(from, F_OK) == 0) && !copy_file(making, from, to)))
			code = EXIT_LOCAL;
		free(to);
		free(from);
	}
	return code;
}

static enum exit_code
copy_live(struct making *making, const struct directory *into, unsigned shard)
{
	struct backup_live_order order = {.shard = shard,
					  .to = file_of(into, shard, ".db"),
					  .rate = making->options->rate,
					  .progress = show_live,
					  .cookie = making};
	const char *problem = NULL;
	enum exit_code code = order.to == NULL ? EXIT_LOCAL : EXIT_FINE;

	if (code == EXIT_FINE)
		code = backup_live_copy(&making->live, &order);
	if (code == EXIT_FINE &&
	    complete_shard(order.to, making->directory.ids[shard], &problem) != STATUS_OK) {
		report_error("%s: is the daemon on this machine, and sees the same folders?",
			     problem);
		code = EXIT_LOCAL;
	}
	making->done += order.to == NULL ? 0 : size_of(order.to);
	free((char *)order.to);
	return code;
}

static struct backup_snapshots
snapshots_of(struct making *making)
{
	return (struct backup_snapshots){.from = making->directory.path,
					 .to = making->partial,
					 .rate = making->options->rate,
					 .progress = add_progress,
					 .cookie = making};
}

/* Snapshots before and after: where a log is pruned meanwhile, the copy has the one that stands for that. One
 * that has to make room is looked for again: a new one may have its name. */
static enum exit_code
copy_all(struct making *making, const struct directory *into)
{
	const struct backup_snapshots snapshots = snapshots_of(making);
	enum exit_code code = backup_snapshots_copy(&snapshots) ? EXIT_FINE : EXIT_LOCAL;
	const char *problem = NULL;

	for (unsigned shard = 0; shard < into->shards && code == EXIT_FINE; shard++) {
		code = making->set.live ? copy_live(making, into, shard)
					: copy_stopped(making, into, shard);
		if (code == EXIT_FINE && !have_wal(into, shard))
			code = EXIT_LOCAL;
	}
	if (code == EXIT_FINE &&
	    (!backup_snapshots_check(&snapshots, into) || !backup_snapshots_copy(&snapshots)))
		code = EXIT_LOCAL;
	if (code == EXIT_FINE &&
	    directory_write_manifest(into, into->path, "manifest", &problem) != STATUS_OK) {
		report_error("%s", problem);
		code = EXIT_LOCAL;
	}
	return code;
}

/* --- the end --- */

static bool
finish(struct making *making)
{
	char *parent = tree_parent(making->to);
	const char *problem = NULL;
	bool done = false;

	making->what = "summed";
	making->done = 0;
	clock_format(clock_server_msec(), making->set.ended);
	if (parent == NULL ||
	    !backup_set_collect(&making->set, making->partial, add_progress, making) ||
	    !backup_set_write(&making->set, making->partial) ||
	    !tree_give(making->partial, making->directory.path) || !tree_sync(making->partial))
		goto free_parent;
	if (renameat2(AT_FDCWD, making->partial, AT_FDCWD, making->to, RENAME_NOREPLACE) == -1) {
		report_error("%s: %s", making->to, strerror(errno));
		goto free_parent;
	}
	free(making->partial);
	making->partial = NULL;
	interrupt_forget();
	done = directory_sync(parent, &problem) == STATUS_OK;
	if (!done)
		report_error("%s", problem);
free_parent:
	free(parent);
	return done;
}

static void
show_json(const struct making *making)
{
	const struct backup_set *set = &making->set;
	struct buffer out;

	buffer_init(&out, JSON_SIZE_MAX);
	buffer_append_text(&out, TEXT("{\"backup\":"));
	json_write_any(&out, text_of(making->to));
	buffer_printf(&out,
		      ",\"live\":%s,\"shards\":%" PRIu64 ",\"logs\":%" PRIu64
		      ",\"actions\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"findings\":%" PRIu64 "}\n",
		      set->live ? "true" : "false", set->shards, set->logs, set->actions,
		      set->bytes, set->findings);
	if (!out.failed)
		fwrite(out.data, 1, out.size, stdout);
	buffer_release(&out);
}

static void
show(const struct making *making)
{
	const struct backup_set *set = &making->set;

	report_progress_end();
	if (making->options->json)
		show_json(making);
	else
		report_note("%s: %" PRIu64 " logs, %" PRIu64 " actions, %" PRIu64
			    " bytes, verified%s",
			    making->to, set->logs, set->actions, set->bytes,
			    set->findings == 0 ? "" : ": with findings, as what it is of has them");
}

static enum exit_code
make(struct making *making)
{
	struct audit_totals totals = {0};
	struct directory into = making->directory;
	enum exit_code code;

	if (!make_folder(making))
		return EXIT_LOCAL;
	into.path = making->partial;
	into.in_folder = false;
	clock_format(clock_server_msec(), making->set.began);
	code = copy_all(making, &into);
	if (code != EXIT_FINE)
		return code;
	if (audit_all(&into, making->options, &totals) != STATUS_OK && totals.findings == 0)
		return EXIT_LOCAL;
	const struct backup_snapshots snapshots = snapshots_of(making);
	if (!backup_snapshots_check(&snapshots, &into))
		return EXIT_LOCAL;
	making->set.shards = into.shards;
	making->set.logs = totals.logs;
	making->set.actions = totals.actions + totals.journal_actions;
	making->set.findings = totals.findings;
	if (!finish(making))
		return EXIT_LOCAL;
	show(making);
	return totals.findings == 0 ? EXIT_FINE : EXIT_UNVERIFIED;
}

enum exit_code
cmd_backup(const struct cli_options *options)
{
	struct making making = {.options = options, .what = "copied"};
	enum exit_code code = open_from(&making);

	if (code == EXIT_FINE) {
		interrupt_watch(clean_up, &making);
		code = make(&making);
	}
	report_progress_end();
	clean_up(&making);
	interrupt_forget();
	if (making.is_open)
		directory_close(&making.directory);
	backup_live_close(&making.live);
	backup_set_release(&making.set);
	free(making.partial);
	free(making.to);
	return report_output_done() ? code : EXIT_LOCAL;
}
