/*
 * snapshot: what both endpoints of snapshots share (protocol, section 4.6): the names of headers, and the
 * entity tag.
 */
#ifndef API_SNAPSHOT_H
#define API_SNAPSHOT_H

#include "store/snapshot_file.h"

#define SNAPSHOT_SEQ "Edgereplay-Seq"
#define SNAPSHOT_STATE_HASH "Edgereplay-State-Hash"
#define SNAPSHOT_APP_VERSION "Edgereplay-App-Version"
#define SNAPSHOT_MEDIA_TYPE "application/octet-stream" /* where none was given */

#define SNAPSHOT_ETAG_SIZE 64 /* with room to spare */

/* "<seq>-<the first 32 digits of the body's checksum>", quoted. Returns its size. */
size_t snapshot_etag(const struct snapshot_facts *, char etag[SNAPSHOT_ETAG_SIZE]);

#endif
