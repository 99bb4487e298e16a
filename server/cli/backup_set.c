#include "cli/backup_set.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/json_text.h"
#include "cli/report.h"
#include "cli/tree.h"

#define FORMAT "edgereplay-backup"
#define VERSION 1
#define TEXT_SIZE_MAX ((size_t)256 << 20)

void
backup_set_release(struct backup_set *set)
{
	for (size_t i = 0; i < set->count; i++)
		free(set->files[i].name);
	free(set->files);
	set->files = NULL;
	set->count = 0;
}

static bool
add(struct backup_set *set, const char *name, const struct file_sum *sum)
{
	struct backup_file *more =
		reallocarray(set->files, set->count + 1, sizeof(struct backup_file));
	char *copy = strdup(name);

	if (more != NULL)
		set->files = more;
	if (more == NULL || copy == NULL) {
		free(copy);
		report_error("out of memory");
		return false;
	}
	set->files[set->count++] = (struct backup_file){.name = copy, .sum = *sum};
	set->bytes += sum->bytes;
	return true;
}

/* --- collecting --- */

struct collecting {
	struct backup_set *set;
	const char *folder;
	void (*progress)(void *cookie, uint64_t bytes);
	void *cookie;
};

static bool
collect(void *cookie, const char *name)
{
	const struct collecting *collecting = cookie;
	char *path = tree_path(collecting->folder, name);
	const struct file_copy copy = {
		.from = path, .progress = collecting->progress, .cookie = collecting->cookie};
	const char *problem = NULL;
	struct file_sum sum;
	bool done = path != NULL;

	if (done && file_copy(&copy, &sum, &problem) != STATUS_OK) {
		report_error("%s", problem);
		done = false;
	}
	free(path);
	return done && add(collecting->set, name, &sum);
}

bool
backup_set_collect(struct backup_set *set, const char *folder,
		   void (*progress)(void *cookie, uint64_t bytes), void *cookie)
{
	struct collecting collecting = {
		.set = set, .folder = folder, .progress = progress, .cookie = cookie};

	return tree_walk(folder, collect, &collecting);
}

/* --- writing --- */

static void
write_json(const struct backup_set *set, struct buffer *out)
{
	buffer_printf(out,
		      "{\"format\":\"" FORMAT "\",\"version\":%d,\"program\":\"" EDGEREPLAY_VERSION
		      "\",\"began\":\"%s\",\"ended\":\"%s\",\"live\":%s,\n\"shards\":%" PRIu64
		      ",\"logs\":%" PRIu64 ",\"actions\":%" PRIu64 ",\"findings\":%" PRIu64
		      ",\n\"files\":[",
		      VERSION, set->began, set->ended, set->live ? "true" : "false", set->shards,
		      set->logs, set->actions, set->findings);
	for (size_t i = 0; i < set->count; i++) {
		const struct backup_file *file = &set->files[i];
		char hex[2 * FILE_SUM_SIZE];

		hex_encode(file->sum.sum, FILE_SUM_SIZE, hex);
		buffer_append_text(out, i > 0 ? TEXT(",\n{\"name\":") : TEXT("\n{\"name\":"));
		json_write_string(out, text_of(file->name));
		buffer_printf(out, ",\"bytes\":%" PRIu64 ",\"blake2b\":\"%.*s\"}", file->sum.bytes,
			      (int)sizeof(hex), hex);
	}
	buffer_append_text(out, TEXT("\n]}\n"));
}

bool
backup_set_write(const struct backup_set *set, const char *folder)
{
	char *path = tree_path(folder, BACKUP_SET_NAME);
	struct buffer out;
	bool done = false;
	int fd = -1;

	buffer_init(&out, TEXT_SIZE_MAX);
	write_json(set, &out);
	if (path != NULL && !out.failed)
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd != -1) {
		done = write(fd, out.data, out.size) == (ssize_t)out.size && fsync(fd) == 0;
		done = close(fd) == 0 && done;
	}
	if (!done && path != NULL)
		report_error("%s: %s", path, strerror(errno));
	buffer_release(&out);
	free(path);
	return done;
}

/* --- reading --- */

/* No path leads out of the folder. */
static bool
is_name(const char *name)
{
	return name[0] != '\0' && name[0] != '/' && strcmp(name, BACKUP_SET_NAME) != 0 &&
	       strstr(name, "../") == NULL && strlen(name) < 1024;
}

static bool
take_file(struct backup_set *set, json_t *entry)
{
	const char *name, *hex;
	json_int_t bytes;
	struct file_sum sum;

	if (json_unpack(entry, "{s:s, s:I, s:s}", "name", &name, "bytes", &bytes, "blake2b",
			&hex) != 0 ||
	    !is_name(name) || bytes < 0 || !hex_decode(text_of(hex), sum.sum, FILE_SUM_SIZE))
		return false;
	sum.bytes = (uint64_t)bytes;
	return add(set, name, &sum);
}

static bool
take_all(struct backup_set *set, json_t *root)
{
	const char *format, *began, *ended;
	json_int_t version, shards, findings;
	json_t *files, *entry;
	size_t index;
	int live;

	if (json_unpack(root, "{s:s, s:I, s:s, s:s, s:b, s:I, s:I, s:o}", "format", &format,
			"version", &version, "began", &began, "ended", &ended, "live", &live,
			"shards", &shards, "findings", &findings, "files", &files) != 0 ||
	    strcmp(format, FORMAT) != 0 || version != VERSION || shards < 1 || findings < 0 ||
	    !json_is_array(files))
		return false;
	(void)snprintf(set->began, sizeof(set->began), "%s", began);
	(void)snprintf(set->ended, sizeof(set->ended), "%s", ended);
	set->live = live != 0;
	set->shards = (uint64_t)shards;
	set->findings = (uint64_t)findings;
	json_array_foreach(files, index, entry)
	{
		if (!take_file(set, entry))
			return false;
	}
	return true;
}

bool
backup_set_read(struct backup_set *set, const char *folder)
{
	char *path = tree_path(folder, BACKUP_SET_NAME);
	json_error_t error;
	json_t *root;
	bool done;

	*set = (struct backup_set){.count = 0};
	if (path == NULL)
		return false;
	root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
	done = root != NULL && take_all(set, root);
	if (root == NULL)
		report_error("%s: %s: it is no backup, or one that was not finished", path,
			     error.text);
	else if (!done)
		report_error("%s is not that of a backup that this program knows", path);
	json_decref(root);
	free(path);
	return done;
}
