#include "admin/snapshots.h"

#include <string.h>

#include "admin/inside.h"
#include "api/json.h"
#include "store/snapshot_walk.h"

#define AFTER "after="
#define PAGE_LOGS 200

struct page {
	struct buffer *out;
	size_t count;
	struct hash last;
	bool is_full; /* there are more */
};

static bool
write_log(void *cookie, const struct snapshot_facts *oldest)
{
	struct page *page = cookie;
	page->is_full = page->count == PAGE_LOGS;
	if (page->is_full)
		return false;
	if (page->count++ > 0)
		buffer_append_text(page->out, TEXT(","));
	json_write_string(page->out, (struct text){oldest->log.data, oldest->log.size});
	page->last = oldest->genesis;
	return true;
}

/* *has: there is one. False: it is none of ours. */
static bool
read_query(struct text query, bool *has, struct hash *after)
{
	static const size_t prefix = sizeof(AFTER) - 1;
	*has = query.size > 0;
	return query.size == 0 ||
	       (query.size > prefix && memcmp(query.data, AFTER, prefix) == 0 &&
		hash_from_text((struct text){query.data + prefix, query.size - prefix}, after));
}

enum status
snapshots_serve(struct admin *admin, struct request *request, struct buffer *out,
		const char **detail)
{
	struct page page = {.out = out};
	struct hash after;
	bool has_after;
	char text[HASH_TEXT_SIZE];
	if (!read_query(request_query(request), &has_after, &after)) {
		*detail = "The only query parameter here is after: next of the page before.";
		return STATUS_MALFORMED;
	}
	if (atomic_load(&admin->state) == ADMIN_STARTING) {
		*detail = "The shards are being recovered.";
		return STATUS_STORAGE_UNAVAILABLE;
	}
	buffer_append_text(out, TEXT("{\"logs\":["));
	const enum status status =
		snapshots_logs(admin->snapshots, has_after ? &after : NULL, write_log, &page);
	if (status != STATUS_OK) {
		*detail = "The folder of snapshots cannot be read.";
		return status;
	}
	hash_to_text(&page.last, text);
	if (page.is_full)
		buffer_printf(out, "],\"next\":\"%.*s\"}\n", HASH_TEXT_SIZE, text);
	else
		buffer_append_text(out, TEXT("],\"next\":null}\n"));
	return STATUS_OK;
}
