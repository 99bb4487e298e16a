#include "cli/repair_out.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/json_text.h"
#include "cli/report.h"

#define LINE_SIZE_MAX_OUT ((size_t)1 << 30)

void
repair_out_init(struct repair_out *out, const char *path)
{
	*out = (struct repair_out){.path = path};
	buffer_init(&out->line, LINE_SIZE_MAX_OUT);
}

void
repair_out_release(struct repair_out *out)
{
	if (out->file != NULL)
		fclose(out->file);
	buffer_release(&out->line);
}

static enum status
failed(const struct repair_out *out)
{
	report_error("%s: %s", out->path, strerror(errno));
	return STATUS_STORAGE_UNAVAILABLE;
}

/* ,"name":"…" or ,"nameBase64":"…" */
static void
write_text(struct buffer *line, const char *name, struct text text)
{
	buffer_append_text(line, TEXT(",\""));
	buffer_append_text(line, text_of(name));
	if (text_is_utf8(text)) {
		buffer_append_text(line, TEXT("\":"));
		json_write_string(line, text);
	} else {
		buffer_append_text(line, TEXT("Base64\":"));
		json_write_base64(line, text);
	}
}

static void
write_removed(struct buffer *line, const struct removed *removed)
{
	line->size = 0;
	if (removed->record_size > 0) {
		buffer_append_text(line, TEXT("{\"journalRecord\":"));
		buffer_append_u64(line, removed->record_id);
		buffer_append_text(line, TEXT(",\"bytesBase64\":"));
		json_write_base64(line, (struct text){removed->record, removed->record_size});
	} else {
		if (removed->log > 0)
			buffer_printf(line, "{\"log\":%" PRIu64 ",\"seq\":", removed->log);
		else
			buffer_append_text(line, TEXT("{\"seq\":"));
		buffer_append_u64(line, removed->seq);
		write_text(line, "device", removed->action.device);
		buffer_append_text(line, TEXT(",\"ts\":"));
		buffer_append_u64(line, removed->action.ts);
		write_text(line, "type", removed->action.type);
		write_text(line, "payload", removed->action.payload);
		buffer_append_text(line, TEXT(",\"link\":"));
		json_write_hash(line, &removed->link);
		buffer_append_text(line, removed->is_good ? TEXT(",\"good\":true")
							  : TEXT(",\"good\":false"));
	}
	buffer_append_text(line, TEXT("}\n"));
}

enum status
repair_out_keep(void *cookie, const struct removed *removed)
{
	struct repair_out *out = cookie;
	struct buffer *line = &out->line;

	out->count++;
	if (out->path == NULL)
		return STATUS_OK;
	if (out->file == NULL) {
		const int fd = open(out->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		out->file = fd == -1 ? NULL : fdopen(fd, "w");
		if (out->file == NULL)
			return failed(out);
	}
	write_removed(line, removed);
	errno = ENOMEM;
	if (line->failed || fwrite(line->data, 1, line->size, out->file) != line->size)
		return failed(out);
	return STATUS_OK;
}

static enum status
sync_folder(const struct repair_out *out)
{
	char *copy = strdup(out->path);
	const int fd = copy == NULL ? -1 : open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const bool synced = fd != -1 && fsync(fd) == 0;

	if (fd != -1)
		close(fd);
	free(copy);
	return synced ? STATUS_OK : failed(out);
}

enum status
repair_out_sync(void *cookie)
{
	struct repair_out *out = cookie;

	if (out->file == NULL)
		return STATUS_OK;
	if (fflush(out->file) != 0 || fsync(fileno(out->file)) == -1)
		return failed(out);
	return sync_folder(out);
}
