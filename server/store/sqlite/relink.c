#include "store/sqlite/relink.h"

#include "base/check.h"

void
relink_init(struct relink *relink)
{
	relink->count = 0;
	relink->copied = 0;
}

bool
relink_is_full(const struct relink *relink, const struct row_page *page)
{
	return relink->count == LANES || relink->copied < relink->count ||
	       relink->count >= page->rows_left || page->at.seq + relink->count >= page->upto;
}

uint64_t
relink_next_seq(const struct relink *relink, const struct row_page *page)
{
	return page->at.seq + relink->count + 1;
}

void
relink_add(struct relink *relink, const struct row *added)
{
	CHECK(relink->count < LANES && relink->copied == relink->count);
	size_t i = relink->count++;
	struct row *row = &relink->rows[i];
	*row = *added;
	relink->links[i + 1] = row->link;
	size_t size = chain_preimage(&row->action, relink->bytes[i]);
	if (size == 0)
		return;
	relink->preimages[i] = (struct text){(const char *)relink->bytes[i], size};
	relink->copied++;
}

enum status
relink_visit(struct relink *relink, struct row_page *page, relink_complete *complete, void *cookie)
{
	size_t count = relink->count, copied = relink->copied;
	relink_init(relink);
	relink->links[0] = page->at.link;
	chain_digests(relink->preimages, relink->digests, copied);
	if (copied < count)
		chain_digest(&relink->rows[copied].action, &relink->digests[copied]);
	size_t good = chain_verify(relink->links, relink->digests, count);
	for (size_t i = 0; i < good; i++) {
		struct row *row = &relink->rows[i];
		row->digest = relink->digests[i];
		enum status status = complete == NULL ? STATUS_OK : complete(cookie, row);
		if (status != STATUS_OK)
			return status;
		page->stopped = !page->visitor(page->cookie, row);
		if (page->stopped)
			return STATUS_OK;
		page->at = (struct position){row->seq, row->link};
		page->rows_left--;
	}
	return good < count ? STATUS_LOG_DAMAGED : STATUS_OK;
}
