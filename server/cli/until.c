#include "cli/until.h"

#include <string.h>

#include "cli/report.h"

static bool
read_parts(const char *text, struct until *until)
{
	const char *colon = strchr(text, ':');
	struct text seq = text_of(text);

	until->has_link = hash_from_text(seq, &until->position.link);
	if (until->has_link)
		return true;
	if (colon != NULL) {
		until->has_link = hash_from_text(text_of(colon + 1), &until->position.link);
		seq.size = (size_t)(colon - text);
	}
	until->has_seq = text_to_u64(seq, SEQ_MAX, &until->position.seq);
	return until->has_seq && (colon == NULL || until->has_link);
}

bool
until_read(const char *text, struct until *until)
{
	*until = (struct until){.has_seq = false};
	if (text == NULL || read_parts(text, until))
		return true;
	report_error("--until=%s: SEQ, SEQ:LINK or LINK is needed", text);
	return false;
}

bool
until_is(const struct until *until, const struct position *at)
{
	return (!until->has_seq || until->position.seq == at->seq) &&
	       (!until->has_link || hash_equal(&until->position.link, &at->link));
}

bool
until_reached(const struct until *until, const struct position *at)
{
	return (until->has_seq || until->has_link) && until_is(until, at);
}
