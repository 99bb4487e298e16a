#include "cli/lines.h"

#include <string.h>

void
lines_init(struct lines *lines, line_visitor *visit, void *cookie)
{
	*lines = (struct lines){.visit = visit, .cookie = cookie};
	buffer_init(&lines->partial, LINE_SIZE_MAX);
}

void
lines_release(struct lines *lines)
{
	if (lines != NULL)
		buffer_release(&lines->partial);
}

void
lines_reset(struct lines *lines)
{
	lines->partial.size = 0;
}

/* A line that began in an earlier piece is finished in the buffer; one that lies whole in this
 * piece is visited where it is. */
static enum status
visit_line(struct lines *lines, const char *data, size_t size)
{
	enum status status;

	if (lines->partial.size == 0)
		return lines->visit(lines->cookie, (struct text){data, size});
	buffer_append(&lines->partial, data, size);
	if (lines->partial.failed)
		return STATUS_MALFORMED;
	status = lines->visit(lines->cookie,
			      (struct text){lines->partial.data, lines->partial.size});
	lines->partial.size = 0;
	return status;
}

enum status
lines_feed(struct lines *lines, const char *data, size_t size)
{
	while (size > 0) {
		const char *newline = memchr(data, '\n', size);
		enum status status;
		size_t length;

		if (newline == NULL)
			break;
		length = (size_t)(newline - data);
		status = visit_line(lines, data, length);
		if (status != STATUS_OK)
			return status;
		data += length + 1;
		size -= length + 1;
	}
	if (size > 0)
		buffer_append(&lines->partial, data, size);
	return lines->partial.failed ? STATUS_MALFORMED : STATUS_OK;
}

enum status
lines_finish(struct lines *lines)
{
	if (lines->partial.size == 0)
		return STATUS_OK;
	return visit_line(lines, NULL, 0);
}
