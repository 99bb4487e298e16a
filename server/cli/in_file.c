#include "cli/in_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "cli/report.h"

#define PIECE_SIZE (1U << 18)

static bool
is_whole(gzFile stream, const char *path)
{
	int error = Z_OK;
	const char *why = gzerror(stream, &error);

	if (error == Z_OK || error == Z_STREAM_END)
		return true;
	report_error("%s: %s", path,
		     error == Z_ERRNO	    ? strerror(errno)
		     : error == Z_BUF_ERROR ? "the file was cut off"
					    : why);
	return false;
}

/* A compressed file that was cut off gives what is there first. */
static enum status
read_pieces(gzFile stream, const char *path, const char *what, struct lines *lines)
{
	char *piece = malloc(PIECE_SIZE);
	struct stat stat_of = {0};
	enum status status = piece != NULL ? STATUS_OK : STATUS_INTERNAL;
	int size = 0;

	(void)stat(path, &stat_of);
	while (status == STATUS_OK) {
		size = gzread(stream, piece, PIECE_SIZE);
		if (size <= 0)
			break;
		status = lines_feed(lines, piece, (size_t)size);
		if (what != NULL)
			report_progress(what, (uint64_t)gzoffset(stream),
					(uint64_t)stat_of.st_size);
	}
	report_progress_end();
	if (status == STATUS_INTERNAL)
		report_error("out of memory");
	else if (status == STATUS_OK && !is_whole(stream, path))
		status = STATUS_STORAGE_UNAVAILABLE;
	if (status == STATUS_OK)
		status = lines_finish(lines);
	free(piece);
	return status;
}

enum status
in_file_read(const char *path, const char *what, line_visitor *visit, void *cookie)
{
	gzFile stream = gzopen(path, "rbe");
	struct lines lines;
	enum status status;

	if (stream == NULL) {
		report_error("%s: %s", path, strerror(errno));
		return STATUS_STORAGE_UNAVAILABLE;
	}
	(void)gzbuffer(stream, PIECE_SIZE);
	lines_init(&lines, visit, cookie);
	status = read_pieces(stream, path, what, &lines);
	lines_release(&lines);
	(void)gzclose(stream);
	return status;
}
