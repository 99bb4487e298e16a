/*
 * put_aside: what an answer to a removal says of files beside the shards (store/leftovers), of which it removes what
 * goes with the content.
 *
 * Private to this room. Threads: the listener's.
 */
#ifndef ADMIN_PUT_ASIDE_H
#define ADMIN_PUT_ASIDE_H

#include <stdbool.h>

#include "base/mem.h"
#include "store/store.h"

/* ,"leftovers":[…],"inTheWay":[…], paths both, and what is in the second is in the first, too. removal: one that is
 * done, whose log's own files are removed or in the way; NULL: none is. is_overwritten: copies that a reshard left are
 * removed, and all that is left is listed. Bytes of a path that are no UTF-8 become question marks. */
void put_aside_write(struct buffer *out, struct store *, const struct removal *removal,
		     bool is_overwritten);

#endif
