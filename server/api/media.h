/*
 * media: the two headers that name media types (RFC 9110, sections 8.3 and 12.5.1), read leniently in
 * white space and letter case, and without quoted commas, which no such header has in practice: a
 * piece that does not read as a media range is passed over.
 *
 * Pure.
 */
#ifndef API_MEDIA_H
#define API_MEDIA_H

#include <stdbool.h>

#include "base/text.h"

enum media { MEDIA_JSON, MEDIA_NDJSON, MEDIA_EVENTS };

/*
 * Which media type the Accept header prefers (RFC 9110, section 12.5.1), of JSON and, if it may be
 * had, NDJSON. JSON wins a tie, unless only NDJSON is named without a wildcard. False: neither.
 */
bool media_choose(struct text accept, bool ndjson, enum media *);

/* Whether it allows text/event-stream. */
bool media_accepts_events(struct text accept);

/* Whether a Content-Type is application/json, with no other parameter than charset=utf-8. */
bool media_is_json(struct text content_type);

#endif
