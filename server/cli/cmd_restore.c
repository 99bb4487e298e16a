/* restore: a data directory from a backup, there as a whole or not at all. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cli/audit_all.h"
#include "cli/backup_set.h"
#include "cli/cli.h"
#include "cli/interrupt.h"
#include "cli/json_text.h"
#include "cli/report.h"
#include "cli/tree.h"
#include "store/directory.h"
#include "store/file_copy.h"

#define SNAPSHOTS "snapshots"
#define MANIFEST "manifest"
#define JSON_SIZE_MAX ((size_t)64 << 10)

struct restoring {
	const struct cli_options *options;
	const char *backup, *to;
	struct backup_set set;
	struct directory from, directory;
	bool is_open; /* directory */
	bool is_whole;
	bool made_folder;
	uint64_t done;
};

/* What is not whole goes. */
static void
clean_up(void *cookie)
{
	struct restoring *restoring = cookie;
	char *snapshots = tree_path(restoring->to, SNAPSHOTS);

	if (restoring->is_open && !restoring->is_whole) {
		if (snapshots != NULL)
			tree_remove(snapshots);
		directory_abandon(&restoring->directory);
		if (restoring->made_folder)
			tree_remove(restoring->to);
	}
	free(snapshots);
}

static void
add_progress(void *cookie, uint64_t bytes)
{
	struct restoring *restoring = cookie;

	restoring->done += bytes;
	report_progress("restored", restoring->done, restoring->set.bytes);
	interrupt_look();
}

static bool
has_room(const struct restoring *restoring)
{
	struct statvfs disk;
	uint64_t left;

	if (statvfs(restoring->to, &disk) == -1) {
		report_error("%s: %s", restoring->to, strerror(errno));
		return false;
	}
	left = (uint64_t)disk.f_bavail * disk.f_frsize;
	if (left > restoring->set.bytes)
		return true;
	report_error("%s: %" PRIu64 " bytes are free there, and it takes %" PRIu64, restoring->to,
		     left, restoring->set.bytes);
	return false;
}

/* --- the files --- */

/* Names lead to files of shards and snapshots, and to no other place. */
static bool
is_expected(const char *name)
{
	const size_t size = strlen(SNAPSHOTS "/");

	if (strncmp(name, SNAPSHOTS "/", size) == 0)
		return strchr(name + size, '/') == NULL ||
		       strchr(strchr(name + size, '/') + 1, '/') == NULL;
	return directory_is_of_shard(name) && strchr(name, '/') == NULL;
}

static enum exit_code
copy_file(struct restoring *restoring, const struct backup_file *file)
{
	char *from = tree_path(restoring->backup, file->name);
	char *to = tree_path(restoring->to, file->name);
	char *parent = to == NULL ? NULL : tree_parent(to);
	char *above = parent == NULL ? NULL : tree_parent(parent);
	const struct file_copy copy = {
		.from = from, .to = to, .progress = add_progress, .cookie = restoring};
	const char *problem = "out of memory";
	struct file_sum sum = {.bytes = 0};
	enum exit_code code = EXIT_LOCAL;

	if (from != NULL && above != NULL) {
		/* Of a folder of snapshots; else they are there. */
		(void)mkdir(above, 0700);
		(void)mkdir(parent, 0700);
		if (file_copy(&copy, &sum, &problem) == STATUS_OK)
			code = EXIT_FINE;
	}
	if (code != EXIT_FINE)
		report_error("%s", problem);
	else if (sum.bytes != file->sum.bytes || memcmp(sum.sum, file->sum.sum, FILE_SUM_SIZE) != 0)
		code = EXIT_UNVERIFIED;
	if (code == EXIT_UNVERIFIED)
		report_error(
			"%s is not what was backed up: it has changed since. Take another backup; "
			"if there is none, copy the folder by hand and see what edgereplay verify "
			"and repair make of it",
			from);
	free(above);
	free(parent);
	free(to);
	free(from);
	return code;
}

static enum exit_code
copy_all(struct restoring *restoring)
{
	enum exit_code code = EXIT_FINE;

	for (size_t i = 0; i < restoring->set.count && code == EXIT_FINE; i++) {
		const struct backup_file *file = &restoring->set.files[i];

		if (strcmp(file->name, MANIFEST) == 0)
			continue;
		if (is_expected(file->name)) {
			code = copy_file(restoring, file);
		} else {
			report_error("%s/%s: no file of a backup", restoring->backup, file->name);
			code = EXIT_UNVERIFIED;
		}
	}
	return code;
}

/* The manifest is written anew: it must be the one that was summed. */
static enum exit_code
check_manifest(const struct restoring *restoring)
{
	char *path = tree_path(restoring->backup, MANIFEST);
	const struct file_copy copy = {.from = path};
	const char *problem = "out of memory";
	struct file_sum sum;
	bool found = false, same = false;

	if (path == NULL || file_copy(&copy, &sum, &problem) != STATUS_OK) {
		report_error("%s", problem);
		free(path);
		return EXIT_LOCAL;
	}
	for (size_t i = 0; i < restoring->set.count && !found; i++) {
		const struct backup_file *file = &restoring->set.files[i];

		found = strcmp(file->name, MANIFEST) == 0;
		same = found && memcmp(sum.sum, file->sum.sum, FILE_SUM_SIZE) == 0;
	}
	if (!same)
		report_error("%s is not what was backed up: it has changed since", path);
	free(path);
	return same ? EXIT_FINE : EXIT_UNVERIFIED;
}

/* --- the whole --- */

static enum exit_code
open_both(struct restoring *restoring)
{
	const char *problem = NULL;
	struct stat info;

	if (access(restoring->backup, F_OK) == -1) {
		report_error("%s: %s", restoring->backup, strerror(errno));
		return EXIT_LOCAL;
	}
	if (!backup_set_read(&restoring->set, restoring->backup))
		return EXIT_UNVERIFIED;
	if (directory_read(&restoring->from, restoring->backup, &problem) != STATUS_OK) {
		report_error("%s", problem);
		return EXIT_UNVERIFIED;
	}
	const enum exit_code code = check_manifest(restoring);
	if (code != EXIT_FINE)
		return code;
	restoring->made_folder = stat(restoring->to, &info) == -1 && errno == ENOENT;
	if (directory_open_restore(&restoring->directory, restoring->to, &restoring->from,
				   &problem) != STATUS_OK) {
		report_error("%s", problem);
		return EXIT_LOCAL;
	}
	restoring->is_open = true;
	/* Of a restore that was cut off. */
	char *snapshots = tree_path(restoring->to, SNAPSHOTS);
	if (snapshots != NULL)
		tree_remove(snapshots);
	free(snapshots);
	return EXIT_FINE;
}

static void
show_json(const struct restoring *restoring, const struct audit_totals *totals)
{
	struct buffer out;

	buffer_init(&out, JSON_SIZE_MAX);
	buffer_append_text(&out, TEXT("{\"restored\":"));
	json_write_any(&out, text_of(restoring->to));
	buffer_append_text(&out, TEXT(",\"began\":"));
	json_write_any(&out, text_of(restoring->set.began));
	buffer_printf(&out,
		      ",\"shards\":%u,\"logs\":%" PRIu64 ",\"actions\":%" PRIu64
		      ",\"bytes\":%" PRIu64 ",\"findings\":%" PRIu64 "}\n",
		      restoring->directory.shards, totals->logs,
		      totals->actions + totals->journal_actions, restoring->set.bytes,
		      totals->findings);
	if (!out.failed)
		fwrite(out.data, 1, out.size, stdout);
	buffer_release(&out);
}

static void
show(const struct restoring *restoring, const struct audit_totals *totals)
{
	const uint64_t actions = totals->actions + totals->journal_actions;

	report_progress_end();
	if (restoring->options->json)
		show_json(restoring, totals);
	else
		report_note(
			"%s: %" PRIu64 " logs, %" PRIu64 " actions, as of %s, verified%s. Start it "
			"with store.shards=%u; phones that are ahead of it bring back what they "
			"have",
			restoring->to, totals->logs, actions, restoring->set.began,
			totals->findings == 0 ? ""
					      : ": with findings, as what was backed up had them",
			restoring->directory.shards);
}

static enum exit_code
restore(struct restoring *restoring)
{
	struct audit_totals totals = {0};
	const char *problem = NULL;
	enum exit_code code = open_both(restoring);

	if (code == EXIT_FINE && !has_room(restoring))
		code = EXIT_LOCAL;
	if (code == EXIT_FINE)
		code = copy_all(restoring);
	if (code != EXIT_FINE)
		return code;
	if (audit_all(&restoring->directory, restoring->options, &totals) != STATUS_OK &&
	    totals.findings == 0)
		return EXIT_LOCAL;
	if (totals.findings > restoring->set.findings) {
		report_error("what was restored does not verify, and did when it was backed up");
		return EXIT_UNVERIFIED;
	}
	if (!tree_give(restoring->to, restoring->to) || !tree_sync(restoring->to))
		return EXIT_LOCAL;
	interrupt_look();
	if (directory_commit(&restoring->directory, &problem) != STATUS_OK) {
		report_error("%s", problem);
		return EXIT_LOCAL;
	}
	restoring->is_whole = true;
	show(restoring, &totals);
	return totals.findings == 0 ? EXIT_FINE : EXIT_UNVERIFIED;
}

enum exit_code
cmd_restore(const struct cli_options *options)
{
	struct restoring restoring = {
		.options = options, .backup = options->argument, .to = options->second};
	enum exit_code code;

	interrupt_watch(clean_up, &restoring);
	code = restore(&restoring);
	report_progress_end();
	clean_up(&restoring);
	interrupt_forget();
	if (restoring.is_open)
		directory_close(&restoring.directory);
	if (restoring.from.path != NULL)
		directory_close(&restoring.from);
	backup_set_release(&restoring.set);
	return report_output_done() ? code : EXIT_LOCAL;
}
