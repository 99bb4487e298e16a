/*
 * etag: entity tags in If-None-Match.
 */
#ifndef API_ETAG_H
#define API_ETAG_H

#include <stdbool.h>

#include "base/text.h"

/* Whether If-None-Match (RFC 9110, section 13.1.2) names this tag, which is strong and has its quotes;
 * compared weakly. */
bool etag_matches(struct text header, struct text etag);

#endif
