/*
 * map: uthash with the project's settings. Include this, never <uthash.h>.
 *
 * Keys are hashed with SipHash under a key drawn at start, so that clients who choose names cannot
 * choose buckets. When memory is out an element is not added, and HASH_ADD leaves its hh.tbl NULL.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

/* 32 bits of SipHash-2-4 under the process's key. */
unsigned map_hash(const void *key, size_t size);

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(element) ((element)->hh.tbl = NULL)
#define HASH_FUNCTION(key, size, hash) ((hash) = map_hash((key), (size)))

#include <uthash.h>

#endif
