/*
 * leftovers: files that tools have put aside beside a store, and that may hold content of which the store
 * itself has none any more: what accept-loss and repair keep, backups, files of a reshard that did not end. They
 * are the operator's, who alone knows when they are not needed any more.
 *
 * Threads: any.
 */
#ifndef STORE_LEFTOVERS_H
#define STORE_LEFTOVERS_H

#include <stddef.h>

typedef void leftover_visitor(void *cookie, const char *path);

/* Of a data directory: all that is in it and is none of a store's own files, and DIR.removed-… and DIR.backup-…
 * beside it; at most so many. What cannot be read is passed over. */
void leftovers_visit(const char *dir, size_t max, leftover_visitor *, void *cookie);

#endif
