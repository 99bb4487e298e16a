/*
 * snapshots: which logs have snapshots, for whoever prunes them all (edgereplay prune --all):
 *
 *     GET /snapshots                 {"logs":["a","b"],"next":"…"}
 *     GET /snapshots?after=…         those behind it; next is null behind the last
 *
 * They come in the order of their genesis links, which is what after is.
 *
 * Private to this room. Threads: any.
 */
#ifndef ADMIN_SNAPSHOTS_H
#define ADMIN_SNAPSHOTS_H

#include "base/mem.h"
#include "http/request.h"

struct admin;

/* Writes what the answer is into out; else says why not, with *detail. */
MUST_CHECK enum status snapshots_serve(struct admin *, struct request *, struct buffer *out,
				       const char **detail);

#endif
