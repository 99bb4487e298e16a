/*
 * manifest: the bytes of a data directory's manifest:
 *
 *     edgereplay-data 1
 *     shards 8
 *     folder shards-8       where the shard files are; without the line: beside the manifest
 *     shard 0 32 hex digits
 *     …
 *
 * Pure.
 */
#ifndef STORE_MANIFEST_H
#define STORE_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>

#include "store/directory.h"

#define MANIFEST_SIZE_MAX (128 + SHARDS_MAX * 64)

/* Writes at most MANIFEST_SIZE_MAX bytes; returns how many. */
int manifest_format(const struct directory *, char *data);

/* Only what is to the byte as manifest_format writes it. */
bool manifest_parse(struct directory *, const char *data, size_t size);

#endif
