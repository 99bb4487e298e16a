#include "cli/phone_chain.h"

#include <stdlib.h>

#include "base/check.h"

size_t
chain_locator(uint64_t base, uint64_t seqs[LOCATOR_PAIRS_MAX])
{
	size_t count = 0;
	uint64_t gap = 1;

	/* Gaps double: 53 bits of seq make at most 54 pairs. */
	CHECK(base <= SEQ_MAX);
	while (base > gap) {
		base -= gap;
		gap *= 2;
		seqs[count++] = base;
	}
	if (base > 0)
		seqs[count++] = 0;
	CHECK(count <= LOCATOR_PAIRS_MAX);
	return count;
}

static int
compare_ordered(const void *left_pointer, const void *right_pointer)
{
	const struct ordered *left = left_pointer;
	const struct ordered *right = right_pointer;

	if (left->seq != right->seq)
		return left->seq < right->seq ? -1 : 1;
	if (left->own != right->own)
		return left->own ? -1 : 1;
	return (left->index > right->index) - (left->index < right->index);
}

size_t
chain_order(const struct merge *merge, struct ordered *order, size_t *contiguous)
{
	size_t found = 0;
	size_t kept = 0;

	for (size_t i = 0; i < merge->missed_count; i++) {
		if (merge->missed[i].seq > merge->base)
			order[found++] = (struct ordered){merge->missed[i].seq, false, i};
	}
	for (size_t i = 0; i < merge->result_count; i++) {
		if (!merge->results[i].refused && merge->results[i].seq > merge->base)
			order[found++] = (struct ordered){merge->results[i].seq, true, i};
	}
	if (found > 0)
		qsort(order, found, sizeof(*order), compare_ordered);
	for (size_t i = 0; i < found; i++) {
		if (kept == 0 || order[i].seq != order[kept - 1].seq)
			order[kept++] = order[i];
	}
	*contiguous = 0;
	while (*contiguous < kept && order[*contiguous].seq == merge->base + *contiguous + 1)
		(*contiguous)++;
	return kept;
}

void
phone_action_digest(struct phone_action *kept)
{
	if (!kept->redacted)
		chain_digest(&kept->action, &kept->digest);
}

bool
chain_actions(struct position *position, const struct logged *actions, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (actions[i].seq != position->seq + 1)
			return false;
		position->seq++;
		chain_link(&position->link, &actions[i].kept.digest, &position->link);
	}
	return true;
}

bool
position_equal(const struct position *left, const struct position *right)
{
	return left->seq == right->seq && hash_equal(&left->link, &right->link);
}
