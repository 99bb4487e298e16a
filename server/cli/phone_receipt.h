/*
 * phone_receipt: the newest receipt that the server gave, kept in a file (protocol, section 6).
 *
 * The phone does not judge the signature: edgereplay receipt verify does, with a key that the phone
 * did not get from the server. It keeps only what it can say itself is so: a receipt for its log, with
 * the hash that it computed for that action.
 */
#ifndef CLI_PHONE_RECEIPT_H
#define CLI_PHONE_RECEIPT_H

#include "cli/phone_sync.h"

/* Remembers the receipt of a 200, if it has one. */
void phone_receipt_take(struct phone_sync *, const struct answer *);

/* After the run: the newest one replaces the file at once, or leaves it as it is. EXIT_FINE;
 * EXIT_UNVERIFIED: there is none, or it says what the phone's own chain does not; EXIT_LOCAL. Reported. */
enum exit_code phone_receipt_keep(const struct phone_sync *, const char *path);

#endif
