#include "api/page.h"

#include "api/wire.h"

/* What a payload may have under any configuration: one stored under a higher limit must still be
 * read. */
#define PAYLOAD_SIZE_EVER ((size_t)16 * 1024 * 1024)
#define ESCAPED_GROWTH 6  /* \u0001 */
#define ROW_SIZE_MAX 4096 /* all of a row but its payload */

static bool
visit(void *cookie, const struct row *row)
{
	struct page *page = cookie;
	while (page->own_at < page->own_count && page->own[page->own_at] < row->seq)
		page->own_at++;
	if (page->own_at < page->own_count && page->own[page->own_at] == row->seq)
		return true;
	size_t size = row->action.payload.size;
	bool fits = page->rows == 0 ||
		    (page->bytes <= page->bytes_max && size <= page->bytes_max - page->bytes &&
		     page->out->size - page->begin <= page->text_max);
	if (page->rows == page->rows_max || !fits || page->out->failed) {
		page->full = true;
		return false;
	}
	if (page->rows > 0)
		buffer_append_text(page->out, TEXT(","));
	wire_write_row(page->out, row, page->meta);
	page->rows++;
	page->bytes += size;
	return true;
}

/* One transaction; page->end moves on. *start is the position where it began. */
static enum status
read_step(struct call *call, uint64_t upto, struct page *page, struct position *start)
{
	const uint64_t after = page->end.seq;
	const struct range range = {.after = after, .upto = upto, .rows_max = PAGE_STEP_ROWS};
	struct position end;
	enum status status = store_read(call->api->store, route_log(&call->route),
					&call->route.genesis, &range, visit, page, start, &end);
	if (status == STATUS_OK && end.seq == after && after < upto && !page->full)
		status = STATUS_INTERNAL; /* neither a row nor a reason: do not go round for ever */
	if (status == STATUS_OK || status == STATUS_LOG_DAMAGED)
		page->end = end;
	return status;
}

enum status
page_read(struct call *call, uint64_t after, uint64_t upto, struct page *page)
{
	struct position step_start;
	page->end = (struct position){.seq = after};
	page->begin = page->out->size;
	page->text_max = call->limits->page_text_bytes;
	buffer_append_text(page->out, TEXT("["));
	enum status status = read_step(call, upto, page, &page->start);
	while (status == STATUS_OK && page->end.seq < upto && !page->full &&
	       page->rows < page->rows_max)
		status = read_step(call, upto, page, &step_start);
	buffer_append_text(page->out, TEXT("]"));
	return status;
}

size_t
page_size_max(const struct api_limits *limits)
{
	return ESCAPED_GROWTH * (limits->page_bytes + PAYLOAD_SIZE_EVER) +
	       limits->page_actions * ROW_SIZE_MAX;
}
