/*
 * receipt: a server's signed word that a log had a history (protocol, section 6). Pure.
 *
 *     edgereplay/1/receipt
 *     <server name>/logs/<log name>
 *     <seq>
 *     <base64 of link[seq]>
 *     <serverTimestamp>
 *
 * is the text of a signed note (chain/note.h). Whoever holds it can prove that the server accepted
 * that history: the link commits to every action up to it.
 */
#ifndef CHAIN_RECEIPT_H
#define CHAIN_RECEIPT_H

#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "chain/chain.h"
#include "chain/note.h"

#define RECEIPT_SIGNERS_MAX 4
#define RECEIPT_SIZE_MAX                                                                           \
	(128 + NOTE_NAME_SIZE_MAX + LOG_NAME_SIZE_MAX + RECEIPT_SIGNERS_MAX * NOTE_LINE_SIZE_MAX)

/* The keys of one server, which have its name. Each signs, so that while keys change a receipt
 * verifies for whoever knows the old one or the new one. */
struct receipt_signers {
	struct note_signer signers[RECEIPT_SIGNERS_MAX];
	size_t count; /* 0: this server gives no receipts */
};

/* The note's first line. */
enum receipt_kind {
	RECEIPT_HISTORY, /* edgereplay/1/receipt */
	RECEIPT_ERASED, /* edgereplay/1/erased: the tombstone of a log that ended at that position */
};

struct receipt {
	enum receipt_kind kind;
	struct text server;
	struct text log;
	struct position position;
	uint64_t msec; /* serverTimestamp */
};

/* Appends the note, of at most RECEIPT_SIZE_MAX bytes. The server is the signers'; receipt->server is not
 * looked at. Without a signer it is the text alone, and of no server. */
void receipt_write(const struct receipt *, const struct receipt_signers *, struct buffer *note);

/*
 * Reads a receipt and judges it by the keys that have its server's name: one verifies, and none that
 * is known is forged. The receipt is set unless NOTE_MALFORMED, and its texts point into the note;
 * without NOTE_VERIFIED nothing in it is to be believed.
 */
enum note_verdict receipt_read(struct text note, const struct note_key keys[], size_t count,
			       struct receipt *);

#endif
