#include "loadtest/spread.h"

#include <string.h>

#define WEIGHT_MAX 1000000

/* "7" or "7..9" */
static bool
parse_range(struct text text, uint64_t min, uint64_t max, struct spread_choice *choice)
{
	struct text high = text;
	struct text low = text;
	const char *dots = memmem(text.data, text.size, "..", 2);
	if (dots != NULL) {
		low.size = (size_t)(dots - text.data);
		high = (struct text){dots + 2, text.size - low.size - 2};
	}
	return text_to_u64(low, max, &choice->low) && text_to_u64(high, max, &choice->high) &&
	       choice->low >= min && choice->low <= choice->high;
}

bool
spread_parse(struct text text, uint64_t min, uint64_t max, struct spread *spread)
{
	uint64_t up_to = 0;
	*spread = (struct spread){.count = 0};
	/* No data is left after the last piece; behind a comma there is some, if only empty. */
	while (text.data != NULL) {
		uint64_t weight = 1;
		struct text weight_text = text_cut(&text, ',');
		struct text range = text_cut(&weight_text, ':');
		if (weight_text.data != NULL && !text_to_u64(weight_text, WEIGHT_MAX, &weight))
			return false;
		if (spread->count == SPREAD_CHOICES_MAX || weight == 0)
			return false;
		struct spread_choice *choice = &spread->choices[spread->count++];
		if (!parse_range(range, min, max, choice))
			return false;
		up_to += weight;
		choice->up_to = up_to;
	}
	return true;
}

uint64_t
spread_draw(const struct spread *spread, struct random *random)
{
	const struct spread_choice *choice = &spread->choices[0];
	if (spread->count > 1) {
		uint64_t drawn = random_below(random, spread->choices[spread->count - 1].up_to);
		while (choice->up_to <= drawn)
			choice++;
	}
	if (choice->low == choice->high)
		return choice->low;
	return choice->low + random_below(random, choice->high - choice->low + 1);
}

uint64_t
spread_max(const struct spread *spread)
{
	uint64_t max = 0;
	for (size_t i = 0; i < spread->count; i++)
		max = spread->choices[i].high > max ? spread->choices[i].high : max;
	return max;
}
