/*
 * until: where a replay ends: SEQ, SEQ:LINK or LINK (protocol, section 4.2).
 */
#ifndef CLI_UNTIL_H
#define CLI_UNTIL_H

#include <stdbool.h>

#include "chain/chain.h"

struct until {
	bool has_seq, has_link;
	struct position position;
};

/* text may be NULL: until the end. False, and reported, when it is none of the three. */
bool until_read(const char *text, struct until *);

/* Whether the position is the one; any is for until the end. */
bool until_is(const struct until *, const struct position *);

/* Whether the position is the one, and reading is to end there. */
bool until_reached(const struct until *, const struct position *);

#endif
