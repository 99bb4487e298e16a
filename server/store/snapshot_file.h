/*
 * snapshot_file: one snapshot on the disk: what it is of, then the body as it was sent.
 *
 *     create ─▶ append … ─▶ finish: head, fsync        open ─▶ verify … ─▶ read …
 *                    ╰▶ discard                              ╰▶ close
 *
 * The head has 1024 bytes; integers are big-endian:
 *
 *       0  "ERsnap1\n"
 *       8  u64  seq
 *      16  32   link[seq]
 *      48  32   genesis link of the log
 *      80  u64  bytes of the body
 *      88  u64  received at, milliseconds
 *      96  32   BLAKE2b-256 of the body
 *     128  u8 |log| ‖ log, u8 |media type| ‖ media type, u8 |app version| ‖ app version, u8 |writer| ‖ writer,
 *          each up to 128 bytes; zeros
 *     992  32   BLAKE2b-256 of all before it
 *
 * It is written last, so that a file that was cut off has none.
 *
 * Threads: one user at a time. Errors: STATUS_STORAGE_UNAVAILABLE is a fault of the disk, logged and
 * counted; STATUS_LOG_DAMAGED: what is stored does not verify, or the disk cannot read it any more.
 */
#ifndef STORE_SNAPSHOT_FILE_H
#define STORE_SNAPSHOT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"
#include "chain/chain.h"

#define SNAPSHOT_HEAD_SIZE 1024
#define SNAPSHOT_TEXT_MAX 128

struct snapshot_text {
	uint8_t size;
	char data[SNAPSHOT_TEXT_MAX + 1]; /* and a NUL */
};

/* False: it is too long, and *to is empty. */
bool snapshot_text_set(struct snapshot_text *to, struct text);

/* What a head says. */
struct snapshot_facts {
	struct hash genesis;
	struct position position;
	uint64_t size; /* of the body */
	uint64_t received_at;
	struct hash checksum; /* of the body */
	struct snapshot_text log, media_type, app_version;
	struct snapshot_text writer; /* the subject that gave it; empty when unknown, or too long */
};

/* A checksum that is being made. libsodium's state wants to stand at a multiple of 64, which an arena does not
 * give: it finds its place in here, and must not be moved. */
struct snapshot_sum {
	unsigned char room[384 + 63];
};

/* One that is being received. */
struct snapshot_draft {
	int fd;
	char *path;
	struct snapshot_facts facts; /* size and checksum: from finish on */
	struct snapshot_sum sum;
};

/* Makes the file, which must not be there. draft->facts is the caller's. path is taken over, also on
 * failure. */
MUST_CHECK enum status snapshot_draft_create(struct snapshot_draft *, char *path);
MUST_CHECK enum status snapshot_draft_append(struct snapshot_draft *, const char *data,
					     size_t size);

/* That was all: its checksum is known from here on. */
void snapshot_draft_finish(struct snapshot_draft *);

/* Writes the head and syncs the file. */
MUST_CHECK enum status snapshot_draft_sync(struct snapshot_draft *);

/* Takes the file away, unless it was renamed (path NULL), and frees everything. Of a log that is erased, or
 * whose erasing has taken the file away before, the bytes are overwritten. */
void snapshot_draft_discard(struct snapshot_draft *, bool erased);

/* All of an open file, and synced. name: for the log. */
MUST_CHECK enum status snapshot_file_overwrite(int fd, const char *name);

/* One that is there. */
struct snapshot_source {
	int fd; /* -1: it is not open */
	struct snapshot_facts facts;

	/* Bytes of the body that were verified, or read, since it was opened or rewound. */
	uint64_t at;
	struct snapshot_sum sum;
};

/* STATUS_NO_SNAPSHOT: there is no such file. */
MUST_CHECK enum status snapshot_source_open(struct snapshot_source *, const char *path);

/* Verifies the next bytes of the body, so many at most. *verified: it was the end, and the whole is what it
 * was; the source is rewound. */
MUST_CHECK enum status snapshot_source_verify(struct snapshot_source *, size_t size,
					      bool *verified);

/* Reads the next bytes of the body. The last ones are not given unless the whole is what it was. */
MUST_CHECK enum status snapshot_source_read(struct snapshot_source *, char *to, size_t size,
					    size_t *got);
void snapshot_source_close(struct snapshot_source *);

#endif
