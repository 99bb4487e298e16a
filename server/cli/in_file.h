/*
 * in_file: a file's lines, whether it is compressed (gzip) or not.
 */
#ifndef CLI_IN_FILE_H
#define CLI_IN_FILE_H

#include "base/status.h"
#include "cli/lines.h"

/*
 * Visits each line. STATUS_OK, what the visitor returned, STATUS_MALFORMED for a line that is too long,
 * or STATUS_STORAGE_UNAVAILABLE, reported, when the file cannot be read or its compression is broken:
 * then the lines before have been visited. Draws progress when what is not NULL.
 */
MUST_CHECK enum status in_file_read(const char *path, const char *what, line_visitor *,
				    void *cookie);

#endif
