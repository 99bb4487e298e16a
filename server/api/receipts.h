/*
 * receipts: the keys that sign, from their file, and the member of an answer that they make
 * (protocol, section 6).
 *
 * Threads: loading by whoever starts and reloads; writing by HTTP threads: a signature costs some
 * twenty microseconds, and no shard's writer has to wait for it.
 */
#ifndef API_RECEIPTS_H
#define API_RECEIPTS_H

#include <stdbool.h>

#include "base/mem.h"
#include "chain/receipt.h"

/* Of the member: a character of the note may become six in JSON. */
#define RECEIPTS_MEMBER_SIZE_MAX (32 + 6 * (size_t)RECEIPT_SIZE_MAX)

/*
 * Reads the file (base/secret_file): a signing key a line, all of one name; empty lines and those
 * that begin with # do not count. A name that is not empty must be theirs. An empty path is no file:
 * then there are no keys. False with *problem (base/problem), and the signers are left as they were.
 */
bool receipts_load(const char *path, const char *name, struct receipt_signers *,
		   const char **problem);

/* ,"receipt":"…" */
void receipts_write(struct buffer *, const struct receipt *, const struct receipt_signers *);

/* "tombstone":"…", signed by whoever signs, now; its text alone where nobody does. */
void receipts_write_tombstone(struct buffer *, const struct receipt *,
			      const struct receipt_signers *);

#endif
